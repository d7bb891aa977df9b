"""penstock on Trio: its primitives, its cancel scopes and its nurseries, thinly wrapped."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, Self, TypeVar

import trio
from trio.lowlevel import Abort, current_task, wait_task_rescheduled

from penstock._backends._base import Backend
from penstock._hotpath import ReadyBudget
from penstock.abc._tasks import CancelScope, TaskGroup

__all__ = ("BACKEND", "current")

T = TypeVar("T")


class _Wait:
    """One wait of one task; woken or aborted at most once."""

    __slots__ = ("parked", "task")

    def __init__(self) -> None:
        self.task: trio.lowlevel.Task | None = current_task()
        self.parked = False

    def __await__(self) -> Generator[Any, None, None]:
        if self.task is None:  # woken before it was awaited
            return
        self.parked = True
        yield from wait_task_rescheduled(self._abort).__await__()

    def _abort(self, _raise_cancel: Callable[[], None]) -> Abort:
        self.task = None
        return Abort.SUCCEEDED


def _cancellation_probe() -> Callable[[], bool]:
    """Return a function that tells whether the current task has a pending cancellation.

    Trio has no hook that runs when a scope is cancelled, so each operation asks.  The public
    question, ``current_effective_deadline()``, walks all scopes of the task; the flag that Trio
    itself looks at is read instead where it is there.
    """
    if isinstance(getattr(_status(), "effectively_cancelled", None), bool):
        return lambda: current_task()._cancel_status.effectively_cancelled
    return lambda: trio.current_effective_deadline() == -math.inf


def _status() -> object:
    return getattr(current_task(), "_cancel_status", None)


class TrioBackend(Backend):
    """The primitives of one run of Trio."""

    name = "trio"
    cancelled_exception = trio.Cancelled

    def __init__(self) -> None:
        super().__init__()
        self.budget = ReadyBudget(probe=_cancellation_probe())
        self.new_wait = _Wait

    @staticmethod
    def wake(wait: _Wait) -> bool:
        task = wait.task
        if task is None:
            return False
        wait.task = None
        if wait.parked:
            trio.lowlevel.reschedule(task)
        return True

    async def settle(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        budget = self.budget
        if budget.exhausted:
            budget.refill()  # before the yield: whoever runs meanwhile has a full budget
            await trio.lowlevel.checkpoint()
        budget.grant()

    async def checkpoint(self) -> None:
        await trio.lowlevel.checkpoint()

    async def checkpoint_if_cancelled(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()

    async def cancel_shielded_checkpoint(self) -> None:
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def sleep(self, delay: float) -> None:
        await trio.sleep(delay)

    def current_time(self) -> float:
        return trio.current_time()

    def watch(self, fd: int, callback: Callable[[], Any]) -> None:
        async def watching() -> None:
            while True:
                await trio.lowlevel.wait_readable(fd)
                callback()

        self._background(watching)

    def watch_once(self, fd: int, writing: bool, callback: Callable[[], Any]) -> Callable[[], None]:
        wait = trio.lowlevel.wait_writable if writing else trio.lowlevel.wait_readable
        scope = trio.CancelScope()

        async def watching() -> None:
            with scope:
                await wait(fd)
                callback()

        self._background(watching)
        return scope.cancel

    def _background(self, func: Callable[[], Awaitable[None]]) -> None:
        """Run ``func`` until the run ends.  The end may come as a closed descriptor, too."""

        async def task() -> None:
            try:
                await func()
            except trio.ClosedResourceError:
                pass

        trio.lowlevel.spawn_system_task(task, name=f"penstock {func.__name__}")

    def is_current(self) -> bool:
        return _backend.get(None) is self
