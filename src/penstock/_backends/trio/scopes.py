"""Cancel scopes on Trio: thin over Trio's own."""

from __future__ import annotations

from inspect import signature
from types import TracebackType
from typing import Self

import trio

from penstock._backends._base import BackendCancelScope, refuse_other_thread
from penstock._hotpath import ReadyBudget

__all__ = ("TrioCancelScope",)

_CANCEL_TAKES_REASON = "reason" in signature(trio.CancelScope.cancel).parameters


class TrioCancelScope(BackendCancelScope):
    """A cancel scope of Trio.

    Args:
        scope: Trio's own.
        budget: The ready budget of the event loop.
    """

    __slots__ = ("_called", "_reason", "_scope", "budget")

    def __init__(self, scope: trio.CancelScope, budget: ReadyBudget) -> None:
        self._scope = scope
        self.budget = budget
        self._called = False  # it was a call that has cancelled the scope
        self._reason: str | None = None

    def cancel(self, reason: str | None = None) -> None:
        refuse_other_thread(self.budget)
        if self._scope.cancel_called:
            return
        self._called = True
        self._reason = reason
        self._cancel()

    def _cancel(self) -> None:
        if _CANCEL_TAKES_REASON:
            self._scope.cancel(self._reason)
        else:
            self._scope.cancel()

    @property
    def deadline(self) -> float:
        return self._scope.deadline

    @deadline.setter
    def deadline(self, value: float) -> None:
        refuse_other_thread(self.budget)
        self._scope.deadline = value

    @property
    def shield(self) -> bool:
        return self._scope.shield

    @shield.setter
    def shield(self, value: bool) -> None:
        refuse_other_thread(self.budget)
        self._scope.shield = value

    @property
    def cancel_called(self) -> bool:
        return self._scope.cancel_called

    @property
    def cancelled_caught(self) -> bool:
        return self._scope.cancelled_caught

    @property
    def expired(self) -> bool:
        return self._scope.cancel_called and not self._called

    def replace(self, scope: trio.CancelScope) -> None:
        """Go on as ``scope``, which was just entered."""
        scope.shield = self._scope.shield
        scope.deadline = self._scope.deadline
        cancelled = self._scope.cancel_called
        self._scope = scope
        if cancelled:
            self._cancel()

    def __enter__(self) -> Self:
        self._scope.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool:
        return bool(self._scope.__exit__(exc_type, exc_val, exc_tb))
