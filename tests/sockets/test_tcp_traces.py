"""What a failed TCP operation leaves behind: nothing that needs the garbage collector."""

from __future__ import annotations

import gc
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import pytest
from raised import public_type
from socket_peers import HOST, connected, listening, reset
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock


@contextmanager
def no_cycle() -> Iterator[None]:
    """Fail where an exception, or a stream, is found in a reference cycle."""
    gc.collect()
    gc.disable()
    flags = gc.get_debug()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = (BaseException, TracebackType, penstock.abc.AsyncResource, socket.socket)
        assert [found for found in gc.garbage if isinstance(found, kinds)] == []
    finally:
        gc.set_debug(flags)
        gc.garbage.clear()
        gc.enable()


async def failure_of(func: Callable[..., Awaitable[Any]], *args: Any) -> type[BaseException]:
    try:
        await func(*args)
    except Exception as exc:
        return public_type(exc)
    raise AssertionError("it has not failed")


async def test_a_refused_connect_leaves_no_cycle() -> None:
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        with no_cycle():
            failure = await failure_of(penstock.connect_tcp, HOST, bound.getsockname()[1])
            assert failure is ConnectionRefusedError


async def test_a_connect_refused_at_two_addresses_leaves_no_cycle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    look_up = socket.getaddrinfo

    def twice(*args: Any) -> Any:
        return [*look_up(*args), *look_up("127.0.0.2", *args[1:])]

    monkeypatch.setattr(socket, "getaddrinfo", twice)
    with socket.socket() as bound:
        bound.bind(("", 0))
        with no_cycle():
            assert await failure_of(penstock.connect_tcp, HOST, bound.getsockname()[1]) is OSError


async def test_an_unknown_host_leaves_no_cycle() -> None:
    with no_cycle():
        assert await failure_of(penstock.connect_tcp, "a..b", 80) is socket.gaierror


@pytest.mark.parametrize("operation", ["receive", "send", "send_many", "send_eof"])
async def test_a_broken_stream_leaves_no_cycle(operation: str) -> None:
    with no_cycle():
        async with connected() as (stream, peer):
            reset(peer)
            if operation == "send_eof":
                await failure_of(stream.receive)
            args = {"send": (b"x",), "send_many": ([b"x"],)}.get(operation, ())
            for _ in range(2):
                failure = await failure_of(getattr(stream, operation), *args)
                assert failure is penstock.BrokenResourceError
                if operation == "send_eof":
                    break
        del stream, peer


async def test_a_failed_listener_leaves_no_cycle() -> None:
    async with listening() as (_, port):
        with no_cycle():

            async def listen() -> None:
                await penstock.create_tcp_listener(local_host=HOST, local_port=port)

            assert await failure_of(listen) is OSError


async def test_a_closed_listener_leaves_no_cycle_in_serve() -> None:
    async def handler(_: Any) -> None: ...

    with no_cycle():
        async with listening() as (listener, _):
            await listener.aclose()
            for _ in range(2):
                assert await failure_of(listener.serve, handler) is penstock.ClosedResourceError
        del listener


async def test_a_closed_stream_leaves_no_cycle() -> None:
    with no_cycle():
        async with connected() as (stream, peer):
            async with penstock.create_task_group() as tg:
                tg.start_soon(failure_of, stream.receive)
                await penstock.wait_all_tasks_blocked()
                await stream.aclose()
        del stream, peer, tg
