"""How TLS streams end: announced, cut, unwrapped, or closed while somebody uses them."""

from __future__ import annotations

import ssl

import pytest
from tls_peers import (
    Peer,
    client_context,
    peer_pair,
    receive_all,
    server_context,
    shake_hands,
    tcp,
    tls_pair,
    wires,
)

import penstock
from penstock.streams.tls import TLSStream


async def test_closing_waits_two_seconds_for_a_silent_peer():
    async with peer_pair() as (stream, _):
        started = penstock.current_time()
        await stream.aclose()
        assert 1.9 < penstock.current_time() - started < 4


async def test_closing_waits_no_longer_for_a_peer_that_goes_on_talking():
    async with peer_pair() as (stream, peer), penstock.create_task_group() as group:

        async def talk():
            while True:
                await peer.stream.send(peer.encrypt(b"blah"))
                await penstock.sleep(0.1)

        group.start_soon(talk)
        started = penstock.current_time()
        try:
            await stream.aclose()
        finally:
            group.cancel_scope.cancel()
        assert 1.9 < penstock.current_time() - started < 4


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_closing_with_unread_data_is_silent_and_orderly(version):
    async with tls_pair(version) as (client, server), penstock.create_task_group() as group:
        await server.send(bytes(100_000))
        group.start_soon(client.aclose)
        with pytest.raises(penstock.EndOfStream):
            await server.receive()
        await server.aclose()


async def test_closing_twice_and_after_the_peer_is_silent():
    async with tls_pair() as (client, server):
        async with penstock.create_task_group() as group:
            group.start_soon(client.aclose)
            await server.aclose()
        await client.aclose()
        await server.aclose()


async def test_closing_over_a_broken_transport_is_silent():
    async with peer_pair() as (stream, peer):
        await peer.stream.aclose()
        started = penstock.current_time()
        await stream.aclose()
        assert penstock.current_time() - started < 1


async def test_closed_stream_refuses_everything():
    async with tls_pair() as (client, server):
        async with penstock.create_task_group() as group:
            group.start_soon(client.aclose)
            await server.aclose()
        for method in (client.receive, client.send_eof, client.unwrap):
            with pytest.raises(penstock.ClosedResourceError):
                await method()
        with pytest.raises(penstock.ClosedResourceError):
            await client.send(b"x")
        with pytest.raises(penstock.ClosedResourceError):
            await client.send_many([b"x"])


@pytest.mark.parametrize("transport", [tcp, None], ids=["tcp", "lockstep"])
@pytest.mark.parametrize("method", ["receive", "send"])
async def test_closing_wakes_who_waits(transport, method):
    client, server = await shake_hands(*(await transport() if transport else wires(0)))

    async def wait():
        with pytest.raises(penstock.ClosedResourceError):
            if method == "send":
                await client.send(bytes(50_000_000))
            else:
                await client.receive()

    async with penstock.create_task_group() as group:
        waiting = group.create_task(wait())
        await penstock.wait_all_tasks_blocked()
        started = penstock.current_time()
        await client.aclose()
        await waiting
        assert penstock.current_time() - started < 1
    await server.aclose()


async def test_closing_announces_the_end_although_somebody_receives():
    client, server = await shake_hands(*await tcp())

    async def wait():
        with pytest.raises(penstock.ClosedResourceError):
            await client.receive()

    async with penstock.create_task_group() as group:
        group.start_soon(wait)
        await penstock.wait_all_tasks_blocked()
        await client.aclose()
    with pytest.raises(penstock.EndOfStream):
        await server.receive()
    await server.aclose()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_end_without_announcement_is_an_error(version):
    async with peer_pair(version) as (stream, peer):
        await peer.stream.send(peer.encrypt(b"33 bytes"))
        await peer.stream.aclose()
        assert await stream.receive() == b"33 bytes"
        for _ in range(2):
            with pytest.raises(penstock.BrokenResourceError, match="without an announcement"):
                await stream.receive()


async def test_context_of_the_user_cannot_hide_a_cut():
    near, far = wires()
    context = client_context()
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    peer = Peer(far, server_context(), server_side=True)
    async with penstock.create_task_group() as group:
        group.start_soon(peer.handshake)
        stream = await TLSStream.wrap(near, hostname="localhost", ssl_context=context)
    await far.aclose()
    with pytest.raises(penstock.BrokenResourceError):
        await stream.receive()
    await stream.aclose()


async def test_cut_in_the_middle_of_a_record_is_an_error():
    async with peer_pair() as (stream, peer):
        await peer.stream.send(peer.encrypt(b"hello")[:-1])
        await peer.stream.aclose()
        with pytest.raises(penstock.BrokenResourceError):
            await stream.receive()


async def test_without_standard_an_end_is_an_end_and_closing_says_nothing():
    async with peer_pair(standard_compatible=False) as (stream, peer):
        await peer.stream.send(peer.encrypt(b"33 bytes"))
        peer.stream._sending.close()
        assert await receive_all(stream) == b"33 bytes"
        with pytest.raises(penstock.EndOfStream):
            await stream.receive()
        await stream.aclose()
        with pytest.raises(penstock.EndOfStream):
            await peer.stream.receive()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_unwrap_goes_on_in_the_clear(version):
    near, far = wires()
    client, server = await shake_hands(near, far, version=version)
    async with penstock.create_task_group() as group:

        async def serve():
            assert await receive_all(server) == b"encrypted"
            stream, leftover = await server.unwrap()
            assert (stream, leftover) == (far, b"")
            await far.send(b"clear again")

        group.start_soon(serve)
        await client.send(b"encrypted")
        stream, leftover = await client.unwrap()
        assert stream is near
        received = leftover
        while len(received) < len(b"clear again"):
            received += await near.receive()
        assert received == b"clear again"
        with pytest.raises(penstock.ClosedResourceError):
            await client.receive()
    await near.aclose()
    await far.aclose()


async def test_unwrap_returns_what_came_behind_the_announcement():
    async with peer_pair() as (stream, peer):
        with pytest.raises(ssl.SSLWantReadError):
            peer.ssl.unwrap()
        await peer.stream.send(peer.outgoing.read() + b"plain")
        assert await stream.unwrap() == (stream.transport_stream, b"plain")


async def test_unwrap_drops_nothing_that_was_not_received():
    async with peer_pair() as (stream, peer):
        await peer.stream.send(peer.encrypt(b"unread"))
        for _ in range(2):
            with pytest.raises(penstock.BrokenResourceError, match="not received"):
                await stream.unwrap()
        assert await stream.receive() == b"unread"
        with pytest.raises(ssl.SSLWantReadError):
            peer.ssl.unwrap()
        await peer.flush()
        await stream.unwrap()


@pytest.mark.parametrize("method", ["receive", "send"])
async def test_unwrap_is_refused_while_somebody_uses_the_stream(method):
    async with tls_pair(size=0) as (client, _), penstock.create_task_group() as group:
        group.start_soon(getattr(client, method), *([bytes(100_000)] if method == "send" else []))
        await penstock.wait_all_tasks_blocked()
        with pytest.raises(penstock.BusyResourceError):
            await client.unwrap()
        group.cancel_scope.cancel()


async def test_data_may_be_sent_after_the_peer_has_ended():
    async with tls_pair() as (client, server):
        await client.send_eof()
        with pytest.raises(penstock.EndOfStream):
            await server.receive()
        await server.send(b"last words")
        assert await client.receive() == b"last words"
