"""The operations whose growth is measured within the process, through penstock's public names.

Each is ``body(size, count)``: it does ``count`` operations, compares what comes of each, and
returns what they took.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import penstock
from benchmarks.peers.bodies import WrongOutputError
from benchmarks.peers.clocks import Spent, now, since
from penstock.streams.buffered import BufferedByteReceiveStream

__all__ = ("BODIES",)

PIECE = 1024
TAKEN = 64


def same(output: object, expected: object) -> None:
    """Make sure that what came out is what was put in."""
    if output != expected:
        raise WrongOutputError("something else came out than was put in")


async def message(size: int, count: int) -> Spent:
    """Send one object of ``size`` bytes, and read as many."""
    data = bytes(size - 1) + b"."
    send, receive = penstock.create_memory_object_stream[bytes](1)
    with send, receive:
        stream = BufferedByteReceiveStream(receive)
        start = now()
        for _ in range(count):
            await send.send(data)
            same(await stream.receive_exactly(size), data)
        return since(start)


async def scan(size: int, count: int) -> Spent:
    """Find the end of a line of ``size`` bytes, of which a piece arrives after the other."""
    line = b"x" * size
    pieces = [line[start : start + PIECE] for start in range(0, size, PIECE)]
    cpu = elapsed = 0
    send, receive = penstock.create_memory_object_stream[bytes](len(pieces) + 1)
    with send, receive:
        stream = BufferedByteReceiveStream(receive)
        for _ in range(count):
            for piece in (*pieces, b"\n"):
                send.send_nowait(piece)
            start = now()
            output = await stream.receive_until(b"\n", size + 1)
            spent = since(start)
            same(output, line)
            cpu += spent.cpu
            elapsed += spent.elapsed
    return Spent(cpu, elapsed)


async def take(size: int, count: int) -> Spent:
    """Take what was fed first, while ``size`` bytes that were fed later are there."""
    ahead = size // TAKEN
    pieces = [number.to_bytes(TAKEN, "big") for number in range(ahead + count)]
    send, receive = penstock.create_memory_object_stream[bytes](1)
    with send, receive:
        stream = BufferedByteReceiveStream(receive)
        stream.feed_data(b"".join(pieces[:ahead]))
        start = now()
        for number in range(count):
            stream.feed_data(pieces[ahead + number])
            same(await stream.receive_exactly(TAKEN), pieces[number])
        return since(start)


async def queue(size: int, count: int) -> Spent:
    """Send and receive with ``size`` items in between."""
    send, receive = penstock.create_memory_object_stream[int](size + 1)
    with send, receive:
        for item in range(size):
            send.send_nowait(item)
        start = now()
        for number in range(count):
            await send.send(size + number)
            same(await receive.receive(), number)
        return since(start)


Body = Callable[[int, int], Coroutine[Any, Any, Spent]]

BODIES: dict[str, Body] = {
    "message-buffered": message,
    "buffered-scan": scan,
    "buffered-take": take,
    "queue-length": queue,
}
