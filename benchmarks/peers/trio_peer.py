"""Trio's own memory channels and SocketStream."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

import trio

from peers.adapter import Function, Main, Receive, Send


def run(main: Main, loop: str) -> int:
    return trio.run(main)


move_on_after = trio.move_on_after


@contextmanager
def channel(size: int) -> Iterator[tuple[Send, Receive]]:
    send, receive = trio.open_memory_channel[int](size)
    with send, receive:
        yield send.send, receive.receive


async def together(*functions: Function) -> None:
    async with trio.open_nursery() as nursery:
        for function in functions:
            nursery.start_soon(function)


def exclusive(kind: str) -> AbstractAsyncContextManager[object]:
    if kind == "semaphore":
        return trio.Semaphore(1)
    return trio.CapacityLimiter(1) if kind == "limiter" else trio.Lock()


def event() -> trio.Event:
    return trio.Event()


async def echo(stream: trio.abc.Stream) -> None:
    async with stream:
        while data := await stream.receive_some():
            await stream.send_all(data)


async def serve_echo(announce: Callable[[int], None]) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    announce(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(echo, listeners)


async def serve_tls_echo(announce: Callable[[int], None], context: ssl.SSLContext) -> None:
    listeners = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1")
    announce(listeners[0].transport_listener.socket.getsockname()[1])
    await trio.serve_listeners(echo, listeners)
