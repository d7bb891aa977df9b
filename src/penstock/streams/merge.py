"""Merged streams: receive from several memory object streams as from one.

Lives here: whose turn it is, and waiting at several streams at once.  An item stays in its own
stream until a task that runs takes it: nothing is held here, so nothing can be lost here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from penstock._backends import Backend, Wait, bound_backend, current_backend
from penstock._exceptions import ClosedResourceError, EndOfStream, WouldBlock
from penstock._hotpath import NOTHING
from penstock.abc import ObjectReceiveStream
from penstock.streams.memory import MemoryObjectReceiveStream

__all__ = ("MergedReceiveStream",)

T_co = TypeVar("T_co", covariant=True)

Stream = MemoryObjectReceiveStream[Any]


class MergedReceiveStream(ObjectReceiveStream[T_co]):
    """Receive from several memory object streams as from one.

    Those that have an item take turns.  A stream that has ended is closed and left out; when none
    is left, the merged stream has ended too.  Any number of tasks may receive.  Closing the merged
    stream closes those that are in it.

    Other streams join through a memory stream of size 0, into which a task sends what comes.

    Args:
        streams: What to receive from; more may be added at any time.

    Raises:
        TypeError: One of ``streams`` is not the receiving end of a memory object stream.
        ValueError: One of ``streams`` is there twice.
    """

    # I1  the streams in _ring are open and each is there once; the next to be asked is the first
    # I2  each wait in _waits is parked at every stream in _ring, and at no other, or was woken
    # I3  of the waiters of one wait at most one was promised an item: a wait is woken once
    __slots__ = ("__weakref__", "_backend", "_closed", "_ring", "_waits")

    def __init__(self, streams: Iterable[MemoryObjectReceiveStream[T_co]] = ()) -> None:
        self._backend: Backend | None = None
        self._closed = False
        self._ring: deque[Stream] = deque()
        self._waits: dict[Wait, dict[Stream, Any]] = {}
        for stream in streams:
            self.add(stream)

    @property
    def streams(self) -> tuple[MemoryObjectReceiveStream[T_co], ...]:
        """The streams that are in it, the next to be asked first."""
        return tuple(self._ring)

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        attributes: dict[Any, Callable[[], Any]] = {}
        for stream in self._ring:
            attributes.update(stream.extra_attributes)
        return attributes

    def add(self, stream: MemoryObjectReceiveStream[Any]) -> None:
        """Receive from ``stream`` as well; a task that waits does so at once.

        Raises:
            ClosedResourceError: The merged stream was closed, or ``stream`` was.
            RuntimeError: Tasks wait that belong to another event loop or thread.
            TypeError: ``stream`` is not the receiving end of a memory object stream.
            ValueError: ``stream`` is there already.
        """
        if not isinstance(stream, MemoryObjectReceiveStream):
            raise TypeError(f"expected a MemoryObjectReceiveStream, not {stream!r}")
        if self._closed or stream._closed:
            raise ClosedResourceError
        if stream in self._ring:
            raise ValueError(f"it is already merged: {stream!r}")
        backend = self._backend
        if self._waits and backend is not None:
            if not backend.is_current():
                raise RuntimeError("this stream belongs to another event loop or thread")
            for wait in self._waits:
                backend.wake(wait)  # to look at it: parking is for streams that have nothing
        self._ring.append(stream)

    def remove(self, stream: MemoryObjectReceiveStream[Any]) -> None:
        """Receive from ``stream`` no more; it stays open, with every item that is in it.

        An item that a waiting task was promised and has not taken yet is in it too.

        Raises:
            RuntimeError: ``stream`` belongs to an event loop in another thread.
            ValueError: ``stream`` is not there.
        """
        if stream not in self._ring:
            raise ValueError(f"it is not merged: {stream!r}")
        if not stream._queue.usable:
            raise RuntimeError("this stream belongs to an event loop in another thread")
        self._leave_out(stream)

    async def receive(self) -> T_co:
        """Receive the next item of the stream whose turn it is; wait while none has one.

        If cancelled, no item was taken: it stays in its stream.

        Raises:
            ClosedResourceError: This stream was closed, before or during the call.
            BrokenResourceError: A broadcast stream closed one of the streams, which was slow; it
                is left out, and a further call goes on with the others.
            EndOfStream: All streams have ended, or there are none.
            RuntimeError: One of the streams belongs to another event loop or thread.
        """
        ring = self._ring
        for _ in range(len(ring)):
            item: T_co = ring[0]._get()
            ring.rotate(-1)
            if item is not NOTHING:
                return item
        return await self._receive_slowly()

    async def _receive_slowly(self) -> T_co:
        if self._closed:
            raise ClosedResourceError
        backend = self._bind()
        if not backend.budget.spend():
            await backend.settle()
            backend.budget.spend()
        item = self._next()
        while item is NOTHING:
            self._raise_if_over()
            self._bind()  # those that were added meanwhile
            item = await self._wait(backend)
            if item is NOTHING:
                item = self._next()
        return item

    async def _wait(self, backend: Backend) -> T_co:
        """Wait at all streams; return an item that was promised, or NOTHING."""
        wait = backend.new_wait()
        parked = self._waits[wait] = {}
        try:
            for stream in self._ring:
                parked[stream] = stream._queue.park_receiver(wait, backend.wake, stream._end)
            await wait
            backend.budget.turn()  # whoever waited was resumed by the event loop
            for stream, waiter in list(parked.items()):
                item: T_co = stream._queue.collect(waiter)
                if item is not NOTHING:
                    del parked[stream]
                    self._ring.remove(stream)
                    self._ring.append(stream)
                    return item
        finally:
            del self._waits[wait]
            for stream, waiter in parked.items():
                stream._queue.cancel_receiver(waiter)
        nothing: T_co = NOTHING
        return nothing

    def receive_nowait(self) -> T_co:
        """Receive the next item of the stream whose turn it is, at once.

        Raises:
            ClosedResourceError: This stream is closed.
            BrokenResourceError: A broadcast stream closed one of the streams, which was slow; it
                is left out, and a further call goes on with the others.
            EndOfStream: All streams have ended, or there are none.
            RuntimeError: One of the streams belongs to an event loop in another thread.
            WouldBlock: No stream has an item.
        """
        if self._closed:
            raise ClosedResourceError
        self._check_usable()
        item = self._next()
        if item is not NOTHING:
            return item
        self._raise_if_over()
        raise WouldBlock

    async def aclose(self) -> None:
        """Close this stream and those that are in it.

        Tasks that wait get ClosedResourceError.  If cancelled, it is done all the same.

        Raises:
            RuntimeError: One of the streams belongs to an event loop in another thread.
        """
        self._check_usable()
        self._closed = True
        while self._ring:
            self._ring.popleft().close()
        await current_backend().checkpoint_if_cancelled()

    def _bind(self) -> Backend:
        """Return the backend of the running loop, after binding every stream to it."""
        known = self._backend
        if known is None or not known.is_current():
            known = self._backend = current_backend()
        for stream in self._ring:
            bound_backend(stream._queue, known)
        return known

    def _check_usable(self) -> None:
        if not all(stream._queue.usable for stream in self._ring):
            raise RuntimeError("this stream belongs to an event loop in another thread")

    def _next(self) -> T_co:
        """Take an item of the first stream that has one, or NOTHING; leave out what has ended."""
        ring = self._ring
        nothing: T_co = NOTHING
        for stream in list(ring):
            if stream._closed:
                self._leave_out(stream)
                continue
            item: T_co = stream._queue.get_nowait()
            if item is not NOTHING:
                ring.rotate(-1 - ring.index(stream))
                return item
            if stream._queue.ended:
                self._leave_out(stream)
                stream.close()
                stream._check_end()
        return nothing

    def _leave_out(self, stream: Stream) -> None:
        self._ring.remove(stream)
        for wait, parked in list(self._waits.items()):
            waiter = parked.pop(stream, None)
            if waiter is not None:
                stream._queue.cancel_receiver(waiter)
                if self._backend is not None:
                    self._backend.wake(wait)  # perhaps it was the last one

    def _raise_if_over(self) -> None:
        if self._closed:
            raise ClosedResourceError
        if not self._ring:
            raise EndOfStream
