"""How a delimiter is found among bytes, and what the search costs.

Lives here: functions that look at bytes and change nothing.  They return where something is, and
how many bytes were looked at: the search of any bytes for any delimiters is linear.  Which bytes
need no second look is up to whoever keeps them.
"""

from __future__ import annotations

from operator import is_
from reprlib import repr as short_repr
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from _typeshed import ReadableBuffer

    Delimiters: TypeAlias = ReadableBuffer | Sequence[ReadableBuffer]

__all__ = ("delimiters_of", "find_first", "overlaps", "search")

#: Bytes searched for each of several delimiters before looking further.
WINDOW = 64
#: False hits of a search after which it looks at how to go on.
MISSES = 8


def _one_delimiter(value: object) -> bytes:
    if type(value) is not bytes:
        try:
            value = bytes(memoryview(value))  # type: ignore[arg-type]  # what the try is for
        except TypeError:
            raise TypeError(f"a delimiter must be bytes-like, not {short_repr(value)}") from None
    if not value:
        raise ValueError(f"a delimiter must not be empty, not {value!r}")
    return value


def delimiters_of(value: object) -> tuple[bytes, ...]:
    """Return one delimiter, or a tuple or list of several, as a tuple of bytes."""
    if not isinstance(value, (tuple, list)):
        return (_one_delimiter(value),)
    if not value:
        raise ValueError(f"there must be a delimiter, not {value!r}")
    several = tuple([_one_delimiter(item) for item in value])
    # The caller's own tuple, if it will do: the next call knows it by its identity.
    if type(value) is tuple and all(map(is_, several, value)):
        return value
    return several


# Positions count from ``start``, which is that of the first unread byte.


def find_first(
    data: bytes | bytearray, start: int, delimiters: tuple[bytes, ...], low: int, size: int
) -> tuple[int, int, int]:
    """Return where the winning match begins, or -1, and where it ends.

    No match ends before ``low``, and none is looked for beyond the first ``size`` bytes.  The last
    number is that of the bytes looked at.
    """
    # Windows, so that a far delimiter is not looked for again after each match of a near one.
    window = WINDOW
    work = 0
    while low < size:
        high = min(size, low + window)
        winner = 0
        for delimiter in delimiters:
            last, looked_at = search(data, start, delimiter, low, high)
            work += looked_at
            if last >= 0:
                if last + 1 < high or len(delimiter) > winner:
                    winner = len(delimiter)
                high = last + 1
        if winner:
            return high - winner, high, work
        low = high
        window *= 2
    return -1, -1, work


def search(
    data: bytes | bytearray, start: int, delimiter: bytes, low: int, high: int
) -> tuple[int, int]:
    """Return where the last byte of the first match is, of those in [low, high), or -1.

    The other number is that of the bytes looked at.
    """
    before = len(delimiter) - 1
    at = first = max(low, before) + start
    high += start
    last_byte = delimiter[-1]
    misses = 0
    while at < high:
        # find() of one byte is a memchr, 0.9 us for 64 KiB; of two bytes it takes 57.
        at = data.find(last_byte, at, high)
        if at < 0:
            break
        if not before or data.startswith(delimiter, at - before):
            return at - start, at + 1 - first
        at += 1
        misses += 1
        if misses >= MISSES and misses * 16 > at - first:
            work = at - first + before
            first = at
            at = data.find(delimiter, at - before, high)
            if at < 0:
                return -1, work + max(high - first, 0)
            at += before
            return at - start, work + at + 1 - first
    return -1, max(high - first, 0)


def overlaps(data: bytes | bytearray, start: int, delimiter: bytes, least: int) -> tuple[bool, int]:
    """Return whether at least ``least`` bytes of a delimiter are there, without its end.

    They are the last ones.  The other value is the number of bytes looked at.
    """
    if least >= len(delimiter):
        return False, 0
    head = delimiter[:least]
    at = max(len(data) - len(delimiter) + 1, start)
    work = 0
    for _ in range(MISSES):
        before, at = at, data.find(head, at)
        if at < 0:
            return False, work + len(data) - before
        rest = data[at:]
        work += at - before + least + len(rest)
        if delimiter.startswith(rest):
            return True, work
        at += 1
    rest = data[at:]
    return _overlap(rest, delimiter) >= least, work + 2 * len(rest)


def _overlap(data: bytes | bytearray, delimiter: bytes) -> int:
    """Return how many of the last bytes of ``data``, which is shorter, begin ``delimiter``."""
    # The prefix function of Knuth, Morris and Pratt: whatever the bytes are, it is linear.
    octets = [*delimiter[: len(data)], -1, *data]
    borders = [0]
    for octet in octets[1:]:
        border = borders[-1]
        while border and octets[border] != octet:
            border = borders[border - 1]
        borders.append(border + (octets[border] == octet))
    return borders[-1]
