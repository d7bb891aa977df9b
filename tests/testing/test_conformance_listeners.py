"""Every listener of the library passes the conformance kit."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tls_peers import client_context, server_context

import penstock
from penstock.abc import SocketAttribute
from penstock.streams.tls import TLSListener
from penstock.testing import check_listener


async def tcp() -> Any:
    multi_listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
    (listener,) = multi_listener.listeners
    port = listener.extra(SocketAttribute.local_port)
    return listener, partial(penstock.connect_tcp, "127.0.0.1", port)


async def multi() -> Any:
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    return listener, partial(penstock.connect_tcp, "127.0.0.1", port)


async def tls() -> Any:
    listener, connect = await multi()
    host, port = connect.args
    return TLSListener(listener, server_context(), standard_compatible=False), partial(
        penstock.connect_tcp,
        host,
        port,
        ssl_context=client_context(),
        tls_hostname="localhost",
        tls_standard_compatible=False,
    )


@pytest.mark.parametrize("maker", [tcp, multi, tls])
async def test_listener(maker: Any) -> None:
    await check_listener(maker)


async def test_unix_listener(tmp_path: Path) -> None:
    async def unix() -> Any:
        path = tmp_path / "listener"
        listener = await penstock.create_unix_listener(path)
        return listener, partial(penstock.connect_unix, path)

    await check_listener(unix)
