"""What the task groups of every event loop have in common.

Lives here: their words, what they call a task, what they take for a coroutine, and the
``task_status`` of a task that is starting.  May not live here: anything that runs a task.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from types import CoroutineType
from typing import Any

__all__ = (
    "ENTERED",
    "FOREIGN",
    "INACTIVE",
    "NOT_STARTED",
    "UNHANDLED",
    "StartStatus",
    "callable_name",
    "check_coroutine",
    "coroutine_name",
    "coroutine_of",
    "first_leaf",
)

ENTERED = "TaskGroup cannot be entered more than once"
FOREIGN = "this task group belongs to an event loop in another thread"
INACTIVE = "This task group is not active; no new tasks can be started."
NOT_STARTED = "Child exited without calling task_status.started()"
UNHANDLED = "unhandled errors in a TaskGroup"


class StartStatus:
    """The ``task_status`` of a task that is starting."""

    # I1  _tell is set while there is somebody to tell; called, whoever comes is told at once
    __slots__ = ("_tell", "called", "value")

    def __init__(self) -> None:
        self.called = False
        self.value: Any = None
        self._tell: Callable[[Any], None] | None = None

    def started(self, value: Any = None) -> None:
        if self.called:
            raise RuntimeError("called 'started' twice on the same task status")
        self.called = True
        self.value = value
        if self._tell is not None:
            self._tell(value)

    def connect(self, tell: Callable[[Any], None]) -> None:
        """Have ``tell`` called with the value, now if it is there already."""
        self._tell = tell
        if self.called:
            tell(self.value)

    def disconnect(self) -> None:
        """Let go of whom :meth:`connect` gave: the task's frames hold this object."""
        self._tell = None


def callable_name(func: Callable[..., Any], name: object) -> str:
    """Return what to call a task that runs ``func``, if ``name`` is None."""
    if name is not None:
        return str(name)
    while isinstance(func, partial):
        func = func.func
    try:
        return f"{func.__module__}.{func.__qualname__}"
    except AttributeError:
        return repr(func)


def coroutine_name(coro: Coroutine[Any, Any, Any], name: object) -> str:
    """Return what to call a task that runs ``coro``, if ``name`` is None."""
    if name is not None:
        return str(name)
    try:
        return f"{coro.cr_frame.f_globals['__name__']}.{coro.__qualname__}"  # type: ignore[attr-defined]
    except (AttributeError, KeyError):  # an object that only behaves like a coroutine
        return repr(coro)


def check_coroutine(coro: object) -> None:
    """Raise TypeError if ``coro`` is not a coroutine."""
    if not isinstance(coro, Coroutine):
        raise TypeError(f"expected a coroutine, got {type(coro).__qualname__}: {coro!r}")


def coroutine_of(
    func: Callable[..., Any], args: tuple[Any, ...], **kwargs: Any
) -> Coroutine[Any, Any, Any]:
    """Return ``func(*args, **kwargs)``.

    Raises:
        TypeError: It is not a coroutine.
    """
    coro = func(*args, **kwargs)
    # The first test answers almost always, in a fifth of the time.
    if type(coro) is not CoroutineType and not isinstance(coro, Coroutine):
        raise TypeError(
            f"Expected {callable_name(func, None)}() to return a coroutine, but the return value "
            f"({coro!r}) is not a coroutine object"
        )
    return coro


def first_leaf(exc: BaseException) -> BaseException:
    """Return the first exception in ``exc`` that is not a group."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc
