"""Task groups on asyncio.

A child is the user's coroutine itself, with nothing wrapped around it: its scopes begin at the
scope of the group, and a callback takes note of its end.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError, Future, Task, current_task
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from threading import get_ident
from types import TracebackType
from typing import Any, Self, TypeVar, TypeVarTuple

from penstock._backends._spawning import (
    ENTERED,
    FOREIGN,
    INACTIVE,
    NOT_STARTED,
    UNHANDLED,
    StartStatus,
    callable_name,
    check_coroutine,
    coroutine_name,
    coroutine_of,
    first_leaf,
)
from penstock._backends.asyncio.handles import AsyncioTaskHandle
from penstock._backends.asyncio.scopes import AsyncioCancelScope, AsyncioGroupScope
from penstock._backends.asyncio.states import TaskStates, effective
from penstock.abc._tasks import TaskGroup

__all__ = ("AsyncioTaskGroup",)

T = TypeVar("T")
Args = TypeVarTuple("Args")


class AsyncioTaskGroup(TaskGroup):
    """A task group of one asyncio event loop.

    Args:
        states: The tasks of that loop.
    """

    # I1  _tasks holds the children that have not ended, or whose end was not noted
    # I2  _starts counts the calls of start() whose child is not among _tasks, but may come
    # I3  _idle is set only while __aexit__ waits for both to be nothing
    # I4  _errors is empty but between a failure and the end of __aexit__: the traceback of an
    #     error leads to frames, and they to the group
    __slots__ = (
        "_active",
        "_child_cancelled",
        "_entered",
        "_errors",
        "_idle",
        "_starts",
        "_tasks",
        "_thread",
        "cancel_scope",
        "states",
    )

    cancel_scope: AsyncioGroupScope

    def __init__(self, states: TaskStates) -> None:
        self.states = states
        self._tasks: set[Task[Any]] = set()
        self.cancel_scope = AsyncioGroupScope(states, self._tasks)
        self._entered = self._active = self._child_cancelled = False
        self._starts = 0
        self._errors: list[BaseException] = []
        self._idle: Future[None] | None = None

    # -- the block -------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError(ENTERED)
        self.cancel_scope.__enter__()
        self._entered = self._active = True
        self._thread = get_ident()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool:
        scope = self.cancel_scope
        outcome: BaseException | None = None
        if exc_val is not None:
            scope.cancel("the block of the task group has failed")
            outcome = self._note(exc_val)
        try:
            outcome = await self._children_ended() or outcome
            self._active = False
            if outcome is None and self._child_cancelled:
                try:
                    await self.states.checkpoint_if_cancelled()
                except CancelledError as exc:
                    outcome = exc
            native = scope.cancelled_natively()
            failed = bool(self._errors)
            if failed:
                outcome = BaseExceptionGroup(UNHANDLED, self._errors)
                self._errors = []
            if scope.__exit__(None if outcome is None else type(outcome), outcome, None):
                return True
            if failed and native:
                # The errors take the place of the native cancellation: the next wait gets it.
                task = current_task()
                assert task is not None
                task.uncancel()
                task.cancel()
            if outcome is None or outcome is exc_val:
                return False
            context = outcome.__context__
            try:
                raise outcome
            finally:
                if exc_val is not None:  # which is in the group: a chain would grow level by level
                    outcome.__context__ = context
        finally:
            outcome = exc_val = context = None

    async def _children_ended(self) -> CancelledError | None:
        """Wait for all children, at least one turn of the loop.

        The scopes around the group cancel the children themselves, so this wait is shielded from
        them: only a native cancellation gets through.  It cancels the group, and is returned.
        """
        cancellation: CancelledError | None = None
        waited = False
        with AsyncioCancelScope(self.states, shield=True):
            while self._tasks or self._starts or not waited:
                waited = True
                try:
                    if self._tasks or self._starts:
                        self._idle = self.states.loop.create_future()
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

    def _note(self, exc: BaseException) -> BaseException | None:
        """Take note of what a child or the block raised, without the cancellations in it.

        Returns:
            One of the cancellations, if there is nothing else.
        """
        if isinstance(exc, CancelledError):
            return exc
        errors: BaseException | None = exc
        cancellations: BaseException | None = None
        if isinstance(exc, BaseExceptionGroup):
            cancellations, errors = exc.split(CancelledError)
        if errors is not None:
            self._errors.append(exc if cancellations is None else errors)
            return None
        assert cancellations is not None
        return first_leaf(cancellations)

    # -- the children ----------------------------------------------------------------------

    def _check_usable(self) -> None:
        if not self._active:
            raise RuntimeError(INACTIVE)
        if self._thread != get_ident():
            raise RuntimeError(FOREIGN)

    def start_soon(
        self,
        func: Callable[[*Args], Coroutine[Any, Any, T]],
        *args: *Args,
        name: object = None,
    ) -> AsyncioTaskHandle[T]:
        self._check_usable()
        return self._spawn(coroutine_of(func, args), callable_name(func, name))

    def create_task(
        self, coro: Coroutine[Any, Any, T], *, name: object = None, context: Context | None = None
    ) -> AsyncioTaskHandle[T]:
        check_coroutine(coro)
        try:
            self._check_usable()
        except RuntimeError:
            coro.close()
            raise
        name = coroutine_name(coro, name)
        if context is None:
            return self._spawn(coro, name)
        return context.copy().run(self._spawn, coro, name)

    async def start(
        self,
        func: Callable[..., Coroutine[Any, Any, Any]],
        *args: Any,
        name: object = None,
        return_handle: bool = False,
    ) -> Any:
        self._check_usable()
        await self.states.checkpoint_if_cancelled()
        home = AsyncioTaskGroup(self.states)  # of the child until it is up: the caller's
        status = StartStatus()
        handle: AsyncioTaskHandle[Any] | None = None
        error: BaseException | None = None
        self._starts += 1
        try:
            try:
                async with home:
                    coro = coroutine_of(func, args, task_status=status)
                    handle = home._spawn(coro, callable_name(func, name), (status, self))
            except BaseExceptionGroup as group:
                (error,) = group.exceptions
            except CancelledError:
                if handle is not None and handle.group is self:  # up, but natively cancelled
                    handle.cancel()
                    await self._ended(handle.task)
                raise
            if error is not None:
                raise error
            if not status.called:
                await self.states.checkpoint_if_cancelled()
                raise RuntimeError(NOT_STARTED)
            assert handle is not None
            handle._start_value = status.value
            return handle if return_handle else status.value
        finally:
            status.disconnect()
            self._starts -= 1
            self._wake_if_idle()
            del handle, error  # whose tracebacks lead back to this frame

    async def _ended(self, task: Task[Any]) -> None:
        """Wait for ``task``, whatever is cancelled meanwhile."""
        with AsyncioCancelScope(self.states, shield=True):
            while not task.done():
                try:
                    await asyncio.wait([task])
                except CancelledError:
                    pass  # one is being raised already

    def _spawn(
        self,
        coro: Coroutine[Any, Any, T],
        name: str,
        starting: tuple[StartStatus, AsyncioTaskGroup] | None = None,
    ) -> AsyncioTaskHandle[T]:
        """Start a child.

        Args:
            coro: What it runs.
            name: What to call it.
            starting: What tells that it is up, and the group that it goes to then.
        """
        states, scope = self.states, self.cancel_scope
        outer, states.starting = states.starting, (coro, scope)
        try:
            task = states.loop.create_task(coro, name=name)
        except BaseException:
            coro.close()
            raise
        finally:
            states.starting = outer
        states.adopt(task, scope)
        handle = AsyncioTaskHandle(coro, task, self)
        self._tasks.add(task)
        if starting is not None:
            starting[0].connect(partial(self._hand_over, handle, starting[1]))
        if task.done():  # an eager one
            handle.note_end(task)
        else:
            task.add_done_callback(handle.note_end)
        try:
            return handle
        finally:
            del task, handle  # the traceback of an eager task's error leads back to this frame

    def _hand_over(
        self, handle: AsyncioTaskHandle[Any], group: AsyncioTaskGroup, _value: object
    ) -> None:
        """Give a child that is up to ``group``, unless its end or a cancellation came first."""
        task = handle.task
        if task in self._tasks and effective(self.cancel_scope) is None:
            self._tasks.remove(task)
            group._tasks.add(task)
            handle.group = group
            states = self.states
            states.rebase(states.make(task), self.cancel_scope, group.cancel_scope)
            self._wake_if_idle()

    def insert_scope(self, task: Task[Any]) -> AsyncioCancelScope:
        """Return a new scope that lies between the group's and those of the child ``task``."""
        state = self.states.make(task)
        scope = AsyncioCancelScope(self.states)
        scope.enter_for(state, self.cancel_scope)
        self.states.rebase(state, self.cancel_scope, scope)
        return scope

    def child_has_ended(self, handle: AsyncioTaskHandle[Any]) -> None:
        """Take note of the end of a child."""
        task = handle.task
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or (error is not None and self._note(error) is not None):
            # Other cancellations are the child's own affair: of its handle, or native.
            if effective(self.cancel_scope) is not None:
                self._child_cancelled = True
        elif error is not None:
            self.cancel_scope.cancel("a task of the task group has failed")
        if handle.scope is not None:
            handle.scope.leave()
        self._tasks.discard(task)
        self._wake_if_idle()

    def _wake_if_idle(self) -> None:
        idle = self._idle
        if idle is not None and not idle.done() and not self._tasks and not self._starts:
            idle.set_result(None)
