"""penstock, on asyncio (stock and uvloop) and Trio: AnyIO's adapter with the import changed."""

from __future__ import annotations

import math
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from io import BytesIO

import penstock
from benchmarks.peers.adapter import (
    Function,
    Main,
    Reader,
    Receive,
    ReceiveBytes,
    ReceiveFrame,
    Send,
    SendBytes,
    in_chunks,
    new_eager_loop,
)
from benchmarks.peers.bulk import Transfer
from penstock.abc import ByteReceiveStream, ByteStream, SocketAttribute, SocketStream
from penstock.streams.broadcast import BroadcastSendStream
from penstock.streams.buffered import BufferedByteReceiveStream
from penstock.streams.framed import FramedReceiveStream, LengthPrefixed
from penstock.streams.stapled import StapledObjectStream
from penstock.streams.tls import TLSListener, TLSStream


def run(main: Main, loop: str) -> int:
    if loop == "trio":
        return penstock.run(main, backend="trio")
    if loop == "eager":
        return penstock.run(main, backend_options={"loop_factory": new_eager_loop})
    return penstock.run(main, backend_options={"use_uvloop": loop == "uvloop"})


move_on_after = penstock.move_on_after


@contextmanager
def channel(size: int) -> Iterator[tuple[Send, Receive]]:
    send, receive = penstock.create_memory_object_stream[int](size)
    with send, receive:
        yield send.send, receive.receive


@contextmanager
def broadcast(size: int, receivers: int) -> Iterator[tuple[Send, list[Receive]]]:
    with BroadcastSendStream[int]() as send, ExitStack() as stack:
        ends = [stack.enter_context(send.subscribe(size)) for _ in range(receivers)]
        yield send.send, [end.receive for end in ends]


async def together(*functions: Function) -> None:
    async with penstock.create_task_group() as group:
        for function in functions:
            group.start_soon(function)


def exclusive(kind: str) -> AbstractAsyncContextManager[object]:
    if kind == "semaphore":
        return penstock.Semaphore(1)
    if kind == "limiter":
        return penstock.CapacityLimiter(1)
    return penstock.Lock(fast_acquire=kind == "fast lock")


def event() -> penstock.Event:
    return penstock.Event()


class Source(ByteReceiveStream):
    """A byte stream in memory, where all has arrived."""

    def __init__(self, data: bytes) -> None:
        self._read = BytesIO(data).read

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        if chunk := self._read(max_bytes):
            return chunk
        raise penstock.EndOfStream

    async def aclose(self) -> None:
        pass


@contextmanager
def buffered(data: bytes, source: str) -> Iterator[BufferedByteReceiveStream]:
    chunks = in_chunks(data)
    send, receive = penstock.create_memory_object_stream[bytes](len(chunks))
    with send, receive:
        for chunk in chunks:
            send.send_nowait(chunk)
        yield BufferedByteReceiveStream(receive if source == "objects" else Source(data))


@contextmanager
def reader(data: bytes, source: str) -> Iterator[Reader]:
    with buffered(data, source) as stream:
        yield Reader(stream.receive_until, stream.receive_exactly, bounded=True, ending=b"")


@contextmanager
def frames(data: bytes, source: str) -> Iterator[ReceiveFrame]:
    with buffered(data, source) as stream:
        yield FramedReceiveStream(stream, LengthPrefixed(4)).receive


@asynccontextmanager
async def encrypted(
    server: ssl.SSLContext, client: ssl.SSLContext
) -> AsyncIterator[tuple[SendBytes, ReceiveBytes]]:
    send_there, receive_there = penstock.create_memory_object_stream[bytes](math.inf)
    send_back, receive_back = penstock.create_memory_object_stream[bytes](math.inf)
    near = StapledObjectStream(send_there, receive_back)
    far = StapledObjectStream(send_back, receive_there)
    accepted: list[TLSStream] = []

    async def accept() -> None:
        stream = await TLSStream.wrap(
            far, server_side=True, ssl_context=server, standard_compatible=False
        )
        accepted.append(stream)

    async with penstock.create_task_group() as group:
        group.start_soon(accept)
        sender = await TLSStream.wrap(
            near, hostname="localhost", ssl_context=client, standard_compatible=False
        )
    async with sender, accepted[0] as receiver:
        yield sender.send, receiver.receive


async def echo(stream: ByteStream) -> None:
    async with stream:
        try:
            while True:
                await stream.send(await stream.receive())
        except penstock.EndOfStream:
            pass


async def serve_echo(announce: Callable[[int], None]) -> None:
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    announce(listener.extra(SocketAttribute.local_port))
    await listener.serve(echo)


async def serve_unix_echo(name: str, announce: Callable[[str], None]) -> None:
    listener = await penstock.create_unix_listener(name)
    announce(name)
    await listener.serve(echo)


async def serve_udp_echo(announce: Callable[[int], None]) -> None:
    async with await penstock.create_udp_socket(local_host="127.0.0.1") as udp:
        announce(udp.extra(SocketAttribute.local_port))
        async for data, (host, port) in udp:
            await udp.sendto(data, host, port)


async def serve_tls_echo(announce: Callable[[int], None], context: ssl.SSLContext) -> None:
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    announce(listener.extra(SocketAttribute.local_port))
    await TLSListener(listener, context).serve(echo)


async def serve_bulk(transfer: Transfer, announce: Callable[[int], None]) -> None:
    async def handle(stream: SocketStream) -> None:
        async with stream:
            await transfer.over(stream.receive, stream.send, penstock.EndOfStream)

    listener = await penstock.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    announce(listener.extra(SocketAttribute.local_port))
    await listener.serve(handle)
