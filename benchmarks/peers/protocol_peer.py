"""A callback Protocol with no coroutine per request: what an event loop gives at its best."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from peers.asyncio_peer import run

__all__ = ("run", "serve_echo", "serve_tls_echo")


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


async def serve_tls_echo(announce: Callable[[int], None], context: ssl.SSLContext) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, ssl=context)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()
