"""What receive buffers and the calls of sockets ask of their arguments, and how they say so."""

from __future__ import annotations

from operator import index
from reprlib import repr as short_repr
from sys import maxsize
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = (
    "LARGEST_CALL",
    "LARGEST_SEND",
    "check_range",
    "octets_of",
    "positive",
    "size_of",
    "view_of",
)

#: Bytes that one call moves at most: some 50 us of copying, so that no task holds the loop.
LARGEST_CALL = 262_144
#: Bytes that one send of a stream moves at most: four times as many, because nothing is allocated
#: for them, and the turn of the event loop behind each finds its memory out of the caches.
LARGEST_SEND = 1 << 20


def size_of(value: object, name: str, least: int) -> int:
    """Return an argument that counts bytes, clipped to what a length can be."""
    if not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, not {short_repr(value)}")
    size = index(value)
    if size < least:
        kind = "positive" if least else "non-negative"  # as AnyIO says it
        raise ValueError(f"{name} must be a {kind} integer, not {value!r}")
    return min(size, maxsize)


def positive(name: str, number: int) -> int:
    """Return ``number``, which must be an integer of at least 1."""
    if not isinstance(number, int):
        raise TypeError(f"{name} must be an integer, not {number!r}")
    if number < 1:
        raise ValueError(f"{name} must be a positive integer, not {number}")
    return number


def check_range(name: str, value: int, limit: int) -> None:
    """Check that ``value`` is between 0 and ``limit``."""
    if not 0 <= value <= limit:
        raise ValueError(f"{name} must be between 0 and {limit}, not {value}")


def view_of(data: ReadableBuffer) -> memoryview | None:
    """Return the memory of bytes-like data; None where it has none."""
    try:
        return memoryview(data)
    except (BufferError, TypeError):
        return None


def octets_of(data: ReadableBuffer) -> memoryview:
    """Look at bytes-like data, which the system wants in one piece, byte by byte."""
    memory = view_of(data)
    if memory is None or not memory.c_contiguous:
        raise TypeError(f"expected contiguous bytes-like data, not {data!r}")
    try:
        return memory.cast("B")
    except (TypeError, ValueError):  # cast() knows no structures, and no dimension of length 0
        return memoryview(memory.tobytes())
