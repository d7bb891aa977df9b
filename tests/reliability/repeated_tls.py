"""What TLS streams and listeners do again and again: see ``repeating.py``."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import tls_peers
from repeating import Repeat, cancelled, operation, raising, swallow
from socket_peers import HOST, port_of

import penstock
from penstock import create_task_group
from penstock.streams.tls import TLSListener, TLSStream
from penstock.testing import memory_stream_pair

server_context = cache(tls_peers.server_context)
client_context = cache(tls_peers.client_context)


async def shake_hands(near: Any, far: Any) -> tuple[TLSStream, TLSStream]:
    ends: list[TLSStream] = []

    async def wrap_server() -> None:
        ends.append(await TLSStream.wrap(far, ssl_context=server_context()))

    async with create_task_group() as tg:
        tg.start_soon(wrap_server)
        client = await TLSStream.wrap(near, hostname="localhost", ssl_context=client_context())
    return client, ends[0]


async def close_both(*streams: Any) -> None:
    async with create_task_group() as tg:
        for stream in streams:
            tg.start_soon(stream.aclose)


@operation("tls: send, receive, cancelled receive")
async def tls() -> AsyncIterator[Repeat]:
    near, far = await shake_hands(*await tls_peers.tcp())

    async def repeat() -> None:
        await near.send(b"abc")
        assert await far.receive() == b"abc"
        await far.send_many([b"ab", b"cd"])
        assert await near.receive() == b"abcd"
        await cancelled(near.receive)

    yield repeat
    await close_both(near, far)


@operation("tls: handshake, orderly close")
async def tls_handshake() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        near, far = await shake_hands(*memory_stream_pair())
        await near.send(b"abc")
        assert await far.receive() == b"abc"
        await close_both(near, far)

    yield repeat


@operation("tls: truncated")
async def tls_truncated() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        left, right = memory_stream_pair()
        near, far = await shake_hands(left, right)
        await left.aclose()
        await swallow(penstock.BrokenResourceError, far.receive)
        await close_both(near, far)

    yield repeat


@operation("tls: a peer that speaks something else")
async def tls_garbage() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        left, right = memory_stream_pair()
        await left.send(b"GET / HTTP/1.1\r\n\r\n")
        with raising(penstock.BrokenResourceError):
            await TLSStream.wrap(right, ssl_context=server_context())
        await close_both(left, right)

    yield repeat


@operation("tls: cancelled handshake")
async def tls_cancelled_handshake() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        left, right = memory_stream_pair()
        await cancelled(lambda: TLSStream.wrap(left, ssl_context=server_context()))
        await close_both(left, right)

    yield repeat


@operation("tls: a listener and a hostile peer")
async def tls_listener() -> AsyncIterator[Repeat]:
    async with await penstock.create_tcp_listener(local_host=HOST) as listener:
        port = port_of(listener)
        tls = TLSListener(listener, server_context())

        async def repeat() -> None:
            with socket.create_connection((HOST, port)) as peer:
                peer.sendall(b"hello")
                ended: list[Any] = []
                async with create_task_group() as tg:
                    tg.start_soon(tls.serve, ended.append, tg)
                    async with await penstock.abc.SocketStream.from_socket(peer.dup()) as stream:
                        with raising(penstock.EndOfStream, penstock.BrokenResourceError):
                            while True:
                                await stream.receive()
                    tg.cancel_scope.cancel()
                assert ended == []

        yield repeat
