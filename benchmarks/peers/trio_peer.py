"""Trio's own memory channels, SocketStream and SSLStream, and its UDP sockets."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

import trio

from benchmarks.peers.adapter import Function, Main, Receive, Send
from benchmarks.peers.bulk import Transfer


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


async def serve_unix_echo(name: str, announce: Callable[[str], None]) -> None:
    with trio.socket.socket(trio.socket.AF_UNIX) as listening:
        await listening.bind(name)
        listening.listen()
        announce(name)
        await trio.serve_listeners(echo, [trio.SocketListener(listening)])


async def serve_udp_echo(announce: Callable[[int], None]) -> None:
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as udp:
        await udp.bind(("127.0.0.1", 0))
        announce(udp.getsockname()[1])
        while True:
            data, address = await udp.recvfrom(65_536)
            await udp.sendto(data, address)


async def serve_tls_echo(announce: Callable[[int], None], context: ssl.SSLContext) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    announce(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(echo, [trio.SSLListener(each, context) for each in listeners])


async def serve_bulk(transfer: Transfer, announce: Callable[[int], None]) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            await transfer.over(stream.receive_some, stream.send_all)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    announce(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(handle, listeners)
