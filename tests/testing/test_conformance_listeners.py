"""Every listener of the library passes the conformance kit."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tls_peers import client_context, server_context

import penstock
from penstock import TCPConnectable, UNIXConnectable
from penstock.abc import SocketAttribute, SocketListener
from penstock.streams.stapled import MultiListener
from penstock.streams.tls import TLSConnectable, TLSListener
from penstock.testing import check_listener

Made = tuple[Any, Callable[[], Awaitable[Any]]]
Maker = Callable[[Path], Awaitable[Made]]
_numbers = count()


async def tcp(directory: Path) -> Made:
    multi_listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
    (listener,) = multi_listener.listeners
    port = listener.extra(SocketAttribute.local_port)
    return listener, TCPConnectable("127.0.0.1", port).connect


async def multi(directory: Path) -> Made:
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    return listener, TCPConnectable("127.0.0.1", port).connect


async def unix(directory: Path) -> Made:
    path = directory / str(next(_numbers))
    listener = await penstock.create_unix_listener(path)
    return listener, UNIXConnectable(path).connect


async def seqpacket(directory: Path) -> Made:
    path = directory / str(next(_numbers))
    kind = socket.SOCK_SEQPACKET
    listener = await penstock.create_unix_listener(path, kind=kind)
    return listener, partial(penstock.connect_unix, path, kind=kind)


async def own_socket(directory: Path) -> Made:
    """A listener that is made of a socket of the program's own."""
    sock = socket.create_server(("127.0.0.1", 0))
    listener = await SocketListener.from_socket(sock)
    return listener, TCPConnectable("127.0.0.1", sock.getsockname()[1]).connect


async def tcp_and_unix(directory: Path) -> Made:
    """One listener of two, to which every second connection goes."""
    (one, connect_to_one), (other, connect_to_other) = await tcp(directory), await unix(directory)
    turns = count()

    async def connect() -> Any:
        return await (connect_to_one if next(turns) % 2 else connect_to_other)()

    return MultiListener([one, other]), connect


def tls(maker: Maker) -> Maker:
    async def make(directory: Path) -> Made:
        listener, connect = await maker(directory)

        class Connectable(penstock.abc.ByteStreamConnectable):
            async def connect(self) -> Any:
                return await connect()

        connectable = TLSConnectable(
            Connectable(),
            hostname="localhost",
            ssl_context=client_context(),
            standard_compatible=False,
        )
        encrypting = TLSListener(listener, server_context(), standard_compatible=False)
        return encrypting, connectable.connect

    return make


LISTENERS: dict[str, Maker] = {
    "TCP": tcp,
    "multi": multi,
    "UNIX": unix,
    "SEQPACKET": seqpacket,
    "from_socket": own_socket,
    "TCP and UNIX": tcp_and_unix,
    "TLS over multi": tls(multi),
    "TLS over UNIX": tls(unix),
    "TLS over TCP and UNIX": tls(tcp_and_unix),
}


@pytest.mark.parametrize("name", LISTENERS)
async def test_listener(name: str, tmp_path: Path) -> None:
    await check_listener(partial(LISTENERS[name], tmp_path))
