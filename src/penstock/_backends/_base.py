"""What an event loop has to offer: the few primitives that everything above is written in.

Lives here: the contract of a backend.  One :class:`Backend` object serves one running event loop
and ends with it.  May not live here: anything that knows a particular event loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from penstock._hotpath import Poller, ReadyBudget
from penstock._kin import introduce
from penstock.abc._tasks import CancelScope

if TYPE_CHECKING:
    from penstock._backends._tasks import TaskInfo
    from penstock.abc._tasks import TaskGroup

__all__ = ("Backend", "BackendCancelScope", "ThreadLimiter", "Wait", "refuse_other_thread")

T = TypeVar("T")

#: What a task waits on: awaited once, by the task that made it; :meth:`Backend.wake` ends it.
Wait = Awaitable[None]


class ThreadLimiter(Protocol):
    """What bounds the number of threads at work: what is asked of it, as Trio asks it too."""

    async def acquire_on_behalf_of(self, borrower: object) -> None: ...
    def release_on_behalf_of(self, borrower: object) -> None: ...


def refuse_other_thread(budget: ReadyBudget) -> None:
    """Raise RuntimeError where a scope is used beside the event loop that it belongs to.

    The tasks in it could not be woken from there, or not before their loop turns by itself.
    """
    if budget.foreign and not budget.retired:
        raise RuntimeError("this cancel scope belongs to an event loop in another thread")


class BackendCancelScope(CancelScope, ABC):
    """A backend's cancel scope: what it tells penstock beside what it tells everybody."""

    __slots__ = ()

    @property
    @abstractmethod
    def expired(self) -> bool:
        """Whether its deadline, and no call, has cancelled the scope."""


class Backend(ABC):
    """The primitives of one running event loop."""

    name: ClassVar[str]
    cancelled_exception: ClassVar[type[BaseException]]

    #: What the tasks of this loop may do before one of them must yield.
    budget: ReadyBudget

    #: Return a fresh wait for the current task; an attribute, because it is called for each wait.
    #: If its ``await`` raises, the wait was cancelled, possibly after it had been woken: the task
    #: then undoes what it has registered, and passes on what the wake-up had promised.
    new_wait: Callable[[], Wait]

    #: Return the task that runs, an object of the event loop's own library, while this loop runs
    #: the caller; an attribute, because a lock asks twice.
    current_task: Callable[[], Any]

    #: The readiness of this loop's sockets; made by ``_readiness`` when the first one comes.
    poller: Poller | None = None

    def __init__(self) -> None:
        introduce()
        #: The values of each :class:`penstock.lowlevel.RunVar` in this run of the loop.
        self.run_vars: dict[Any, Any] = {}
        self._closers: list[Callable[[], None]] = []

    # -- waiting ---------------------------------------------------------------------------

    @staticmethod
    @abstractmethod
    def wake(wait: Any) -> bool:
        """Let the task that waits go on.

        Returns:
            False where the wait was woken or cancelled before: it takes no notice.
        """

    @abstractmethod
    async def settle(self) -> None:
        """Do what stands between a ready operation that was declined and its next try.

        A pending cancellation is raised; where the ready budget is used up, the task yields.
        Afterwards the next operation goes ahead.
        """

    async def begin_operation(self) -> None:
        """Count what is to be done as one ready operation, before it has an effect.

        Where there is a hot path, it asks the budget by itself and has :meth:`settle` to decline.
        """
        if not self.budget.spend():
            await self.settle()
            self.budget.spend()

    @abstractmethod
    async def checkpoint(self) -> None:
        """Yield once; a pending cancellation is raised."""

    @abstractmethod
    async def checkpoint_if_cancelled(self) -> None:
        """Raise a pending cancellation; yield only in order to do so."""

    @abstractmethod
    async def cancel_shielded_checkpoint(self) -> None:
        """Yield once, and leave a pending cancellation for later."""

    @abstractmethod
    def watch_checkpoints(self) -> Callable[[], tuple[bool, bool]]:
        """Watch whether the current task yields, and whether it looks for a cancellation.

        Returns:
            A function, to be called once, that ends it and tells whether the task has done both,
            and whether it has done either.
        """

    @abstractmethod
    async def sleep(self, delay: float) -> None:
        """Wait for ``delay`` seconds."""

    @abstractmethod
    def current_time(self) -> float:
        """Read the event loop's clock, in seconds."""

    # -- descriptors -----------------------------------------------------------------------

    @abstractmethod
    def watch(self, fd: int, callback: Callable[[], Any]) -> None:
        """Call ``callback`` whenever ``fd`` is readable, until it is closed or the event loop ends.

        It may be called at other times, too.
        """

    @abstractmethod
    def watch_once(self, fd: int, writing: bool, callback: Callable[[], Any]) -> Callable[[], None]:
        """Call ``callback`` when ``fd`` is next readable, or writable.

        Returns:
            A function that calls it off.
        """

    @abstractmethod
    async def wait_ready(self, fd: int, writing: bool) -> None:
        """Wait until ``fd`` is readable, or writable; level-triggered.

        Raises:
            BusyResourceError: Another task waits for the same.
            ClosedResourceError: :meth:`notify_closing` was called meanwhile.
            OSError: The system cannot watch it.
        """

    @abstractmethod
    def notify_closing(self, fd: int) -> None:
        """End the waits for ``fd``: it is about to be closed."""

    # -- signals ---------------------------------------------------------------------------

    @abstractmethod
    def call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` in the next turn of the loop; from anywhere, signal handlers too.

        Raises:
            RuntimeError: The event loop has ended.
        """

    @abstractmethod
    def wake_on_signals(self) -> AbstractContextManager[None]:
        """Return a context manager in which every signal wakes the event loop.

        The handlers that Python code has installed run in the main thread, when that runs next;
        the system may tell any thread of a signal.
        """

    # -- tasks -----------------------------------------------------------------------------

    @abstractmethod
    def is_current(self) -> bool:
        """Whether this loop is the one that runs the caller."""

    @property
    @abstractmethod
    def native_token(self) -> object:
        """What the event loop's own library tells its runs apart by."""

    @abstractmethod
    def running_tasks(self) -> list[Any]:
        """Return all tasks of this loop that have not ended."""

    @abstractmethod
    def task_info(self, task: Any) -> TaskInfo:
        """Describe a task of this loop."""

    @abstractmethod
    def has_pending_cancellation(self, task: Any) -> bool:
        """Whether the next wait of a task of this loop will be cancelled."""

    @abstractmethod
    def current_effective_deadline(self) -> float:
        """Return the earliest deadline that the current task can feel; -inf once cancelled."""

    @abstractmethod
    def create_cancel_scope(self, *, deadline: float, shield: bool) -> BackendCancelScope: ...

    @abstractmethod
    def limit_time(self, seconds: float) -> AbstractContextManager[None]:
        """Return a block for one operation, which is interrupted after ``seconds`` (above 0).

        Then what follows the block is reached.  It costs less than a cancel scope and does less:
        it interrupts in :meth:`settle` and in waits of :attr:`new_wait`, others may last; and not
        again and again.  A task is in one such block at a time.
        """

    @abstractmethod
    def create_task_group(self) -> TaskGroup: ...

    @abstractmethod
    async def run_sync_in_thread(
        self,
        func: Callable[..., T],
        args: tuple[Any, ...],
        *,
        abandon_on_cancel: bool,
        limiter: ThreadLimiter,
    ) -> T:
        """Call ``func(*args)`` in a worker thread and return what it returns.

        The thread is a borrower of its own at ``limiter``, until ``func`` has ended: if cancelled
        before it has a token, ``func`` is not called; with ``abandon_on_cancel`` the token stays
        out as long as ``func`` runs.
        """

    @abstractmethod
    async def wait_all_tasks_blocked(self) -> None:
        """Wait until every other task of this loop waits for something."""

    @classmethod
    @abstractmethod
    def run(
        cls, func: Callable[..., Awaitable[T]], args: tuple[Any, ...], options: dict[str, Any]
    ) -> T:
        """Run ``func(*args)`` in a new event loop."""

    # -- the end ---------------------------------------------------------------------------

    def on_close(self, closer: Callable[[], None]) -> None:
        """Call ``closer`` when the event loop ends; the last one registered comes first."""
        self._closers.append(closer)

    def close(self) -> None:
        """Note that the event loop has ended; safe to call again."""
        self.budget.retire()
        while self._closers:
            self._closers.pop()()

    @staticmethod
    def retire_ended() -> None:
        """Close the backends of event loops that have ended without a word about it."""
        return  # most cannot

    def abandon(self) -> None:
        """Let go of the event loop in a forked child, where it is the parent's."""
        self.budget.retire()
        self._closers.clear()
