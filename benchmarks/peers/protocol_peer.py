"""A callback Protocol with no coroutine per request: what an event loop gives at its best."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from peers.asyncio_peer import run

__all__ = ("run", "serve_echo", "serve_udp_echo", "serve_unix_echo")


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
