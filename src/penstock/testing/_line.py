"""One direction of a byte stream in memory: the bytes on their way, and who waits for them.

Lives here: what the streams in memory are built on, and how their sending ends behave.  It
knows neither hooks nor which end of what it belongs to.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from penstock._backends import Backend, Wait, bound_backend, current_backend
from penstock._exceptions import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
    WouldBlock,
)
from penstock._hotpath import ReadyBudget, ReceiveBuffer
from penstock._octets import octets_of
from penstock.abc import ByteSendStream
from penstock.testing._resets import ResetAttribute, connection_reset

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ("Line", "SendingEnd")


class Line:
    """Bytes in order, from when they are put until they are taken.

    One task at a time takes.  A task that waits is woken with readiness, never with bytes: a
    cancelled one loses none.
    """

    # I1  _taker is set only while _taking, and while nothing is there to take
    # I2  _putter is set only while bytes are there that a task waits to see taken
    # I3  once ended, nothing more is put; once dropped, nothing is there any more
    # I4  wiped counts the bytes, put since it was last set to 0, that nobody will take
    # I5  once torn, it is ended
    __slots__ = (
        "_backend",
        "_buffer",
        "_putter",
        "_taker",
        "_taking",
        "budget",
        "dropped",
        "ended",
        "torn",
        "wiped",
    )

    def __init__(self) -> None:
        self._buffer = ReceiveBuffer()
        self._backend: Backend | None = None
        self._taker: Wait | None = None
        self._putter: Wait | None = None
        self._taking = False
        #: What operations count on; None until the first event loop uses the line.
        self.budget: ReadyBudget | None = None
        self.ended: bool = False
        self.torn: bool = False
        self.dropped: bool = False
        self.wiped: int = 0

    def __len__(self) -> int:
        return len(self._buffer)

    def bind(self, budget: ReadyBudget) -> None:
        """Let operations count on ``budget`` from now on."""
        self.budget = budget

    def check_loop(self) -> None:
        """Raise where a call that does not wait must not come from.

        Raises:
            RuntimeError: The line belongs to another thread, or a task of another loop waits.
        """
        budget = self.budget
        if budget is None or budget.retired:
            return
        waited_for = self._taker is not None or self._putter is not None
        if budget.foreign or (
            waited_for and self._backend is not None and not self._backend.is_current()
        ):
            raise RuntimeError("this stream belongs to another event loop or thread")

    async def settle(self) -> None:
        """Do what stands before an operation: a pending cancellation, and the ready budget."""
        self._backend = backend = bound_backend(self, self._backend)
        await backend.begin_operation()

    # -- putting ---------------------------------------------------------------------------

    def put(self, data: ReadableBuffer) -> None:
        """Put bytes at the end."""
        self._buffer.feed(data)
        if len(self._buffer):
            self._wake(self._taker)

    def end(self) -> None:
        """Put nothing more; what is there can be taken."""
        self.ended = True
        self._wake(self._taker)
        self._wake(self._putter)

    def tear(self) -> None:
        """Put nothing more; behind what is there, whoever takes learns of a reset."""
        self.torn = True
        self.end()

    def wipe(self) -> None:
        """Take back what is there."""
        self.wiped += len(self._buffer)
        self._buffer = ReceiveBuffer()
        self._wake(self._putter)

    async def wait_until_taken(self) -> None:
        """Wait until nothing is there.  If cancelled, the bytes are where they were."""
        while len(self._buffer):
            await self._wait("_putter")

    # -- taking ----------------------------------------------------------------------------

    async def take(self, max_bytes: int, hook: Callable[[], Awaitable[Any]] | None = None) -> bytes:
        """Take what is there, or wait for the first byte.  If cancelled, nothing was taken.

        Args:
            max_bytes: Longest result, in bytes; at least 1.
            hook: Awaited before anything is looked at.
        """
        if self.dropped:
            raise ClosedResourceError
        self.check_loop()
        if self._taking:
            raise BusyResourceError("reading from")
        self._taking = True
        try:
            await self.settle()
            if hook is not None and not self.dropped:
                await hook()
            while not len(self._buffer):
                if self.dropped:
                    raise ClosedResourceError
                if self.ended:
                    self._raise_end()
                await self._wait("_taker")
            data = self._take(max_bytes)
            if self.budget is not None:
                self.budget.spend_bytes(len(data))
            return data
        finally:
            self._taking = False

    def take_nowait(self, max_bytes: int) -> bytes:
        """Take what is there."""
        self.check_loop()
        if self._taking:
            raise BusyResourceError("reading from")
        if len(self._buffer):
            return self._take(max_bytes)
        if self.ended:
            self._raise_end()
        raise WouldBlock

    def _raise_end(self) -> NoReturn:
        if self.torn:
            raise BrokenResourceError from connection_reset()
        raise EndOfStream

    def drop(self) -> None:
        """Take nothing more: what is there, and what is still put, is lost."""
        self.dropped = True
        self.wipe()
        self._wake(self._taker)

    def _take(self, max_bytes: int) -> bytes:
        # A budget for this call alone: the event loop's own was asked before, if there is one.
        self._buffer.bind(ReadyBudget(2))
        data = self._buffer.take(max_bytes)
        assert data is not None
        if not len(self._buffer):
            self._wake(self._putter)
        return data

    # -- waiting ---------------------------------------------------------------------------

    async def _wait(self, role: str) -> None:
        assert self._backend is not None  # of settle()
        wait = self._backend.new_wait()
        setattr(self, role, wait)
        try:
            await wait
        finally:
            setattr(self, role, None)
        self._backend.budget.turn()  # whoever waited was resumed by the event loop

    def _wake(self, wait: Wait | None) -> None:
        if wait is not None and self._backend is not None:
            self._backend.wake(wait)


class SendingEnd(ByteSendStream):
    """The end of a line that bytes go into.

    Args:
        line: Where they go.
    """

    # I1  _partial is what the last send that got hold of the stream has put out; None: all
    __slots__ = ("_closed", "_line", "_partial", "_sending", "far_line")

    def __init__(self, line: Line) -> None:
        self._line = line
        #: Where the peer takes them from; the same, unless a test carries them there.
        self.far_line: Line = line
        self._partial: int | None = None
        self._sending = self._closed = False

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {ResetAttribute.reset_peer: lambda: self.far_line.tear}

    @property
    def partial_send(self) -> int | None:
        """How many bytes of the last send went out, if it was cut short; None: all of them."""
        return self._partial

    async def send(self, item: ReadableBuffer) -> None:
        await self.send_many((item,))

    async def send_many(self, buffers: Iterable[ReadableBuffer]) -> None:
        views: list[memoryview] = []  # while they are there, nobody may resize a buffer
        try:
            for buffer in buffers:
                views.append(octets_of(buffer))
            await self._send(views)
        finally:
            for view in views:
                view.release()

    async def _send(self, views: list[memoryview]) -> None:
        line = self._line
        if line.ended:
            raise ClosedResourceError
        line.check_loop()
        if self._sending:
            raise BusyResourceError("writing to")
        self._sending = True
        self._partial = 0
        try:
            await line.settle()
            if line.ended:
                raise ClosedResourceError
            if line.dropped:
                raise BrokenResourceError
            await self._put(views)
        finally:
            self._sending = False
        self._partial = None

    @abstractmethod
    async def _put(self, views: list[memoryview]) -> None:
        """Put bytes on the line, and note in ``_partial`` how many went out."""

    def _ended(self) -> None:
        """Do what goes with the end of the line; called once, when it has ended."""

    def _end(self) -> None:
        if not self._line.ended:
            self._line.end()
            self._ended()

    async def send_eof(self) -> None:
        """Tell the other end that nothing more will be sent.

        Calling it again is silent.  If cancelled, the other end was not told.
        """
        if self._closed:
            raise ClosedResourceError
        self._line.check_loop()
        if self._sending:
            raise BusyResourceError("writing to")
        self._sending = True
        try:
            await self._line.settle()
            if self._closed:
                raise ClosedResourceError
            self._end()
        finally:
            self._sending = False

    def close(self) -> None:
        """Close this end; again: do nothing.  What was sent can still be received.

        A task that sends gets ClosedResourceError.

        Raises:
            RuntimeError: The stream belongs to another event loop or thread.
        """
        if not self._closed:
            self._line.check_loop()
            self._closed = True
            self._end()

    async def aclose(self) -> None:
        """Do what :meth:`close` does; if cancelled, it is done all the same."""
        self.close()
        await current_backend().checkpoint_if_cancelled()
