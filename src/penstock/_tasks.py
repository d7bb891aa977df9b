"""Task groups, cancel scopes and timeouts: the running backend's, under AnyIO's names."""

from __future__ import annotations

import math
from abc import ABCMeta
from types import TracebackType
from typing import TYPE_CHECKING, Any

from penstock import abc
from penstock._backends import current_backend

__all__ = (
    "TASK_STATUS_IGNORED",
    "CancelScope",
    "create_task_group",
    "current_effective_deadline",
    "fail_after",
    "fail_at",
    "move_on_after",
    "move_on_at",
)


class _IgnoredTaskStatus:
    """The ``task_status`` of a task that nobody waits for."""

    def started(self, value: Any = None) -> None:
        pass


#: The default for a ``task_status`` parameter, for when the function is not called by ``start``.
TASK_STATUS_IGNORED: abc.TaskStatus[Any] = _IgnoredTaskStatus()


if TYPE_CHECKING:
    # What makes scopes, and what is made, are one class to type checkers, as they are in AnyIO.
    from penstock.abc import CancelScope as CancelScope
else:

    class CancelScope(abc.CancelScope, metaclass=ABCMeta):
        """A block whose waiting can be cancelled as a whole; the running event loop's kind of it.

        Args:
            deadline: When it cancels itself, on the event loop's clock.
            shield: Whether cancellations from scopes around it are kept out.
        """

        __slots__ = ()

        def __new__(cls, *, deadline: float = math.inf, shield: bool = False) -> abc.CancelScope:
            return current_backend().create_cancel_scope(deadline=deadline, shield=shield)

        @classmethod
        def __subclasshook__(cls, other: type) -> bool:
            # Not issubclass(), which would ask here again.
            return abc.CancelScope in other.__mro__


def create_task_group() -> abc.TaskGroup:
    """Return a new task group, to be used in ``async with``."""
    return current_backend().create_task_group()


def current_effective_deadline() -> float:
    """Return the earliest deadline of the cancel scopes that the current task can feel.

    Returns:
        A reading of the event loop's clock; ``math.inf`` if there is none, ``-math.inf`` if one
        of the scopes is cancelled.
    """
    return current_backend().current_effective_deadline()


def move_on_after(delay: float | None, shield: bool = False) -> abc.CancelScope:
    """Return a cancel scope that cancels itself ``delay`` seconds from now.

    Args:
        delay: In seconds; None: never.
        shield: Whether cancellations from scopes around it are kept out.
    """
    backend = current_backend()
    deadline = math.inf if delay is None else backend.current_time() + delay
    return backend.create_cancel_scope(deadline=deadline, shield=shield)


def move_on_at(deadline: float | None, shield: bool = False) -> abc.CancelScope:
    """Return a cancel scope that cancels itself when the event loop's clock reads ``deadline``.

    Args:
        deadline: None: never.
        shield: Whether cancellations from scopes around it are kept out.
    """
    deadline = math.inf if deadline is None else deadline
    return current_backend().create_cancel_scope(deadline=deadline, shield=shield)


class _FailingScope:
    """A cancel scope whose deadline, if it ends the block, raises TimeoutError."""

    __slots__ = ("_backend", "_delay", "_reason", "_scope")

    def __init__(
        self, deadline: float | None, delay: float | None, shield: bool, reason: str | None
    ) -> None:
        self._backend = current_backend()
        self._delay = delay
        self._reason = reason
        self._scope = self._backend.create_cancel_scope(
            deadline=math.inf if deadline is None else deadline, shield=shield
        )

    def __enter__(self) -> abc.CancelScope:
        if self._delay is not None:
            self._scope.deadline = self._backend.current_time() + self._delay
        return self._scope.__enter__()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool:
        scope = self._scope
        swallow = scope.__exit__(exc_type, exc_val, exc_tb)
        if not (scope.cancelled_caught and scope.expired):
            return swallow
        # Not "during handling of" the cancellation: it is over.
        raise (TimeoutError(self._reason) if self._reason else TimeoutError()) from None


def fail_after(
    delay: float | None, shield: bool = False, reason: str | None = None
) -> _FailingScope:
    """Return a context manager that gives its block ``delay`` seconds, and its cancel scope.

    The clock starts when the block is entered.

    Args:
        delay: In seconds; None: no limit.
        shield: Whether cancellations from scopes around it are kept out.
        reason: The text of the error.

    Raises:
        TimeoutError: On leaving the block, if its deadline, and no call of ``cancel()``, has
            interrupted it.
    """
    return _FailingScope(None, delay, shield, reason)


def fail_at(
    deadline: float | None, shield: bool = False, reason: str | None = None
) -> _FailingScope:
    """Return a context manager that gives its block until ``deadline``, and its cancel scope.

    Args:
        deadline: On the event loop's clock; None: no limit.
        shield: Whether cancellations from scopes around it are kept out.
        reason: The text of the error.

    Raises:
        TimeoutError: On leaving the block, if its deadline, and no call of ``cancel()``, has
            interrupted it.
    """
    return _FailingScope(deadline, None, shield, reason)
