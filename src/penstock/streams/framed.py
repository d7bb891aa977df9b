"""Framed streams: object streams of bytes over any stream of bytes.

Lives here: sending and receiving frames, and how large one may be.  How a frame is told from the
next one lives in ``_framings``, how bytes are buffered in ``buffered``, and what becomes of a frame
that was cut short in sending in ``_whole``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock._arguments import positive
from penstock._exceptions import BrokenResourceError, EndOfStream, FrameTooLarge, IncompleteRead
from penstock.abc import (
    AnyByteReceiveStream,
    AnyByteSendStream,
    AnyByteStream,
    ObjectReceiveStream,
    ObjectSendStream,
    ObjectStream,
)
from penstock.streams._framings import Delimited, Framing, LengthPrefixed, VarintPrefixed
from penstock.streams._threads import refuse_other_thread
from penstock.streams._whole import WholeSender
from penstock.streams.buffered import BufferedByteReceiveStream

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = (
    "Delimited",
    "FramedReceiveStream",
    "FramedSendStream",
    "FramedStream",
    "FramedStreamStatistics",
    "Framing",
    "LengthPrefixed",
    "VarintPrefixed",
)

#: The largest frame where nothing else is said, in bytes.
MAX_FRAME_SIZE = 1_048_576


class FramedStreamStatistics(NamedTuple):
    """What a framed stream holds."""

    #: Bytes that were received and not yet handed out.
    current_buffer_used: int
    #: Bytes still to be sent of a frame that was cut short.
    unsent: int
    #: The largest frame, in bytes.
    max_frame_size: int


class _Framed:
    """What both directions know: where a frame ends, and how large it may be."""

    def _set_framing(self, framing: Framing, max_frame_size: int) -> None:
        if not isinstance(framing, (LengthPrefixed, VarintPrefixed, Delimited)):
            raise TypeError(f"expected a framing, not {framing!r}")
        if not hasattr(max_frame_size, "__index__"):
            raise TypeError(f"max_frame_size must be an integer, not {max_frame_size!r}")
        if max_frame_size < 1:
            raise ValueError(f"max_frame_size must be a positive integer, not {max_frame_size!r}")
        self.framing = framing
        self.max_frame_size: int = index(max_frame_size)


class FramedReceiveStream(_Framed, ObjectReceiveStream[bytes]):
    """Receive frames from any bytes-oriented stream.

    One task at a time receives.  Whatever fails or is cancelled, bytes that were received and make
    no frame stay readable from :attr:`buffered`.

    Args:
        receive_stream: A byte stream, or an object stream of bytes, or one of these in a buffered
            stream, whose buffer is then used.
        framing: Where a frame ends.
        max_frame_size: The largest frame, in bytes, without prefix or delimiter; at least 1.

    Raises:
        TypeError: ``framing`` or ``max_frame_size`` is something else.
        ValueError: ``max_frame_size`` is below 1.
    """

    def __init__(
        self,
        receive_stream: AnyByteReceiveStream,
        framing: Framing,
        max_frame_size: int = MAX_FRAME_SIZE,
    ) -> None:
        self._set_framing(framing, max_frame_size)
        self._receive_from(receive_stream)

    def _receive_from(self, stream: AnyByteReceiveStream) -> None:
        #: What the frames are cut from, for what is no frame before, between and after them.
        self.buffered: BufferedByteReceiveStream = (
            stream
            if isinstance(stream, BufferedByteReceiveStream)
            else BufferedByteReceiveStream(stream)
        )
        framing = self.framing
        self._delimiter = framing.delimiter if isinstance(framing, Delimited) else None
        self._prefix = 0 if isinstance(framing, Delimited) else framing._prefix

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self.buffered.extra_attributes

    def statistics(self) -> FramedStreamStatistics:
        """Return the current figures of this stream."""
        return FramedStreamStatistics(len(self.buffered._buffer), 0, self.max_frame_size)

    async def __anext__(self) -> bytes:  # as inherited, with one coroutine less on the way
        frame = self._take()
        if frame is not None:
            return frame
        try:
            return await self._receive_slowly()
        except EndOfStream:
            raise StopAsyncIteration from None

    async def receive(self) -> bytes:
        """Receive the next frame; an empty one is one.

        If cancelled, what has arrived of it stays buffered.

        Raises:
            BrokenResourceError: The outside broke the stream, or what stands where the size of a
                frame should is none.
            EndOfStream: There is no further frame.
            FrameTooLarge: The next frame has more than ``max_frame_size`` bytes.  It stays where
                it is, so that a further call finds it again.
            IncompleteRead: The stream ended within a frame; what came stays buffered.
        """
        delimiter = self._delimiter
        if delimiter is None:
            frame = self.buffered._take_frame(self._prefix, self.max_frame_size)
        else:
            frame = self.buffered._take_until(delimiter, self.max_frame_size)
        if frame is None:
            frame = await self._receive_slowly()
        return frame

    async def receive_many(self, max_frames: int) -> list[bytes]:
        """Receive the frames that are there; wait while there is none.

        If cancelled, no frame was taken.

        Args:
            max_frames: Most frames to return; at least 1.

        Returns:
            Between 1 and ``max_frames`` frames, in order.

        Raises:
            TypeError: ``max_frames`` is not an integer.
            ValueError: ``max_frames`` is below 1.

        What :meth:`receive` raises about the first frame is raised here as well.
        """
        positive("max_frames", max_frames)
        frames = [await self.receive()]
        while len(frames) < max_frames and (frame := self._take()) is not None:
            frames.append(frame)
        return frames

    def _refuse_other_thread(self) -> None:
        refuse_other_thread(self.buffered)

    async def aclose(self) -> None:
        await self.buffered.aclose()

    def _take(self) -> bytes | None:
        if self._delimiter is None:
            return self.buffered._take_frame(self._prefix, self.max_frame_size)
        return self.buffered._take_until(self._delimiter, self.max_frame_size)

    async def _receive_slowly(self) -> bytes:
        buffered = self.buffered
        frame = None
        while frame is None:
            if buffered._is_short():
                self._check_announced()
                try:
                    await buffered._receive_more()
                except EndOfStream as exc:
                    if not len(buffered._buffer):
                        raise
                    raise IncompleteRead from exc
            else:
                await buffered._settle()
            frame = self._take()
        return frame

    def _check_announced(self) -> None:
        """Raise what is wrong with the next frame, as far as it is there."""
        limit = self.max_frame_size
        if self._delimiter is not None:
            if self.buffered._buffer.limit_exceeded(self._delimiter, limit):
                raise FrameTooLarge(limit)
            return
        size = self.buffered._buffer.frame_size(self._prefix)
        if size > limit:
            raise FrameTooLarge(limit, size)
        if size < -1:
            raise BrokenResourceError("the size of the next frame is not a varint, or overlong")


class FramedSendStream(_Framed, ObjectSendStream[bytes]):
    """Send frames over any bytes-oriented stream, each of them whole.

    One task at a time sends.  Over an object stream, frames that are sent by one call are one
    object.

    Args:
        send_stream: A byte stream, or an object stream of bytes.
        framing: Where a frame ends.
        max_frame_size: The largest frame, in bytes, without prefix or delimiter; at least 1.

    Raises:
        TypeError: ``framing`` or ``max_frame_size`` is something else.
        ValueError: ``max_frame_size`` is below 1.
    """

    def __init__(
        self,
        send_stream: AnyByteSendStream,
        framing: Framing,
        max_frame_size: int = MAX_FRAME_SIZE,
    ) -> None:
        self._set_framing(framing, max_frame_size)
        self._send_to(send_stream)

    def _send_to(self, stream: AnyByteSendStream) -> None:
        self._send_stream = stream
        self._sender = WholeSender(stream)

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self._send_stream.extra_attributes

    def statistics(self) -> FramedStreamStatistics:
        """Return the current figures of this stream."""
        return FramedStreamStatistics(0, self._sender.unsent, self.max_frame_size)

    @property
    def partial_send(self) -> int | None:
        """How many frames of the last send are sent, if it was cut short; None: all of them.

        One that was begun is among them: its rest goes out before the next frame.
        """
        return self._sender.partial

    async def send(self, item: ReadableBuffer) -> None:
        """Send a frame.

        If cancelled, it was not sent, or its rest goes out before the next frame:
        :attr:`partial_send` says which.  Over a byte stream that does not tell how much went out,
        sending is broken from then on.

        Args:
            item: Contiguous bytes-like object of at most ``max_frame_size`` bytes.

        Raises:
            TypeError: ``item`` is something else.
            ValueError: ``item`` is too large, or contains the delimiter.
        """
        await self._sender.send((self._framed(item),))

    async def send_many(self, items: Iterable[ReadableBuffer]) -> None:
        """Send several frames at the cost of one.

        If cancelled, some of them may have gone out: :attr:`partial_send` says how many.

        Args:
            items: As for :meth:`send`; looked at before the first is sent.

        Raises:
            TypeError: One of ``items`` is not bytes-like; nothing was sent.
            ValueError: One of ``items`` is too large, or contains the delimiter; nothing was sent.
        """
        await self._sender.send([self._framed(item) for item in items])

    async def aclose(self) -> None:
        """Close this stream and the one below; if cancelled, they are closed all the same.

        Of a frame that was cut short, the rest is not sent.
        """
        self._refuse_other_thread()
        self._sender.close()
        await self._send_stream.aclose()

    def _refuse_other_thread(self) -> None:
        refuse_other_thread(self._send_stream)

    def _framed(self, item: ReadableBuffer) -> tuple[ReadableBuffer, ...]:
        if type(item) is bytes:
            size = len(item)
        else:
            try:
                view = memoryview(item)
            except TypeError:
                raise TypeError(f"expected bytes-like data, not {item!r}") from None
            if not view.c_contiguous:
                raise TypeError(f"expected contiguous bytes-like data, not {item!r}")
            size = view.nbytes
        framing = self.framing
        limit = self.max_frame_size
        if not isinstance(framing, Delimited):
            limit = min(limit, framing._largest)
        if size > limit:
            raise ValueError(f"the frame of {size} bytes is larger than {limit} bytes")
        return framing._frame(item, size)


class FramedStream(FramedReceiveStream, FramedSendStream, ObjectStream[bytes]):
    """Both directions: receive and send frames over any bytes-oriented stream.

    Args:
        stream: A byte stream, or an object stream of bytes, in both directions, or one of these
            in a buffered stream.
        framing: Where a frame ends.
        max_frame_size: The largest frame, in bytes, without prefix or delimiter; at least 1.

    Raises:
        TypeError: ``framing`` or ``max_frame_size`` is something else.
        ValueError: ``max_frame_size`` is below 1.
    """

    def __init__(
        self, stream: AnyByteStream, framing: Framing, max_frame_size: int = MAX_FRAME_SIZE
    ) -> None:
        self._set_framing(framing, max_frame_size)
        self._receive_from(stream)
        self._send_to(stream)
        self._stream: Any = stream

    def statistics(self) -> FramedStreamStatistics:
        receiving, sending = FramedReceiveStream.statistics(self), FramedSendStream.statistics(self)
        return receiving._replace(unsent=sending.unsent)

    async def send_eof(self) -> None:
        """Tell the peer that nothing more will be sent; receiving goes on.

        Calling it again is silent.  If cancelled, the peer was not told; less may be left of a
        frame that was cut short, whose rest goes out before.
        """
        await self._sender.send_rest()
        await self._stream.send_eof()

    async def aclose(self) -> None:
        self._refuse_other_thread()
        self._sender.close()
        await self.buffered.aclose()
