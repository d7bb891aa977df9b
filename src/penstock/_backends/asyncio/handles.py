"""Task handles on asyncio: what they know of a task, and how they cancel it alone.

A handle is all that a child costs beside its asyncio task.  A scope of the child's own is made
only for a child that is cancelled.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError, Task
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from penstock._backends._base import refuse_other_thread
from penstock._backends.asyncio.scopes import AsyncioCancelScope
from penstock._backends.asyncio.states import only_cancelled
from penstock.abc._tasks import TaskHandle

if TYPE_CHECKING:
    from penstock._backends.asyncio.groups import AsyncioTaskGroup

__all__ = ("AsyncioTaskHandle",)

T_co = TypeVar("T_co", covariant=True)


class AsyncioTaskHandle(TaskHandle[T_co]):
    """The handle of one child.

    Args:
        coro: What the child runs.
        task: The child.
        group: Whose child it is.
    """

    # I1  group is the task group that holds the child; start() gives it to another
    # I2  scope is set once the child was cancelled by its handle; it is the outermost of the
    #     child's own scopes, and its parent is the scope of group
    __slots__ = ("_coro", "group", "scope", "task")

    def __init__(
        self, coro: Coroutine[Any, Any, T_co], task: Task[T_co], group: AsyncioTaskGroup
    ) -> None:
        self._coro = coro
        self.task = task
        self.group = group
        self.scope: AsyncioCancelScope | None = None

    def cancel(self) -> None:
        if self.scope is None and not self.task.done():
            refuse_other_thread(self.group.states.budget)
            self.scope = self.group.insert_scope(self.task)
            self.scope.cancel("the handle of the task was cancelled")

    async def wait(self) -> None:
        await self.group.states.checkpoint_if_cancelled()
        if self.task.done():
            await asyncio.sleep(0)
        else:
            await asyncio.wait([self.task])  # which, other than awaiting it, does not cancel it

    @property
    def status(self) -> TaskHandle.Status:
        task = self.task
        if not task.done():
            cancelling = self.scope is not None
            return TaskHandle.Status.CANCELLING if cancelling else TaskHandle.Status.PENDING
        if task.cancelled():
            return TaskHandle.Status.CANCELLED
        error = task.exception()
        if error is None:
            return TaskHandle.Status.FINISHED
        return TaskHandle.Status.CANCELLED if only_cancelled(error) else TaskHandle.Status.FAILED

    @property
    def name(self) -> str:
        return self.task.get_name()

    @property
    def coro(self) -> Coroutine[Any, Any, T_co]:
        return self._coro

    def _raised(self) -> BaseException | None:
        try:
            return self.task.exception()
        except CancelledError as exc:
            return exc

    def _returned(self) -> T_co:
        return self.task.result()

    def note_end(self, _task: Task[Any]) -> None:
        """Tell the group that the child has ended; its callback."""
        self.group.child_has_ended(self)
