"""Task groups on asyncio.

A child is the user's coroutine itself, with nothing wrapped around it: its scopes begin at the
scope of the group, and a callback takes note of its end.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError, Future, Task, current_task
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

from penstock._backends.asyncio.scopes import AsyncioCancelScope, AsyncioGroupScope
from penstock._backends.asyncio.states import TaskStates, only_cancelled
from penstock.abc._tasks import TaskGroup

__all__ = ("AsyncioTaskGroup",)


class _Start:
    """How :meth:`AsyncioTaskGroup.start` learns that its task is up; the ``task_status``."""

    __slots__ = ("up", "value", "wait")

    def __init__(self, wait: Future[None]) -> None:
        self.wait = wait  # done when the task is up, when it has ended, when start() is cancelled
        self.up = False
        self.value: Any = None

    def started(self, value: Any = None) -> None:
        if self.up:
            raise RuntimeError("called 'started' twice on the same task status")
        if not self.wait.done():
            self.up = True
            self.value = value
            self.wait.set_result(None)


class AsyncioTaskGroup(TaskGroup):
    """A task group of one asyncio event loop.

    Args:
        states: The tasks of that loop.
    """

    # I1  _tasks holds the children that have not ended, or whose end was not noted
    # I2  _idle is set only while __aexit__ waits for _tasks to be empty
    __slots__ = (
        "_active",
        "_child_cancelled",
        "_entered",
        "_errors",
        "_idle",
        "_states",
        "_tasks",
        "cancel_scope",
    )

    cancel_scope: AsyncioGroupScope

    def __init__(self, states: TaskStates) -> None:
        self._tasks: set[Task[Any]] = set()
        self.cancel_scope = AsyncioGroupScope(states, self._tasks)
        self._states = states
        self._entered = self._active = self._child_cancelled = False
        self._errors: list[BaseException] = []
        self._idle: Future[None] | None = None

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("This task group has already been entered")
        self.cancel_scope.__enter__()
        self._entered = self._active = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool:
        scope = self.cancel_scope
        cancellation: BaseException | None = None
        if exc_val is not None:
            scope.cancel("the block of the task group has failed")
            if only_cancelled(exc_val):
                cancellation = exc_val
            else:
                self._errors.append(exc_val)
        cancellation = await self._children_ended() or cancellation
        self._active = False
        errors, self._errors = self._errors, []  # an error's traceback leads back to this group
        outcome: BaseException | None
        try:
            if errors:
                outcome = BaseExceptionGroup("unhandled errors in a TaskGroup", errors)
            else:
                if cancellation is None and self._child_cancelled:
                    try:
                        await self._states.checkpoint_if_cancelled()
                    except CancelledError as exc:
                        cancellation = exc
                outcome = cancellation
            native = scope.cancelled_natively()
            if scope.__exit__(None if outcome is None else type(outcome), outcome, None):
                return True
            if errors and native:
                # The errors take the place of the native cancellation: the next wait gets it.
                task = current_task()
                assert task is not None
                task.uncancel()
                task.cancel()
            if outcome is None or outcome is exc_val:
                return False
            raise outcome
        finally:
            outcome = cancellation = exc_val = None
            del errors

    async def _children_ended(self) -> CancelledError | None:
        """Wait for all children.

        The scopes around the group cancel the children themselves, so this wait is shielded from
        them: only a native cancellation gets through.  It cancels the group, and is returned.
        """
        cancellation: CancelledError | None = None
        with AsyncioCancelScope(self._states, shield=True):
            yielded = False
            while self._tasks or not yielded:
                yielded = True
                try:
                    if self._tasks:
                        self._idle = self._states.loop.create_future()
                        await self._idle
                    else:
                        await asyncio.sleep(0)
                except CancelledError as exc:
                    cancellation = exc
                    self.cancel_scope.cancel("the task of the task group was cancelled")
                finally:
                    self._idle = None
        try:
            return cancellation
        finally:
            del cancellation

    def start_soon(
        self, func: Callable[..., Awaitable[Any]], /, *args: Any, name: object = None
    ) -> None:
        self._spawn(func, args, name, self.cancel_scope, None)

    async def start(
        self, func: Callable[..., Awaitable[Any]], /, *args: Any, name: object = None
    ) -> Any:
        states = self._states
        await states.checkpoint_if_cancelled()
        start = _Start(states.loop.create_future())
        # The child's scopes begin at one of its own, for this call to cancel.
        scope = AsyncioCancelScope(states)
        scope._parent = self.cancel_scope
        task = self._spawn(func, args, name, scope, start)
        error: BaseException | None = None
        try:
            try:
                await start.wait
                if start.up:
                    return start.value
                error = None if task.cancelled() else task.exception()
            except CancelledError:
                scope.cancel("the start of the task was cancelled")
                await self._child_ended(task)
                scope.leave()
                error = None if start.up or task.cancelled() else task.exception()
                if error is None:
                    raise
            if error is None:
                error = RuntimeError("Child exited without calling task_status.started()")
            raise error
        finally:
            del task, error  # the error's traceback leads back to this frame

    async def _child_ended(self, task: Task[Any]) -> None:
        """Wait for ``task``, whatever is cancelled meanwhile."""
        with AsyncioCancelScope(self._states, shield=True):
            while not task.done():
                try:
                    await asyncio.wait([task])
                except CancelledError:
                    pass  # one is being raised already

    def _spawn(
        self,
        func: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        name: object,
        scope: AsyncioCancelScope,
        start: _Start | None,
    ) -> Task[Any]:
        """Start a child whose scopes begin at ``scope``."""
        if not self._active:
            raise RuntimeError("This task group is not active; no new tasks can be started.")
        coro = func(*args) if start is None else func(*args, task_status=start)
        if not asyncio.iscoroutine(coro):
            raise TypeError(
                f"Expected {func} to return a coroutine, but the return value ({coro!r}) is not "
                "a coroutine object"
            )
        if name is None:
            name = getattr(func, "__qualname__", None) or repr(func)
        states = self._states
        outer, states.starting = states.starting, (coro, scope)
        try:
            task = states.loop.create_task(coro, name=str(name))
        finally:
            states.starting = outer
        state = states.adopt(task, scope)
        if start is None:
            ended = self._child_has_ended
        else:
            scope.enter_for(state, self.cancel_scope)
            ended = partial(self._starting_child_has_ended, start)
        if task.done():  # an eager one
            ended(task)
        else:
            self._tasks.add(task)
            task.add_done_callback(ended)
        try:
            return task
        finally:
            del task  # the traceback of an eager task's error leads back to this frame

    def _child_has_ended(self, task: Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or (error is not None and only_cancelled(error)):
            self._child_cancelled = True
        elif error is not None:
            self._errors.append(error)
            self.cancel_scope.cancel("a task of the task group has failed")
        self._forget(task)

    def _starting_child_has_ended(self, start: _Start, task: Task[Any]) -> None:
        if start.up:
            self._child_has_ended(task)
        else:  # its error is for start() alone
            if not start.wait.done():
                start.wait.set_result(None)
            self._forget(task)

    def _forget(self, task: Task[Any]) -> None:
        self._tasks.discard(task)
        if not self._tasks and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
