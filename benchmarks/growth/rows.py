"""What may grow with what, and how fast: every row, and the sizes at which it is measured."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from benchmarks.growth.fitting import POINTS

__all__ = ("CONTENDERS", "LOOPS", "ROWS", "Row", "planned")

CONTENDERS = ("penstock", "penstock-pure")
LOOPS = ("asyncio", "uvloop", "trio")


@dataclass(frozen=True)
class Row:
    """One operation, beside the size of what it works on."""

    name: str
    title: str
    #: What the size is a number of.
    size: str
    sizes: tuple[int, ...]
    #: The cost of an operation may grow as the size to this power: 1 where it works on all of it,
    #: 0 where the rest should make no difference.
    bound: int
    #: Whether it takes a server, and a generator in C.
    server: bool = False

    def measured(self, quick: bool) -> tuple[int, ...]:
        """Return the sizes; the smaller ones where it has to be quick."""
        return self.sizes[: POINTS + 1] if quick else self.sizes


BYTES = tuple(16**power for power in range(6))
PIECES = tuple(64 * 8**power for power in range(6))

ROWS = {
    row.name: row
    for row in (
        Row("message-tcp", "TCP echo of a message, 4 connections", "bytes", BYTES, 1, server=True),
        Row(
            "message-buffered",
            "a message through a memory stream, by `receive_exactly`",
            "bytes",
            BYTES,
            1,
        ),
        Row(
            "connections",
            "TCP echo of 64 bytes, a request under way on every connection",
            "connections",
            (1, 10, 100, 1_000, 5_000),
            0,
            server=True,
        ),
        Row(
            "buffered-scan",
            "`receive_until` of a line that arrives in pieces of at most 1 KiB",
            "bytes before the delimiter",
            PIECES,
            1,
        ),
        Row(
            "buffered-take",
            "64 bytes fed and 64 taken by `receive_exactly`",
            "bytes buffered meanwhile",
            PIECES,
            0,
        ),
        Row(
            "queue-length",
            "an item sent to a memory stream, and one received",
            "items queued meanwhile",
            tuple(10**power for power in range(7)),
            0,
        ),
    )
}


def planned() -> list[tuple[str, str, str]]:
    """List what one round runs: row, contender and loop."""
    return list(product(ROWS, CONTENDERS, LOOPS))
