"""The contracts of task groups, task handles and cancel scopes.

Lives here: what they promise, and what a task handle says of each status, which is the same on
every event loop.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from enum import Enum, auto
from types import TracebackType
from typing import Any, Generic, Literal, Protocol, Self, TypeVar, TypeVarTuple, overload

from penstock._exceptions import TaskCancelled, TaskFailed, TaskNotFinished

__all__ = ("CancelScope", "TaskGroup", "TaskHandle", "TaskSpawner", "TaskStatus")

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)
Args = TypeVarTuple("Args")


class TaskSpawner(Protocol):
    """Whatever starts tasks: a task group of penstock or AnyIO, a nursery of Trio."""

    def start_soon(self, func: Callable[..., Coroutine[Any, Any, Any]], /, *args: Any) -> Any:
        """Start ``func(*args)`` as a task."""


class TaskStatus(Protocol[T_contra]):
    """How a task that :meth:`TaskGroup.start` runs says that it is up."""

    def started(self, value: T_contra | None = None) -> None:
        """Let :meth:`TaskGroup.start` return ``value``."""


class CancelScope:
    """A block whose waiting can be cancelled as a whole, at once or at a deadline.

    Used once, as a context manager; it is left in the task that entered it, innermost first.  A
    cancelled scope catches the cancellations that leave it, unless a cancelled scope around it is
    felt inside; from an exception group it takes the cancellations and lets the rest through.

    :class:`penstock.CancelScope`, which makes the running event loop's kind, is this class to type
    checkers.  So nothing here is abstract to them, and the arguments are those that it takes.

    Args:
        deadline: What :attr:`deadline` is at first.
        shield: What :attr:`shield` is at first.
    """

    __slots__ = ("__weakref__",)

    def __init__(self, *, deadline: float = math.inf, shield: bool = False) -> None:
        raise NotImplementedError("penstock.CancelScope makes one")

    def cancel(self, reason: str | None = None) -> None:
        """Cancel every wait inside the scope, now and from now on.

        Args:
            reason: Why, for whoever reads the traceback.

        Raises:
            RuntimeError: The scope belongs to an event loop in another thread, from which its
                tasks could not be woken; nothing was cancelled.  Setting :attr:`deadline` and
                :attr:`shield` is refused there as well.
        """
        raise NotImplementedError

    @property
    def deadline(self) -> float:
        """When the scope cancels itself, on the event loop's clock; ``math.inf``: never."""
        raise NotImplementedError

    @deadline.setter
    def deadline(self, value: float) -> None:
        raise NotImplementedError

    @property
    def shield(self) -> bool:
        """Whether cancellations from scopes around this one are kept out."""
        raise NotImplementedError

    @shield.setter
    def shield(self, value: bool) -> None:
        raise NotImplementedError

    @property
    def cancel_called(self) -> bool:
        """Whether the scope was cancelled, by call or by deadline."""
        raise NotImplementedError

    @property
    def cancelled_caught(self) -> bool:
        """Whether the scope, when it was left, caught the cancellation that it had caused."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool:
        raise NotImplementedError


class TaskHandle(ABC, Generic[T_co]):
    """A task of a task group, for whoever wants its result or its end.

    Awaiting the handle waits for the task and gives its return value.  Any task may do that, as
    often as it likes; if cancelled, the task that was waited for is not.
    Whoever wants it keeps it: a weak reference may end before the task does.
    """

    class Status(Enum):
        """How far a task is."""

        PENDING = auto()
        """It has not ended."""
        FINISHED = auto()
        """It has returned."""
        CANCELLING = auto()
        """:meth:`TaskHandle.cancel` was called, and it has not ended."""
        CANCELLED = auto()
        """A cancellation has ended it."""
        FAILED = auto()
        """An exception has ended it."""

    # I1  _start_value is set once start() has returned the handle
    __slots__ = ("__weakref__", "_start_value")

    _start_value: Any

    @abstractmethod
    def cancel(self) -> None:
        """Cancel every wait of the task, now and from now on; the group goes on.

        The task runs until its first wait, if it has not run yet.  No effect once it has ended.

        Raises:
            RuntimeError: The task belongs to an event loop in another thread.
        """

    @abstractmethod
    async def wait(self) -> None:
        """Wait until the task has ended, in whatever way.

        If cancelled, the task goes on.
        """

    @property
    @abstractmethod
    def status(self) -> TaskHandle.Status:
        """How far the task is."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What the task is called in debuggers."""

    @property
    @abstractmethod
    def coro(self) -> Coroutine[Any, Any, T_co]:
        """The coroutine that the task runs."""

    @property
    def exception(self) -> BaseException | None:
        """The exception that has ended the task; None: it has returned.

        Raises:
            TaskNotFinished: The task has not ended.
            TaskCancelled: The task was cancelled.
        """
        status = self.status
        if status is TaskHandle.Status.PENDING:
            raise TaskNotFinished("the task has not finished yet")
        if status is TaskHandle.Status.CANCELLING:
            raise TaskCancelled("the task was cancelled")
        if status is TaskHandle.Status.CANCELLED:
            raise TaskCancelled("the task was cancelled") from self._raised()
        return self._raised()

    @property
    def return_value(self) -> T_co:
        """What the task has returned.

        Raises:
            TaskNotFinished: The task has not ended.
            TaskCancelled: The task was cancelled.
            TaskFailed: An exception has ended the task; it is the ``__cause__``.
        """
        if self.exception is not None:
            raise TaskFailed("the task raised an exception") from self._raised()
        return self._returned()

    @property
    def start_value(self) -> Any:
        """What the task passed to ``task_status.started()``.

        Raises:
            RuntimeError: The task was not started by :meth:`TaskGroup.start`.
        """
        try:
            return self._start_value
        except AttributeError:
            raise RuntimeError("the task was not started with TaskGroup.start()") from None

    @abstractmethod
    def _raised(self) -> BaseException | None:
        """Return what has ended the task; asked only afterwards."""

    @abstractmethod
    def _returned(self) -> T_co:
        """Return what the task has returned; asked only where it has."""

    def __await__(self) -> Generator[Any, Any, T_co]:
        yield from self.wait().__await__()
        return self.return_value

    def __repr__(self) -> str:
        return f"<TaskHandle {self.status.name.lower()} name={self.name!r} coro={self.coro!r}>"


class TaskGroup(ABC):
    """Tasks that live no longer than the ``async with`` block that holds them.

    Leaving the block waits for all of them.  The first exception, of the block or of a task,
    cancels the rest; all exceptions but cancellations leave together in an exception group.
    """

    __slots__ = ()

    cancel_scope: CancelScope
    """The scope around the block and all tasks."""

    def cancel(self, reason: str | None = None) -> None:
        """Cancel every wait of the block and of all tasks: :attr:`cancel_scope`'s ``cancel``.

        Args:
            reason: Why, for whoever reads the traceback.
        """
        self.cancel_scope.cancel(reason)

    @abstractmethod
    def start_soon(
        self,
        func: Callable[[*Args], Coroutine[Any, Any, T]],
        *args: *Args,
        name: object = None,
    ) -> TaskHandle[T]:
        """Start ``func(*args)`` as a task of the group.

        Args:
            func: A coroutine function.
            args: Its positional arguments.
            name: What to call the task in debuggers; the name of ``func`` without it.

        Raises:
            RuntimeError: The group is not active; ``func`` was not called.
            TypeError: ``func(*args)`` is not a coroutine.
        """

    @abstractmethod
    def create_task(
        self, coro: Coroutine[Any, Any, T], *, name: object = None, context: Context | None = None
    ) -> TaskHandle[T]:
        """Start ``coro`` as a task of the group.

        Args:
            coro: A coroutine that has not begun.
            name: What to call the task in debuggers; the name of ``coro`` without it.
            context: The task runs in a copy of it, so what the task sets is not seen there:
                Trio has no other way.  A copy of the current context without it.

        Raises:
            RuntimeError: The group is not active; ``coro`` was closed.
            TypeError: ``coro`` is not a coroutine.
        """

    @overload
    async def start(
        self,
        func: Callable[..., Coroutine[Any, Any, Any]],
        *args: Any,
        name: object = None,
        return_handle: Literal[False] = ...,
    ) -> Any: ...

    @overload
    async def start(
        self,
        func: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        name: object = None,
        return_handle: Literal[True],
    ) -> TaskHandle[T]: ...

    @abstractmethod
    async def start(
        self,
        func: Callable[..., Coroutine[Any, Any, Any]],
        *args: Any,
        name: object = None,
        return_handle: bool = False,
    ) -> Any:
        """Start ``func(*args, task_status=...)`` and wait until it says that it is up.

        Until then the task is in the cancel scopes of the caller, and its exception is raised
        here alone; from then on it is in those of the group.

        If cancelled, the task is cancelled as well and has ended; an exception that it ends with
        takes the place of the cancellation, which the next wait then raises.

        Args:
            func: A coroutine function with a keyword argument ``task_status``.
            args: Its positional arguments.
            name: What to call the task in debuggers; the name of ``func`` without it.
            return_handle: Whether to return a handle, which has the value as ``start_value``.

        Returns:
            What the task passed to ``task_status.started()``, or its handle.

        Raises:
            RuntimeError: The task ended without calling ``task_status.started()``, or the group
                is not active.
            TypeError: ``func`` does not return a coroutine.
        """

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool: ...
