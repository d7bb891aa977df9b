"""Bytes-like data, looked at byte by byte: what facades do with it before they send it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ("octets_of",)


def octets_of(data: ReadableBuffer) -> memoryview:
    """Look at bytes-like data byte by byte; nobody may resize it while the result is there.

    Raises:
        TypeError: ``data`` is not bytes-like, or not contiguous.
    """
    try:
        memory = memoryview(data)
    except (BufferError, TypeError):
        raise TypeError(f"expected bytes-like data, not {data!r}") from None
    if not memory.c_contiguous:
        raise TypeError(f"expected contiguous bytes-like data, not {data!r}")
    return memory.cast("B") if memory.nbytes else memoryview(b"")
