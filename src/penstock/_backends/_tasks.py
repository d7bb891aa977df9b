"""What can be said about a task of any event loop.

Lives here: the description alone.  Each backend knows how to fill it in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from penstock._backends._base import Backend

__all__ = ("TaskInfo",)


class TaskInfo:
    """One task, for whoever debugs or tests.

    Two of them are equal where they describe the same task.

    Args:
        backend: The backend of its event loop.
        task: The task.
        parent_id: The ``id`` of the task whose task group it belongs to, if any.
        name: What it is called.
        coro: Its coroutine.
    """

    # The task itself is not kept alive: a description that a local variable of the task holds
    # would close a circle through the traceback of whatever the task raises.
    __slots__ = ("_backend", "_task", "coro", "id", "name", "parent_id")

    def __init__(
        self, backend: Backend, task: Any, parent_id: int | None, name: str, coro: Any
    ) -> None:
        self._backend = backend
        self._task = ref(task)
        self.id: int = id(task)
        """Tells it apart from every other task that lives."""
        self.parent_id: int | None = parent_id
        """The ``id`` of the task that hosts its task group; None: it is in no task group."""
        self.name: str = name
        """What it is called in debuggers."""
        self.coro: Any = coro
        """Its coroutine; on asyncio None once it has ended."""

    def has_pending_cancellation(self) -> bool:
        """Whether the next wait of the task will be cancelled; False once it has ended."""
        task = self._task()
        return task is not None and self._backend.has_pending_cancellation(task)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TaskInfo):
            return self._task == other._task
        return NotImplemented

    def __hash__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"TaskInfo(id={self.id!r}, name={self.name!r})"
