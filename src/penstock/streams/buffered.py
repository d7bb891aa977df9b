"""Buffered byte streams: exact reads, delimiters and lines over any stream of bytes.

Lives here: who may read, when to receive more, and what the end of the stream means.  Where the
bytes are and how they are searched is the business of the receive buffer.

A ready operation is one call of the buffer.  Where it declines, the slow path finds out why, in
this order: closed, another task reads, the ready budget, and at last that more must be received.

An argument may run code when it is asked for its number or its memory, and that code may use this
stream: asked at each turn, it could take all that comes.  So the slow path makes arguments plain.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from operator import index
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from penstock._backends import Backend, bound_backend, current_backend
from penstock._exceptions import (
    BusyResourceError,
    ClosedResourceError,
    DelimiterNotFound,
    EndOfStream,
    IncompleteRead,
)
from penstock._hotpath import ReceiveBuffer
from penstock._octets import PLAIN
from penstock.abc import (
    AnyByteReceiveStream,
    AnyByteStream,
    AnyByteStreamConnectable,
    ByteReceiveStream,
    ByteSendStream,
    ByteStream,
    ByteStreamConnectable,
)
from penstock.streams._threads import refuse_other_thread

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    Delimiters: TypeAlias = ReadableBuffer | Sequence[ReadableBuffer]

__all__ = ("BufferedByteReceiveStream", "BufferedByteStream", "BufferedConnectable")

T = TypeVar("T")

#: What a stream that may be idle receives into: many connections are.
SMALL = 4096
#: What a stream that keeps filling it receives into: one call then drains a loopback socket.
LARGE = 65536
LINE_ENDS = (b"\r\n", b"\n")


def _plain(delimiter: Delimiters) -> Delimiters:
    """Return a delimiter, or several, as bytes; they are valid."""
    if isinstance(delimiter, (tuple, list)):
        return tuple([bytes(memoryview(each)) for each in delimiter])
    return bytes(memoryview(cast("Any", delimiter)))


def _no_bytes(*_arguments: object) -> None:
    """Stand in for the ready operations of a closed stream: decline."""


def _no_count(_buffer: object) -> int:
    return -1


class BufferedByteReceiveStream(ByteReceiveStream):
    """Receive bytes as a protocol needs them, from any bytes-oriented stream.

    Over a byte stream it reads ahead, at most one buffer of 64 KiB, and never where the request
    can be served from what is there.  One task at a time reads.  Whatever fails or is cancelled,
    bytes that were received and not handed out stay in :attr:`buffer`.

    Args:
        receive_stream: A byte stream, or an object stream of bytes.
    """

    __slots__ = (
        "__weakref__",
        "_backend",
        "_buffer",
        "_chunk",
        "_closed",
        "_fed",
        "_filled",
        "_peek",
        "_reads_ahead",
        "_take",
        "_take_exactly",
        "_take_frame",
        "_take_into",
        "_take_until",
        "receive_stream",
    )

    def __init__(self, receive_stream: AnyByteReceiveStream) -> None:
        self.receive_stream: Any = receive_stream
        self._reads_ahead = isinstance(receive_stream, ByteReceiveStream) or hasattr(
            receive_stream, "receive_into"
        )
        self._closed = False
        self._backend: Backend | None = None
        self._chunk = SMALL  # the next size to try while receives fill what they get
        self._filled = False
        self._fed: list[bytes] = []  # while a receive has the end of the buffer to itself
        self._buffer = buffer = ReceiveBuffer()
        # Bound once: a ready operation is one call.  Closing replaces them by functions that
        # decline, so that it need not ask whether the stream is closed.
        self._take: Callable[[int], bytes | None] = buffer.take
        self._take_exactly: Callable[[int], bytes | None] = buffer.take_exactly
        self._take_into: Callable[[WriteableBuffer], int] = buffer.take_into
        self._take_until: Callable[..., bytes | None] = buffer.take_until
        self._take_frame: Callable[[int, int], bytes | None] = buffer.take_frame
        self._peek: Callable[[int], bytes | None] = buffer.peek

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        attributes: Mapping[Any, Callable[[], Any]] = self.receive_stream.extra_attributes
        return attributes

    @property
    def buffer(self) -> bytes:
        """The bytes that were received and not yet handed out, as a copy."""
        return b"".join([bytes(self._buffer), *self._fed])

    def feed_data(self, data: ReadableBuffer, /) -> None:
        """Put bytes at the end of the buffer, as if they had just been received.

        They are handed out before anything that is received later.

        Args:
            data: Contiguous bytes-like object.

        Raises:
            TypeError: ``data`` is something else.
            ClosedResourceError: This stream was closed.
            RuntimeError: This is another thread than the one that reads.
        """
        if self._closed:
            raise ClosedResourceError
        budget = self._buffer.budget
        if budget is not None and budget.foreign and not budget.retired:
            raise RuntimeError("this stream belongs to another event loop or thread")
        try:
            self._buffer.feed(data)
        except BufferError:
            self._fed.append(bytes(data))

    async def receive(self, max_bytes: int = 65536) -> bytes:
        data = self._take(max_bytes)
        while data is None:
            if not self._is_short():
                await self._settle()
            elif self._reads_ahead:  # straight through: nothing to gain from a copy
                received: bytes = await self._pass_on(self.receive_stream.receive(max_bytes))
                if not len(self._buffer):
                    return received
                self._buffer.feed(received)  # behind what was fed meanwhile
            else:
                await self._receive_more()
            max_bytes = index(max_bytes)
            data = self._take(max_bytes)
        return data

    async def receive_into(self, buffer: WriteableBuffer) -> int:
        nbytes = self._take_into(buffer)
        view = None
        try:
            while nbytes < 0:
                if not self._is_short():
                    await self._settle()
                elif self._reads_ahead:
                    nbytes = await self._pass_on(self.receive_stream.receive_into(buffer))
                    if not len(self._buffer):
                        return nbytes
                    with memoryview(buffer) as memory, memory.cast("B") as octets:
                        self._buffer.feed(octets[:nbytes])  # behind what was fed meanwhile
                else:
                    await self._receive_more()
                if type(buffer) not in PLAIN:
                    buffer = view = memoryview(buffer)
                nbytes = self._take_into(buffer)
        finally:
            if view is not None:
                view.release()
        return nbytes

    async def receive_exactly(self, nbytes: int) -> bytes:
        """Receive exactly ``nbytes`` bytes.

        Memory grows with what comes, not with what was asked for.  If cancelled, what has
        arrived stays in :attr:`buffer`.

        Args:
            nbytes: At least 0.

        Raises:
            IncompleteRead: The stream ended first; what came stays buffered.
            TypeError: ``nbytes`` is not an integer.
            ValueError: ``nbytes`` is negative.
        """
        data = self._take_exactly(nbytes)
        while data is None:
            if self._is_short():
                try:
                    await self._receive_more()
                except EndOfStream as exc:
                    raise IncompleteRead from exc
            else:
                await self._settle()
            nbytes = index(nbytes)
            data = self._take_exactly(nbytes)
        return data

    # A keyword-only argument would cost the ready operation 6 %.
    async def receive_until(
        self, delimiter: Delimiters, max_bytes: int, include_delimiter: bool = False
    ) -> bytes:
        """Receive the bytes before a delimiter, and consume both.

        The result does not depend on how the bytes were chunked on the way.  Among several
        delimiters the first to be complete ends it; of two that end together, the longer.  If
        cancelled, what has arrived stays in :attr:`buffer`, and is not searched again.

        Args:
            delimiter: What to stop at, or a tuple or list of that.  Not empty.
            max_bytes: How many bytes may precede the delimiter; at least 1.
            include_delimiter: Whether the result ends with the delimiter.

        Raises:
            DelimiterNotFound: More than ``max_bytes`` bytes precede the delimiter; they stay
                buffered.
            IncompleteRead: The stream ended first; what came stays buffered.
            TypeError: ``delimiter`` is not bytes-like, or ``max_bytes`` is not an integer.
            ValueError: ``delimiter`` is empty, or ``max_bytes`` is below 1.
        """
        data = self._take_until(delimiter, max_bytes, include_delimiter)
        while data is None:
            if self._is_short():
                if self._buffer.limit_exceeded(delimiter, max_bytes):
                    raise DelimiterNotFound(max_bytes)
                try:
                    await self._receive_more()
                except EndOfStream as exc:
                    raise IncompleteRead from exc
            else:
                await self._settle()
            if type(delimiter) is not bytes:
                delimiter = _plain(delimiter)
            max_bytes = index(max_bytes)
            data = self._take_until(delimiter, max_bytes, include_delimiter)
        return data

    async def receive_line(self, max_bytes: int = 65536) -> bytes:
        r"""Receive a line that ends with LF or CRLF, and return it without that.

        A last line that does not end is returned as it is.  If cancelled, what has arrived stays
        in :attr:`buffer`.

        Args:
            max_bytes: Longest line, in bytes, not counting its end; at least 1.

        Raises:
            EndOfStream: There is no further line.
            DelimiterNotFound: The line is longer than ``max_bytes``; it stays buffered.
            TypeError: ``max_bytes`` is not an integer.
            ValueError: ``max_bytes`` is below 1.
        """
        data = self._take_until(LINE_ENDS, max_bytes)
        while data is None:
            if self._is_short():
                if self._buffer.limit_exceeded(LINE_ENDS, max_bytes):
                    raise DelimiterNotFound(max_bytes)
                try:
                    await self._receive_more()
                except EndOfStream:
                    if not len(self._buffer):
                        raise
                    break
            else:
                await self._settle()
            max_bytes = index(max_bytes)
            data = self._take_until(LINE_ENDS, max_bytes)
        else:
            return data
        if len(self._buffer) > index(max_bytes):  # by a CR that turned out to be part of it
            raise DelimiterNotFound(max_bytes)
        return await self.receive_exactly(len(self._buffer))

    async def peek(self, nbytes: int) -> bytes:
        """Return the next bytes without consuming them.

        Receives once where nothing is buffered.  If cancelled, what has arrived stays in
        :attr:`buffer`.

        Args:
            nbytes: Longest result, in bytes; at least 1.

        Returns:
            Between 1 and ``nbytes`` bytes.

        Raises:
            EndOfStream: Nothing is buffered and nothing more will come.
            TypeError: ``nbytes`` is not an integer.
            ValueError: ``nbytes`` is below 1.
        """
        data = self._peek(nbytes)
        while data is None:
            if self._is_short():
                await self._receive_more()
            else:
                await self._settle()
            nbytes = index(nbytes)
            data = self._peek(nbytes)
        return data

    def _refuse_other_thread(self) -> None:
        refuse_other_thread(self.receive_stream)

    async def aclose(self) -> None:
        self._refuse_other_thread()
        self._closed = True
        self._take = self._take_exactly = self._take_until = self._peek = _no_bytes
        self._take_frame = _no_bytes
        self._take_into = _no_count
        await self.receive_stream.aclose()

    # -- the slow path ---------------------------------------------------------------------

    def _is_short(self) -> bool:
        """Return whether the buffer declined because more must be received; spend that operation.

        Otherwise it was the ready budget that declined, and settling it comes first.
        """
        if self._closed:
            raise ClosedResourceError
        if self._buffer.claimed:
            raise BusyResourceError("reading from")
        budget = self._buffer.budget
        return budget is not None and budget.spend()

    async def _settle(self) -> None:
        """Let the next ready operation go ahead; a pending cancellation is raised."""
        buffer = self._buffer
        self._backend = backend = bound_backend(buffer, self._backend)
        buffer.claimed = True
        try:
            await backend.settle()
        finally:
            buffer.claimed = False
        if self._closed:
            raise ClosedResourceError

    async def _receive_more(self) -> None:
        """Receive into the buffer, once.  If cancelled, it is as it was."""
        buffer = self._buffer
        if not self._reads_ahead:
            buffer.feed(await self._pass_on(self.receive_stream.receive()))
            return
        # After a receive that left room, the next one probably waits: with little memory.
        size = self._chunk if self._filled else SMALL
        late = None
        buffer.claimed = True
        try:
            with buffer.reserve(size) as room:
                nbytes = await self.receive_stream.receive_into(room)
                if self._fed:
                    late = bytes(room[:nbytes])
            if late is None:
                buffer.commit(nbytes)
        except Exception as exc:
            self._raise_if_closed(exc)
            raise
        finally:
            buffer.claimed = False
            if self._fed:
                buffer.feed(b"".join(self._fed))
                self._fed.clear()
        if late is not None:
            buffer.feed(late)
        if not nbytes:  # how a stream of another kind may tell its end
            raise EndOfStream
        self._filled = nbytes == size
        if size == self._chunk:
            if self._filled:
                self._chunk = min(2 * size, LARGE)
            elif 4 * nbytes < size:
                self._chunk = max(size // 2, SMALL)

    async def _pass_on(self, receiving: Awaitable[T]) -> T:
        """Await a receive of the wrapped stream as the one task that reads."""
        self._buffer.claimed = True
        try:
            return await receiving
        except Exception as exc:
            self._raise_if_closed(exc)
            raise
        finally:
            self._buffer.claimed = False

    def _raise_if_closed(self, cause: Exception) -> None:
        if self._closed and not isinstance(cause, ClosedResourceError):
            raise ClosedResourceError from cause


class BufferedByteStream(BufferedByteReceiveStream, ByteStream):
    """Buffered receiving, and sending as the wrapped stream does it.

    Args:
        stream: A byte stream, or an object stream of bytes, in both directions.
    """

    __slots__ = ("_eof_sent", "_sends_views")

    def __init__(self, stream: AnyByteStream) -> None:
        super().__init__(stream)
        self._sends_views = isinstance(stream, ByteSendStream)
        self._eof_sent = False

    @property
    def partial_send(self) -> int | None:
        """As the wrapped stream tells it; see :attr:`ByteSendStream.partial_send`."""
        partial: int | None = getattr(self.receive_stream, "partial_send", None)
        return partial

    async def send(self, item: ReadableBuffer) -> None:
        if self._closed:
            raise ClosedResourceError
        if not self._sends_views and type(item) is not bytes:
            item = bytes(memoryview(item))  # whoever gets it as an object expects bytes
        await self.receive_stream.send(item)

    async def send_many(self, buffers: Iterable[ReadableBuffer]) -> None:
        if self._closed:
            raise ClosedResourceError
        if self._sends_views:
            await self.receive_stream.send_many(buffers)
        else:
            items = [bytes(memoryview(buffer)) for buffer in buffers]
            if not items:
                if self._eof_sent:
                    raise ClosedResourceError
                await current_backend().checkpoint_if_cancelled()
            for item in items:
                await self.receive_stream.send(item)

    async def send_eof(self) -> None:
        if self._closed:
            raise ClosedResourceError
        await self.receive_stream.send_eof()
        self._eof_sent = True


class BufferedConnectable(ByteStreamConnectable):
    """Connects as another connectable does, and buffers what is received.

    Args:
        connectable: What gives a byte stream, or an object stream of bytes.
    """

    def __init__(self, connectable: AnyByteStreamConnectable) -> None:
        self.connectable = connectable

    async def connect(self) -> BufferedByteStream:
        return BufferedByteStream(await self.connectable.connect())
