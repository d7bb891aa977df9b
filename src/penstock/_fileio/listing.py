"""Async iterators over iterators that block: what lists directories.

An iterator runs in worker threads, a batch of its items at a time: a hop for each would cost ten
times as much as the item.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from threading import Lock
from typing import Generic, Self, TypeVar

from penstock._backends import current_backend
from penstock._synchronization import CapacityLimiter
from penstock.to_thread import run_sync

__all__ = ("Batches",)

T = TypeVar("T")

#: A batch ends after so many items, or so many seconds: who looks for few items among many must
#: not wait for the last.
BATCH = 512
SECONDS = 0.01


class Batches(AsyncIterator[T], Generic[T]):
    """Gives the items of an iterator that blocks.

    Args:
        begin: Returns the iterator, in a thread.
        limiter: What bounds the threads.
        batch: How many items to take ahead at most.
    """

    # I1  whoever holds _lock, in a thread, runs the iterator
    # I2  _items were taken from the iterator and not handed out; what ended it comes after them
    def __init__(
        self,
        begin: Callable[[], Iterator[T]],
        limiter: CapacityLimiter | None,
        batch: int = BATCH,
    ) -> None:
        self._begin = begin
        self._limiter = limiter
        self._batch = batch
        self._lock = Lock()
        self._iterator: Iterator[T] | None = None
        self._items: deque[T] = deque()
        self._end: BaseException | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        backend = current_backend()
        await backend.begin_operation()
        while not self._items and self._end is None:
            # An abandoned thread leaves its batch here: nothing is lost.
            await run_sync(self._take, abandon_on_cancel=True, limiter=self._limiter)
        if self._items:
            return self._items.popleft()
        end, self._end = self._end, StopAsyncIteration()
        try:
            assert end is not None
            raise end
        finally:
            del end  # its traceback leads back to this frame

    def _take(self) -> None:
        with self._lock:
            if self._items or self._end is not None:  # by a thread that was abandoned
                return
            items: list[T] = []
            end: BaseException | None = None
            until = time.monotonic() + SECONDS
            try:
                if self._iterator is None:
                    self._iterator = self._begin()
                for item in self._iterator:
                    items.append(item)
                    if len(items) >= self._batch or time.monotonic() >= until:
                        break
                else:
                    end = StopAsyncIteration()
            except BaseException as exc:
                end = exc
            # In this order: the task looks without the lock.
            self._items.extend(items)
            self._end = end
            del end  # its traceback leads back to this frame
