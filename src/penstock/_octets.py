"""Bytes-like data, looked at byte by byte: what facades do with it before they send it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ("PLAIN", "octets_of", "view_of")

#: What gives its memory away without running anybody's code.  Other objects may come back in by
#: their ``__buffer__`` (PEP 688), wherever they are asked: so they are asked once.
PLAIN = (bytes, bytearray, memoryview)


def view_of(data: ReadableBuffer) -> memoryview:
    """Look at bytes-like data as it is; nobody may resize it while the result is there.

    Raises:
        TypeError: ``data`` is not bytes-like, or not contiguous.
    """
    try:
        memory = memoryview(data)
    except (BufferError, TypeError):
        raise TypeError(f"expected bytes-like data, not {data!r}") from None
    if not memory.c_contiguous:
        raise TypeError(f"expected contiguous bytes-like data, not {data!r}")
    return memory


def octets_of(data: ReadableBuffer) -> memoryview:
    """Look at bytes-like data byte by byte; nobody may resize it while the result is there.

    Raises:
        TypeError: ``data`` is not bytes-like, or not contiguous.
    """
    memory = view_of(data)
    return memory.cast("B") if memory.nbytes else memoryview(b"")
