"""Memory object streams: pass objects from task to task, with back-pressure.

Lives here: the async facade over :class:`~penstock._pure.queue.ItemQueue`, which holds the items
and who waits for them.  No item is ever lost, doubled or reordered per producer, whatever is
cancelled.  One case cannot be had on asyncio: a native ``task.cancel()`` that reaches a sender
after its item was taken and before it ran again makes ``send`` raise although the item arrived;
``partial_send`` is then 1.
"""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Generic, NamedTuple, NoReturn, Self, TypeVar

from penstock._arguments import positive
from penstock._backends import Backend, bound_backend, current_backend
from penstock._exceptions import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    WouldBlock,
)
from penstock._hotpath import NOTHING, ItemQueue
from penstock.abc import ObjectReceiveStream, ObjectSendStream

__all__ = (
    "MemoryObjectReceiveStream",
    "MemoryObjectSendStream",
    "MemoryObjectStreamStatistics",
    "create_memory_object_stream",
)

#: The longest result of ``receive_many``; what the queue moves in one operation.
MOST_AT_ONCE = 4_096

T_Item = TypeVar("T_Item")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


class MemoryObjectStreamStatistics(NamedTuple):
    """What is going on in a memory object stream."""

    #: Items in the buffer.
    current_buffer_used: int
    #: Items that fit into it; ``math.inf``: any number.
    max_buffer_size: float
    #: Unclosed clones of the sending end.
    open_send_streams: int
    #: Unclosed clones of the receiving end.
    open_receive_streams: int
    #: Tasks that wait for room.
    tasks_waiting_send: int
    #: Tasks that wait for an item.
    tasks_waiting_receive: int
    #: The most items that were ever in the buffer.
    peak_buffer_used: int


class _End:
    """What the two ends have in common: the queue, the loop that they serve, and closing."""

    __slots__ = ("__weakref__", "_backend", "_closed", "_end", "_queue")

    _queue: ItemQueue

    def __init__(self, queue: ItemQueue, end: Any) -> None:
        self._queue = queue
        self._end = end
        self._closed = False
        self._backend: Backend | None = None

    def statistics(self) -> MemoryObjectStreamStatistics:
        """Return the current figures of this stream, all clones together."""
        queue = self._queue
        return MemoryObjectStreamStatistics(
            len(queue),
            queue.max_buffer_size,
            queue.open_senders,
            queue.open_receivers,
            queue.waiting_senders,
            queue.waiting_receivers,
            queue.peak,
        )

    async def _settle(self) -> Backend:
        """Do what stands before an operation that the kernel has declined.

        The operation is paid for afterwards, whatever becomes of it: a grant that an error left
        unspent would let the next one go ahead without a look at cancellation.
        """
        if self._closed:
            raise ClosedResourceError
        self._backend = backend = bound_backend(self._queue, self._backend)
        if not backend.budget.spend():
            await backend.settle()
            backend.budget.spend()
            if self._closed:
                raise ClosedResourceError
        return backend

    def _refuse(self) -> NoReturn:
        """Raise what a ``_nowait`` operation that was declined has run into."""
        if self._closed:
            raise ClosedResourceError
        self._refuse_other_thread()
        raise WouldBlock

    def _refuse_other_thread(self) -> None:
        if not self._queue.usable:
            raise RuntimeError("this stream belongs to an event loop in another thread")

    def close(self) -> None:
        """Close this end of the stream; again: do nothing.

        Tasks that wait on this very object get ClosedResourceError.  When the last clone is
        closed, tasks that wait at the other end get EndOfStream or BrokenResourceError.

        Raises:
            RuntimeError: The stream belongs to an event loop in another thread.
        """
        if self._closed:
            return
        self._refuse_other_thread()
        self._closed = True
        self._close_end()

    @abstractmethod
    def _close_end(self) -> None:
        """Close this end of the queue."""

    async def aclose(self) -> None:
        """Do what :meth:`close` does; if cancelled, it is done all the same."""
        self.close()
        await current_backend().checkpoint_if_cancelled()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(
                f"Unclosed <{type(self).__name__} at {id(self):x}>",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )


def _declines_put(item: object) -> bool:
    """Stand in for the queue where the slow path has something to say first."""
    return False


def _declines_get() -> Any:
    return NOTHING


class MemoryObjectSendStream(_End, ObjectSendStream[T_contra], Generic[T_contra]):
    """The end of a memory object stream that items go into."""

    __slots__ = ("_partial", "_put")

    def __init__(self, queue: ItemQueue) -> None:
        super().__init__(queue, queue.open_sender())
        self._put = queue.put
        self._partial: int | None = None

    @property
    def partial_send(self) -> int | None:
        """How many items the last send or send_many put out, if it was cut short; None: all.

        After it, a send of the rest continues the sequence.
        """
        return self._partial

    async def send(self, item: T_contra) -> None:
        """Send an item; wait while the buffer is full.

        If cancelled, the item was not sent, with the exception named at the head of this module.

        Raises:
            BrokenResourceError: The receiving end is closed, all its clones included.
            ClosedResourceError: This end was closed, before or during the call.
            RuntimeError: The stream belongs to another event loop or thread.
        """
        if not self._put(item):
            await self._send_slowly(item)

    async def _send_slowly(self, item: T_contra) -> None:
        queue = self._queue
        waiter = None
        try:
            backend = await self._settle()
            if not queue.put_nowait(item):
                if not queue.open_receivers:
                    raise BrokenResourceError
                wait = backend.new_wait()
                waiter = queue.park_sender(item, wait, backend.wake, self._end)
                await wait
                backend.budget.turn()  # whoever waited was resumed by the event loop
                if not waiter.taken:
                    raise ClosedResourceError if self._closed else BrokenResourceError
        except BaseException:
            self._sent(0 if waiter is None or queue.cancel_sender(waiter) else 1)
            raise
        self._sent(None)

    def _sent(self, partial: int | None) -> None:
        """Note how much of a send went out, and let the next one through here if not all did."""
        if partial is not self._partial:
            self._partial = partial
            if not self._closed:
                self._put = self._queue.put if partial is None else _declines_put

    def send_nowait(self, item: T_contra) -> None:
        """Send ``item`` at once.

        Raises:
            BrokenResourceError: The receiving end is closed, all its clones included.
            ClosedResourceError: This end is closed.
            RuntimeError: The stream belongs to an event loop in another thread.
            WouldBlock: There is no room, and nobody waits for an item.
        """
        if self._closed or not self._queue.put_nowait(item):
            if not self._closed and not self._queue.open_receivers:
                raise BrokenResourceError
            self._refuse()

    async def send_many(self, items: Iterable[T_contra]) -> None:
        """Send several items, in order and at the cost of few; wait while the buffer is full.

        If cancelled, some of them were sent; :attr:`partial_send` says how many.

        Args:
            items: What to send; iterated before the first is sent.

        Raises:
            BrokenResourceError: The receiving end is closed, all its clones included.
            ClosedResourceError: This end was closed, before or during the call.
            RuntimeError: The stream belongs to another event loop or thread.
        """
        batch = list(items)
        done = 0
        try:
            if not batch:
                await self._settle()
            elif not self._closed:
                done = self._queue.put_many(batch, 0)
            while done < len(batch):
                await self._send_slowly(batch[done])
                done += 1
                if not self._closed:  # meanwhile
                    done += self._queue.put_many_nowait(batch, done)
        except BaseException:
            self._sent(done + (self._partial or 0) if batch else 0)
            raise
        self._sent(None)

    def clone(self) -> MemoryObjectSendStream[T_contra]:
        """Return another sending end of the same stream, closed on its own.

        Raises:
            ClosedResourceError: This end is closed.
        """
        if self._closed:
            raise ClosedResourceError
        return MemoryObjectSendStream(self._queue)

    def _close_end(self) -> None:
        self._put = _declines_put
        self._queue.close_sender(self._end)


class MemoryObjectReceiveStream(_End, ObjectReceiveStream[T_co], Generic[T_co]):
    """The end of a memory object stream that items come out of."""

    __slots__ = ("_get",)

    def __init__(self, queue: ItemQueue) -> None:
        super().__init__(queue, queue.open_receiver())
        self._get: Callable[[], T_co] = queue.get

    async def __anext__(self) -> T_co:  # as inherited, with one coroutine less on the way
        item = self._get()
        if item is not NOTHING:
            return item
        try:
            return await self._receive_slowly()
        except EndOfStream:
            raise StopAsyncIteration from None

    async def receive(self) -> T_co:
        """Receive the next item; wait while there is none.

        If cancelled, no item was taken: it stays for, or goes to, the next receiver.

        Raises:
            ClosedResourceError: This end was closed, before or during the call.
            EndOfStream: The sending end is closed, all its clones included, and every item is
                taken.
            RuntimeError: The stream belongs to another event loop or thread.
        """
        item = self._get()
        if item is not NOTHING:
            return item
        return await self._receive_slowly()

    async def _receive_slowly(self) -> T_co:
        backend = await self._settle()
        queue = self._queue
        item: T_co = queue.get_nowait()
        if item is not NOTHING:
            return item
        if queue.ended:
            raise EndOfStream
        wait = backend.new_wait()
        waiter = queue.park_receiver(wait, backend.wake, self._end)
        try:
            await wait
        except BaseException:
            queue.cancel_receiver(waiter)
            raise
        backend.budget.turn()  # whoever waited was resumed by the event loop
        item = queue.collect(waiter)
        if item is not NOTHING:
            return item
        if self._closed:
            raise ClosedResourceError
        raise EndOfStream

    def receive_nowait(self) -> T_co:
        """Receive the next item at once.

        Raises:
            ClosedResourceError: This end is closed.
            EndOfStream: The sending end is closed, all its clones included, and every item is
                taken.
            RuntimeError: The stream belongs to an event loop in another thread.
            WouldBlock: There is no item.
        """
        if not self._closed:
            item: T_co = self._queue.get_nowait()
            if item is not NOTHING:
                return item
            if self._queue.ended:
                raise EndOfStream
        self._refuse()

    async def receive_many(self, max_items: int) -> list[T_co]:
        """Receive the items that are there; wait while there is none.

        If cancelled, no item was taken.

        Args:
            max_items: Most items to return; at least 1.

        Returns:
            Between 1 and ``max_items`` items, in order; at most 4,096 at a time.

        Raises:
            ClosedResourceError: This end was closed, before or during the call.
            EndOfStream: As in :meth:`receive`.
            RuntimeError: The stream belongs to another event loop or thread.
            TypeError: ``max_items`` is not an integer.
            ValueError: ``max_items`` is below 1.
        """
        positive("max_items", max_items)
        items: list[T_co] = [] if self._closed else self._queue.get_many(max_items)
        if not items:
            items.append(await self._receive_slowly())
            if not self._closed:
                items += self._queue.get_many_nowait(min(max_items, MOST_AT_ONCE) - 1)
        return items

    def _check_end(self) -> None:
        """Raise what is wrong with the end of the stream; here, nothing ever is."""

    def clone(self) -> MemoryObjectReceiveStream[T_co]:
        """Return another receiving end of the same stream, closed on its own.

        Raises:
            ClosedResourceError: This end is closed.
        """
        if self._closed:
            raise ClosedResourceError
        return MemoryObjectReceiveStream(self._queue)

    def _close_end(self) -> None:
        self._get = _declines_get
        self._queue.close_receiver(self._end)


class create_memory_object_stream(  # noqa: N801 - called, and subscripted, like a function
    tuple[MemoryObjectSendStream[T_Item], MemoryObjectReceiveStream[T_Item]], Generic[T_Item]
):
    """Create a memory object stream and return its two ends: ``(send, receive)``.

    ``create_memory_object_stream[int](10)`` says what goes through it.

    Args:
        max_buffer_size: Items held while nobody waits for them.  0: ``send`` waits for a
            receiver.  ``math.inf``: any number, and no back-pressure.

    Raises:
        ValueError: ``max_buffer_size`` is negative, or neither an integer nor ``math.inf``.
    """

    __slots__ = ()

    def __new__(  # type: ignore[misc]  # a tuple of the two is what the caller wants
        cls, max_buffer_size: float = 0
    ) -> tuple[MemoryObjectSendStream[T_Item], MemoryObjectReceiveStream[T_Item]]:
        if max_buffer_size != math.inf and not isinstance(max_buffer_size, int):
            raise ValueError(
                f"max_buffer_size must be either an integer or math.inf, not {max_buffer_size!r}"
            )
        if max_buffer_size < 0:
            raise ValueError(f"max_buffer_size cannot be negative: {max_buffer_size}")
        queue = ItemQueue(max_buffer_size)
        return MemoryObjectSendStream(queue), MemoryObjectReceiveStream(queue)
