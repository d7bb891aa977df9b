"""Where the targets of fuzzing take their decisions from: the octets of one input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Decide by octets; once they are used up, by the lowest of everything.

    So an input that is cut short, or has lower octets, is a simpler one.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def integer(self, low: int, high: int) -> int:
        """Return a number from ``low`` to ``high``."""
        width = ((high - low).bit_length() + 7) // 8
        return low + int.from_bytes(self._take(width), "big") % (high - low + 1)

    def octets(self, most: int) -> bytes:
        """Return at most ``most`` bytes."""
        return self._take(self.integer(0, most))

    def one_of(self, values: Sequence[T]) -> T:
        return values[self.integer(0, len(values) - 1)]

    def several(self, most: int, make: Callable[[], T]) -> list[T]:
        """Return at most ``most`` of what ``make`` returns."""
        return [make() for _ in range(self.integer(0, most))]

    def cut(self, data: bytes) -> list[bytes]:
        """Cut bytes into pieces, none of them empty: singles, a few at once, or all."""
        pieces = []
        most = self.one_of((1, 3, 20, 1000))
        while data:
            size = self.integer(1, most) if len(pieces) < 50 else len(data)
            pieces.append(data[:size])
            data = data[size:]
        return pieces

    def _take(self, nbytes: int) -> bytes:
        taken = self._data[self._at : self._at + nbytes]
        self._at += nbytes
        return taken
