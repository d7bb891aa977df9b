"""The servers under load: they check what they receive, and send it back.

Lives here: listeners of every kind, and what is agreed with their clients.  A connection begins
with a header of its client's, which tells where its content begins and how the server shall behave.
"""

from __future__ import annotations

import math
import os
import socket
import ssl
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from load_content import Course, check_piece
from load_measuring import Report
from tls_peers import client_context, server_context

import penstock
from penstock import EndOfStream
from penstock.abc import ByteStream, Listener, SocketAttribute
from penstock.streams.buffered import BufferedByteStream
from penstock.streams.framed import Delimited, FramedStream, Framing, LengthPrefixed, VarintPrefixed
from penstock.streams.tls import TLSListener

__all__ = ("FRAMINGS", "KINDS", "Header", "Servers", "open_servers", "reset", "send_header")

HOST = "127.0.0.1"
KINDS = ("tcp", "tls", "unix")
FRAMINGS: tuple[Framing, ...] = (LengthPrefixed(4), VarintPrefixed(), Delimited(b"\n"))
SERVICES = ("echo", "flood", "lines")
BACKLOG = 4096
#: What a flood sends at a time.
AT_ONCE = 1 << 13
#: Frames that the server receives and sends at a time, at most.
BATCH = 16

_header = struct.Struct("<BIQ")


@dataclass(frozen=True)
class Header:
    """What a client tells its server first.

    Args:
        service: One of :data:`SERVICES`, or the place of a framing in :data:`FRAMINGS`.
        start: Where the content begins, or the number of the channel.
        size: Echo: the server resets the connection after so many bytes, or, if 0, does not.
            Flood: how many bytes it sends.
    """

    service: str | int
    start: int
    size: int = 0

    def __bytes__(self) -> bytes:
        if isinstance(self.service, int):
            number = len(SERVICES) + self.service
        else:
            number = SERVICES.index(self.service)
        return _header.pack(number, self.start, self.size)

    @classmethod
    async def receive(cls, stream: ByteStream) -> Header:
        data = b""
        while len(data) < _header.size:
            data += await stream.receive(_header.size - len(data))
        number, start, size = _header.unpack(data)
        service = (*SERVICES, *range(len(FRAMINGS)))[number]
        return cls(service, start, size)


async def send_header(stream: ByteStream, header: Header) -> None:
    await stream.send(bytes(header))


async def reset(stream: ByteStream) -> None:
    """Close a connection by a reset: its peer gets an error and no end."""
    raw = stream.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await penstock.aclose_forcefully(stream)


@dataclass
class Servers:
    """One server of each kind, and how to connect to them."""

    report: Report
    trusting: ssl.SSLContext = field(default_factory=client_context)
    #: What the system is asked to buffer of each connection over TCP, and receive for its client.
    buffer_size: int | None = None
    #: Bytes that floods have sent.
    flooded: int = 0
    #: Sends that clients had cut short when some bytes had gone out, and resumed.
    partial_sends: int = 0
    addresses: dict[str, Any] = field(default_factory=dict)
    listeners: dict[str, Listener[Any]] = field(default_factory=dict)

    async def connect(self, kind: str) -> ByteStream:
        """Connect to the server of a kind."""
        address = self.addresses[kind]
        if kind == "unix":
            return await penstock.connect_unix(address)
        if kind == "tls":
            return await penstock.connect_tcp(
                HOST,
                address,
                ssl_context=self.trusting,
                tls_hostname="localhost",
                receive_buffer_size=self.buffer_size,
            )
        return await penstock.connect_tcp(HOST, address, receive_buffer_size=self.buffer_size)

    def open_handlers(self) -> int:
        """Return how many connections are being served."""
        return sum(listener.statistics().open_handlers for listener in self.listeners.values())

    async def settle(self, held: int) -> None:
        """Wait until no more than ``held`` connections are served."""
        with penstock.fail_after(30):
            while self.open_handlers() > held:
                await penstock.sleep(0.005)

    async def handle(self, stream: ByteStream) -> None:
        """Serve one connection, until its peer ends it."""
        async with stream:
            header = await Header.receive(stream)
            if header.service == "echo":
                await echo(stream, header)
            elif header.service == "flood":
                await self.flood(stream, header)
            elif header.service == "lines":
                await serve_lines(stream, header.start)
            else:
                await serve_frames(stream, FRAMINGS[int(header.service)], header.start)

    async def flood(self, stream: ByteStream, header: Header) -> None:
        """Send as much as was asked for, whether or not anybody reads it."""
        course = Course(header.start)
        while course.passed < header.size:
            data = course.take(min(AT_ONCE, header.size - course.passed))
            await stream.send(data)
            self.flooded += len(data)

    def on_error(self, exc: Exception, stream: ByteStream) -> None:
        self.report.error(exc, "a handler")


@asynccontextmanager
async def open_servers(
    report: Report, *kinds: str, buffer_size: int | None = None
) -> AsyncIterator[Servers]:
    """Serve connections of these kinds; in the end wait until all have been served."""
    servers = Servers(report, buffer_size=buffer_size)
    async with AsyncExitStack() as stack:
        for kind in kinds:
            if kind == "unix":
                directory = stack.enter_context(tempfile.TemporaryDirectory())
                path = os.path.join(directory, "socket")
                listener: Listener[Any] = await penstock.create_unix_listener(path)
                servers.addresses[kind] = path
            else:
                listener = await penstock.create_tcp_listener(
                    local_host=HOST, backlog=BACKLOG, send_buffer_size=buffer_size
                )
                servers.addresses[kind] = listener.extra(SocketAttribute.local_port)
                if kind == "tls":
                    listener = TLSListener(listener, server_context())
            servers.listeners[kind] = await stack.enter_async_context(listener)
        tasks = await stack.enter_async_context(penstock.create_task_group())
        for listener in servers.listeners.values():
            tasks.start_soon(serve, listener, servers.handle, servers.on_error)
        yield servers
        for listener in servers.listeners.values():
            await listener.drain(penstock.current_time() + 30)


async def serve(
    listener: Listener[Any],
    handler: Callable[[ByteStream], Awaitable[None]],
    on_error: Callable[[Exception, ByteStream], None],
) -> None:
    await listener.serve(handler, on_error=on_error)


async def echo(stream: ByteStream, header: Header) -> None:
    """Send back what comes, having checked it, until the end or the agreed reset."""
    course = Course(header.start)
    limit = header.size or math.inf
    try:
        while course.passed < limit:
            data = await stream.receive()
            course.check(data)
            await stream.send(data)
    except EndOfStream:
        return
    await reset(stream)


async def serve_lines(stream: ByteStream, channel: int) -> None:
    """Send back each line, which has to be the next."""
    buffered = BufferedByteStream(stream)
    number = 0
    while True:
        try:
            line = await buffered.receive_line()
        except EndOfStream:
            return
        check_piece(line, channel, number)
        number += 1
        await buffered.send_many((line, b"\n"))


async def serve_frames(stream: ByteStream, framing: Framing, channel: int) -> None:
    """Send back each frame, which has to be the next."""
    framed = FramedStream(stream, framing)
    number = 0
    while True:
        try:
            frames = await framed.receive_many(BATCH)
        except EndOfStream:
            return
        for frame in frames:
            check_piece(frame, channel, number)
            number += 1
        await framed.send_many(frames)
