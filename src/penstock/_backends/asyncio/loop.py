"""The primitives of one asyncio event loop: waiting, waking, yielding, watching descriptors.

Lives here: the object that serves one event loop, and how it is found and ended.  Cancellation
lives in ``scopes``, task groups in ``groups``, worker threads in ``threads``.
"""

from __future__ import annotations

import asyncio
import math
from asyncio import AbstractEventLoop, Future, events
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractContextManager
from types import coroutine
from typing import Any, TypeVar
from weakref import WeakSet

from penstock._backends._base import Backend, ThreadLimiter
from penstock._backends._tasks import TaskInfo
from penstock._backends.asyncio.checkpoints import CheckpointWatch
from penstock._backends.asyncio.groups import AsyncioTaskGroup
from penstock._backends.asyncio.limits import AsyncioTimeLimit
from penstock._backends.asyncio.scopes import AsyncioCancelScope
from penstock._backends.asyncio.signals import SignalWakeup
from penstock._backends.asyncio.states import TaskStates, effective_deadline
from penstock._backends.asyncio.threads import WorkerThreads, run_sync_in_thread
from penstock._exceptions import BusyResourceError, ClosedResourceError
from penstock._hotpath import ReadyBudget

__all__ = ("AsyncioBackend", "current")

T = TypeVar("T")


@coroutine
def _one_turn() -> Generator[None, None, None]:
    """Give every other ready task a turn: what ``asyncio.sleep(0)`` does, one frame less."""
    yield


class AsyncioBackend(Backend):
    """The primitives of one asyncio event loop."""

    name = "asyncio"
    cancelled_exception = asyncio.CancelledError
    current_task = staticmethod(asyncio.current_task)

    def __init__(self, loop: AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        self.budget = ReadyBudget()
        self.states = TaskStates(loop, self.budget)
        self.new_wait: Callable[[], Future[None]] = loop.create_future
        self._signal_wakeup = SignalWakeup(loop)
        self._threads: WorkerThreads | None = None
        #: Descriptor and direction -> the wait for it, and what calls its watch off.
        self._watched: dict[tuple[int, bool], tuple[Future[bool], Callable[[], None]]] = {}
        self._onlookers: set[asyncio.Task[Any] | None] = set()  # in wait_all_tasks_blocked()

    @staticmethod
    def wake(wait: Future[None]) -> bool:
        try:
            wait.set_result(None)
        except (asyncio.InvalidStateError, RuntimeError):
            return False  # woken or cancelled before; or its loop was closed and left it behind
        return True

    async def settle(self) -> None:
        states = self.states
        if states.cancelled:
            await states.checkpoint_if_cancelled()
        budget = self.budget
        if budget.exhausted:
            budget.refill()  # before the yield: whoever runs meanwhile has a full budget
            await _one_turn()
            if states.cancelled:
                await states.checkpoint_if_cancelled()
        budget.grant()

    async def checkpoint(self) -> None:
        states = self.states
        if states.cancelled:
            await states.checkpoint_if_cancelled()
        await _one_turn()
        if states.cancelled:
            await states.checkpoint_if_cancelled()

    async def checkpoint_if_cancelled(self) -> None:
        await self.states.checkpoint_if_cancelled()

    async def cancel_shielded_checkpoint(self) -> None:
        with AsyncioCancelScope(self.states, shield=True):
            await _one_turn()

    def watch_checkpoints(self) -> Callable[[], tuple[bool, bool]]:
        end = CheckpointWatch(self.states).end

        def both_and_either() -> tuple[bool, bool]:
            yielded, looked = end()
            return yielded and looked, yielded or looked

        return both_and_either

    async def sleep(self, delay: float) -> None:
        await self.states.checkpoint_if_cancelled()
        await asyncio.sleep(delay)

    def current_time(self) -> float:
        return self.loop.time()

    def end_with_loop(self) -> None:
        """Close this object when its event loop shuts down.

        asyncio offers one hook for that: ``shutdown_asyncgens()``, which ``asyncio.run`` calls,
        closes every async generator that was started on the loop.  So one is started and kept.
        """

        async def lifetime() -> AsyncGenerator[None, None]:
            try:
                yield
            finally:
                _backends.pop(self.loop, None)
                _shut_down.add(self.loop)
                self.close()

        self._lifetime = lifetime()
        try:
            self._lifetime.__anext__().send(None)
        except StopIteration:
            pass

    def watch(self, fd: int, callback: Callable[[], Any]) -> None:
        self.loop.add_reader(fd, callback)

        def unwatch() -> None:
            if not self.loop.is_closed():
                self.loop.remove_reader(fd)

        self.on_close(unwatch)

    def watch_once(self, fd: int, writing: bool, callback: Callable[[], Any]) -> Callable[[], None]:
        loop = self.loop
        add, remove = (
            (loop.add_writer, loop.remove_writer)
            if writing
            else (loop.add_reader, loop.remove_reader)
        )

        def call_off() -> None:
            if not loop.is_closed():
                remove(fd)

        def fire() -> None:
            remove(fd)
            callback()

        add(fd, fire)
        return call_off

    async def wait_ready(self, fd: int, writing: bool) -> None:
        await self.states.checkpoint_if_cancelled()
        key = (fd, writing)
        if key in self._watched:
            raise BusyResourceError("writing to" if writing else "reading from")
        wait: Future[bool] = self.loop.create_future()

        def ready() -> None:
            self._end_watch(key, True)

        self._watched[key] = watched = wait, self.watch_once(fd, writing, ready)
        try:
            still_open = await wait
        finally:
            if self._watched.get(key) is watched:  # cancelled
                self._end_watch(key, False)
        if not still_open:
            raise ClosedResourceError

    def notify_closing(self, fd: int) -> None:
        for key in ((fd, False), (fd, True)):
            if key in self._watched:
                self._end_watch(key, False)

    def _end_watch(self, key: tuple[int, bool], still_open: bool) -> None:
        wait, call_off = self._watched.pop(key)
        call_off()
        if not wait.done():
            wait.set_result(still_open)

    def call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        self.loop.call_soon_threadsafe(callback)

    def wake_on_signals(self) -> AbstractContextManager[None]:
        return self._signal_wakeup

    def is_current(self) -> bool:
        # A loop that was shut down may be run again; it has another backend object then.
        return events._get_running_loop() is self.loop and not self.budget.retired

    @property
    def native_token(self) -> AbstractEventLoop:
        return self.loop

    def running_tasks(self) -> list[asyncio.Task[Any]]:
        return list(asyncio.all_tasks(self.loop))

    def task_info(self, task: asyncio.Task[Any]) -> TaskInfo:
        parent = self.states.parent(task)
        # Python 3.12.1 crashes when an eager task that has ended is asked for its coroutine.
        coro = None if task.done() else task.get_coro()
        return TaskInfo(self, task, None if parent is None else id(parent), task.get_name(), coro)

    def has_pending_cancellation(self, task: asyncio.Task[Any]) -> bool:
        return not task.done() and self.states.is_being_cancelled(task)

    def current_effective_deadline(self) -> float:
        task = asyncio.current_task(self.loop)
        state = None if task is None else self.states.find(task)
        return math.inf if state is None else effective_deadline(state.scope)

    def create_cancel_scope(self, *, deadline: float, shield: bool) -> AsyncioCancelScope:
        return AsyncioCancelScope(self.states, deadline, shield)

    def limit_time(self, seconds: float) -> AsyncioTimeLimit:
        return AsyncioTimeLimit(self.states, self.loop.time() + seconds)

    def create_task_group(self) -> AsyncioTaskGroup:
        return AsyncioTaskGroup(self.states)

    async def run_sync_in_thread(
        self,
        func: Callable[..., T],
        args: tuple[Any, ...],
        *,
        abandon_on_cancel: bool,
        limiter: ThreadLimiter,
    ) -> T:
        return await run_sync_in_thread(self, func, args, abandon_on_cancel, limiter)

    def worker_threads(self) -> WorkerThreads:
        """Return the worker threads of this loop."""
        if self._threads is None:
            self._threads = WorkerThreads(self)
        return self._threads

    async def wait_all_tasks_blocked(self) -> None:
        me = asyncio.current_task()
        self._onlookers.add(me)
        quiet = 0
        try:
            # Twice in a row: a future's callback may be on its way from one task to the next.
            while quiet < 2:
                await self.checkpoint()
                quiet = 0 if any(map(self._is_busy, asyncio.all_tasks(self.loop))) else quiet + 1
        finally:
            self._onlookers.discard(me)

    def _is_busy(self, task: asyncio.Task[Any]) -> bool:
        # The one place that tells whether a task is parked; uvloop's are these too.
        waiter = getattr(task, "_fut_waiter", None)
        return (waiter is None or waiter.done()) and task not in self._onlookers

    @staticmethod
    def retire_ended() -> None:
        for loop in list(_backends):  # closed without shutdown_asyncgens()
            if loop.is_closed():
                _backends.pop(loop).close()

    @classmethod
    def run(
        cls, func: Callable[..., Awaitable[T]], args: tuple[Any, ...], options: dict[str, Any]
    ) -> T:
        options = dict(options)
        debug = options.pop("debug", None)
        loop_factory = options.pop("loop_factory", None)
        if options.pop("use_uvloop", False):
            if loop_factory is not None:
                raise ValueError("use_uvloop and loop_factory cannot be given together")
            from uvloop import new_event_loop as loop_factory
        if options:
            raise TypeError(f"unknown options of the asyncio backend: {', '.join(sorted(options))}")

        async def main() -> T:
            return await func(*args)

        with asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
            return runner.run(main())


_backends: dict[AbstractEventLoop, AsyncioBackend] = {}

#: The loops whose async generators were shut down: a new one would never be closed there.
_shut_down: WeakSet[AbstractEventLoop] = WeakSet()


def find() -> AsyncioBackend | None:
    """Return the backend object of the running asyncio event loop, if there is one already."""
    loop = events._get_running_loop()
    return None if loop is None else _backends.get(loop)


def current() -> AsyncioBackend:
    """Return the backend object of the running asyncio event loop."""
    loop = asyncio.get_running_loop()
    backend = _backends.get(loop)
    if backend is None:
        AsyncioBackend.retire_ended()
        backend = _backends[loop] = AsyncioBackend(loop)
        if loop not in _shut_down:  # what is left to run there is closed by retire_ended()
            backend.end_with_loop()
    return backend
