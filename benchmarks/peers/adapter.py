"""What a library has to offer in order to take part: the few functions of an adapter.

Every ``*_peer.py`` is one: a module that satisfies :class:`Peer`, as far as its workloads need.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from benchmarks.peers.bulk import Transfer

__all__ = (
    "DELIMITER",
    "MAX_BYTES",
    "Event",
    "Function",
    "Main",
    "Peer",
    "Reader",
    "Receive",
    "ReceiveBytes",
    "ReceiveFrame",
    "Scope",
    "Send",
    "SendBytes",
    "in_chunks",
    "new_eager_loop",
)

CHUNK = 65_536
DELIMITER = b"\n"
MAX_BYTES = 65_536

Main = Callable[[], Coroutine[Any, Any, int]]
Function = Callable[[], Coroutine[Any, Any, None]]
Send = Callable[[int], Awaitable[object]]
Receive = Callable[[], Awaitable[int]]
ReceiveFrame = Callable[[], Awaitable[bytes]]
SendBytes = Callable[[bytes], Awaitable[object]]
ReceiveBytes = Callable[[int], Awaitable[bytes]]


def in_chunks(data: bytes) -> list[bytes]:
    """Cut ``data`` as a socket might deliver it."""
    return [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]


class Event(Protocol):
    """A flag that tasks wait for."""

    def set(self) -> object: ...
    def wait(self) -> Awaitable[object]: ...


def new_eager_loop() -> asyncio.AbstractEventLoop:
    """Return a stock event loop that starts tasks eagerly; from Python 3.12 on."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


class Scope(Protocol):
    """A cancel scope, once its block was left."""

    @property
    def cancelled_caught(self) -> bool: ...


class Reader(NamedTuple):
    """Reading from a buffered byte stream."""

    until: Callable[..., Awaitable[bytes]]
    exactly: Callable[[int], Awaitable[bytes]]
    #: Whether ``until`` takes ``max_bytes`` beside the delimiter.
    bounded: bool
    #: What ``until`` leaves at the end of a line.
    ending: bytes


class Peer(Protocol):
    """What an adapter may offer; the table of workloads says who needs what."""

    def run(self, main: Main, loop: str) -> int:
        """Run ``main`` in a new event loop and return what it returns."""

    def channel(self, size: int) -> AbstractContextManager[tuple[Send, Receive]]:
        """Open a bounded queue of items, 0 being a rendezvous."""

    def broadcast(
        self, size: int, receivers: int
    ) -> AbstractContextManager[tuple[Send, list[Receive]]]:
        """Open what sends each item to all of several receivers, with a buffer for each."""

    def move_on_after(self, delay: float) -> AbstractContextManager[Scope]:
        """Return a cancel scope that cancels itself ``delay`` seconds from now."""

    async def together(self, *functions: Function) -> None:
        """Run each function in a task of its own until all have ended."""

    def exclusive(self, kind: str) -> AbstractAsyncContextManager[object]:
        """Make what lets one task in at a time.

        ``kind`` is "lock", "fast lock" (one that never yields while it is free), "semaphore" or
        "limiter".
        """

    def event(self) -> Event:
        """Make a flag."""

    def reader(self, data: bytes, source: str) -> AbstractContextManager[Reader]:
        """Open a buffered byte stream over data that has all arrived.

        ``source`` is "objects" (a memory object stream of 64 KiB chunks) or "bytes" (a byte
        stream that hands out as much as it is asked for), where the library makes a difference.
        """

    def frames(self, data: bytes, source: str) -> AbstractContextManager[ReceiveFrame]:
        """Open what receives the frames in ``data``: bytes behind a header of 4 bytes.

        ``source`` is as for :meth:`reader`, which stands in where a library has no framed streams.
        """

    def encrypted(
        self, server: ssl.SSLContext, client: ssl.SSLContext
    ) -> AbstractAsyncContextManager[tuple[SendBytes, ReceiveBytes]]:
        """Open TLS in memory, without a bound, from a client to the server "localhost"."""

    async def serve_echo(self, announce: Callable[[int], None]) -> None:
        """Echo what TCP connections send, for ever; ``announce`` the port."""

    async def serve_unix_echo(self, name: str, announce: Callable[[str], None]) -> None:
        """Echo what connections to a UNIX socket send, for ever; ``announce`` its name."""

    async def serve_udp_echo(self, announce: Callable[[int], None]) -> None:
        """Send every datagram back to where it came from, for ever; ``announce`` the port."""

    async def serve_tls_echo(
        self, announce: Callable[[int], None], context: ssl.SSLContext
    ) -> None:
        """Echo what TLS connections send, for ever; ``announce`` the port."""

    async def serve_bulk(self, transfer: Transfer, announce: Callable[[int], None]) -> None:
        """Do with TCP connections what ``transfer`` says, for ever; ``announce`` the port."""
