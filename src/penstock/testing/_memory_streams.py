"""Byte streams in memory whose other end is in the hands of a test, and pairs of them.

Lives here: streams of unlimited capacity, their hooks, and the pump from one to another.  Those
without any capacity live in ``_lockstep_streams``.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from penstock._arguments import positive
from penstock._backends import current_backend
from penstock._exceptions import BrokenResourceError, ClosedResourceError, EndOfStream, WouldBlock
from penstock._octets import octets_of
from penstock.abc import ByteReceiveStream
from penstock.streams.stapled import StapledByteStream
from penstock.testing._line import Line, SendingEnd

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = (
    "MemoryReceiveStream",
    "MemorySendStream",
    "MemoryStream",
    "memory_stream_one_way_pair",
    "memory_stream_pair",
    "memory_stream_pump",
)

T_Send = TypeVar("T_Send", bound=SendingEnd)
T_Receive = TypeVar("T_Receive", bound=ByteReceiveStream)


class MemorySendStream(SendingEnd):
    """A stream to send to; a test gets what was sent.

    It holds any number of bytes, so that a send waits for nothing but its hook.

    Args:
        send_hook: Awaited in each send when its bytes are there to be got.  If it raises, or is
            cancelled, so does the send, and ``partial_send`` counts all of them.
        close_hook: Called when the stream ends, once.
    """

    __slots__ = ("close_hook", "send_hook")

    def __init__(
        self,
        send_hook: Callable[[], Awaitable[Any]] | None = None,
        close_hook: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(Line())
        self.send_hook: Callable[[], Awaitable[Any]] | None = send_hook
        self.close_hook: Callable[[], object] | None = close_hook

    async def _put(self, views: list[memoryview]) -> None:
        for view in views:
            self._line.put(view)
        self._partial = sum(map(len, views))
        if self._line.budget is not None:
            self._line.budget.spend_bytes(self._partial)
        if self.send_hook is not None:
            await self.send_hook()

    def _ended(self) -> None:
        if self.close_hook is not None:
            self.close_hook()

    async def get_data(self, max_bytes: int | None = None) -> bytes:
        """Get what was sent, or wait for it.

        If cancelled, nothing was taken.

        Args:
            max_bytes: Longest result, in bytes, at least 1; None: all that is there.

        Raises:
            BusyResourceError: Another task is getting.
            EndOfStream: The stream was closed, and everything that was sent has been got.
            RuntimeError: The stream belongs to another event loop or thread.
            TypeError: ``max_bytes`` is not an integer.
            ValueError: ``max_bytes`` is below 1.
        """
        return await self._line.take(_limit(max_bytes))

    def get_data_nowait(self, max_bytes: int | None = None) -> bytes:
        """Get what was sent, at once.

        Args:
            max_bytes: As for :meth:`get_data`.

        Raises:
            WouldBlock: There is nothing.  The other errors are those of :meth:`get_data`.
        """
        return self._line.take_nowait(_limit(max_bytes))


class MemoryReceiveStream(ByteReceiveStream):
    """A stream to receive from; a test puts in what is received.

    Args:
        receive_hook: Awaited in each receive before it looks for bytes.
        close_hook: Called when the stream is closed, once.
    """

    __slots__ = ("_line", "close_hook", "receive_hook")

    def __init__(
        self,
        receive_hook: Callable[[], Awaitable[Any]] | None = None,
        close_hook: Callable[[], object] | None = None,
    ) -> None:
        self._line = Line()
        self.receive_hook: Callable[[], Awaitable[Any]] | None = receive_hook
        self.close_hook: Callable[[], object] | None = close_hook

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return await self._line.take(positive("max_bytes", max_bytes), self.receive_hook)

    def put_data(self, data: ReadableBuffer) -> None:
        """Put in bytes to be received.

        Raises:
            ClosedResourceError: The stream was closed, or :meth:`put_eof` was called.
            RuntimeError: The stream belongs to another event loop or thread.
            TypeError: ``data`` is not bytes-like.
        """
        with octets_of(data) as view:
            self._line.check_loop()
            if self._line.ended or self._line.dropped:
                raise ClosedResourceError
            self._line.put(view)

    def put_eof(self) -> None:
        """End the stream behind what was put in; again, or once it is closed: do nothing.

        Raises:
            RuntimeError: The stream belongs to another event loop or thread.
        """
        self._line.check_loop()
        self._line.end()

    def close(self) -> None:
        """Close the stream, and forget what was put in; again: do nothing.

        A task that receives gets ClosedResourceError.

        Raises:
            RuntimeError: The stream belongs to another event loop or thread.
        """
        if not self._line.dropped:
            self._line.check_loop()
            self._line.drop()
            if self.close_hook is not None:
                self.close_hook()

    async def aclose(self) -> None:
        """Do what :meth:`close` does; if cancelled, it is done all the same."""
        self.close()
        await current_backend().checkpoint_if_cancelled()


class MemoryStream(StapledByteStream, Generic[T_Send, T_Receive]):
    """Both directions of a byte stream in memory.

    Args:
        send_stream: What to send on.
        receive_stream: What to receive from.
    """

    send_stream: T_Send
    receive_stream: T_Receive

    def __init__(self, send_stream: T_Send, receive_stream: T_Receive) -> None:
        super().__init__(send_stream, receive_stream)

    async def send_eof(self) -> None:
        """Tell the peer that nothing more will be sent; receiving goes on.

        Calling it again is silent.  If cancelled, the peer was not told.
        """
        await self.send_stream.send_eof()


def _limit(max_bytes: int | None) -> int:
    return sys.maxsize if max_bytes is None else positive("max_bytes", max_bytes)


def memory_stream_pump(
    send_stream: MemorySendStream,
    receive_stream: MemoryReceiveStream,
    *,
    max_bytes: int | None = None,
) -> bool:
    """Move what was sent on one stream into another, to be received there.

    The end of the first, once everything is moved, becomes the end of the second.

    Args:
        send_stream: Where to get it.
        receive_stream: Where to put it.
        max_bytes: Most bytes to move, at least 1; None: all that are there.

    Returns:
        Whether there was anything to move, the end included.

    Raises:
        BrokenResourceError: ``receive_stream`` is closed; the bytes are lost.
    """
    try:
        data = send_stream.get_data_nowait(max_bytes)
    except WouldBlock:
        return False
    except EndOfStream:
        receive_stream.put_eof()
        return True
    try:
        receive_stream.put_data(data)
    except ClosedResourceError:
        raise BrokenResourceError from None
    return True


def memory_stream_one_way_pair() -> tuple[MemorySendStream, MemoryReceiveStream]:
    """Create two connected streams: what is sent on the first can be received from the second.

    Any number of bytes may be on their way.  The first has hooks that pump each send, and the
    end, to the second; replace ``send_hook`` by one that calls :func:`memory_stream_pump` as a
    test needs it, with ``max_bytes`` for example.
    """
    send_stream = MemorySendStream()
    receive_stream = MemoryReceiveStream()
    send_stream.far_line = receive_stream._line

    async def pump() -> None:
        memory_stream_pump(send_stream, receive_stream)

    def pump_rest() -> None:
        # What another hook has left, and then the end.  A closed peer is no news to who closes.
        try:
            memory_stream_pump(send_stream, receive_stream)
        except BrokenResourceError:
            pass
        receive_stream.put_eof()

    send_stream.send_hook = pump
    send_stream.close_hook = pump_rest
    return send_stream, receive_stream


def memory_stream_pair() -> tuple[
    MemoryStream[MemorySendStream, MemoryReceiveStream],
    MemoryStream[MemorySendStream, MemoryReceiveStream],
]:
    """Create two connected streams in both directions, as two sockets are.

    Any number of bytes may be on their way.  Their ``send_stream`` and ``receive_stream`` are
    those of :func:`memory_stream_one_way_pair`, hooks included.
    """
    left_send, right_receive = memory_stream_one_way_pair()
    right_send, left_receive = memory_stream_one_way_pair()
    return MemoryStream(left_send, left_receive), MemoryStream(right_send, right_receive)
