"""Using a stream from a thread, or an event loop, that it does not belong to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from threading import Thread
from typing import Any

import pytest
import trio
from backends import BACKENDS, BackendUnderTest
from socket_peers import HOST, connected, listening, raw_socket_of, until
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock.lowlevel import checkpoint

OPERATIONS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "receive": lambda stream: stream.receive(),
    "receive_into": lambda stream: stream.receive_into(bytearray(10)),
    "send": lambda stream: stream.send(b"x"),
    "send_many": lambda stream: stream.send_many([b"x", b"y"]),
    "send_eof": lambda stream: stream.send_eof(),
}
every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


@pytest.fixture(params=BACKENDS, ids=lambda backend: "then " + backend.id)
def other(request: pytest.FixtureRequest) -> BackendUnderTest:
    param: BackendUnderTest = request.param
    return param


async def refused(awaitable: Awaitable[Any]) -> None:
    with pytest.raises(RuntimeError, match=r"belongs to (another|an) event loop"):
        await awaitable


async def in_another_thread(func: Callable[[], Awaitable[Any]]) -> None:
    """Run ``func`` in an event loop of another thread, and wait for it."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            penstock.run(func)
        except BaseException as exc:
            errors.append(exc)

    thread = Thread(target=run)
    thread.start()
    await until_over(thread)
    if errors:
        raise errors[0]


async def until_over(thread: Thread) -> None:
    while thread.is_alive():
        await checkpoint()


@every_operation
async def test_a_stream_refuses_another_thread_and_loses_nothing(operation: Any) -> None:
    async with connected() as (stream, peer):
        peer.sendall(b"hello")

        async def use() -> None:
            await refused(operation(stream))
            await refused(stream.aclose())

        await in_another_thread(use)
        assert await stream.receive() == b"hello"
        await stream.send(b"answer")
        assert peer.recv(10) == b"answer"


async def test_a_task_that_waits_is_not_disturbed_by_another_thread() -> None:
    got = []

    async def receive() -> None:
        got.append(await stream.receive())

    async with connected() as (stream, peer):
        async with penstock.create_task_group() as tg:
            tg.start_soon(receive)
            await penstock.wait_all_tasks_blocked()

            async def use() -> None:
                await refused(stream.receive())

            await in_another_thread(use)
            peer.sendall(b"x")
        assert got == [b"x"]


async def test_a_listener_refuses_another_thread_and_loses_nothing() -> None:
    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)) as peer:

            async def use() -> None:
                await refused(listener.accept())
                await refused(listener.aclose())

            await in_another_thread(use)
            async with await listener.accept() as stream:
                assert raw_socket_of(stream).getpeername() == peer.getsockname()


def test_a_stream_outlives_its_loop_only_to_be_closed(
    backend: BackendUnderTest, other: BackendUnderTest
) -> None:
    async def connect(server: socket.socket) -> Any:
        return await penstock.connect_tcp(HOST, server.getsockname()[1])

    async def use(stream: Any) -> None:
        for operation in OPERATIONS.values():
            await refused(operation(stream))
        assert raw_socket_of(stream).recv(10, socket.MSG_PEEK) == b"hello"
        await stream.aclose()
        await stream.aclose()
        with pytest.raises(penstock.ClosedResourceError):
            await stream.receive()

    with socket.create_server((HOST, 0)) as server:
        stream = backend.run(connect, server)
        with server.accept()[0] as peer:
            peer.sendall(b"hello")
            other.run(use, stream)
            with pytest.raises(ConnectionResetError):  # "hello" was not received
                peer.recv(1)


def test_a_listener_outlives_its_loop_only_to_be_closed(
    backend: BackendUnderTest, other: BackendUnderTest
) -> None:
    async def listen() -> Any:
        return await penstock.create_tcp_listener(local_host=HOST)

    async def use() -> None:
        await refused(listener.listeners[0].accept())
        await refused(listener.listeners[0].serve(refused))
        await refused(listener.listeners[0].drain(0))
        await listener.aclose()
        await listener.aclose()

    listener = backend.run(listen)
    other.run(use)


@pytest.mark.filterwarnings("always::ResourceWarning")
def test_a_stream_forgotten_after_its_loop_warns_and_closes(backend: BackendUnderTest) -> None:
    streams = []

    async def connect(server: socket.socket) -> None:
        streams.append(await penstock.connect_tcp(HOST, server.getsockname()[1]))

    with socket.create_server((HOST, 0)) as server:
        backend.run(connect, server)
        with server.accept()[0] as peer:
            with pytest.warns(ResourceWarning, match="Unclosed"):
                streams.clear()
            assert peer.recv(1) == b""


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_waiting_in_another_loop_is_refused_while_the_first_one_rests(runtime: str) -> None:
    """A loop that is not running, and not closed either, still owns its streams."""
    with socket.create_server((HOST, 0)) as server, asyncio.Runner() as first:
        stream = first.run(penstock.connect_tcp(HOST, server.getsockname()[1]))
        with server.accept()[0] as peer:

            async def use() -> None:
                await refused(stream.receive())
                await refused(stream.receive_into(bytearray(1)))
                await refused(stream.send(bytes(1 << 26)))

            if runtime == "asyncio":
                asyncio.run(use())
            else:
                trio.run(use)
            peer.sendall(b"x")
            assert first.run(stream.receive()) == b"x"
            first.run(stream.aclose())


async def test_a_thousand_turns_later_another_loop_in_a_thread_still_works() -> None:
    """Two loops at once, each with streams of its own."""
    done = []

    async def ping_pong() -> None:
        async with listening() as (listener, port):
            async with (
                await penstock.connect_tcp(HOST, port) as client,
                await listener.accept() as server,
            ):
                for _ in range(300):
                    await client.send(b"x")
                    assert await server.receive() == b"x"
        done.append(True)

    thread = Thread(target=penstock.run, args=(ping_pong,))
    thread.start()
    await ping_pong()
    await until(lambda: len(done) == 2)
    await until_over(thread)
