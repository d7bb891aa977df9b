"""What the TLS tests share: certificates, streams in memory, and a peer driven by hand."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import trustme

import penstock
from penstock.abc import ByteStream, ObjectStream
from penstock.lowlevel import checkpoint
from penstock.streams.tls import TLSStream

HOST = "127.0.0.1"
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@cache
def authority() -> trustme.CA:
    """Return the one authority of the session."""
    return trustme.CA()


@cache
def certificate(*names: str) -> trustme.LeafCert:
    return authority().issue_cert(*names)


def server_context(*names: str, version: str | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate(*(names or ("localhost",))).configure_cert(context)
    return of_version(context, version)


def client_context(version: str | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return of_version(context, version)


def of_version(context: ssl.SSLContext, version: str | None) -> ssl.SSLContext:
    if version is not None:
        context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


class Wire(ByteStream):
    """One end of a byte stream in memory, which sends in pieces and can be watched.

    ``hook``, if set, is called at every place where an operation could be cancelled.
    """

    def __init__(self, sending: Any, receiving: Any, piece: int) -> None:
        self._sending = sending
        self._receiving = receiving
        self._piece = piece
        self._left = b""
        self._partial_send: int | None = None
        self.hook: Callable[[], object] | None = None
        self.closed = False
        #: What is done to the bytes of each send.
        self.tamper: Callable[[bytes], bytes] = bytes

    @property
    def partial_send(self) -> int | None:
        return self._partial_send

    async def _point(self) -> None:
        if self.hook is not None:
            self.hook()
            await checkpoint()

    async def send(self, item: Any) -> None:
        self._partial_send = 0
        data = self.tamper(bytes(item))
        for start in range(0, len(data), self._piece):
            await self._point()
            piece = data[start : start + self._piece]
            try:
                await self._sending.send(piece)
            except BaseException:
                if self._sending.partial_send:
                    self._partial_send += len(piece)
                raise
            self._partial_send += len(piece)
            await self._point()
        self._partial_send = None

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await self._point()
        if self.closed:
            raise penstock.ClosedResourceError
        if not self._left:
            self._left = await self._receiving.receive()
        data, self._left = self._left[:max_bytes], self._left[max_bytes:]
        return data

    async def send_eof(self) -> None:
        self._sending.close()

    async def aclose(self) -> None:
        self.closed = True
        self._sending.close()
        self._receiving.close()


class Objects(ObjectStream[bytes]):
    """One end of an object stream of bytes in memory."""

    def __init__(self, sending: Any, receiving: Any) -> None:
        self._sending = sending
        self._receiving = receiving

    @property
    def partial_send(self) -> int | None:
        partial: int | None = self._sending.partial_send
        return partial

    async def send(self, item: bytes) -> None:
        assert type(item) is bytes
        await self._sending.send(item)

    async def receive(self) -> bytes:
        item: bytes = await self._receiving.receive()
        return item

    async def send_eof(self) -> None:
        self._sending.close()

    async def aclose(self) -> None:
        self._sending.close()
        self._receiving.close()


def wires(size: float = 1000, piece: int = 65536) -> tuple[Wire, Wire]:
    """Return both ends of a byte stream; ``size`` sends are buffered in each direction."""
    there = penstock.create_memory_object_stream[bytes](size)
    back = penstock.create_memory_object_stream[bytes](size)
    return Wire(there[0], back[1], piece), Wire(back[0], there[1], piece)


def objects(size: float) -> tuple[Objects, Objects]:
    """Return both ends of an object stream of bytes."""
    there = penstock.create_memory_object_stream[bytes](size)
    back = penstock.create_memory_object_stream[bytes](size)
    return Objects(there[0], back[1]), Objects(back[0], there[1])


async def tcp() -> tuple[ByteStream, ByteStream]:
    """Return both ends of a TCP connection."""
    async with await penstock.create_tcp_listener(local_host=HOST) as multi_listener:
        (listener,) = multi_listener.listeners
        port = listener.extra(penstock.abc.SocketAttribute.local_port)
        client = await penstock.connect_tcp(HOST, port)
        return client, await listener.accept()


async def shake_hands(
    client: Any, server: Any, *, version: str | None = None, **keywords: Any
) -> tuple[TLSStream, TLSStream]:
    """Wrap both ends of a stream."""
    ends: dict[str, TLSStream] = {}

    async def wrap_server() -> None:
        ends["server"] = await TLSStream.wrap(
            server, ssl_context=server_context(version=version), **keywords
        )

    async with penstock.create_task_group() as group:
        group.start_soon(wrap_server)
        ends["client"] = await TLSStream.wrap(
            client, hostname="localhost", ssl_context=client_context(version), **keywords
        )
    return ends["client"], ends["server"]


@asynccontextmanager
async def tls_pair(version: str | None = None, size: float = 1000, **keywords: Any) -> Any:
    """Give an encrypted client and server over memory; close both ends of the wire."""
    near, far = wires(size)
    try:
        yield await shake_hands(near, far, version=version, **keywords)
    finally:
        await near.aclose()
        await far.aclose()


class Peer:
    """An SSLObject over a byte stream, driven by hand: it does whatever the test wants."""

    def __init__(self, stream: Any, context: Any, *, server_side: bool = False) -> None:
        self.stream = stream
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_side=server_side,
            server_hostname=None if server_side else "localhost",
        )

    async def do(self, method: Callable[..., Any], *args: Any) -> Any:
        """Call a method of the SSLObject until it is done; what it says in the end is sent."""
        while True:
            try:
                return method(*args)
            except ssl.SSLWantReadError:
                await self.flush()
                try:
                    self.incoming.write(await self.stream.receive())
                except penstock.EndOfStream:
                    self.incoming.write_eof()
            finally:
                await self.flush()

    async def flush(self) -> None:
        if self.outgoing.pending:
            await self.stream.send(self.outgoing.read())

    async def handshake(self) -> None:
        await self.do(self.ssl.do_handshake)

    async def receive(self, nbytes: int = 65536) -> bytes:
        data: bytes = await self.do(self.ssl.read, nbytes)
        return data

    def encrypt(self, data: bytes) -> bytes:
        self.ssl.write(data)
        return self.outgoing.read()


@asynccontextmanager
async def peer_pair(version: str | None = None, *, peer: str = "server", **keywords: Any) -> Any:
    """Give an encrypted stream and a peer driven by hand, after their handshake."""
    near, far = wires()
    try:
        if peer == "server":
            hand = Peer(far, server_context(version=version), server_side=True)
            wrapping = {"hostname": "localhost", "ssl_context": client_context(version)}
        else:
            hand = Peer(far, client_context(version))
            wrapping = {"ssl_context": server_context(version=version)}
        async with penstock.create_task_group() as group:
            group.start_soon(hand.handshake)
            stream = await TLSStream.wrap(near, **wrapping, **keywords)
        yield stream, hand
    finally:
        await near.aclose()
        await far.aclose()


async def receive_all(stream: Any) -> bytes:
    """Receive until the end."""
    return b"".join([data async for data in stream])


async def receive_exactly(stream: Any, nbytes: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < nbytes:
        chunks += await stream.receive(nbytes - len(chunks))
    return bytes(chunks)


@asynccontextmanager
async def counting_turns():
    """Count how often another task runs; the result is a list of one number."""
    turns = [0]

    async def count():
        while True:
            await penstock.lowlevel.checkpoint()
            turns[0] += 1

    async with penstock.create_task_group() as group:
        group.start_soon(count)
        await penstock.lowlevel.checkpoint()
        turns[0] = 0
        yield turns
        group.cancel_scope.cancel()
