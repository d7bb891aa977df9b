"""Sending items as bytes so that none of them arrives in part.

Lives here: what becomes of an item that a cancellation cut in two.  How an item is written as
bytes is the business of the streams that use this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from penstock._backends import current_backend
from penstock._exceptions import BrokenResourceError, BusyResourceError, ClosedResourceError
from penstock.abc import AnyByteSendStream, ByteSendStream
from penstock.streams.buffered import BufferedByteStream

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ("WholeSender",)

#: Up to so many bytes, putting buffers together costs less than handing over several.
JOINED = 16_384


class WholeSender:
    """Send items whole over any bytes-oriented stream, one task at a time.

    Over a byte stream an item may be cut short.  Its rest then goes out before the next item.
    Over an object stream, what is sent at once is one object.

    Args:
        stream: A byte stream, or an object stream of bytes.
    """

    # I1  rest is what is still to be sent of an item that was begun; it is sent before all else
    # I2  once broken, an item was begun of which nobody knows how much went out
    __slots__ = ("_broken", "_closed", "_rest", "_sending", "_stream", "partial")

    #: How many items of the last send were begun, if it was cut short; None: it was complete.
    partial: int | None

    def __init__(self, stream: AnyByteSendStream) -> None:
        # A buffered stream sends as the wrapped one does, which knows what it counts.
        self._stream: Any = (
            stream.receive_stream if isinstance(stream, BufferedByteStream) else stream
        )
        self._closed = self._broken = self._sending = False
        self._rest = b""
        self.partial = None

    @property
    def unsent(self) -> int:
        """How many bytes are still to be sent of an item that was cut short."""
        return len(self._rest)

    async def send(self, items: Sequence[Sequence[ReadableBuffer]]) -> None:
        """Send items, each given as buffers that follow each other.

        If cancelled, some of them may have gone out: :attr:`partial` says how many, one that was
        begun included.

        Args:
            items: None of their buffers changes until this returns.
        """
        if self._closed:
            raise ClosedResourceError
        if self._sending:
            raise BusyResourceError("writing to")
        self.partial = 0
        if self._broken:
            raise BrokenResourceError("an earlier send was cut short, nobody knows where")
        self._sending = True
        try:
            if not items and not self._rest:
                await current_backend().checkpoint_if_cancelled()
            elif isinstance(self._stream, ByteSendStream):
                await self._send_bytes(items)
            else:
                await self._send_object(items)
        except Exception as exc:
            if self._closed and not isinstance(exc, ClosedResourceError):
                raise ClosedResourceError from exc
            raise
        finally:
            self._sending = False
        self.partial = None

    async def send_rest(self) -> None:
        """Send the rest of an item that was cut short, if there is one.

        If cancelled, less of it may be left.
        """
        if self._rest:
            await self.send(())

    def close(self) -> None:
        """Refuse to send from now on; the stream is somebody else's to close."""
        self._closed = True

    async def _send_object(self, items: Sequence[Sequence[ReadableBuffer]]) -> None:
        try:
            await self._stream.send(b"".join([piece for item in items for piece in item]))
        except BaseException:
            # A memory stream may have delivered what it was cancelled over.
            if getattr(self._stream, "partial_send", None):
                self.partial = len(items)
            raise

    async def _send_bytes(self, items: Sequence[Sequence[ReadableBuffer]]) -> None:
        stream = self._stream
        pieces = [piece for item in items for piece in item]
        if self._rest:
            pieces.insert(0, self._rest)
        if type(stream).partial_send is ByteSendStream.partial_send:
            # It will not tell how much went out: this is the last time that nothing did.
            await current_backend().checkpoint_if_cancelled()
        gone = 0
        try:
            if type(stream).send_many is not ByteSendStream.send_many:
                if len(pieces) > 1 and sum(map(_nbytes, pieces)) <= JOINED:
                    pieces = [b"".join(pieces)]
                await (stream.send(pieces[0]) if len(pieces) == 1 else stream.send_many(pieces))
            else:
                for piece in pieces:  # what it tells is about one send
                    await stream.send(piece)
                    gone += _nbytes(piece)
        except BusyResourceError:  # somebody else is sending, and nothing of this went out
            raise
        except ClosedResourceError:
            if stream.partial_send is not None:  # or it was closed before, by send_eof() perhaps
                self._note_cut(items, gone)
            raise
        except BaseException:
            self._note_cut(items, gone)
            raise
        self._rest = b""

    def _note_cut(self, items: Sequence[Sequence[ReadableBuffer]], gone: int) -> None:
        """Find out which items were begun, and keep the rest of the last of them."""
        sent = self._stream.partial_send
        if sent is None:
            self._broken = True
            self.partial = len(items)
            return
        gone += sent
        if gone < len(self._rest):
            self._rest = self._rest[gone:]
            return
        gone -= len(self._rest)
        self._rest = b""
        begun = 0
        for item in items:
            if not gone:
                break
            begun += 1
            size = sum(map(_nbytes, item))
            self._rest = b"".join(item)[gone:]
            gone -= min(size, gone)
        self.partial = begun


def _nbytes(buffer: ReadableBuffer) -> int:
    return len(buffer) if type(buffer) is bytes else memoryview(buffer).nbytes
