"""What is closed while two operations run: an object of each kind, and all that can wait on it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import socket_peers
import unix_peers
from datagram_peers import datagram_pair
from tls_peers import shake_hands, tcp

import penstock
from penstock.streams.broadcast import BroadcastSendStream
from penstock.streams.buffered import BufferedByteStream
from penstock.streams.framed import FramedStream, LengthPrefixed
from penstock.streams.merge import MergedReceiveStream
from penstock.streams.text import TextStream

#: More than the smallest buffers of two sockets hold.
LARGE = bytes(1 << 20)

Call = Callable[[Any], Awaitable[Any]]


@dataclass
class Kind:
    """Objects of one kind."""

    #: Makes one; closes what is left of it.
    make: Callable[[], AbstractAsyncContextManager[Any]]
    #: What may wait on it; those of one direction exclude each other.
    calls: dict[str, Call]
    #: Closes it without waiting for anybody.
    close: Call = penstock.aclose_forcefully


async def send_file(stream: Any) -> None:
    with tempfile.NamedTemporaryFile() as written:
        written.write(LARGE)
        written.flush()
        # Read-only and in the page cache: what needs a thread is waited for.
        with open(written.name, "rb") as file:
            await stream.send_file(file, 0, len(LARGE))


BYTES: dict[str, Call] = {
    "receive": lambda stream: stream.receive(),
    "receive_into": lambda stream: stream.receive_into(bytearray(10)),
    "send": lambda stream: stream.send(LARGE),
    "send_many": lambda stream: stream.send_many([LARGE, b"x"]),
    "send_eof": lambda stream: stream.send_eof(),
}
OBJECTS: dict[str, Call] = {
    "receive": lambda stream: stream.receive(),
    "send": lambda stream: stream.send(LARGE),
    "send_eof": lambda stream: stream.send_eof(),
}


@asynccontextmanager
async def of_socket(connect: Callable[[], Any], wrap: Callable[[Any], Any]) -> AsyncIterator[Any]:
    async with connect() as (stream, _):
        yield wrap(stream)


def socket_stream(
    connect: Callable[[], Any], wrap: Callable[[Any], Any] = lambda stream: stream
) -> Any:
    return partial(of_socket, connect, wrap)


narrow_tcp = partial(socket_peers.connected, small_buffers=True)


@asynccontextmanager
async def tls(version: str) -> AsyncIterator[Any]:
    near, far = await tcp()
    async with near, far:
        client, _ = await shake_hands(near, far, version=version)
        yield client


@asynccontextmanager
async def memory_send() -> AsyncIterator[Any]:
    send, receive = penstock.create_memory_object_stream[Any]()
    with send, receive:
        yield send


@asynccontextmanager
async def memory_receive() -> AsyncIterator[Any]:
    send, receive = penstock.create_memory_object_stream[Any]()
    with send, receive:
        yield receive


@asynccontextmanager
async def merged() -> AsyncIterator[Any]:
    send, receive = penstock.create_memory_object_stream[Any]()
    with send, receive:
        async with MergedReceiveStream([receive]) as stream:
            yield stream


@asynccontextmanager
async def broadcast() -> AsyncIterator[Any]:
    async with BroadcastSendStream[Any]() as stream:
        with stream.subscribe(1):
            stream.send_nowait(0)
            yield stream


@asynccontextmanager
async def datagrams(kind: str) -> AsyncIterator[Any]:
    with tempfile.TemporaryDirectory() as directory:
        async with datagram_pair(kind, Path(directory)) as pair:
            if "unix" in kind:
                pair.fill()
            yield pair


@asynccontextmanager
async def tcp_listener() -> AsyncIterator[Any]:
    async with socket_peers.listening() as (listener, _):
        yield listener


@asynccontextmanager
async def unix_listener() -> AsyncIterator[Any]:
    with unix_peers.temporary_path() as path:
        async with await penstock.create_unix_listener(path) as listener:
            yield listener


async def handle(stream: Any) -> None:
    raise AssertionError("nobody has connected")


LISTENER: dict[str, Call] = {
    "accept": lambda listener: listener.accept(),
    "serve": lambda listener: listener.serve(handle),
}
DATAGRAMS: dict[str, Call] = {
    "receive": lambda pair: pair.sock.receive(),
    "receive_many": lambda pair: pair.sock.receive_many(3),
    "send": lambda pair: pair.send(b"x"),
}


async def close_socket(pair: Any) -> None:
    await pair.sock.aclose()


FDS: dict[str, Call] = {
    "receive_fds": lambda stream: stream.receive_fds(10, 1),
    "send_fds": lambda stream: stream.send_fds(LARGE, [0]),
}
BUFFERED: dict[str, Call] = {
    "receive_exactly": lambda stream: stream.receive_exactly(10),
    "receive_until": lambda stream: stream.receive_until(b"\n", 100),
    "peek": lambda stream: stream.peek(1),
}

KINDS = {
    "tcp": Kind(socket_stream(narrow_tcp), BYTES | {"send_file": send_file}),
    "unix": Kind(socket_stream(unix_peers.connected), BYTES | FDS),
    "tls 1.2": Kind(
        partial(tls, "1.2"), {name: BYTES[name] for name in BYTES if name != "send_eof"}
    ),
    "tls 1.3": Kind(partial(tls, "1.3"), BYTES),
    "buffered": Kind(socket_stream(narrow_tcp, BufferedByteStream), BYTES | BUFFERED),
    "framed": Kind(
        socket_stream(narrow_tcp, lambda stream: FramedStream(stream, LengthPrefixed())), OBJECTS
    ),
    "text": Kind(
        socket_stream(narrow_tcp, TextStream),
        OBJECTS | {"send": lambda stream: stream.send("x" * len(LARGE))},
    ),
    "memory, sending": Kind(
        memory_send,
        {"send": lambda stream: stream.send(1), "send_many": lambda it: it.send_many([1, 2])},
    ),
    "memory, receiving": Kind(
        memory_receive,
        {"receive": lambda stream: stream.receive(), "many": lambda it: it.receive_many(2)},
    ),
    "merged": Kind(merged, {"receive": lambda stream: stream.receive()}),
    "broadcast": Kind(broadcast, {"send": lambda stream: stream.send(1)}),
    "udp": Kind(partial(datagrams, "udp"), DATAGRAMS, close_socket),
    "unix datagrams": Kind(partial(datagrams, "unix"), DATAGRAMS, close_socket),
    "unix datagrams, connected": Kind(
        partial(datagrams, "connected unix"), DATAGRAMS, close_socket
    ),
    "tcp listener": Kind(tcp_listener, LISTENER),
    "unix listener": Kind(unix_listener, LISTENER),
}
