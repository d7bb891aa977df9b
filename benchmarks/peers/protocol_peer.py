"""A callback Protocol with no coroutine per request: what an event loop gives at its best."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import partial
from typing import cast

from benchmarks.peers.asyncio_peer import run
from benchmarks.peers.bulk import Transfer

__all__ = (
    "run",
    "serve_bulk",
    "serve_echo",
    "serve_tls_echo",
    "serve_udp_echo",
    "serve_unix_echo",
)


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self.write = cast("asyncio.WriteTransport", transport).write

    def data_received(self, data: bytes) -> None:
        self.write(data)


async def serve_echo(announce: Callable[[int], None]) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def serve_unix_echo(name: str, announce: Callable[[str], None]) -> None:
    server = await asyncio.get_running_loop().create_unix_server(Echo, name)
    announce(name)
    await server.serve_forever()


async def serve_tls_echo(announce: Callable[[int], None], context: ssl.SSLContext) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, ssl=context)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


class DatagramEcho(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.sendto = cast("asyncio.DatagramTransport", transport).sendto

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.sendto(data, addr)


async def serve_udp_echo(announce: Callable[[int], None]) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(DatagramEcho, ("127.0.0.1", 0))
    announce(transport.get_extra_info("sockname")[1])
    await loop.create_future()


class Take(asyncio.Protocol):
    def __init__(self, transfer: Transfer) -> None:
        self.transfer = transfer
        self.verify = transfer.begin()
        self.chunks: list[bytes] = []
        self.total = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write = cast("asyncio.WriteTransport", transport).write

    def data_received(self, data: bytes) -> None:
        self.total += len(data)
        if self.verify:
            self.chunks.append(data)

    def eof_received(self) -> None:
        if self.verify:
            self.transfer.check(self.chunks)
        self.write(self.total.to_bytes(8, "little"))


class Give(asyncio.Protocol):
    def __init__(self, transfer: Transfer) -> None:
        self.pieces = transfer.pieces(transfer.begin())
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)
        self.resume_writing()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        while not self.paused:
            if (data := next(self.pieces, None)) is None:
                self.transport.close()
                break
            self.transport.write(data)


async def serve_bulk(transfer: Transfer, announce: Callable[[int], None]) -> None:
    loop = asyncio.get_running_loop()
    made = partial(Take if transfer.incoming else Give, transfer)
    server = await loop.create_server(made, "127.0.0.1", 0)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()
