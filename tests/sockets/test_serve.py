"""Serving connections: who runs the handlers, and what their exceptions end."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import trio
from socket_peers import HOST, connected, listening, receive_all, reset, until
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    DelimiterNotFound,
    EndOfStream,
    FrameTooLarge,
    IncompleteRead,
)
from penstock.abc import SocketStream


async def echo(stream: SocketStream) -> None:
    async with stream:
        async for data in stream:
            await stream.send(data)


async def ask(port: int, question: bytes = b"hello") -> None:
    """Be one client of an echo server."""
    async with await penstock.connect_tcp(HOST, port) as stream:
        await stream.send(question)
        await stream.send_eof()
        assert b"".join([data async for data in stream]) == question


# -- whose tasks ---------------------------------------------------------------------------


async def test_serve_makes_a_task_group_of_its_own() -> None:
    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(listener.serve, echo)
        for number in range(10):
            await ask(port, b"%d" % number)
        tg.cancel_scope.cancel()


async def test_serve_uses_a_given_task_group() -> None:
    async with listening() as (listener, port), penstock.create_task_group() as tg:
        async with penstock.create_task_group() as handlers:
            tg.start_soon(listener.serve, echo, handlers)
            await ask(port)
            tg.cancel_scope.cancel()


async def test_serve_uses_anything_with_start_soon() -> None:
    class Spawner:
        calls = 0

        def start_soon(self, func: Callable[..., Awaitable[Any]], /, *args: Any) -> None:
            self.calls += 1
            tg.start_soon(func, *args)

    spawner = Spawner()
    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(listener.serve, echo, spawner)
        await ask(port)
        await ask(port)
        assert spawner.calls == 2
        tg.cancel_scope.cancel()


def test_serve_uses_a_nursery() -> None:
    async def main() -> None:
        async with listening() as (listener, port), trio.open_nursery() as nursery:
            nursery.start_soon(listener.serve, echo, nursery)
            await ask(port)
            nursery.cancel_scope.cancel()

    trio.run(main)


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_serve_uses_a_task_group_of_anyio(name: str) -> None:
    async def main() -> None:
        async with listening() as (listener, port), anyio.create_task_group() as tg:
            tg.start_soon(listener.serve, echo, tg)
            await ask(port)
            tg.cancel_scope.cancel()

    anyio.run(main, backend=name)


def test_serve_in_a_task_of_plain_asyncio() -> None:
    async def main() -> None:
        async with listening() as (listener, port):
            task = asyncio.create_task(listener.serve(echo))
            await ask(port)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())


async def test_many_clients_at_once_are_all_served() -> None:
    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(listener.serve, echo)
        async with penstock.create_task_group() as clients:
            for number in range(100):
                clients.start_soon(ask, port, b"%d " % number * 1000)
        tg.cancel_scope.cancel()


@pytest.mark.parametrize("handler", [None, 5, "handler"])
async def test_a_handler_that_cannot_be_called_is_refused(handler: Any) -> None:
    async with listening() as (listener, _):
        with pytest.raises(TypeError, match="handler must be callable"):
            await listener.serve(handler)


async def test_a_connection_that_could_not_be_handed_over_is_closed() -> None:
    class Broken:
        def start_soon(self, *args: Any) -> None:
            raise RuntimeError("no tasks today")

    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)) as peer:
            with pytest.raises(RuntimeError, match="no tasks today"):
                await listener.serve(echo, Broken())
            assert peer.recv(1) == b""


# -- P7: what ends what --------------------------------------------------------------------


def end(stream: Any) -> None:
    raise EndOfStream


def end_in_the_middle(stream: Any) -> None:
    raise IncompleteRead


def broken(stream: Any) -> None:
    raise BrokenResourceError


def too_long(stream: Any) -> None:
    raise DelimiterNotFound(10)


def too_large(stream: Any) -> None:
    raise FrameTooLarge(10)


def ends_in_a_group(stream: Any) -> None:
    raise ExceptionGroup("from a task group", [EndOfStream(), BrokenResourceError()])


@pytest.mark.parametrize(
    "fail", [end, end_in_the_middle, broken, too_long, too_large, ends_in_a_group]
)
@pytest.mark.parametrize("own", [True, False], ids=["own group", "given group"])
async def test_the_end_of_a_connection_in_its_handler_ends_nothing_else(
    fail: Callable[[Any], None], own: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(stream: SocketStream) -> None:
        if await stream.receive() == b"fail":
            fail(stream)
        await echo(stream)

    caplog.set_level(logging.DEBUG, "penstock.listener")
    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(listener.serve, handler, *([] if own else [tg]))
        for _ in range(3):
            async with await penstock.connect_tcp(HOST, port) as client:
                await client.send(b"fail")
                with pytest.raises(EndOfStream):  # the connection was closed
                    await client.receive()
        async with await penstock.connect_tcp(HOST, port) as client:
            await client.send(b"x")
            await client.send_eof()
            with pytest.raises(EndOfStream):
                await client.receive()
        tg.cancel_scope.cancel()
    levels = [r.levelno for r in caplog.records if r.name == "penstock.listener"]
    assert levels == [logging.DEBUG] * 3


async def test_peers_that_connect_and_leave_do_not_end_the_server() -> None:
    """The example server of the requirement receives once, and knows no exceptions."""

    async def handler(stream: SocketStream) -> None:
        async with stream:
            data = await stream.receive()
            await stream.send(data)

    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(listener.serve, handler)
        for _ in range(10):
            socket.create_connection((HOST, port)).close()
            reset(socket.create_connection((HOST, port)))
            peer = socket.create_connection((HOST, port))
            peer.sendall(b"and away")
            reset(peer)
        await ask(port)
        tg.cancel_scope.cancel()


async def test_any_other_exception_of_a_handler_propagates() -> None:
    async def handler(stream: SocketStream) -> None:
        async with stream:
            raise ZeroDivisionError

    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)) as peer:
            with pytest.RaisesGroup(ZeroDivisionError):
                await listener.serve(handler)
            assert receive_all(peer, 1) == b""


async def test_another_exception_beside_the_end_of_a_connection_propagates() -> None:
    async def handler(stream: SocketStream) -> None:
        async with stream:
            raise ExceptionGroup("both", [EndOfStream(), ZeroDivisionError()])

    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)):
            with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
                await listener.serve(handler)


async def test_cancelling_serve_cancels_the_handlers_of_its_own_group() -> None:
    states = []

    async def handler(stream: SocketStream) -> None:
        async with stream:
            states.append("runs")
            try:
                await stream.receive()
            except penstock.get_cancelled_exc_class():
                states.append("cancelled")
                raise

    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)) as peer:
            async with penstock.create_task_group() as tg:
                tg.start_soon(listener.serve, handler)
                await until(lambda: states)
                tg.cancel_scope.cancel()
            assert states == ["runs", "cancelled"]
            assert peer.recv(1) == b""


@pytest.mark.parametrize("own", [True, False], ids=["own group", "given group"])
async def test_closing_the_listener_ends_serve_with_closed(own: bool) -> None:
    ended = []

    async def serve() -> None:
        with pytest.raises(ClosedResourceError):
            await (listener.serve(echo) if own else listener.serve(echo, tg))
        ended.append(True)

    async with listening() as (listener, port):
        async with penstock.create_task_group() as tg:
            tg.start_soon(serve)
            await ask(port)
            await listener.aclose()
        assert ended == [True]
        with pytest.raises(ClosedResourceError):
            await listener.serve(echo)


async def test_serving_twice_is_busy_and_the_first_unharmed() -> None:
    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(listener.serve, echo)
        await penstock.wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError):
            await listener.serve(echo)
        with pytest.raises(BusyResourceError):
            await listener.serve(echo, tg)
        await ask(port)
        tg.cancel_scope.cancel()


async def test_a_stream_outlives_its_listener() -> None:
    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)) as peer:
            async with await listener.accept() as stream:
                await listener.aclose()
                peer.sendall(b"x")
                assert await stream.receive() == b"x"
    async with connected():
        pass


async def test_connections_that_handlers_lose_are_counted() -> None:
    async def lose(stream: SocketStream) -> None:
        raise EndOfStream

    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(listener.serve, lose)
        for _ in range(3):
            with socket.create_connection((HOST, port), timeout=30):
                pass
        await until(lambda: listener.statistics().lost_connections == 3)
        tg.cancel_scope.cancel()
