"""Cancelled anywhere, a TLS stream stays whole: the transfer goes on where it was cut."""

from __future__ import annotations

from itertools import count
from random import Random

import pytest
from backends import ASYNCIO_BACKENDS, BACKENDS
from cancelling import Cancellable
from tls_peers import (
    client_context,
    receive_all,
    receive_exactly,
    server_context,
    shake_hands,
    tcp,
    tls_pair,
    wires,
)

import penstock
from penstock.streams.tls import TLSStream

PAYLOAD = Random(5).randbytes(150_000)
CASES = [
    pytest.param(backend, way, id=f"{backend.id}-{way}")
    for backend in BACKENDS
    for way in ("scope", "task.cancel")
    if way == "scope" or backend in ASYNCIO_BACKENDS
]


class Cut:
    """Cancels the operation of a Cancellable at one of the places where it can be."""

    def __init__(self, place, cancellable):
        self.left = place
        self.cancellable = cancellable

    def __call__(self):
        if self.left == 0:
            self.cancellable.cancel()
        self.left -= 1


async def wrapped_pair(size=1000):
    near, far = wires(size, piece=20_000)
    client, server = await shake_hands(near, far)
    return near, client, server


async def for_every_place(way, attempt):
    """Call ``attempt`` so that each place is cut once, until an operation was not."""
    for place in count():
        assert place < 500
        cancellable = Cancellable()
        if await attempt(lambda func, c=cancellable: c.run(way, func), Cut(place, cancellable)):
            return place


@pytest.mark.parametrize(("backend", "way"), CASES)
async def test_send_goes_on_where_it_was_cancelled(backend, way):
    async def attempt(run, cut):
        near, client, server = await wrapped_pair()
        async with penstock.create_task_group() as group:
            received = group.create_task(receive_all(server))
            near.hook = cut
            done = await run(lambda: client.send(PAYLOAD))
            near.hook = None
            assert done == (client.partial_send is None)
            if not done:
                await client.send(PAYLOAD[client.partial_send :])
            await client.send_eof()
            assert await received == PAYLOAD
            group.start_soon(server.aclose)
            await client.aclose()
        return done

    assert await for_every_place(way, attempt) > 8


@pytest.mark.parametrize(("backend", "way"), CASES)
async def test_receive_sends_what_a_cancelled_send_has_left(backend, way):
    async def attempt(run, cut):
        near, client, server = await wrapped_pair()
        async with penstock.create_task_group() as group:

            async def answer():
                await receive_exactly(server, len(PAYLOAD))
                await server.send(b"got it")

            near.hook = cut
            done = await run(lambda: client.send(PAYLOAD))
            near.hook = None
            if not done:
                rest = PAYLOAD[client.partial_send :]
                if rest:
                    await client.send(rest)
            group.start_soon(answer)
            assert await client.receive() == b"got it"
            group.start_soon(server.aclose)
            await client.aclose()
        return done

    assert await for_every_place(way, attempt) > 8


@pytest.mark.parametrize(("backend", "way"), CASES)
async def test_receive_loses_nothing_when_cancelled(backend, way):
    async def attempt(run, cut):
        near, client, server = await wrapped_pair(size=1)
        received = []

        async def receive_one():
            received.append(await client.receive(10_000))

        async with penstock.create_task_group() as group:
            group.start_soon(server.send, PAYLOAD)
            near.hook = cut
            done = True
            while done and sum(map(len, received)) < len(PAYLOAD):
                done = await run(receive_one)
            near.hook = None
            rest = len(PAYLOAD) - sum(map(len, received))
            received.append(await receive_exactly(client, rest))
            assert b"".join(received) == PAYLOAD
            group.start_soon(server.aclose)
            await client.aclose()
        return done

    assert await for_every_place(way, attempt) > 8


@pytest.mark.parametrize(("backend", "way"), CASES)
async def test_send_eof_is_made_good_when_cancelled(backend, way):
    async def attempt(run, cut):
        near, client, server = await wrapped_pair()
        async with penstock.create_task_group() as group:
            received = group.create_task(receive_all(server))
            await client.send(b"hello")
            near.hook = cut
            done = await run(client.send_eof)
            near.hook = None
            await client.send_eof()
            assert await received == b"hello"
            await server.send(b"bye")
            assert await client.receive() == b"bye"
            group.start_soon(server.aclose)
            await client.aclose()
        return done

    assert await for_every_place(way, attempt) >= 2


@pytest.mark.parametrize(("backend", "way"), CASES)
async def test_unwrap_can_be_repeated_when_cancelled(backend, way):
    async def attempt(run, cut):
        near, client, server = await wrapped_pair()
        ends = []

        async def unwrap():
            ends.append(await client.unwrap())

        async with penstock.create_task_group() as group:
            group.start_soon(server.unwrap)
            near.hook = cut
            done = await run(unwrap)
            near.hook = None
            if not done:
                await unwrap()
        assert ends == [(near, b"")]
        await near.aclose()
        await server.aclose()
        return done

    assert await for_every_place(way, attempt) >= 3


@pytest.mark.parametrize(("backend", "way"), CASES)
async def test_cancelled_aclose_closes_the_transport(backend, way):
    async def attempt(run, cut):
        near, client, server = await wrapped_pair()
        async with penstock.create_task_group() as group:

            async def end():
                try:
                    assert await receive_all(server) == b""
                except penstock.BrokenResourceError:  # cut before the announcement
                    pass
                await server.aclose()

            group.start_soon(end)
            near.hook = cut
            done = await run(client.aclose)
            assert near.closed
        return done

    assert await for_every_place(way, attempt) >= 2


@pytest.mark.parametrize(("backend", "way"), CASES)
async def test_cancelled_handshake_leaves_the_transport_open(backend, way):
    async def attempt(run, cut):
        near, far = wires()
        near.hook = cut
        async with penstock.create_task_group() as group:

            async def serve():
                try:
                    await TLSStream.wrap(far, ssl_context=server_context())
                except penstock.BrokenResourceError:
                    pass

            group.start_soon(serve)
            done = await run(
                lambda: TLSStream.wrap(near, hostname="localhost", ssl_context=client_context())
            )
            assert not near.closed
            await near.aclose()
        await far.aclose()
        return done

    assert await for_every_place(way, attempt) >= 4


async def test_send_over_full_tcp_goes_on_where_it_was_cancelled():
    client, server = await shake_hands(*(await tcp()))
    async with client, server:
        payload = PAYLOAD * 200
        async with penstock.create_task_group() as group:
            group.start_soon(client.send, payload)
            await penstock.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        assert 0 < client.partial_send < len(payload)
        async with penstock.create_task_group() as group:
            received = group.create_task(receive_all(server))
            await client.send(payload[client.partial_send :])
            await client.send_eof()
            assert await received == payload
            group.start_soon(server.aclose)


async def test_receive_goes_on_while_what_a_cancelled_send_has_left_cannot_go_out():
    async with tls_pair(size=0) as (client, server):
        async with penstock.create_task_group() as group:
            group.start_soon(client.send, PAYLOAD)
            await penstock.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        async with penstock.create_task_group() as group:
            group.start_soon(server.send, b"receives nothing")
            assert await client.receive() == b"receives nothing"
            received = group.create_task(receive_all(server))
            await client.send(PAYLOAD[client.partial_send :])
            await client.send_eof()
            assert await received == PAYLOAD


async def test_send_waits_for_what_a_receive_is_sending():
    async with tls_pair(size=0) as (client, server), penstock.create_task_group() as group:
        with penstock.CancelScope() as scope:
            async with penstock.create_task_group() as inner:
                inner.start_soon(client.send, PAYLOAD)
                await penstock.wait_all_tasks_blocked()
                scope.cancel()
        rest = PAYLOAD[client.partial_send :]
        answer = group.create_task(client.receive())  # sends what the cancelled send has left
        await penstock.wait_all_tasks_blocked()
        sending = group.create_task(client.send(rest + b"and more"))
        await penstock.wait_all_tasks_blocked()
        assert await receive_exactly(server, len(PAYLOAD) + 8) == PAYLOAD + b"and more"
        await sending
        group.start_soon(server.send, b"got it")
        assert await answer == b"got it"


@pytest.mark.parametrize("method", ["send", "receive", "send_eof", "unwrap"])
async def test_pending_cancellation_leaves_an_operation_without_effect(method):
    async with tls_pair() as (client, server):
        await server.send(b"kept")
        with penstock.CancelScope() as scope:
            scope.cancel()
            await getattr(client, method)(*([b"x"] if method == "send" else []))
        assert scope.cancelled_caught
        assert client.partial_send == (0 if method == "send" else None)
        assert await client.receive() == b"kept"
        await client.send(b"first")
        assert await server.receive() == b"first"


@pytest.mark.parametrize("method", ["send", "receive"])
async def test_second_task_is_busy_and_harmless(method):
    async with tls_pair(size=0) as (client, server):
        arguments = [PAYLOAD] if method == "send" else []
        async with penstock.create_task_group() as group:
            first = group.create_task(getattr(client, method)(*arguments))
            await penstock.wait_all_tasks_blocked()
            with pytest.raises(penstock.BusyResourceError):
                await getattr(client, method)(*arguments)
            if method == "send":
                assert await receive_exactly(server, len(PAYLOAD)) == PAYLOAD
                await first
                assert client.partial_send is None
            else:
                await server.send(b"hello")
                assert await first == b"hello"


@pytest.mark.parametrize("size", [0, 1, 1000])
@pytest.mark.parametrize("after", [0, 3, 30, 300])
async def test_closing_amid_both_directions_frees_everybody(size, after):
    """Whatever turn the close comes in, nobody hangs, and nobody gets what was not sent."""
    near, far = wires(size, piece=5000)
    client, server = await shake_hands(near, far)
    received = []

    async def send(stream):
        with pytest.raises((penstock.ClosedResourceError, penstock.BrokenResourceError)):
            while True:
                await stream.send(PAYLOAD)

    async def receive(stream):
        try:
            while True:
                received.append(await stream.receive())
        except (
            penstock.EndOfStream,
            penstock.ClosedResourceError,
            penstock.BrokenResourceError,
        ):
            pass

    async with penstock.create_task_group() as group:
        for end in (client, server):
            group.start_soon(send, end)
        group.start_soon(receive, client)
        receiving = group.create_task(receive_all_of(server))
        for _ in range(after):
            await penstock.lowlevel.checkpoint()
        group.start_soon(client.aclose)
        await client.aclose()
        data = await receiving
        await server.aclose()
    assert (PAYLOAD * (len(data) // len(PAYLOAD) + 1)).startswith(data)
    data = b"".join(received)
    assert (PAYLOAD * (len(data) // len(PAYLOAD) + 1)).startswith(data)


async def receive_all_of(stream):
    """Receive until the end, of whatever kind."""
    chunks = []
    try:
        while True:
            chunks.append(await stream.receive())
    except (penstock.EndOfStream, penstock.BrokenResourceError):
        return b"".join(chunks)
