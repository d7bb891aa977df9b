"""What type checkers make of the public API: read by them, never run.

Each ``assert_type`` is what a program may rely on.  mypy and basedpyright have to agree on all of
it; the other half, that nothing public is untyped, is ``basedpyright --verifytypes penstock``.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any, assert_type

import penstock
from penstock.abc import (
    ByteReceiveStream,
    ByteStream,
    ObjectReceiveStream,
    ObjectSendStream,
    ObjectStream,
    SocketAttribute,
    SocketStream,
    UDPSocket,
)
from penstock.streams.broadcast import BroadcastReceiveStream, BroadcastSendStream
from penstock.streams.buffered import BufferedByteReceiveStream, BufferedByteStream
from penstock.streams.framed import FramedStream, LengthPrefixed
from penstock.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from penstock.streams.merge import MergedReceiveStream
from penstock.streams.stapled import StapledByteStream, StapledObjectStream
from penstock.streams.text import TextStream
from penstock.streams.tls import TLSAttribute, TLSListener, TLSStream


async def memory_streams() -> None:
    send, receive = penstock.create_memory_object_stream[int](10)
    assert_type(send, MemoryObjectSendStream[int])
    assert_type(receive, MemoryObjectReceiveStream[int])
    await send.send(1)
    await send.send("one")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(await receive.receive(), int)
    assert_type(receive.receive_nowait(), int)
    assert_type(await receive.receive_many(5), list[int])
    assert_type(send.partial_send, int | None)
    async for item in receive:
        assert_type(item, int)
    with send.clone() as clone:
        assert_type(clone, MemoryObjectSendStream[int])


def variance(
    receive: MemoryObjectReceiveStream[bool], send: MemoryObjectSendStream[int]
) -> tuple[ObjectReceiveStream[int], ObjectSendStream[bool]]:
    return receive, send


async def byte_streams(stream: SocketStream, buffer: bytearray) -> None:
    assert_type(await stream.receive(), bytes)
    assert_type(await stream.receive_into(buffer), int)
    await stream.send(memoryview(buffer))
    await stream.send_many([b"a", buffer])
    assert_type(stream.extra(SocketAttribute.raw_socket), socket.socket)
    assert_type(stream.extra(SocketAttribute.remote_port, None), int | None)
    lines = BufferedByteStream(stream)
    assert_type(await lines.receive_until(b"\n", 100), bytes)
    assert_type(await lines.receive_exactly(4), bytes)
    assert_type(await lines.peek(4), bytes)
    receiving: ByteReceiveStream = BufferedByteReceiveStream(stream)
    assert_type(await receiving.receive(), bytes)


async def connecting(context: ssl.SSLContext) -> None:
    assert_type(await penstock.connect_tcp("localhost", 80), SocketStream)
    assert_type(await penstock.connect_tcp("localhost", 443, tls=True), TLSStream)
    assert_type(await penstock.connect_tcp("localhost", 443, ssl_context=context), TLSStream)
    listener = TLSListener(await penstock.create_tcp_listener(), context)
    await listener.serve(handle)
    assert_type(await penstock.create_udp_socket(), UDPSocket)


async def handle(stream: ByteStream) -> None:
    assert_type(stream.extra(TLSAttribute.tls_version), str)


async def shapes(receive: ObjectReceiveStream[bytes], send: ObjectSendStream[str]) -> None:
    both = StapledObjectStream(send, receive)
    await both.send("text")
    assert_type(await both.receive(), bytes)
    bytes_only: ObjectStream[bytes] = FramedStream(stapled(), LengthPrefixed(4))
    assert_type(await bytes_only.receive(), bytes)
    assert_type(await TextStream(stapled()).receive(), str)
    assert_type(BroadcastSendStream[int]().subscribe(10), BroadcastReceiveStream[int])
    _, memory = penstock.create_memory_object_stream[bytes]()
    assert_type(await MergedReceiveStream([memory]).receive(), bytes)


def stapled() -> StapledByteStream:
    raise NotImplementedError


async def tasks() -> None:
    async def add(a: int, b: int) -> int:
        return a + b

    async with penstock.create_task_group() as group:
        handle = group.create_task(add(1, 2))
        group.start_soon(add, 1, 2)
        assert_type(await handle, int)
    with penstock.move_on_after(1) as scope:
        assert_type(scope.cancelled_caught, bool)
    with penstock.CancelScope(deadline=penstock.current_time() + 1, shield=True) as scope:
        assert_type(scope.deadline, float)
    scopes: list[penstock.CancelScope] = [penstock.move_on_at(None), group.cancel_scope]
    scopes.append(penstock.CancelScope())
    assert_type(await penstock.to_thread.run_sync(len, "abc"), int)
    assert_type(await (penstock.Path("file")).read_bytes(), bytes)


def running(main: Callable[[int], Any]) -> None:
    async def answer(question: str) -> int:
        return len(question)

    assert_type(penstock.run(answer, "?"), int)
