"""Byte streams in memory without any buffer: a send returns when all of it was received.

Nothing brings deadlocks to light as these do: whoever sends while nobody receives waits.
"""

from __future__ import annotations

from penstock._arguments import positive
from penstock._backends import current_backend
from penstock._exceptions import BrokenResourceError, ClosedResourceError
from penstock.abc import ByteReceiveStream
from penstock.testing._line import Line, SendingEnd
from penstock.testing._memory_streams import MemoryStream

__all__ = (
    "LockstepReceiveStream",
    "LockstepSendStream",
    "lockstep_stream_one_way_pair",
    "lockstep_stream_pair",
)


class LockstepSendStream(SendingEnd):
    """The sending end of a stream without a buffer.

    A send that is cut short takes back what was not received; ``partial_send`` counts what was.
    """

    __slots__ = ()

    async def _put(self, views: list[memoryview]) -> None:
        line = self._line
        line.wiped = 0
        total = sum(map(len, views))
        for view in views:
            line.put(view)
        try:
            await line.wait_until_taken()
        finally:
            line.wipe()  # nothing, where all were received
            self._partial = total - line.wiped
        if line.wiped:
            raise ClosedResourceError if line.ended else BrokenResourceError

    def _ended(self) -> None:
        self._line.wipe()


class LockstepReceiveStream(ByteReceiveStream):
    """The receiving end of a stream without a buffer.

    Args:
        line: Where the bytes come from.
    """

    __slots__ = ("_line",)

    def __init__(self, line: Line) -> None:
        self._line = line

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return await self._line.take(positive("max_bytes", max_bytes))

    def close(self) -> None:
        """Close this end; again: do nothing.

        A task that receives gets ClosedResourceError, one that sends BrokenResourceError.

        Raises:
            RuntimeError: The stream belongs to another event loop or thread.
        """
        if not self._line.dropped:
            self._line.check_loop()
            self._line.drop()

    async def aclose(self) -> None:
        """Do what :meth:`close` does; if cancelled, it is done all the same."""
        self.close()
        await current_backend().checkpoint_if_cancelled()


def lockstep_stream_one_way_pair() -> tuple[LockstepSendStream, LockstepReceiveStream]:
    """Create two connected streams without a buffer: what is sent on the first, the second gets.

    A send returns when all of it was received.
    """
    line = Line()
    return LockstepSendStream(line), LockstepReceiveStream(line)


def lockstep_stream_pair() -> tuple[
    MemoryStream[LockstepSendStream, LockstepReceiveStream],
    MemoryStream[LockstepSendStream, LockstepReceiveStream],
]:
    """Create two connected streams in both directions, without a buffer in either."""
    left_send, right_receive = lockstep_stream_one_way_pair()
    right_send, left_receive = lockstep_stream_one_way_pair()
    return MemoryStream(left_send, left_receive), MemoryStream(right_send, right_receive)
