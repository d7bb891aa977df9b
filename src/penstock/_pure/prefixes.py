"""How many bytes a frame has, as what stands before it says.

Lives here: which prefixes there are, and how one is read.  It takes nothing out, and sets no limit.
"""

from __future__ import annotations

__all__ = ("PREFIXES", "announced")

#: What may announce the size of a frame: 1, 2, 4 or 8 bytes of it, the most significant one first
#: (negative: last), or 0, which stands for a varint.
PREFIXES = (4, 2, 1, 8, 0, -4, -2, -1, -8)
#: Bytes of the longest varint, which holds 64 bits.
LONGEST_VARINT = 10


def announced(data: bytes | bytearray, start: int, prefix: int) -> tuple[int, int]:
    """Return the size that the prefix at ``start`` says, and the length of the prefix.

    A size of -1: bytes of the prefix are still to come; -2: it is no varint of at most 64 bits, or
    a longer one than the number needs.
    """
    if prefix:
        width = abs(prefix)
        head = data[start : start + width]
        if len(head) < width:
            return -1, 0
        return int.from_bytes(head, "big" if prefix > 0 else "little"), width
    size = 0
    for at, octet in enumerate(data[start : start + LONGEST_VARINT]):
        size |= (octet & 0x7F) << 7 * at
        if octet < 0x80:
            if (at and not octet) or size >> 64:
                return -2, 0
            return size, at + 1
    return (-1 if len(data) - start < LONGEST_VARINT else -2), 0
