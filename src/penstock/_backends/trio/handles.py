"""Task handles on Trio, and the thin coroutine around each child that fills its handle in."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar
from weakref import ref

import trio

from penstock._backends._base import refuse_other_thread
from penstock._backends._spawning import StartStatus
from penstock._hotpath import ReadyBudget
from penstock.abc._tasks import TaskHandle

__all__ = ("TrioTaskHandle", "run_child")

T_co = TypeVar("T_co", covariant=True)


class HandleReference(ref["TrioTaskHandle[Any]"]):
    """What a child has of its handle: to see whether anybody keeps that."""

    __slots__ = ("kept",)

    #: The handle, once it has cancelled a child that does not run yet.
    kept: TrioTaskHandle[Any] | None


class TrioTaskHandle(TaskHandle[T_co]):
    """The handle of one child.

    Args:
        coro: What the child runs.
        name: What the child is called.
        budget: The ready budget of the event loop.
    """

    # I1  _done is set once the child has ended; then _error or _value says how
    # I2  _over is set once somebody waits for the end
    # I3  _scope is set once the child runs or is cancelled; if it is cancelled before it runs,
    #     reference keeps this handle until then
    __slots__ = (
        "_budget",
        "_coro",
        "_done",
        "_error",
        "_name",
        "_over",
        "_scope",
        "_value",
        "reference",
    )

    _value: T_co

    def __init__(self, coro: Coroutine[Any, Any, T_co], name: str, budget: ReadyBudget) -> None:
        self._budget = budget
        self._coro = coro
        self._name = name
        self._scope: trio.CancelScope | None = None
        self.reference = HandleReference(self)
        self._done = False
        self._error: BaseException | None = None
        self._over: trio.Event | None = None

    def cancel(self) -> None:
        if self._done:
            return
        refuse_other_thread(self._budget)
        if self._scope is None:
            self._scope = trio.CancelScope()
            self.reference.kept = self
        self._scope.cancel()

    async def wait(self) -> None:
        if self._done:
            await trio.lowlevel.checkpoint()
            return
        if self._over is None:
            self._over = trio.Event()
        await self._over.wait()

    def forget(self) -> None:
        """Let go of the error, whose traceback leads back here."""
        self._error = None

    @property
    def status(self) -> TaskHandle.Status:
        if not self._done:
            cancelling = self._scope is not None and self._scope.cancel_called
            return TaskHandle.Status.CANCELLING if cancelling else TaskHandle.Status.PENDING
        if self._error is None:
            return TaskHandle.Status.FINISHED
        return (
            TaskHandle.Status.CANCELLED
            if _only_cancelled(self._error)
            else TaskHandle.Status.FAILED
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def coro(self) -> Coroutine[Any, Any, T_co]:
        return self._coro

    def _raised(self) -> BaseException | None:
        return self._error

    def _returned(self) -> T_co:
        return self._value


async def run_child(
    handle_of: HandleReference,
    coro: Coroutine[Any, Any, Any],
    status: StartStatus | None = None,
    task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a child; what a nursery starts.

    A cancel scope of the child's own takes half as long as all else that starting and ending it
    does.  Only the handle could cancel it, and most callers drop that at once.

    Args:
        handle_of: Refers to its handle.
        coro: What the child runs.
        status: The ``task_status`` that the child has, if start() has started it.
        task_status: What ``status`` passes on to.
    """
    handle = handle_of()
    if handle is None:
        try:
            await coro
        except BaseException as exc:
            _part_from_canceller(exc)
            raise
        return
    handle_of.kept = None
    if handle._scope is None:
        handle._scope = trio.CancelScope()
    try:
        with handle._scope:
            if status is not None:
                status.connect(task_status.started)
            try:
                handle._value = await coro
            except BaseException as exc:
                handle._error = exc
                _part_from_canceller(exc)
                raise
    finally:
        handle._done = True
        if handle._over is not None:
            handle._over.set()
        del handle, status  # the traceback of an error, which the handle has, leads back here


def _only_cancelled(exc: BaseException) -> bool:
    """Whether ``exc`` is a cancellation, or a group of nothing else."""
    if isinstance(exc, BaseExceptionGroup):
        return exc.split(trio.Cancelled)[1] is None
    return isinstance(exc, trio.Cancelled)


def _part_from_canceller(exc: BaseException) -> None:
    """Cut the frame in which Trio made a cancellation out of its traceback.

    That frame leads to those of whoever called ``cancel()``, which hold the handle or the task
    group more often than not, and those hold ``exc``.
    """
    for cancellation in (exc, exc.__context__):
        if isinstance(cancellation, trio.Cancelled):
            tb = cancellation.__traceback__
            while tb is not None and tb.tb_next is not None:
                if tb.tb_next.tb_frame.f_code.co_name == "raise_cancel":
                    tb.tb_next = None
                tb = tb.tb_next
