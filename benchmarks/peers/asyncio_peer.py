"""asyncio's own queues, streams and task groups, on the stock loop and on uvloop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

from benchmarks.peers.adapter import (
    MAX_BYTES,
    Function,
    Main,
    Reader,
    Receive,
    Send,
    in_chunks,
    new_eager_loop,
)
from benchmarks.peers.bulk import Transfer


def run(main: Main, loop: str) -> int:
    factory = new_eager_loop if loop == "eager" else None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


@contextmanager
def channel(size: int) -> Iterator[tuple[Send, Receive]]:
    # A Queue cannot be a rendezvous: 0 would be without a bound, 1 comes nearest.
    queue = asyncio.Queue[int](max(size, 1))
    yield queue.put, queue.get


async def together(*functions: Function) -> None:
    async with asyncio.TaskGroup() as group:
        for function in functions:
            group.create_task(function())


def exclusive(kind: str) -> AbstractAsyncContextManager[object]:
    return asyncio.Semaphore(1) if kind == "semaphore" else asyncio.Lock()


def event() -> asyncio.Event:
    return asyncio.Event()


@contextmanager
def reader(data: bytes, source: str) -> Iterator[Reader]:
    stream = asyncio.StreamReader(limit=MAX_BYTES)
    for chunk in in_chunks(data):
        stream.feed_data(chunk)
    stream.feed_eof()
    yield Reader(stream.readuntil, stream.readexactly, bounded=False, ending=b"\n")


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def serve_echo(announce: Callable[[int], None]) -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def serve_unix_echo(name: str, announce: Callable[[str], None]) -> None:
    server = await asyncio.start_unix_server(echo, name)
    announce(name)
    await server.serve_forever()


async def serve_tls_echo(announce: Callable[[int], None], context: ssl.SSLContext) -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def serve_bulk(transfer: Transfer, announce: Callable[[int], None]) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def send(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        await transfer.over(reader.read, send)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=transfer.piece)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()
