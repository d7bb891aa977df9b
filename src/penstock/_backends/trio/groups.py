"""Task groups on Trio: nurseries, with AnyIO's words for what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import Context
from threading import get_ident
from types import TracebackType
from typing import Any, Self, TypeVar, TypeVarTuple

import trio
from trio.lowlevel import checkpoint_if_cancelled

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
from penstock._backends.trio.handles import TrioTaskHandle, run_child
from penstock._backends.trio.scopes import TrioCancelScope
from penstock._hotpath import ReadyBudget
from penstock.abc._tasks import TaskGroup, TaskHandle

__all__ = ("TrioTaskGroup",)

T = TypeVar("T")
Args = TypeVarTuple("Args")


class TrioTaskGroup(TaskGroup):
    """A task group around a nursery of Trio.

    Args:
        budget: The ready budget of the event loop.
    """

    __slots__ = ("_entered", "_manager", "_nursery", "_thread", "cancel_scope")

    cancel_scope: TrioCancelScope

    def __init__(self, budget: ReadyBudget) -> None:
        self._manager = trio.open_nursery(strict_exception_groups=True)
        self._entered = False
        self._nursery: trio.Nursery | None = None  # set while the group is active
        # Trio makes the nursery's scope on entry; until then this one takes what is asked of it.
        self.cancel_scope = TrioCancelScope(trio.CancelScope(), budget)

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError(ENTERED)
        self._entered = True
        self._thread = get_ident()
        self._nursery = await self._manager.__aenter__()
        self.cancel_scope.replace(self._nursery.cancel_scope)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool:
        outcome: BaseException
        try:
            try:
                return bool(await self._manager.__aexit__(exc_type, exc_val, exc_tb))
            except BaseExceptionGroup as group:
                errors = group.split(trio.Cancelled)[1]
                outcome = first_leaf(group) if errors is None else errors
            finally:
                self._nursery = None
            if outcome is exc_val:
                return False
            if isinstance(outcome, BaseExceptionGroup):
                outcome = BaseExceptionGroup(UNHANDLED, outcome.exceptions)
            context = outcome.__context__
            try:
                raise outcome
            finally:
                if exc_val is not None:  # which is in the group: a chain would grow level by level
                    outcome.__context__ = context
        finally:
            exc_val = outcome = errors = context = None  # type: ignore[assignment]

    def _check_thread(self) -> None:
        if self._nursery is not None and self._thread != get_ident():
            raise RuntimeError(FOREIGN)

    def start_soon(
        self,
        func: Callable[[*Args], Coroutine[Any, Any, T]],
        *args: *Args,
        name: object = None,
    ) -> TaskHandle[T]:
        self._check_thread()
        if self._nursery is None:
            raise RuntimeError(INACTIVE)
        return self._spawn(self._handle_of(coroutine_of(func, args), callable_name(func, name)))

    def create_task(
        self, coro: Coroutine[Any, Any, T], *, name: object = None, context: Context | None = None
    ) -> TaskHandle[T]:
        check_coroutine(coro)
        try:
            self._check_thread()
        except RuntimeError:
            coro.close()
            raise
        handle = self._handle_of(coro, coroutine_name(coro, name))
        if context is None:
            return self._spawn(handle)
        return context.copy().run(self._spawn, handle)

    def _handle_of(self, coro: Coroutine[Any, Any, T], name: str) -> TrioTaskHandle[T]:
        return TrioTaskHandle(coro, name, self.cancel_scope.budget)

    def _spawn(self, handle: TrioTaskHandle[T]) -> TrioTaskHandle[T]:
        nursery = self._nursery
        if nursery is not None:
            try:
                nursery.start_soon(run_child, handle.reference, handle.coro, name=handle.name)
                return handle
            except RuntimeError:  # its last child has ended, and the host is about to leave
                pass
        handle.coro.close()
        raise RuntimeError(INACTIVE)

    async def start(
        self,
        func: Callable[..., Coroutine[Any, Any, Any]],
        *args: Any,
        name: object = None,
        return_handle: bool = False,
    ) -> Any:
        self._check_thread()
        if self._nursery is None:
            raise RuntimeError(INACTIVE)
        await checkpoint_if_cancelled()
        status = StartStatus()
        coro = coroutine_of(func, args, task_status=status)
        handle = self._handle_of(coro, callable_name(func, name))
        try:
            handle._start_value = await self._nursery.start(
                run_child, handle.reference, coro, status, name=handle.name
            )
            return handle if return_handle else status.value
        except BaseException as exc:
            end = handle.status
            handle.forget()  # Trio's frames, which the traceback leads to, hold it
            if status.called or end is TaskHandle.Status.FAILED or type(exc) is not RuntimeError:
                raise
        finally:
            status.disconnect()
            del handle
        # What is left is an error of Trio's own.
        if end is TaskHandle.Status.PENDING:
            coro.close()
            raise RuntimeError(INACTIVE)
        await checkpoint_if_cancelled()
        raise RuntimeError(NOT_STARTED)
