"""Makers of the library's streams, for the conformance kit: connected pairs, and clogged ones."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

from tls_peers import shake_hands

import penstock
from penstock.abc import SocketAttribute, UNIXSocketStream
from penstock.streams.broadcast import BroadcastSendStream
from penstock.streams.buffered import BufferedByteStream
from penstock.streams.framed import Delimited, FramedStream, Framing, LengthPrefixed, VarintPrefixed
from penstock.streams.merge import MergedReceiveStream
from penstock.streams.stapled import StapledByteStream, StapledObjectStream
from penstock.streams.text import TextStream
from penstock.testing import lockstep_stream_pair

Maker = Callable[[], Awaitable[tuple[Any, Any]]]

# -- bytes -------------------------------------------------------------------------------------


async def tcp() -> tuple[Any, Any]:
    async with await penstock.create_tcp_listener(local_host="127.0.0.1") as multi_listener:
        (listener,) = multi_listener.listeners
        port = listener.extra(SocketAttribute.local_port)
        client = await penstock.connect_tcp("127.0.0.1", port)
        return client, await listener.accept()


async def unix() -> tuple[Any, Any]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return await UNIXSocketStream.from_socket(near), await UNIXSocketStream.from_socket(far)


async def seqpacket() -> tuple[Any, Any]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return await UNIXSocketStream.from_socket(near), await UNIXSocketStream.from_socket(far)


async def clogged_seqpacket() -> tuple[Any, Any]:
    """Fill one direction; what is in the other when an end is closed would reset the peer."""
    near, far = await seqpacket()
    raw = near.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    try:
        while True:
            raw.send(b"filler")
    except BlockingIOError:
        return near, far


async def lockstep() -> tuple[Any, Any]:
    return lockstep_stream_pair()


def clogged(maker: Maker) -> Maker:
    """Have the sockets of a pair hold little, so that a large send waits."""

    async def make() -> tuple[Any, Any]:
        ends = await maker()
        for end in ends:
            raw = end.extra(SocketAttribute.raw_socket)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return ends

    return make


def wrapped(maker: Maker, wrap: Callable[[Any], Any]) -> Maker:
    """Wrap both ends of a pair."""

    async def make() -> tuple[Any, Any]:
        near, far = await maker()
        return wrap(near), wrap(far)

    return make


def tls(maker: Maker, version: str | None = None, *, announced: bool = False) -> Maker:
    """Do a TLS handshake over a pair.

    Streams whose end is announced wait for the peer when they are closed, which takes its time.
    """

    async def make() -> tuple[Any, Any]:
        return await shake_hands(*await maker(), version=version, standard_compatible=announced)

    return make


def stapled(maker: Maker) -> Maker:
    """Make one pair of two, of each of which one direction is used."""

    async def make() -> tuple[Any, Any]:
        (near_out, far_in), (far_out, near_in) = await maker(), await maker()
        return StapledByteStream(near_out, near_in), StapledByteStream(far_out, far_in)

    return make


# -- objects -----------------------------------------------------------------------------------


def memory(size: float) -> Maker:
    async def make() -> tuple[Any, Any]:
        return penstock.create_memory_object_stream[Any](size)

    return make


def stapled_memory(size: float) -> Maker:
    async def make() -> tuple[Any, Any]:
        there = penstock.create_memory_object_stream[Any](size)
        back = penstock.create_memory_object_stream[Any](size)
        return StapledObjectStream(there[0], back[1]), StapledObjectStream(back[0], there[1])

    return make


async def broadcast() -> tuple[Any, Any]:
    sender: BroadcastSendStream[Any] = BroadcastSendStream()
    return sender, sender.subscribe(16)


async def clogged_broadcast() -> tuple[Any, Any]:
    sender: BroadcastSendStream[Any] = BroadcastSendStream()
    receiver = sender.subscribe(1)
    sender.send_nowait(b"filler")
    return sender, receiver


def merged(size: float) -> Maker:
    async def make() -> tuple[Any, Any]:
        send, receive = penstock.create_memory_object_stream[Any](size)
        return send, MergedReceiveStream([receive])

    return make


def framed(maker: Maker, framing: Framing) -> Maker:
    return wrapped(maker, lambda stream: FramedStream(stream, framing))


#: Every pair of two-way byte streams, with a clogged one.
BYTES: dict[str, tuple[Maker, Maker]] = {
    "TCP": (tcp, clogged(tcp)),
    "UNIX": (unix, clogged(unix)),
    "stapled": (stapled(unix), stapled(clogged(unix))),
    "buffered TCP": (wrapped(tcp, BufferedByteStream), wrapped(clogged(tcp), BufferedByteStream)),
    "buffered objects": (
        wrapped(stapled_memory(1000), BufferedByteStream),
        wrapped(stapled_memory(0), BufferedByteStream),
    ),
    "TLS 1.3 over TCP": (tls(tcp, "1.3"), tls(clogged(tcp), "1.3")),
    "TLS 1.2 over UNIX": (tls(unix, "1.2"), tls(clogged(unix), "1.2")),
    "TLS in TLS": (tls(tls(unix)), tls(tls(clogged(unix)))),
    "TLS over objects": (
        tls(stapled_memory(1000), announced=True),
        tls(stapled_memory(0), announced=True),
    ),
}

#: Further streams below TLS, of which one direction is enough.
TLS_ONE_WAY: dict[str, Maker] = {
    "TLS 1.2 over TCP": tls(tcp, "1.2"),
    "TLS over buffered UNIX": tls(wrapped(unix, BufferedByteStream)),
    "TLS over stapled UNIX": tls(stapled(unix)),
    "TLS over lockstep": tls(lockstep),
}

#: Every pair of one-way object streams, with a clogged one.
OBJECTS_ONE_WAY: dict[str, tuple[Maker, Maker]] = {
    "memory": (memory(16), memory(0)),
    "memory without a buffer": (memory(0), memory(0)),
    "merged": (merged(16), merged(0)),
}
CRLF = Delimited(b"\r\n")
#: Every pair of two-way object streams; over sockets, small frames cannot be clogged.
OBJECTS: dict[str, tuple[Maker, Maker | None]] = {
    "stapled": (stapled_memory(16), stapled_memory(0)),
    "length-prefixed over TCP": (framed(tcp, LengthPrefixed()), None),
    "varint-prefixed over UNIX": (framed(unix, VarintPrefixed()), None),
    "delimited over UNIX": (framed(unix, CRLF), None),
    "delimited over objects": (framed(stapled_memory(16), CRLF), framed(stapled_memory(0), CRLF)),
}
#: Every pair of two-way text streams, over streams that keep what was sent apart.
TEXTS: dict[str, tuple[Maker, Maker]] = {
    "text over objects": (
        wrapped(stapled_memory(16), TextStream),
        wrapped(stapled_memory(0), TextStream),
    ),
}
