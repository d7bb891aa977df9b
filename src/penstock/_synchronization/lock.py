"""Mutual exclusion of tasks, and its statistics."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

from penstock._backends import Backend, TaskInfo
from penstock._exceptions import WouldBlock
from penstock._synchronization.waiting import Acquirable

__all__ = ("Lock", "LockStatistics")


@dataclass(frozen=True)
class LockStatistics:
    """What :meth:`Lock.statistics` returns."""

    locked: bool
    """Whether a task holds the lock."""
    owner: TaskInfo | None
    """The task that holds it."""
    tasks_waiting: int
    """How many tasks wait for it."""


class Lock(Acquirable):
    """Mutual exclusion: at most one task holds the lock, and only that one can release it.

    As an async context manager it is acquired on entry and released on exit.  May be made with no
    event loop running.  A task that ends without releasing it leaves it locked.

    Args:
        fast_acquire: Never yield when the lock is free; a pending cancellation is still noticed.
    """

    # I2  _owner is the native task that holds the lock; a task of the loop of _backend
    __slots__ = ("_fast_acquire", "_owner")

    def __init__(self, *, fast_acquire: bool = False) -> None:
        super().__init__()
        self._fast_acquire = fast_acquire
        self._owner: Any = None

    async def acquire(self) -> None:
        """Acquire the lock; wait while another task holds it.

        If cancelled, the task does not hold the lock.

        Raises:
            RuntimeError: This task holds the lock already; or it belongs to another event loop or
                thread; or its holder has ended with its event loop.
        """
        # The fast path is written out: a call more would be a tenth of it.
        backend = self._backend
        if (
            self._owner is None
            and backend is not None
            and backend.is_current()
            and (not backend.budget.alert if self._fast_acquire else backend.budget.spend())
        ):
            self._owner = backend.current_task()
        else:
            backend = self._bind()
            await self._acquire(
                backend, self._asking_task(backend), yielding=not self._fast_acquire
            )

    #: Without a coroutine more on the way.
    __aenter__ = acquire

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.release()

    def acquire_nowait(self) -> None:
        """Acquire the lock at once.

        Raises:
            RuntimeError: This task holds the lock already; or it belongs to another event loop or
                thread; or its holder has ended with its event loop.
            WouldBlock: Another task holds it.
        """
        task = self._asking_task(self._bind())
        if self._owner is not None:
            raise WouldBlock
        self._owner = task

    def release(self) -> None:
        """Release the lock, and hand it over to the task that has waited longest.

        Raises:
            RuntimeError: This task does not hold the lock.
        """
        backend = self._backend
        if backend is None or self._owner is None or self._owner is not backend.current_task():
            raise RuntimeError("The current task is not holding this lock")
        self._owner = None
        if self._line:
            self._hand_over()

    def locked(self) -> bool:
        """Whether a task holds the lock."""
        return self._owner is not None

    def statistics(self) -> LockStatistics:
        """Return who holds the lock, and how many tasks wait."""
        owner = None
        if self._owner is not None and self._backend is not None:
            owner = self._backend.task_info(self._owner)
        return LockStatistics(self._owner is not None, owner, len(self._line))

    def _asking_task(self, backend: Backend) -> Any:
        task = backend.current_task()
        if task is None:
            raise RuntimeError("only a task can acquire a lock, not a callback of the event loop")
        if self._owner is task:
            raise RuntimeError("Attempted to acquire an already held Lock")
        return task

    def _is_free(self) -> bool:
        return self._owner is None

    def _give(self, who: Any) -> None:
        self._owner = who

    def _take_back(self, who: Any) -> None:
        self._owner = None

    def _forget_waits(self) -> None:
        if self._owner is not None:
            raise RuntimeError("the task that holds this lock has ended with its event loop")
        super()._forget_waits()
