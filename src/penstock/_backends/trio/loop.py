"""The primitives of one run of Trio: waiting, waking, yielding, watching descriptors.

Lives here: the object that serves one run, and how it is found and ended.  How a task is parked and
resumed lives in ``waits``, cancel scopes in ``scopes``, task groups in ``groups``.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar, cast

import trio
import trio.testing
from trio.lowlevel import current_task

from penstock._backends._base import Backend, ThreadLimiter
from penstock._backends._tasks import TaskInfo
from penstock._backends.trio.deadlines import TrioDeadlines
from penstock._backends.trio.groups import TrioTaskGroup
from penstock._backends.trio.looks import look_along
from penstock._backends.trio.scopes import TrioCancelScope
from penstock._backends.trio.waits import OVERDUE, TrioTimeLimit, TrioWait, check_overdue, wake
from penstock._exceptions import BusyResourceError, ClosedResourceError
from penstock._hotpath import ReadyBudget, TrioProbe

__all__ = ("TrioBackend", "current")

T = TypeVar("T")


def _holds(assertion: AbstractContextManager[None]) -> bool:
    try:
        assertion.__exit__(None, None, None)
    except AssertionError:
        return False
    return True


def _cancellation_probe() -> Callable[[], bool]:
    """Return a function that tells whether the current task has a pending cancellation.

    Trio has no hook that runs when a scope is cancelled, so each operation asks.  The public
    question, ``current_effective_deadline()``, walks all scopes of the task; the flag that Trio
    itself looks at is read instead where it is there.
    """
    if isinstance(getattr(_status(current_task()), "effectively_cancelled", None), bool):
        # What this thread has in there: the same dictionary as long as the thread lives.
        return TrioProbe(vars(trio._core._run.GLOBAL_RUN_CONTEXT))
    return lambda: trio.current_effective_deadline() == -math.inf


def _status(task: trio.lowlevel.Task) -> object:
    """Return Trio's own note of whether ``task`` is cancelled; no other way asks that."""
    return getattr(task, "_cancel_status", None)


class TrioBackend(Backend):
    """The primitives of one run of Trio."""

    name = "trio"
    cancelled_exception = trio.Cancelled
    current_task = staticmethod(current_task)

    def __init__(self) -> None:
        super().__init__()
        self.budget = ReadyBudget(probe=_cancellation_probe())
        self.new_wait = TrioWait
        self._deadlines = TrioDeadlines()
        self._token = trio.lowlevel.current_trio_token()

    wake = staticmethod(wake)

    async def settle(self) -> None:
        budget = self.budget
        if budget.exhausted:
            budget.refill()  # before the yield: whoever runs meanwhile has a full budget
            await trio.lowlevel.checkpoint()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
        if OVERDUE:
            check_overdue(current_task())
        budget.grant()

    async def checkpoint(self) -> None:
        await trio.lowlevel.checkpoint()

    async def checkpoint_if_cancelled(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()

    async def cancel_shielded_checkpoint(self) -> None:
        await trio.lowlevel.cancel_shielded_checkpoint()

    def watch_checkpoints(self) -> Callable[[], tuple[bool, bool]]:
        both, neither = trio.testing.assert_checkpoints(), trio.testing.assert_no_checkpoints()
        both.__enter__()
        neither.__enter__()
        return lambda: (_holds(both), not _holds(neither))

    async def sleep(self, delay: float) -> None:
        await trio.sleep(delay)

    def current_time(self) -> float:
        return trio.current_time()

    def watch(self, fd: int, callback: Callable[[], Any]) -> None:
        if look_along(fd, callback):
            return

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

    async def wait_ready(self, fd: int, writing: bool) -> None:
        wait = trio.lowlevel.wait_writable if writing else trio.lowlevel.wait_readable
        try:
            await wait(fd)
        except trio.BusyResourceError:
            raise BusyResourceError("writing to" if writing else "reading from") from None
        except trio.ClosedResourceError:
            raise ClosedResourceError from None

    def notify_closing(self, fd: int) -> None:
        trio.lowlevel.notify_closing(fd)

    def _background(self, func: Callable[[], Awaitable[None]]) -> None:
        """Run ``func`` until the run ends.  The end may come as a closed descriptor, too."""

        async def task() -> None:
            try:
                await func()
            except trio.ClosedResourceError:
                pass

        trio.lowlevel.spawn_system_task(task, name=f"penstock {func.__name__}")

    def call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        self._token.run_sync_soon(callback)

    def wake_on_signals(self) -> AbstractContextManager[None]:
        return nullcontext()  # in the main thread, Trio does that by itself

    def is_current(self) -> bool:
        try:
            # In a forked child Trio believes that it still runs; this budget knows better.
            return _backend.get() is self and not self.budget.retired
        except (LookupError, RuntimeError):  # another run of Trio, or none
            return False

    @property
    def native_token(self) -> trio.lowlevel.TrioToken:
        return self._token

    def running_tasks(self) -> list[trio.lowlevel.Task]:
        root = trio.lowlevel.current_root_task()
        tasks = [] if root is None else [root]
        for task in tasks:  # which grows meanwhile
            for nursery in task.child_nurseries:
                tasks.extend(nursery.child_tasks)
        return tasks

    def task_info(self, task: trio.lowlevel.Task) -> TaskInfo:
        nursery = task.parent_nursery
        parent_id = None if nursery is None else id(nursery.parent_task)
        return TaskInfo(self, task, parent_id, task.name, task.coro)

    def has_pending_cancellation(self, task: trio.lowlevel.Task) -> bool:
        return bool(getattr(_status(task), "effectively_cancelled", False))

    def current_effective_deadline(self) -> float:
        return trio.current_effective_deadline()

    def create_cancel_scope(self, *, deadline: float, shield: bool) -> TrioCancelScope:
        return TrioCancelScope(trio.CancelScope(deadline=deadline, shield=shield), self.budget)

    def limit_time(self, seconds: float) -> TrioTimeLimit:
        return TrioTimeLimit(self._deadlines, trio.current_time() + seconds)

    def create_task_group(self) -> TrioTaskGroup:
        return TrioTaskGroup(self.budget)

    async def run_sync_in_thread(
        self,
        func: Callable[..., T],
        args: tuple[Any, ...],
        *,
        abandon_on_cancel: bool,
        limiter: ThreadLimiter,
    ) -> T:
        # What Trio asks of a limiter is these two methods.
        like_trios = cast("trio.CapacityLimiter", limiter)
        return await trio.to_thread.run_sync(
            func, *args, abandon_on_cancel=abandon_on_cancel, limiter=like_trios
        )

    async def wait_all_tasks_blocked(self) -> None:
        await trio.testing.wait_all_tasks_blocked()

    @classmethod
    def run(
        cls, func: Callable[..., Awaitable[T]], args: tuple[Any, ...], options: dict[str, Any]
    ) -> T:
        return trio.run(func, *args, **options)


_backend: trio.lowlevel.RunVar[TrioBackend] = trio.lowlevel.RunVar("penstock backend")


def current() -> TrioBackend:
    """Return the backend object of the run of Trio that the caller is in."""
    try:
        return _backend.get()
    except LookupError:
        backend = TrioBackend()
        _backend.set(backend)
        trio.lowlevel.spawn_system_task(_close_at_end, backend, name="penstock end of run")
        return backend


async def _close_at_end(backend: TrioBackend) -> None:
    """Close ``backend`` when the run ends: that is when Trio cancels its system tasks."""
    try:
        await trio.sleep_forever()
    finally:
        backend.close()
