"""The contracts of task groups and cancel scopes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

__all__ = ("CancelScope", "TaskGroup", "TaskSpawner", "TaskStatus")

T_contra = TypeVar("T_contra", contravariant=True)


class TaskSpawner(Protocol):
    """Whatever starts tasks: a task group of penstock or AnyIO, a nursery of Trio."""

    def start_soon(self, func: Callable[..., Awaitable[Any]], /, *args: Any) -> Any:
        """Start ``func(*args)`` as a task."""


class TaskStatus(Protocol[T_contra]):
    """How a task that :meth:`TaskGroup.start` runs says that it is up."""

    def started(self, value: T_contra | None = None) -> None:
        """Let :meth:`TaskGroup.start` return ``value``."""


class CancelScope(ABC):
    """A block whose waiting can be cancelled as a whole, at once or at a deadline.

    Used once, as a context manager; it is left in the task that entered it, innermost first.  A
    cancelled scope catches the cancellations that leave it, unless a cancelled scope around it is
    felt inside; from an exception group it takes the cancellations and lets the rest through.
    """

    __slots__ = ("__weakref__",)

    @abstractmethod
    def cancel(self, reason: str | None = None) -> None:
        """Cancel every wait inside the scope, now and from now on.

        Args:
            reason: Why, for whoever reads the traceback.
        """

    @property
    @abstractmethod
    def deadline(self) -> float:
        """When the scope cancels itself, on the event loop's clock; ``math.inf``: never."""

    @deadline.setter
    @abstractmethod
    def deadline(self, value: float) -> None: ...

    @property
    @abstractmethod
    def shield(self) -> bool:
        """Whether cancellations from scopes around this one are kept out."""

    @shield.setter
    @abstractmethod
    def shield(self, value: bool) -> None: ...

    @property
    @abstractmethod
    def cancel_called(self) -> bool:
        """Whether the scope was cancelled, by call or by deadline."""

    @property
    @abstractmethod
    def cancelled_caught(self) -> bool:
        """Whether the scope, when it was left, caught the cancellation that it had caused."""

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool: ...


class TaskGroup(ABC):
    """Tasks that live no longer than the ``async with`` block that holds them.

    Leaving the block waits for all of them.  The first exception, of the block or of a task,
    cancels the rest; all exceptions leave together in an exception group.
    """

    __slots__ = ()

    cancel_scope: CancelScope
    """The scope around the block and all tasks."""

    @abstractmethod
    def start_soon(
        self, func: Callable[..., Awaitable[Any]], /, *args: Any, name: object = None
    ) -> None:
        """Start ``func(*args)`` as a task of the group.

        Args:
            func: A coroutine function.
            args: Its positional arguments.
            name: What to call the task in debuggers; the name of ``func`` without it.

        Raises:
            RuntimeError: The group is not active.
        """

    @abstractmethod
    async def start(
        self, func: Callable[..., Awaitable[Any]], /, *args: Any, name: object = None
    ) -> Any:
        """Start ``func(*args, task_status=...)`` and wait until it says that it is up.

        If cancelled, the task is cancelled as well and has ended.

        Returns:
            What the task passed to ``task_status.started()``.

        Raises:
            RuntimeError: The task ended without calling ``task_status.started()``, or the group
                is not active.
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
