"""What a peer may try against TLS, before, in and after the handshake."""

from __future__ import annotations

import socket
from contextlib import ExitStack, asynccontextmanager

import pytest
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed
from socket_peers import until
from tls_peers import counting_turns, receive_exactly, server_context, shake_hands, tcp
from tls_records import ALERT, DATA, HANDSHAKE, sealed_pair
from tls_serving import echo, in_thread, raw, serving, works
from unix_peers import two_streams

import penstock
from penstock.streams.buffered import BufferedByteStream
from penstock.streams.tls import TLSStream, _listener
from penstock.streams.tls._engine import FEED
from penstock.streams.tls._pump import UNANSWERED

UPDATE = 27  # bytes of a KeyUpdate, and of the answer that it asks for


@asynccontextmanager
async def sealed_over_a_socket(*, peer):
    """Give a TLS stream over a UNIX socket that holds little, its peer, and what seals for it."""
    async with two_streams() as (near, far):
        far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        async with sealed_pair(peer=peer, ends=(near, far)) as pair:
            yield pair


async def cut(stream, data):
    """Send until there is no room, and stop; return how much was encrypted."""
    async with penstock.create_task_group() as group:
        group.start_soon(stream.send, data)
        await penstock.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    return stream.partial_send


# -- the handshake -------------------------------------------------------------------------


async def test_handshake_that_trickles_in_ends_at_its_time_limit():
    async with serving(echo, handshake_timeout=0.15) as (listener, port):
        started = penstock.current_time()
        async with await penstock.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb")  # a hello of 16 KiB
            with penstock.fail_after(10), pytest.raises(penstock.BrokenResourceError):
                while True:
                    await stream.send(b"\x03")
                    await penstock.sleep(0.002)
        assert penstock.current_time() - started < 5
        await works(port)
        assert listener.statistics().failed_handshakes == 1


async def test_connections_that_say_nothing_do_not_keep_others_from_their_handshake(monkeypatch):
    monkeypatch.setattr(_listener, "HURRIED", 0.1)
    async with serving(echo) as (listener, port):
        with ExitStack() as silent:
            for _ in range(_listener.HANDSHAKES_AT_ONCE + 2):  # two of them wait, as do the others
                silent.enter_context(raw(port))
            async with penstock.create_task_group() as group:
                with penstock.fail_after(10):
                    for _ in range(3):
                        group.start_soon(works, port)
                    await works(port)
            assert listener.statistics().failed_handshakes < 20


async def test_message_too_large_for_a_hello_is_refused_before_it_comes():
    async with serving(echo) as (listener, port):
        with raw(port) as sock:
            sock.sendall(b"\x16\x03\x01\x00\x04\x01\xff\xff\xff")  # 16 MiB, it says
            alert = await in_thread(sock.recv, 100)
        assert alert[0] == ALERT
        assert alert[-2:] == b"\x02\x2f"  # fatal: illegal_parameter
        await works(port)
        assert listener.statistics().failed_handshakes == 1


async def test_version_before_1_2_is_refused():
    hello = (
        b"\x03\x02" + bytes(32) + b"\0"  # TLS 1.1, random, no session
        b"\0\4\xc0\x13\x00\x2f\1\0"  # two suites of its time, no compression
    )
    message = b"\x01\0" + len(hello).to_bytes(2, "big") + hello
    async with serving(echo) as (listener, port):
        with raw(port) as sock:
            sock.sendall(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message)
            alert = await in_thread(sock.recv, 100)
        assert alert[0] == ALERT
        assert alert[-2:] == b"\x02\x46"  # fatal: protocol_version
        await works(port)
        assert listener.statistics().failed_handshakes == 1


async def test_plaintext_behind_starttls_is_never_a_command():
    near, far = await tcp()
    async with near, far:
        lines = BufferedByteStream(near)
        await far.send(b"STARTTLS\r\nDELETE everything\r\n")
        assert await lines.receive_until(b"\r\n", 1000) == b"STARTTLS"
        with penstock.fail_after(10), pytest.raises(penstock.BrokenResourceError):
            await TLSStream.wrap(lines, ssl_context=server_context())
        assert lines.buffer == b""


# -- the connection ------------------------------------------------------------------------


@pytest.mark.parametrize("peer", ["client", "server"])
async def test_records_with_nothing_end_the_connection(peer):
    async with sealed_over_a_socket(peer=peer) as (stream, hand, sealer):
        async with penstock.create_task_group() as group:
            group.start_soon(hand.stream.send, b"".join(sealer.seal(DATA, b"") for _ in range(100)))
            with pytest.raises(penstock.BrokenResourceError, match="RECORD_TOO_SMALL"):
                await stream.receive()
            group.cancel_scope.cancel()


@pytest.mark.parametrize("peer", ["client", "server"])
async def test_warnings_without_end_end_the_connection(peer):
    async with sealed_over_a_socket(peer=peer) as (stream, hand, sealer):
        async with penstock.create_task_group() as group:
            user_canceled = b"\x01\x5a"
            group.start_soon(
                hand.stream.send, b"".join(sealer.seal(ALERT, user_canceled) for _ in range(100))
            )
            with pytest.raises(penstock.BrokenResourceError, match="TOO_MANY_WARN_ALERTS"):
                await stream.receive()
            group.cancel_scope.cancel()


async def test_tickets_without_end_hold_nobody():
    async with two_streams() as ends, sealed_pair(ends=ends) as (stream, hand, sealer):
        body = b"\0\0\x1c\x20\0\0\0\0\x01n\0\x10" + bytes(16) + b"\0\0"
        ticket = b"\x04\0" + len(body).to_bytes(2, "big") + body
        flood = b"".join(sealer.seal(HANDSHAKE, ticket) for _ in range(1000))
        await hand.stream.send(flood + sealer.seal(DATA, b"at last"))
        async with counting_turns() as turns:
            assert await stream.receive() == b"at last"
        assert turns[0] >= 8  # a step does 92 records without data at most


async def test_answers_that_the_peer_does_not_take_are_not_piled_up():
    async with sealed_over_a_socket(peer="client") as (stream, hand, sealer):
        sent = 0

        async def flood():
            nonlocal sent
            while sent < 2 * most:
                await hand.stream.send(
                    b"".join(sealer.key_update(requested=True) for _ in range(100))
                )
                sent += 100

        most = (UNANSWERED + 2 * FEED) // UPDATE
        async with penstock.create_task_group() as group:
            group.start_soon(stream.send, bytes(1 << 20))  # which nobody receives
            group.start_soon(stream.receive)
            group.start_soon(flood)
            await until(lambda: sent > UNANSWERED // UPDATE)
            steady = 0
            while steady < 200:
                before = sent
                await penstock.lowlevel.checkpoint()
                steady = steady + 1 if sent == before else 0
            assert sent < most
            group.cancel_scope.cancel()


async def test_cancelled_sends_to_a_peer_that_does_not_read_are_not_piled_up():
    async with two_streams() as (near, far):
        client, server = await shake_hands(near, far)
        begun = await cut(client, bytes(1 << 20))
        assert 0 < begun < 1 << 20
        for _ in range(20):
            assert await cut(client, b"never sent") == 0
        async with penstock.create_task_group() as group:
            group.start_soon(client.send, b"last")
            assert await receive_exactly(server, begun) == bytes(begun)
            assert await receive_exactly(server, 4) == b"last"
