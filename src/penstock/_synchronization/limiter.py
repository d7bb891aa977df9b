"""Lending a number of tokens, one to a borrower, and its statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import TracebackType

from penstock._backends import Backend
from penstock._exceptions import WouldBlock
from penstock._synchronization.waiting import Acquirable

__all__ = ("CapacityLimiter", "CapacityLimiterStatistics")


@dataclass(frozen=True)
class CapacityLimiterStatistics:
    """What :meth:`CapacityLimiter.statistics` returns."""

    borrowed_tokens: int
    """How many tokens are borrowed."""
    total_tokens: float
    """How many there are."""
    borrowers: tuple[object, ...]
    """The tasks and other objects that hold one."""
    tasks_waiting: int
    """How many tasks wait for one."""


class CapacityLimiter(Acquirable):
    """A number of tokens, of which each borrower may hold one.

    As an async context manager it lends the task a token on entry, and has it back on exit.  May
    be made, and used by ``acquire_on_behalf_of_nowait`` and ``release_on_behalf_of``, with no
    event loop running.

    Args:
        total_tokens: How many there are, at least 0; ``math.inf``: any number.

    Raises:
        TypeError: ``total_tokens`` is neither an integer nor ``math.inf``.
        ValueError: It is below 0.
    """

    # I2  a borrower is in at most one of _borrowers and _line
    __slots__ = ("_borrowers", "_total_tokens")

    def __init__(self, total_tokens: float) -> None:
        super().__init__()
        self._borrowers: set[object] = set()
        self.total_tokens = total_tokens

    @property
    def total_tokens(self) -> float:
        """How many tokens there are; when it is raised, as many waiting tasks get theirs.

        It may be lowered below what is borrowed.
        """
        return self._total_tokens

    @total_tokens.setter
    def total_tokens(self, value: float) -> None:
        if not isinstance(value, int) and value != math.inf and value != -math.inf:
            raise TypeError(f"total_tokens must be an int or math.inf, not {value!r}")
        if value < 0:
            raise ValueError(f"total_tokens must be >= 0, not {value}")
        self._check_loop()
        self._total_tokens = value
        self._hand_over()

    @property
    def borrowed_tokens(self) -> int:
        """How many tokens are borrowed."""
        return len(self._borrowers)

    @property
    def available_tokens(self) -> float:
        """How many tokens may be borrowed; below 0 if ``total_tokens`` was lowered so far."""
        return self._total_tokens - len(self._borrowers)

    async def acquire(self) -> None:
        """Borrow a token for the current task; wait while there is none.

        If cancelled, the task holds no token.

        Raises:
            RuntimeError: The task holds one already; or the limiter belongs to another event loop
                or thread.
        """
        backend = self._bind()
        if not self._borrow_ready(backend, backend.current_task()):
            await self._acquire(backend, backend.current_task(), yielding=True)

    #: Without a coroutine more on the way.
    __aenter__ = acquire

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        """Borrow a token; wait while there is none.

        If cancelled, the borrower holds no token.

        Args:
            borrower: Who holds the token; hashable.

        Raises:
            RuntimeError: ``borrower`` holds one already, or waits for one; or the limiter belongs
                to another event loop or thread.
        """
        backend = self._bind()
        try:
            if not self._borrow_ready(backend, borrower):
                await self._acquire(backend, borrower, yielding=True)
        finally:
            del borrower  # it may be the task, which keeps the exception that cancelled it

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.release()

    def acquire_nowait(self) -> None:
        """Borrow a token for the current task at once.

        Raises:
            RuntimeError: The task holds one already; or the limiter belongs to another event loop
                or thread.
            WouldBlock: There is none.
        """
        self.acquire_on_behalf_of_nowait(self._bind().current_task())

    def acquire_on_behalf_of_nowait(self, borrower: object) -> None:
        """Borrow a token at once.

        Args:
            borrower: Who holds the token; hashable.

        Raises:
            RuntimeError: ``borrower`` holds one already, or waits for one; or the limiter belongs
                to another event loop or thread.
            WouldBlock: There is none.
        """
        self._check_loop()
        self._check_borrower(borrower)
        if not self._is_free():
            raise WouldBlock
        self._borrowers.add(borrower)

    def release(self) -> None:
        """Return the token of the current task, for the one who has waited longest.

        Raises:
            RuntimeError: The task holds none; or the limiter belongs to another event loop or
                thread.
        """
        self.release_on_behalf_of(self._bind().current_task())

    def release_on_behalf_of(self, borrower: object) -> None:
        """Return the token of ``borrower``, for the one who has waited longest.

        Raises:
            RuntimeError: ``borrower`` holds none; or the limiter belongs to another event loop or
                thread.
        """
        self._check_loop()
        if borrower not in self._borrowers:
            raise RuntimeError("this borrower isn't holding any of this CapacityLimiter's tokens")
        self._borrowers.remove(borrower)
        self._hand_over()

    def statistics(self) -> CapacityLimiterStatistics:
        """Return who holds tokens, and how many tasks wait."""
        return CapacityLimiterStatistics(
            len(self._borrowers), self._total_tokens, tuple(self._borrowers), len(self._line)
        )

    def _borrow_ready(self, backend: Backend, borrower: object) -> bool:
        """Borrow a token if that needs neither a wait nor a look at cancellation."""
        self._check_borrower(borrower)
        if len(self._borrowers) < self._total_tokens and backend.budget.spend():
            self._borrowers.add(borrower)
            return True
        return False

    def _check_borrower(self, borrower: object) -> None:
        if borrower in self._borrowers:
            raise RuntimeError(
                "this borrower is already holding one of this CapacityLimiter's tokens"
            )
        if borrower in self._line:
            raise RuntimeError(
                "this borrower is already waiting for one of this CapacityLimiter's tokens"
            )

    def _is_free(self) -> bool:
        return len(self._borrowers) < self._total_tokens

    def _give(self, who: object) -> None:
        self._borrowers.add(who)

    def _take_back(self, who: object) -> None:
        self._borrowers.remove(who)
