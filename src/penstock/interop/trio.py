"""penstock's streams as Trio's, and Trio's as penstock's.

Lives here: adapters, which have the methods of ``trio.abc``; penstock's own classes keep to one
vocabulary.  What is raised needs no translation on the way out: with Trio loaded, penstock's
exceptions are Trio's as well.  Each operation of an adapter for Trio is a checkpoint, as Trio
demands, before it has an effect.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import trio
from trio.lowlevel import checkpoint

from penstock._arguments import positive
from penstock._descriptors import notify_closing, wait_writable
from penstock._exceptions import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
)
from penstock._octets import octets_of
from penstock._synchronization import ResourceGuard
from penstock.abc import ByteStream, SocketAttribute
from penstock.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import ReadableBuffer

__all__ = ("FromTrioStream", "TrioReceiveChannel", "TrioSendChannel", "TrioStream")

T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


class TrioStream(trio.abc.HalfCloseableStream):
    """A byte stream of penstock's as one of Trio's.

    Args:
        stream: What it does everything with; closed with it.
    """

    def __init__(self, stream: ByteStream) -> None:
        #: The stream below.
        self.stream: ByteStream = stream
        self._sending = ResourceGuard("writing to")
        self._socket = stream.extra(SocketAttribute.raw_socket, None)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; if cancelled, ``stream.partial_send`` says how many went out.

        Raises:
            trio.BrokenResourceError: The connection is broken.
            trio.BusyResourceError: Another task is sending.
            trio.ClosedResourceError: The stream was closed.
        """
        with self._sending:
            await checkpoint()
            await self.stream.send(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the socket below takes bytes; return at once where there is none.

        If cancelled, stop waiting.

        Raises:
            trio.BusyResourceError: Another task is sending.
            trio.ClosedResourceError: The stream was closed.
        """
        with self._sending:
            await checkpoint()
            if self._socket is not None:
                await wait_writable(self._socket)

    async def send_eof(self) -> None:
        """Tell the peer that nothing more will be sent; if cancelled, it was not told.

        Raises:
            trio.BusyResourceError: Another task is sending.
            trio.ClosedResourceError: The stream was closed.
        """
        with self._sending:
            await checkpoint()
            await self.stream.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive between 1 and ``max_bytes`` bytes (None: 64 KiB), or ``b""`` at the end.

        If cancelled, no bytes were taken.

        Raises:
            trio.BrokenResourceError: The connection is broken.
            trio.BusyResourceError: Another task is receiving.
            trio.ClosedResourceError: The stream was closed.
            ValueError: ``max_bytes`` is below 1.
        """
        await checkpoint()
        try:
            return await self.stream.receive(65536 if max_bytes is None else max_bytes)
        except EndOfStream:
            return b""

    async def aclose(self) -> None:
        """Close the stream below; if cancelled, it is closed all the same."""
        if self._socket is not None and self._socket.fileno() >= 0:
            notify_closing(self._socket)  # the stream knows nothing of who waits for the socket
        await self.stream.aclose()
        await checkpoint()


class FromTrioStream(ByteStream):
    """A stream of Trio's as a byte stream of penstock's.

    Args:
        stream: What it does everything with; closed with it.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        #: The stream below.
        self.stream: trio.abc.Stream = stream
        self._closed = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        positive("max_bytes", max_bytes)
        with _translated("reading from"):
            data = await self.stream.receive_some(max_bytes)
        if not data:
            raise EndOfStream
        return bytes(data)

    async def send(self, item: ReadableBuffer) -> None:
        with octets_of(item) as octets, _translated("writing to"):
            await self.stream.send_all(octets)

    async def send_eof(self) -> None:
        if self._closed:  # which not every stream of Trio's says
            raise ClosedResourceError
        if not isinstance(self.stream, trio.abc.HalfCloseableStream):
            raise NotImplementedError(f"{self.stream!r} cannot end one direction alone")
        with _translated("writing to"):
            await self.stream.send_eof()

    async def aclose(self) -> None:
        self._closed = True
        await self.stream.aclose()


@contextmanager
def _translated(action: str) -> Iterator[None]:
    """Raise penstock's exceptions for Trio's, with the same cause."""
    try:
        yield
    except (BrokenResourceError, BusyResourceError, ClosedResourceError):
        raise
    except trio.BrokenResourceError as exc:
        raise BrokenResourceError(*exc.args) from exc.__cause__ or exc
    except trio.ClosedResourceError as exc:
        raise ClosedResourceError(*exc.args) from exc
    except trio.BusyResourceError as exc:
        raise BusyResourceError(action) from exc


class _Channel:
    """What both ends of a channel have in common: the stream below, and closing it."""

    def __init__(self, stream: Any) -> None:
        #: The stream below.
        self.stream: Any = stream

    def statistics(self) -> Any:
        """Return the figures of the stream below."""
        return self.stream.statistics()

    def close(self) -> None:
        """Close this end."""
        self.stream.close()

    async def aclose(self) -> None:
        """Close this end; if cancelled, it is closed all the same."""
        self.stream.close()
        await checkpoint()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.close()


class TrioSendChannel(_Channel, trio.abc.SendChannel[T_contra], Generic[T_contra]):
    """The sending end of a memory object stream as a channel of Trio's.

    Args:
        stream: What it does everything with; closed with it.
    """

    def __init__(self, stream: MemoryObjectSendStream[T_contra]) -> None:
        super().__init__(stream)

    async def send(self, value: T_contra) -> None:
        """Send an item; if cancelled, it was not sent.

        Raises:
            trio.BrokenResourceError: There is nobody to receive any more.
            trio.ClosedResourceError: This end was closed.
        """
        await checkpoint()
        await self.stream.send(value)

    def send_nowait(self, value: T_contra) -> None:
        """Send ``value`` at once, or raise ``trio.WouldBlock``."""
        self.stream.send_nowait(value)

    def clone(self) -> TrioSendChannel[T_contra]:
        """Return another sending end, closed on its own."""
        return TrioSendChannel(self.stream.clone())


class TrioReceiveChannel(_Channel, trio.abc.ReceiveChannel[T_co], Generic[T_co]):
    """The receiving end of a memory object stream as a channel of Trio's.

    Args:
        stream: What it does everything with; closed with it.
    """

    def __init__(self, stream: MemoryObjectReceiveStream[T_co]) -> None:
        super().__init__(stream)

    async def receive(self) -> T_co:
        """Receive an item; if cancelled, none was taken.

        Raises:
            trio.ClosedResourceError: This end was closed.
            trio.EndOfChannel: There is nobody to send any more, and nothing left.
        """
        await checkpoint()
        item: T_co = await self.stream.receive()
        return item

    def receive_nowait(self) -> T_co:
        """Receive an item at once, or raise ``trio.WouldBlock``."""
        item: T_co = self.stream.receive_nowait()
        return item

    def clone(self) -> TrioReceiveChannel[T_co]:
        """Return another receiving end, closed on its own."""
        return TrioReceiveChannel(self.stream.clone())
