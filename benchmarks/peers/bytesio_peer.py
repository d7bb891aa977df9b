"""The limit for buffered reading: a C reader behind the thinnest coroutine there can be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from benchmarks.peers.adapter import Reader
from benchmarks.peers.asyncio_peer import run

__all__ = ("reader", "run")


@contextmanager
def reader(data: bytes, source: str) -> Iterator[Reader]:
    file = BytesIO(data)
    readline, read = file.readline, file.read

    async def until(delimiter: bytes) -> bytes:
        return readline()

    async def exactly(nbytes: int) -> bytes:
        return read(nbytes)

    yield Reader(until, exactly, bounded=False, ending=b"\n")
