"""The limit for TLS: an SSLObject for each side, whose bytes a loop carries to the other."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from benchmarks.peers.adapter import ReceiveBytes, SendBytes
from benchmarks.peers.asyncio_peer import run

__all__ = ("encrypted", "run")


@asynccontextmanager
async def encrypted(
    server: ssl.SSLContext, client: ssl.SSLContext
) -> AsyncIterator[tuple[SendBytes, ReceiveBytes]]:
    near_in, near_out, far_in, far_out = (ssl.MemoryBIO() for _ in range(4))
    near = client.wrap_bio(near_in, near_out, server_hostname="localhost")
    far = server.wrap_bio(far_in, far_out, server_side=True)
    for _ in range(2):  # the hellos, then what the client has to say to the server's
        with suppress(ssl.SSLWantReadError):
            near.do_handshake()
        far_in.write(near_out.read())
        with suppress(ssl.SSLWantReadError):
            far.do_handshake()
        near_in.write(far_out.read())

    async def send(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[near.write(view) :]
        far_in.write(near_out.read())

    async def receive(max_bytes: int) -> bytes:
        return far.read(max_bytes)

    yield send, receive
