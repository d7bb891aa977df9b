"""What a check of streams is about: one direction of a connection, of bytes or of items.

Lives here: how things go over it that can be told apart, and how what came is compared.  What has
to be true of it is in the files of the checks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from penstock._exceptions import EndOfStream
from penstock.testing._checking import fail

__all__ = ("ITEM", "ITEMS", "LARGE", "ByteLine", "Line", "ObjectLine", "check_items", "same_items")

#: The size of an item of bytes: enough to tell one from the next, and more than one byte.
ITEM = 8
#: More than any buffer that stands between two ends of a stream.
LARGE = 1024 * 1024
#: What goes over object streams, unless their author says what.
ITEMS = (b"one", b"two", b"three")


class Line(ABC):
    """One direction of a fresh connection, and how to send things over it that can be told apart.

    Args:
        s: The end to send on.
        r: The end to receive from.
    """

    def __init__(self, s: Any, r: Any) -> None:
        self.s: Any = s
        self.r: Any = r

    @abstractmethod
    def item(self, number: int) -> Any:
        """Return the thing with this number; neighbours differ."""

    #: Something that a clogged stream has no room for.
    large: Any
    #: The arguments with which ``receive`` returns as little as it can.
    least: tuple[Any, ...] = ()

    def items(self, count: int) -> list[Any]:
        return [self.item(number) for number in range(count)]

    @abstractmethod
    def back(self) -> Line:
        """Return the other direction."""

    @abstractmethod
    async def take(self) -> Any:
        """Receive one of :meth:`items`, whole."""

    async def take_all(self) -> list[Any]:
        """Receive :meth:`items` until the stream ends."""
        taken = []
        while True:
            try:
                taken.append(await self.take())
            except EndOfStream:
                return taken

    async def receive_for_ever(self) -> None:
        while True:
            await self.r.receive()

    async def send_all(self, count: int) -> None:
        for item in self.items(count):
            await self.s.send(item)

    async def send_and_close(self, count: int) -> None:
        await self.send_all(count)
        await self.s.aclose()

    @abstractmethod
    async def whole(self, received: Any) -> Any:
        """Receive the rest of an item of which one of :meth:`receives` gave the beginning."""

    @abstractmethod
    def sends(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        """Return every way to send the first item."""

    @abstractmethod
    def receives(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        """Return every way to receive, iteration left out; each gives what :meth:`whole` takes."""


class ByteLine(Line):
    """One direction of a byte stream; an item is a number, as bytes."""

    large = bytes(LARGE)
    least = (1,)

    def item(self, number: int) -> bytes:
        return number.to_bytes(ITEM, "big")

    def back(self) -> ByteLine:
        return ByteLine(self.r, self.s)

    async def take(self) -> bytes:
        return await self.whole(b"")

    async def whole(self, received: bytes) -> bytes:
        data = received
        while len(data) < ITEM:
            try:
                data += await self.r.receive(ITEM - len(data))
            except EndOfStream:
                if data:
                    raise AssertionError(f"the stream ended after {data!r}") from None
                raise
        return data

    async def take_bytes(self) -> bytes:
        """Receive until the end."""
        return b"".join([data async for data in self.r])

    def sends(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        item = self.item(0)
        return {
            "send": lambda: self.s.send(item),
            "send of nothing": lambda: self.s.send(b""),
            "send_many": lambda: self.s.send_many([item, item]),
            "send_many of nothing": lambda: self.s.send_many([]),
        }

    def receives(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        async def receive_into() -> bytes:
            buffer = bytearray(ITEM)
            return bytes(buffer[: await self.r.receive_into(buffer)])

        return {"receive": lambda: self.r.receive(ITEM), "receive_into": receive_into}


class ObjectLine(Line):
    """One direction of an object stream.

    Args:
        s: The end to send on.
        r: The end to receive from.
        items: What goes through it.
    """

    def __init__(self, s: Any, r: Any, items: Sequence[Any]) -> None:
        super().__init__(s, r)
        self._items = items
        self.large = items[0]

    def item(self, number: int) -> Any:
        return self._items[number % len(self._items)]

    def back(self) -> ObjectLine:
        return ObjectLine(self.r, self.s, self._items)

    async def take(self) -> Any:
        return await self.r.receive()

    async def whole(self, received: Any) -> Any:
        return received

    def sends(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        item = self.item(0)
        ways: dict[str, Callable[[], Awaitable[Any]]] = {"send": lambda: self.s.send(item)}
        if hasattr(self.s, "send_many"):
            ways["send_many"] = lambda: self.s.send_many([item, item])
        return ways

    def receives(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        async def receive_many() -> Any:
            (item,) = await self.r.receive_many(1)
            return item

        ways: dict[str, Callable[[], Awaitable[Any]]] = {"receive": lambda: self.r.receive()}
        if hasattr(self.r, "receive_many"):
            ways["receive_many"] = receive_many
        return ways


def check_items(items: Sequence[Any]) -> None:
    """Raise ValueError unless ``items`` can be told apart."""
    if len(items) < 2 or items[0] == items[1]:
        raise ValueError(f"items must be at least two, which differ, not {items!r}")


def same_items(got: list[Any], wanted: list[Any]) -> None:
    """Fail unless what has come is what was sent."""
    if got == wanted:
        return
    if len(got) != len(wanted):
        fail(
            f"{len(got)} came of {len(wanted)} that were sent: {_brief(got)}, not {_brief(wanted)}"
        )
    number = next(n for n in range(len(got)) if got[n] != wanted[n])
    fail(f"{_brief(got[number])} came as number {number}, not {_brief(wanted[number])}")


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"
