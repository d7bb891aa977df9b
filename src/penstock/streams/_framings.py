"""Framings: how the bytes of a stream tell one frame from the next.

Lives here: what a frame is written as.  How frames are found among bytes is the business of the
receive buffer, and who sends and receives them lives in ``framed``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ("Delimited", "Framing", "LengthPrefixed", "VarintPrefixed")


@dataclass(frozen=True, slots=True)
class LengthPrefixed:
    """Frames whose size, in bytes, stands before them as an unsigned integer.

    Args:
        nbytes: Size of that integer: 1, 2, 4 or 8.
        byteorder: Whether its most significant byte comes first (``"big"``, as in the protocols
            of the Internet) or last (``"little"``).

    Raises:
        ValueError: ``nbytes`` or ``byteorder`` is something else.
    """

    nbytes: int = 4
    byteorder: Literal["big", "little"] = "big"

    def __post_init__(self) -> None:
        if type(self.nbytes) is not int or self.nbytes not in (1, 2, 4, 8):
            raise ValueError(f"nbytes must be 1, 2, 4 or 8, not {self.nbytes!r}")
        if self.byteorder not in ("big", "little"):
            raise ValueError(f"byteorder must be either 'little' or 'big', not {self.byteorder!r}")

    @property
    def _prefix(self) -> int:
        return self.nbytes if self.byteorder == "big" else -self.nbytes

    @property
    def _largest(self) -> int:
        return int(256**self.nbytes - 1)

    def _frame(self, data: ReadableBuffer, size: int) -> tuple[ReadableBuffer, ...]:
        return size.to_bytes(self.nbytes, self.byteorder), data


@dataclass(frozen=True, slots=True)
class VarintPrefixed:
    """Frames whose size, in bytes, stands before them as a varint, as Protocol Buffers have them.

    That is LEB128: seven bits to a byte, the least significant ones first, and the highest bit
    set in all bytes but the last.  One that is longer than it need be, or than 64 bits, is
    refused.  (https://protobuf.dev/programming-guides/encoding/#varints)
    """

    @property
    def _prefix(self) -> int:
        return 0

    @property
    def _largest(self) -> int:
        return (1 << 64) - 1

    def _frame(self, data: ReadableBuffer, size: int) -> tuple[ReadableBuffer, ...]:
        octets = bytearray()
        while size > 0x7F:
            octets.append(size & 0x7F | 0x80)
            size >>= 7
        octets.append(size)
        return bytes(octets), data


@dataclass(frozen=True, slots=True)
class Delimited:
    """Frames that end where a delimiter does; they cannot contain it.

    Args:
        delimiter: Not empty.

    Raises:
        TypeError: ``delimiter`` is not bytes.
        ValueError: ``delimiter`` is empty.
    """

    delimiter: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.delimiter, bytes):
            raise TypeError(f"a delimiter must be bytes, not {self.delimiter!r}")
        if not self.delimiter:
            raise ValueError(f"a delimiter must not be empty, not {self.delimiter!r}")

    def _frame(self, data: ReadableBuffer, size: int) -> tuple[ReadableBuffer, ...]:
        # One that begins in the frame and ends in the delimiter behind it would cut it as well.
        content = data if isinstance(data, (bytes, bytearray)) else bytes(data)
        end = content[max(0, len(content) - len(self.delimiter) + 1) :] + self.delimiter
        if self.delimiter in content or end.find(self.delimiter) < len(end) - len(self.delimiter):
            raise ValueError(f"the frame contains the delimiter {self.delimiter!r}")
        return data, self.delimiter


Framing: TypeAlias = LengthPrefixed | VarintPrefixed | Delimited
