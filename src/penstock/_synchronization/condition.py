"""Waiting, with a lock released, for something that others do under that lock; its statistics."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from penstock._backends import Backend
from penstock._synchronization.lock import Lock, LockStatistics
from penstock._synchronization.waiting import Line, LoopMember

__all__ = ("Condition", "ConditionStatistics")

T = TypeVar("T")


@dataclass(frozen=True)
class ConditionStatistics:
    """What :meth:`Condition.statistics` returns."""

    tasks_waiting: int
    """How many tasks wait to be notified."""
    lock_statistics: LockStatistics
    """The figures of the lock."""


class Condition(LoopMember):
    """A lock, and tasks that wait until another task notifies them under that lock.

    As an async context manager it acquires the lock on entry and releases it on exit.  May be
    made with no event loop running.

    Args:
        lock: What to use; None: a lock of its own.

    Raises:
        TypeError: ``lock`` is neither a lock nor None.
    """

    # I1  _line holds the turns that were neither notified nor given up.  A notified one is in the
    #     line of the lock: one wait for both, in the order in which they asked.
    __slots__ = ("_line", "_lock")

    def __init__(self, lock: Lock | None = None) -> None:
        if lock is not None and not isinstance(lock, Lock):
            raise TypeError(f"lock must be a Lock or None, not {lock!r}")
        super().__init__()
        self._lock = Lock() if lock is None else lock
        self._line = Line()

    async def acquire(self) -> None:
        """Acquire the lock; wait while another task holds it.

        If cancelled, the task does not hold the lock.

        Raises:
            RuntimeError: As :meth:`Lock.acquire` does.
        """
        await self._lock.acquire()

    async def __aenter__(self) -> None:
        await self._lock.acquire()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self._lock.release()

    def acquire_nowait(self) -> None:
        """Acquire the lock at once.

        Raises:
            RuntimeError: As :meth:`Lock.acquire_nowait` does.
            WouldBlock: Another task holds it.
        """
        self._lock.acquire_nowait()

    def release(self) -> None:
        """Release the lock, and hand it over to the task that has waited longest.

        Raises:
            RuntimeError: This task does not hold the lock.
        """
        self._lock.release()

    def locked(self) -> bool:
        """Whether a task holds the lock."""
        return self._lock.locked()

    async def wait(self) -> None:
        """Release the lock, wait until notified, and acquire the lock again.

        If cancelled, be it after the notification, the lock is acquired again all the same before
        the cancellation is raised, and a notification that was meant for this task goes to the
        next.

        Raises:
            RuntimeError: This task does not hold the lock.
        """
        backend = self._held()
        await backend.checkpoint_if_cancelled()
        line, lock = self._line, self._lock
        turn = line.join(backend, backend.current_task())
        lock.release()
        try:
            await turn.wait  # to be notified, and then for the lock
        except BaseException as exc:
            if not line.leave(turn):  # it was notified
                lock._line.leave(turn)
                self._notify_next()
            if isinstance(exc, GeneratorExit):  # the task is destroyed, and waits for nothing more
                if turn.granted:
                    lock._take_back(turn.who)
                lock._hand_over()
            elif not turn.granted:
                await self._reacquire(backend)
            raise
        finally:
            # A task keeps the exception that cancelled it, whose traceback leads to this frame.
            del turn
        backend.budget.turn()  # whoever waited was resumed by the event loop

    async def wait_for(self, predicate: Callable[[], T]) -> T:
        """Wait, as :meth:`wait` does, until ``predicate`` returns something true.

        If cancelled, the lock is held all the same, as with :meth:`wait`.

        Args:
            predicate: Called with the lock held, at first and after each notification.

        Returns:
            What it has returned.

        Raises:
            RuntimeError: This task does not hold the lock.
        """
        backend = self._held()
        await backend.begin_operation()
        while not (result := predicate()):
            await self.wait()
        return result

    def notify(self, n: int = 1) -> None:
        """Notify the ``n`` tasks that have waited longest; all, if there are fewer.

        They go on one by one and in that order, as each acquires the lock.

        Raises:
            RuntimeError: This task does not hold the lock.
        """
        self._held()
        for _ in range(n):
            if not self._notify_next():
                break

    def notify_all(self) -> None:
        """Notify every task that waits.

        They go on one by one, in the order in which they have waited, as each acquires the lock.

        Raises:
            RuntimeError: This task does not hold the lock.
        """
        self._held()
        while self._notify_next():
            pass

    def statistics(self) -> ConditionStatistics:
        """Return how many tasks wait to be notified, and the figures of the lock."""
        return ConditionStatistics(len(self._line), self._lock.statistics())

    def _notify_next(self) -> bool:
        """Let the first in line stand in the line of the lock instead, if somebody waits."""
        if not self._line:
            return False
        who, turn = self._line.popitem(last=False)
        self._lock._line[who] = turn
        return True

    def _held(self) -> Backend:
        """Return the backend of the running loop, where the current task holds the lock."""
        backend = self._bind()
        owner = self._lock._owner
        if owner is None or owner is not backend.current_task():
            raise RuntimeError("The current task is not holding the underlying lock")
        return backend

    async def _reacquire(self, backend: Backend) -> None:
        """Acquire the lock whatever is cancelled, for a task that raises a cancellation anyway."""
        if not self._lock.locked():  # the usual case, without a scope
            self._lock.acquire_nowait()
            return
        with backend.create_cancel_scope(deadline=math.inf, shield=True):
            while True:
                try:
                    await self._lock.acquire()
                    return
                except backend.cancelled_exception:
                    pass  # native: no shield keeps that out; task.cancelling() has counted it

    def _forget_waits(self) -> None:
        self._line = Line()
