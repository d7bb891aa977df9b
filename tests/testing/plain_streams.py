"""Streams as somebody else may write them: correct, in memory, by the words of the contracts.

Nothing of the library is in them but the contracts, an event and checkpoints.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from penstock import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
    Event,
)
from penstock.abc import ByteStream, ObjectStream
from penstock.lowlevel import checkpoint, checkpoint_if_cancelled


class Way:
    """What is on its way in one direction, and who is at its ends."""

    def __init__(self, capacity: int, held: Any) -> None:
        self.capacity = capacity
        self.held = held
        self.ended = False  # nothing more is sent
        self.abandoned = False  # nothing more is received
        self._changed = Event()

    def wake(self) -> None:
        self._changed.set()
        self._changed = Event()

    async def change(self) -> None:
        await self._changed.wait()


class _End:
    """What byte and object streams have in common."""

    def __init__(self, outgoing: Way, incoming: Way) -> None:
        self.outgoing = outgoing
        self.incoming = incoming
        self.closed = self.sending = self.receiving = False

    async def wait_for_something(self) -> None:
        """Wait until something can be received."""
        if self.closed:
            raise ClosedResourceError
        if self.receiving:
            raise BusyResourceError("receiving from")
        self.receiving = True
        try:
            await checkpoint()
            while not self.incoming.held or self.closed:
                if self.closed:
                    raise ClosedResourceError
                if self.incoming.ended:
                    raise EndOfStream
                await self.incoming.change()
        finally:
            self.receiving = False

    def check_sending(self) -> None:
        if self.closed or self.outgoing.ended:
            raise ClosedResourceError
        if self.outgoing.abandoned:
            raise BrokenResourceError

    async def send_eof(self) -> None:
        if self.closed:
            raise ClosedResourceError
        if self.sending:
            raise BusyResourceError("sending to")
        await checkpoint_if_cancelled()
        self.outgoing.ended = True
        self.outgoing.wake()

    async def aclose(self) -> None:
        self.closed = True
        self.outgoing.ended = self.incoming.abandoned = True
        self.outgoing.wake()
        self.incoming.wake()
        await checkpoint_if_cancelled()


class PlainBytes(_End, ByteStream):
    """One end of a byte stream."""

    partial: int | None = None

    @classmethod
    def pair(cls, capacity: int = 65536) -> tuple[Any, Any]:
        there, back = Way(capacity, bytearray()), Way(capacity, bytearray())
        return cls(there, back), cls(back, there)

    @property
    def partial_send(self) -> int | None:
        return self.partial

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if not isinstance(max_bytes, int):
            raise TypeError("max_bytes must be an integer")
        if max_bytes < 1:
            raise ValueError("max_bytes must be at least 1")
        await self.wait_for_something()
        return self.take(max_bytes)

    def take(self, max_bytes: int) -> bytes:
        data = bytes(self.incoming.held[:max_bytes])
        del self.incoming.held[:max_bytes]
        self.incoming.wake()
        return data

    async def send(self, item: Any) -> None:
        await self.send_many([item])

    async def send_many(self, buffers: Iterable[Any]) -> None:
        data = b"".join([memoryview(buffer).tobytes() for buffer in buffers])
        self.check_sending()
        if self.sending:
            raise BusyResourceError("sending to")
        self.sending, self.partial = True, 0
        try:
            await checkpoint()
            self.check_sending()
            while self.partial < len(data):
                room = self.outgoing.capacity - len(self.outgoing.held)
                if room > 0:
                    self.put(data[self.partial : self.partial + room])
                else:
                    await self.outgoing.change()
                    self.check_sending()
        finally:
            self.sending = False
        self.partial = None

    def put(self, data: bytes) -> None:
        self.outgoing.held += data
        self.partial = (self.partial or 0) + len(data)
        self.outgoing.wake()


class PlainObjects(_End, ObjectStream[Any]):
    """One end of an object stream."""

    @classmethod
    def pair(cls, capacity: int = 8) -> tuple[Any, Any]:
        there, back = Way(capacity, deque()), Way(capacity, deque())
        return cls(there, back), cls(back, there)

    async def receive(self) -> Any:
        await self.wait_for_something()
        return self.take()

    def take(self) -> Any:
        item = self.incoming.held.popleft()
        self.incoming.wake()
        return item

    async def send(self, item: Any) -> None:
        self.check_sending()
        if self.sending:
            raise BusyResourceError("sending to")
        self.sending = True
        try:
            await checkpoint()
            self.check_sending()
            while len(self.outgoing.held) >= self.outgoing.capacity:
                await self.outgoing.change()
                self.check_sending()
        finally:
            self.sending = False
        self.outgoing.held.append(item)
        self.outgoing.wake()


async def plain_bytes() -> tuple[Any, Any]:
    return PlainBytes.pair()


async def clogged_bytes() -> tuple[Any, Any]:
    return PlainBytes.pair(1000)


async def plain_objects() -> tuple[Any, Any]:
    return PlainObjects.pair()


async def clogged_objects() -> tuple[Any, Any]:
    near, far = PlainObjects.pair(1)
    await near.send(b"filler")
    await far.send(b"filler")
    return near, far
