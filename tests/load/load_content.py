"""What is sent under load: content that both ends can foretell.

Each end of a connection knows which bytes, or which item, has to come next.  So something that was
lost, doubled, mixed up with another connection's or changed is noticed at once, where it arrives.
"""

from __future__ import annotations

import random
import string

__all__ = ("Books", "Course", "Wrong", "check_piece", "piece")

#: A prime, so that what is lost or doubled, a power of two as a rule, never falls in step again.
PERIOD = 65_521
#: The most that is taken or checked at once.
LARGEST = 1 << 18

_letters = "".join(random.Random(1).choices(string.ascii_letters, k=PERIOD)).encode()
_pattern = memoryview(_letters * (LARGEST // PERIOD + 2))


class Wrong(AssertionError):
    """Something arrived that was not next."""


class Course:
    """A place in the endless pattern of one direction of a byte stream.

    Args:
        start: Where this direction begins, which makes it another one's.
    """

    __slots__ = ("passed", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.passed = 0

    def next(self, size: int) -> memoryview:
        """Return what comes next, and stay where we are."""
        place = (self.start + self.passed) % PERIOD
        return _pattern[place : place + size]

    def take(self, size: int) -> memoryview:
        """Return what comes next, and go on behind it."""
        data = self.next(size)
        self.passed += size
        return data

    def check(self, data: bytes) -> None:
        """Go on behind what has arrived, if it is what had to."""
        if data != self.next(len(data)):
            raise Wrong(f"not what comes {self.passed:,} bytes after {self.start}: {data[:40]!r}")
        self.passed += len(data)


def piece(channel: int, number: int, largest: int = 2000) -> bytes:
    """Return item ``number`` of a channel: its numbers, and letters of a size that varies."""
    size = (channel * 7919 + number * 104_729) % largest
    place = (channel * 15_485 + number * 32_452) % PERIOD
    return b"%d %d " % (channel, number) + _pattern[place : place + size]


def check_piece(data: bytes, channel: int, number: int) -> None:
    """Raise Wrong if ``data`` is not item ``number`` of a channel."""
    if data != piece(channel, number):
        raise Wrong(f"not piece {number} of channel {channel}: {data[:40]!r}")


class Books:
    """Which item of each producer has to come next, wherever it arrives."""

    def __init__(self) -> None:
        self.sent: dict[int, int] = {}
        self.received: dict[int, int] = {}
        self.wrong = 0

    def check(self, item: tuple[int, int]) -> None:
        """Take down an item that has arrived, if it is the next of its producer."""
        producer, number = item
        wanted = self.received.get(producer, 0)
        self.received[producer] = number + 1
        if number != wanted:
            self.wrong += abs(number - wanted)
            raise Wrong(f"item {number} of producer {producer} where {wanted} had to come")

    def difference(self) -> int:
        """Return how many items were lost, or came twice, in the end."""
        producers = self.sent.keys() | self.received.keys()
        return self.wrong + sum(
            abs(self.sent.get(producer, 0) - self.received.get(producer, 0))
            for producer in producers
        )
