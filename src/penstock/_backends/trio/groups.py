"""Task groups on Trio: nurseries, with AnyIO's words for what goes wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import trio

from penstock._backends.trio.scopes import TrioCancelScope
from penstock.abc._tasks import TaskGroup

__all__ = ("TrioTaskGroup",)


class TrioTaskGroup(TaskGroup):
    """A task group around a nursery of Trio."""

    __slots__ = ("_entered", "_manager", "_nursery", "cancel_scope")

    cancel_scope: TrioCancelScope

    def __init__(self) -> None:
        self._manager = trio.open_nursery(strict_exception_groups=True)
        self._entered = False
        self._nursery: trio.Nursery | None = None  # set while the group is active
        # Trio makes the nursery's scope on entry; until then this one takes what is asked of it.
        self.cancel_scope = TrioCancelScope(trio.CancelScope())

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("This task group has already been entered")
        self._entered = True
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
                outcome = _first_leaf(group) if errors is None else errors
            finally:
                self._nursery = None
            if outcome is exc_val:
                return False
            if isinstance(outcome, BaseExceptionGroup):
                outcome = BaseExceptionGroup("unhandled errors in a TaskGroup", outcome.exceptions)
            raise outcome
        finally:
            exc_val = outcome = errors = None  # type: ignore[assignment]

    def start_soon(
        self, func: Callable[..., Awaitable[Any]], /, *args: Any, name: object = None
    ) -> None:
        self._active().start_soon(func, *args, name=name)

    async def start(
        self, func: Callable[..., Awaitable[Any]], /, *args: Any, name: object = None
    ) -> Any:
        return await self._active().start(func, *args, name=name)

    def _active(self) -> trio.Nursery:
        if self._nursery is None:
            raise RuntimeError("This task group is not active; no new tasks can be started.")
        return self._nursery


def _first_leaf(exc: BaseException) -> BaseException:
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc
