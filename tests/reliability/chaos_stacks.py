"""The streams that are put together for transfers with faults."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from chaos_transfers import Stack, Weather
from pairs import clogged, stapled_memory, tcp, unix, wrapped
from tls_peers import client_context, server_context

from penstock.streams.buffered import BufferedByteStream
from penstock.streams.framed import Delimited, FramedStream, Framing, LengthPrefixed, VarintPrefixed
from penstock.streams.stapled import StapledByteStream
from penstock.streams.text import TextStream
from penstock.streams.tls import TLSStream
from penstock.testing import lockstep_stream_pair, memory_stream_pair

Maker = Callable[[], Awaitable[tuple[Any, Any]]]
Base = Callable[[Weather], Awaitable[tuple[Any, Any]]]
ALPHABET = "aé\u2603\U0001d11e\n"


async def memory() -> tuple[Any, Any]:
    return memory_stream_pair()


async def lockstep() -> tuple[Any, Any]:
    return lockstep_stream_pair()


def over(maker: Maker) -> Base:
    """Put the faults on both ends."""

    async def make(weather: Weather) -> tuple[Any, Any]:
        near, far = await maker()
        return weather.below(near, "near"), weather.below(far, "far")

    return make


def stapled(maker: Maker) -> Base:
    """Staple ends together, each of which has its own faults."""
    faulty = over(maker)

    async def make(weather: Weather) -> tuple[Any, Any]:
        there, back = await faulty(weather), await faulty(weather)
        return StapledByteStream(there[0], back[0]), StapledByteStream(back[1], there[1])

    return make


def tls(version: str, *, twice: bool = False) -> Callable[[Any, str], Awaitable[Any]]:
    async def wrap(stream: Any, side: str) -> Any:
        for _ in range(1 + twice):
            if side == "near":
                stream = await TLSStream.wrap(
                    stream, hostname="localhost", ssl_context=client_context(version)
                )
            else:
                stream = await TLSStream.wrap(stream, ssl_context=server_context(version=version))
        return stream

    return wrap


async def buffer(stream: Any, side: str) -> Any:
    return BufferedByteStream(stream)


def framed(framing: Framing) -> Callable[[Any], Any]:
    return lambda stream: FramedStream(stream, framing, max_frame_size=1 << 20)


def without_line_ends(data: bytes) -> bytes:
    return data.replace(b"\n", b"")


def text(data: bytes) -> str:
    return "".join(ALPHABET[octet % len(ALPHABET)] for octet in data[::2])


NARROW = clogged(unix)
OBJECTS = wrapped(stapled_memory(2), BufferedByteStream)
FRAMES: dict[str, Any] = {"whole": False}

STACKS: dict[str, Stack] = {
    "TCP": Stack(over(tcp)),
    "UNIX": Stack(over(NARROW)),
    "memory": Stack(over(memory)),
    "lockstep": Stack(over(lockstep)),
    "stapled": Stack(stapled(NARROW)),
    "buffered TCP": Stack(over(tcp), buffer),
    "buffered lockstep, exactly": Stack(over(lockstep), shape=BufferedByteStream, exactly=True),
    "buffered objects": Stack(over(OBJECTS)),
    "TLS 1.3 over TCP": Stack(over(tcp), tls("1.3"), announced=True),
    "TLS 1.2 over UNIX": Stack(over(NARROW), tls("1.2"), half_close=False, announced=True),
    "TLS over lockstep": Stack(over(lockstep), tls("1.3"), announced=True),
    "TLS in TLS over objects": Stack(over(OBJECTS), tls("1.3", twice=True), announced=True),
    "length-prefixed over TCP": Stack(over(tcp), shape=framed(LengthPrefixed()), **FRAMES),
    "varint-prefixed over TLS": Stack(
        over(NARROW), tls("1.3"), framed(VarintPrefixed()), announced=True, **FRAMES
    ),
    "delimited over lockstep": Stack(
        over(lockstep), shape=framed(Delimited(b"\r\n")), item=without_line_ends, **FRAMES
    ),
    "length-prefixed over objects": Stack(
        over(OBJECTS), shape=framed(LengthPrefixed(8, "little")), **FRAMES
    ),
    "text over UNIX": Stack(over(NARROW), shape=TextStream, item=text),
    "UTF-16 over lockstep": Stack(
        over(lockstep), shape=lambda stream: TextStream(stream, "utf-16"), item=text
    ),
}
