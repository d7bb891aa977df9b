"""Task handles on Trio, and the thin coroutine around each child that fills its handle in."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import trio

from penstock._backends._base import refuse_other_thread
from penstock._backends._spawning import StartStatus
from penstock._hotpath import ReadyBudget
from penstock.abc._tasks import TaskHandle

__all__ = ("TrioTaskHandle",)

T_co = TypeVar("T_co", covariant=True)


class TrioTaskHandle(TaskHandle[T_co]):
    """The handle of one child.

    Args:
        coro: What the child runs.
        name: What the child is called.
        budget: The ready budget of the event loop.
    """

    # I1  _done is set once the child has ended; then _error or _value says how
    # I2  _over is set once somebody waits for the end
    __slots__ = ("_budget", "_coro", "_done", "_error", "_name", "_over", "_scope", "_value")

    _value: T_co

    def __init__(self, coro: Coroutine[Any, Any, T_co], name: str, budget: ReadyBudget) -> None:
        self._budget = budget
        self._coro = coro
        self._name = name
        self._scope = trio.CancelScope()
        self._done = False
        self._error: BaseException | None = None
        self._over: trio.Event | None = None

    async def run(
        self,
        status: StartStatus | None = None,
        task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run the child; what a nursery starts.

        Args:
            status: The ``task_status`` that the child has, if start() has started it.
            task_status: What ``status`` passes on to.
        """
        try:
            with self._scope:
                if status is not None:
                    status.connect(task_status.started)
                try:
                    self._value = await self._coro
                except BaseException as exc:
                    self._error = exc
                    _part_from_canceller(exc)
                    raise
        finally:
            self._done = True
            if self._over is not None:
                self._over.set()
            del self, status  # the traceback of an error, which the handle has, leads back here

    def cancel(self) -> None:
        if self._done:
            return
        refuse_other_thread(self._budget)
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
            cancelling = self._scope.cancel_called
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


def _only_cancelled(exc: BaseException) -> bool:
    """Whether ``exc`` is a cancellation, or a group of nothing else."""
    if isinstance(exc, BaseExceptionGroup):
        return exc.split(trio.Cancelled)[1] is None
    return isinstance(exc, trio.Cancelled)


def _part_from_canceller(exc: BaseException) -> None:
    """Cut the frame in which Trio made a cancellation out of its traceback.

    That frame leads to those of whoever called ``cancel()``, which hold the handle more often than
    not, and the handle holds ``exc``.
    """
    for cancellation in (exc, exc.__context__):
        if isinstance(cancellation, trio.Cancelled):
            tb = cancellation.__traceback__
            while tb is not None and tb.tb_next is not None:
                if tb.tb_next.tb_frame.f_code.co_name == "raise_cancel":
                    tb.tb_next = None
                tb = tb.tb_next
