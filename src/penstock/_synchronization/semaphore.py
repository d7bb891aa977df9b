"""Counting what may be done at the same time, and its statistics."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from penstock._exceptions import WouldBlock
from penstock._synchronization.waiting import Acquirable

__all__ = ("Semaphore", "SemaphoreStatistics")


@dataclass(frozen=True)
class SemaphoreStatistics:
    """What :meth:`Semaphore.statistics` returns."""

    tasks_waiting: int
    """How many tasks wait for it."""


class Semaphore(Acquirable):
    """A counter that acquiring decrements, waiting while it is 0, and releasing increments.

    As an async context manager it is acquired on entry and released on exit.  May be made, and
    used by ``acquire_nowait`` and ``release``, with no event loop running.

    Args:
        initial_value: What it begins at; at least 0.
        max_value: What it may rise to, at least ``initial_value``; None: any.
        fast_acquire: Never yield when it is above 0; a pending cancellation is still noticed.

    Raises:
        TypeError: A value is not an integer.
        ValueError: A value is out of range.
    """

    __slots__ = ("_fast_acquire", "_max_value", "_value")

    def __init__(
        self, initial_value: int, *, max_value: int | None = None, fast_acquire: bool = False
    ) -> None:
        if not isinstance(initial_value, int):
            raise TypeError(f"initial_value must be an integer, not {initial_value!r}")
        if initial_value < 0:
            raise ValueError(f"initial_value must be >= 0, not {initial_value}")
        if max_value is not None:
            if not isinstance(max_value, int):
                raise TypeError(f"max_value must be an integer or None, not {max_value!r}")
            if max_value < initial_value:
                raise ValueError(
                    f"max_value must be equal to or higher than initial_value, not {max_value}"
                )
        super().__init__()
        self._value = initial_value
        self._max_value = max_value
        self._fast_acquire = fast_acquire

    async def acquire(self) -> None:
        """Decrement the counter; wait while it is 0.

        If cancelled, it was not decremented.

        Raises:
            RuntimeError: The semaphore belongs to another event loop or thread.
        """
        # The fast path is written out: a call more would be a tenth of it.
        backend = self._backend
        if (
            self._value > 0
            and backend is not None
            and backend.is_current()
            and (not backend.budget.alert if self._fast_acquire else backend.budget.spend())
        ):
            self._value -= 1
        else:
            backend = self._bind()
            await self._acquire(backend, backend.current_task(), yielding=not self._fast_acquire)

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.release()

    def acquire_nowait(self) -> None:
        """Decrement the counter at once.

        Raises:
            RuntimeError: The semaphore belongs to another event loop or thread.
            WouldBlock: It is 0.
        """
        self._check_loop()
        if self._value == 0:
            raise WouldBlock
        self._value -= 1

    def release(self) -> None:
        """Increment the counter, or let the task that has waited longest go on.

        Raises:
            RuntimeError: The semaphore belongs to another event loop or thread.
            ValueError: It is at ``max_value``.
        """
        self._check_loop()
        if self._value == self._max_value:
            raise ValueError("semaphore released too many times")
        self._value += 1
        if self._line:
            self._hand_over()

    @property
    def value(self) -> int:
        """What the counter is at."""
        return self._value

    @property
    def max_value(self) -> int | None:
        """What the counter may rise to; None: any."""
        return self._max_value

    def statistics(self) -> SemaphoreStatistics:
        """Return how many tasks wait."""
        return SemaphoreStatistics(len(self._line))

    def _is_free(self) -> bool:
        return self._value > 0

    def _give(self, who: Any) -> None:
        self._value -= 1

    def _take_back(self, who: Any) -> None:
        self._value += 1
