"""What the tests of interop share: two ends of a TCP connection, both penstock's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import penstock
from penstock.abc import SocketAttribute, SocketStream


@asynccontextmanager
async def tcp_pair() -> AsyncIterator[tuple[SocketStream, SocketStream]]:
    async with await penstock.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
        one = await penstock.connect_tcp("127.0.0.1", port)
        other = await listener.listeners[0].accept()
    async with one, other:
        yield one, other
