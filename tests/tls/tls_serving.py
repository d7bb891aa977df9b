"""A TLS listener that serves, and clients of it: for tests that look at it from outside."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager

from tls_peers import HOST, client_context, receive_all, server_context

import penstock
from penstock.abc import SocketAttribute
from penstock.streams.tls import TLSListener


@asynccontextmanager
async def serving(handler, *, context=None, make=TLSListener, serve=None, **keywords):
    listener = make(
        await penstock.create_tcp_listener(local_host=HOST), context or server_context(), **keywords
    )
    async with listener, penstock.create_task_group() as group:
        group.start_soon(lambda: listener.serve(handler, **(serve or {})))
        yield listener, listener.extra(SocketAttribute.local_port)
        group.cancel_scope.cancel()


async def connect(port, **keywords):
    return await penstock.connect_tcp(
        HOST, port, ssl_context=client_context(), tls_hostname="localhost", **keywords
    )


async def echo(stream):
    async with stream:
        async for data in stream:
            await stream.send(data)


async def works(port):
    async with await connect(port) as client:
        await client.send(b"hello")
        assert await client.receive() == b"hello"
        await client.send_eof()
        assert await receive_all(client) == b""


def in_thread(func, *args):
    return penstock.to_thread.run_sync(func, *args)


def raw(port):
    return socket.create_connection((HOST, port), 10)
