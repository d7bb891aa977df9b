"""Cancelling TCP operations at every turn of the event loop: nothing is lost, nothing leaks."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from backends import BackendUnderTest
from socket_peers import (
    HOST,
    connected,
    drain,
    listening,
    open_descriptors,
    raw_socket_of,
    receive_all,
)
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock.abc import SocketAttribute
from penstock.lowlevel import checkpoint
from penstock.streams.stapled import MultiListener

#: An operation here takes at most this many turns, unless it waits for good.
TURNS = 8

Operation = Callable[[], Awaitable[Any]]
#: Runs an operation, cancels it after so many turns, and calls something at an earlier turn.
Canceller = Callable[[Operation, int, Callable[[int], None]], Awaitable[list[Any]]]


async def by_scope(operation: Operation, turns: int, meanwhile: Callable[[int], None]) -> list[Any]:
    results = []

    async def run() -> None:
        results.append(await operation())

    async with penstock.create_task_group() as tg:
        tg.start_soon(run)
        for turn in range(turns):
            meanwhile(turn)
            await checkpoint()
        tg.cancel_scope.cancel()
    return results


async def by_task(operation: Operation, turns: int, meanwhile: Callable[[int], None]) -> list[Any]:
    async def run() -> Any:
        return await operation()

    task = asyncio.create_task(run())
    for turn in range(turns):
        meanwhile(turn)
        await checkpoint()
    task.cancel()
    try:
        return [await task]
    except asyncio.CancelledError:
        return []


async def every_accept_is_cancelled(cancel: Canceller) -> None:
    async with listening() as (listener, port):
        for turns in range(TURNS):
            for arrival in range(turns + 1):
                with ExitStack() as stack:
                    peers = []

                    def connect(turn: int) -> None:
                        if turn == arrival:  # noqa: B023
                            peer = socket.create_connection((HOST, port))
                            peers.append(stack.enter_context(peer))  # noqa: B023

                    streams = await cancel(listener.accept, turns, connect)
                    connect(arrival)
                    while len(streams) < len(peers):
                        streams.append(await listener.accept())
                    for stream, peer in zip(streams, peers, strict=True):
                        async with stream:
                            assert raw_socket_of(stream).getpeername() == peer.getsockname()


async def every_receive_is_cancelled(cancel: Canceller, into: bool) -> None:
    async with connected() as (stream, peer):
        memory = bytearray(100)

        async def receive() -> bytes:
            if into:
                return bytes(memory[: await stream.receive_into(memory)])
            return await stream.receive()

        for turns in range(TURNS):
            for arrival in range(turns + 1):
                message = b"%d-%d." % (turns, arrival)

                def send(turn: int) -> None:
                    if turn == arrival:  # noqa: B023
                        peer.sendall(message)  # noqa: B023

                received = b"".join(await cancel(receive, turns, send))
                if arrival == turns:
                    send(arrival)
                while len(received) < len(message):
                    received += await receive()
                assert received == message


async def test_a_cancelled_accept_drops_no_connection() -> None:
    await every_accept_is_cancelled(by_scope)


@pytest.mark.parametrize("into", [False, True], ids=["receive", "receive_into"])
async def test_a_cancelled_receive_loses_no_byte(into: bool) -> None:
    await every_receive_is_cancelled(by_scope, into)


def test_an_accept_in_a_cancelled_task_drops_no_connection(
    asyncio_backend: BackendUnderTest,
) -> None:
    asyncio_backend.run(every_accept_is_cancelled, by_task)


@pytest.mark.parametrize("into", [False, True], ids=["receive", "receive_into"])
def test_a_receive_in_a_cancelled_task_loses_no_byte(
    asyncio_backend: BackendUnderTest, into: bool
) -> None:
    asyncio_backend.run(every_receive_is_cancelled, by_task, into)


async def every_serve_is_cancelled(cancel: Canceller, max_connections: int | None) -> None:
    served = []

    async def handler(stream: Any) -> None:
        async with stream:
            served.append(stream.extra(SocketAttribute.remote_address))
            await checkpoint()

    clients = []
    multi = MultiListener([await penstock.create_tcp_listener(local_host=HOST) for _ in range(2)])
    ports = [listener.extra(SocketAttribute.local_port) for listener in multi.listeners]
    async with multi, penstock.create_task_group() as handlers:
        with ExitStack() as stack:

            def connect(turn: int) -> None:
                peer = socket.create_connection((HOST, ports[turn % 2]))
                clients.append(stack.enter_context(peer).getsockname())

            async def serve() -> None:
                await multi.serve(handler, handlers, max_connections=max_connections)

            for turns in range(TURNS):
                for _ in range(3):
                    await cancel(serve, turns, connect)
            async with penstock.create_task_group() as tg:
                tg.start_soon(serve)
                await penstock.wait_all_tasks_blocked()
                tg.cancel_scope.cancel()
    assert sorted(served) == sorted(clients)
    assert multi.statistics().accepted == len(clients)


@pytest.mark.parametrize("max_connections", [None, 1, 2])
async def test_a_cancelled_serve_drops_no_connection(max_connections: int | None) -> None:
    await every_serve_is_cancelled(by_scope, max_connections)


@pytest.mark.parametrize("max_connections", [None, 1, 2])
def test_a_serve_in_a_cancelled_task_drops_no_connection(
    asyncio_backend: BackendUnderTest, max_connections: int | None
) -> None:
    asyncio_backend.run(every_serve_is_cancelled, by_task, max_connections)


@pytest.mark.parametrize("many", [False, True], ids=["send", "send_many"])
async def test_a_send_cancelled_at_any_turn_says_what_went_out(many: bool) -> None:
    data = bytes(range(256)) * 40_000
    async with connected() as (stream, peer):

        async def send() -> None:
            await (stream.send_many([data[:7], data[7:]]) if many else stream.send(data))

        for turns in range(TURNS):
            received = bytearray()

            def take(_: int) -> None:
                received.extend(drain(peer))  # noqa: B023

            complete = await by_scope(send, turns, take)
            assert (stream.partial_send is None) == bool(complete)
            sent = len(data) if stream.partial_send is None else stream.partial_send
            received += receive_all(peer, sent - len(received))
            assert received == data[:sent]
            assert drain(peer) == b""


# -- connecting ----------------------------------------------------------------------------


@pytest.fixture
def full_queue() -> Iterator[int]:
    """A port where a connection attempt waits: the queue of the listening socket is full."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind((HOST, 0))
        server.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield server.getsockname()[1]


async def connects_are_cancelled(cancel: Canceller, host: str, port: int) -> None:
    async def connect() -> Any:
        return await penstock.connect_tcp(host, port)

    async with listening():  # opens the poller
        pass
    for turns in range(TURNS):
        before = open_descriptors()
        streams = await cancel(connect, turns, lambda _: None)
        assert len(open_descriptors() - before) == len(streams)
        for stream in streams:
            await stream.aclose()
        assert open_descriptors() == before


async def test_a_cancelled_connect_leaks_no_descriptor() -> None:
    with socket.create_server((HOST, 0)) as server:
        await connects_are_cancelled(by_scope, HOST, server.getsockname()[1])


async def test_a_cancelled_connect_that_waits_leaks_no_descriptor(full_queue: int) -> None:
    await connects_are_cancelled(by_scope, HOST, full_queue)


def test_a_connect_in_a_cancelled_task_leaks_no_descriptor(
    asyncio_backend: BackendUnderTest, full_queue: int
) -> None:
    asyncio_backend.run(connects_are_cancelled, by_task, HOST, full_queue)


async def test_a_cancelled_connect_abandons_the_resolution(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name service here has no answer until the test is over."""
    look_up = socket.getaddrinfo
    asked, answer, over = threading.Event(), threading.Event(), threading.Event()

    def slow(host: Any, *args: Any) -> Any:
        if host != b"slow.test":
            return look_up(host, *args)
        if args[-1] & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "no number")
        asked.set()
        answer.wait(30)
        over.set()
        raise socket.gaierror(socket.EAI_NONAME, "too late")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    for open_it in (
        lambda: penstock.connect_tcp("slow.test", 80),
        lambda: penstock.create_tcp_listener(local_host="slow.test"),
    ):
        asked.clear()
        answer.clear()
        over.clear()
        try:
            async with penstock.create_task_group() as tg:
                tg.start_soon(open_it)
                while not asked.is_set():
                    await checkpoint()
                tg.cancel_scope.cancel()
            assert not over.is_set()
        finally:
            answer.set()
            assert over.wait(30)


# -- a cancellation that is there before the call ------------------------------------------


async def test_nothing_happens_in_a_cancelled_scope() -> None:
    async with connected() as (stream, peer), listening() as (listener, port):
        peer.sendall(b"still there")
        with socket.create_connection((HOST, port)) as waiting:
            operations: list[Operation] = [
                stream.receive,
                lambda: stream.receive_into(bytearray(5)),
                lambda: stream.send(b"x"),
                lambda: stream.send_many([b"x"]),
                lambda: stream.send_many([]),
                stream.send_eof,
                listener.accept,
                lambda: penstock.connect_tcp(HOST, port),
                lambda: penstock.create_tcp_listener(local_host=HOST),
            ]
            before = open_descriptors()
            for operation in operations:
                with penstock.CancelScope() as scope:
                    scope.cancel()
                    await operation()
                assert scope.cancelled_caught
            assert open_descriptors() == before
            assert await stream.receive() == b"still there"
            await stream.send(b"sent")
            assert peer.recv(100) == b"sent"
            async with await listener.accept() as accepted:
                assert raw_socket_of(accepted).getpeername() == waiting.getsockname()
