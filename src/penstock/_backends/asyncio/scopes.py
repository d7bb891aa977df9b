"""Cancel scopes on asyncio: their tree, their deadlines, and what they catch.

How a cancellation reaches the tasks inside a scope is in ``states``.
"""

from __future__ import annotations

import math
from asyncio import Task, current_task
from collections.abc import Collection
from types import TracebackType
from typing import Any, Self
from weakref import ref

from penstock._backends.asyncio.deadlines import Entry
from penstock._backends.asyncio.states import TaskState, TaskStates, effective, only_cancelled
from penstock.abc._tasks import CancelScope

__all__ = ("AsyncioCancelScope", "AsyncioGroupScope")

#: The reason of a cancellation that nobody called for.
DEADLINE = "deadline exceeded"


class AsyncioCancelScope(CancelScope):
    """A cancel scope of one asyncio event loop.

    Args:
        states: The tasks of that loop.
        deadline: When it cancels itself, on the clock of the loop.
        shield: Whether cancellations from around it are kept out.
    """

    __slots__ = (
        "_base",
        "_cancel_called",
        "_cancelled_caught",
        "_deadline",
        "_entered",
        "_entry",
        "_parent",
        "_reason",
        "_shield",
        "_state",
        "_states",
    )

    #: The children of the task group whose scope this is.
    tasks: Collection[Task[Any]] = ()

    # I1  _state is set while the scope is entered, and never again
    # I2  _entry is set only while the scope is entered and not cancelled
    def __init__(
        self, states: TaskStates, deadline: float = math.inf, shield: bool = False
    ) -> None:
        self._states = states
        self._deadline = _checked(deadline)
        self._shield = shield
        self._entered = self._cancel_called = self._cancelled_caught = False
        self._reason: str | None = None
        self._state: TaskState | None = None
        self._parent: AsyncioCancelScope | None = None
        self._entry: Entry | None = None
        self._base = 0  # how many native cancellations were over on entry

    def message(self) -> str:
        """Return the text of the cancellations that this scope causes."""
        name = f"cancelled by cancel scope {id(self):x}"
        return name if self._reason is None else f"{name}: {self._reason}"

    def cancel(self, reason: str | None = None) -> None:
        if self._cancel_called:
            return
        self._cancel_called = True
        self._reason = reason
        if self._state is not None:
            self._unwatch_deadline()
            self._states.count()
            self._states.reach(self._state, self)

    @property
    def deadline(self) -> float:
        return self._deadline

    @deadline.setter
    def deadline(self, value: float) -> None:
        self._deadline = _checked(value)
        if self._state is not None and not self._cancel_called:
            self._unwatch_deadline()
            self._watch_deadline()

    @property
    def shield(self) -> bool:
        return self._shield

    @shield.setter
    def shield(self, value: bool) -> None:
        lowered = self._shield and not value
        self._shield = value
        if lowered and self._state is not None and effective(self) is not None:
            self._states.reach(self._state, self)

    @property
    def cancel_called(self) -> bool:
        return self._cancel_called

    @property
    def cancelled_caught(self) -> bool:
        return self._cancelled_caught

    def __enter__(self) -> Self:
        if self._entered:
            raise RuntimeError("Each CancelScope may only be used for a single 'with' block")
        states = self._states
        task = current_task()
        if task is None or task.get_loop() is not states.loop:
            raise RuntimeError("a cancel scope can only be entered in a task of its event loop")
        state = states.by_task.get(ref(task)) or states.make(task)
        if state.sent:
            states.give_back(state, task)
        # One that the task has not met yet is not over: it may come out of this scope.
        self._base = task.cancelling() - getattr(task, "_must_cancel", False)
        parent, state.scope = state.scope, self
        self.enter_for(state, parent)
        if states.cancelled and effective(self) is not None:
            states.kick(state)
        return self

    def enter_for(self, state: TaskState, parent: AsyncioCancelScope | None) -> None:
        """Become active in the task of ``state``, inside ``parent``."""
        self._entered = True
        self._parent = parent
        self._state = state
        if self._cancel_called:
            self._states.count()
        elif self._deadline != math.inf:
            self._watch_deadline()

    def leave(self) -> None:
        """Be active no more."""
        self._state = self._parent = None
        if self._cancel_called:
            self._states.discount()
        elif self._entry is not None:
            self._unwatch_deadline()

    def cancelled_natively(self) -> bool:
        """Whether ``task.cancel()`` was called on the host, which runs, since it entered."""
        state = self._state
        task = None if state is None else state.task()
        if state is None or task is None:
            return False
        self._states.give_back(state, task)
        return task.cancelling() > self._base

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool:
        states, state, parent = self._states, self._state, self._parent
        if state is None:
            raise RuntimeError("This cancel scope is not active")
        task = current_task(states.loop)
        if state.scope is not self or task is None or state.task() is not task:
            self._leave_out_of_order(state)
            if task is None and exc_type is GeneratorExit:
                return False  # closed by the garbage collector
            if task is None or state.task() is not task:
                raise RuntimeError(
                    "Attempted to exit cancel scope in a different task than it was entered in"
                )
            raise RuntimeError(
                "Attempted to exit a cancel scope that isn't the current task's current "
                "cancel scope"
            )
        state.scope = parent
        looked = states.cancelled
        self.leave()
        if looked:  # otherwise nothing was sent and there is nothing to catch
            states.give_back(state, task)
            outer = effective(parent)
            if (
                self._cancel_called
                and exc_val is not None
                and (self._shield or outer is None)
                and task.cancelling() <= self._base
                and only_cancelled(exc_val)
            ):
                self._cancelled_caught = True
            state.tries = 0
            if outer is not None:
                states.kick(state)
        return self._cancelled_caught

    def _leave_out_of_order(self, state: TaskState) -> None:
        """Take the scope out of wherever it is in the chain of ``state``."""
        inner = state.scope
        if inner is self:
            state.scope = self._parent
        while inner is not None:
            if inner._parent is self:
                inner._parent = self._parent
            inner = inner._parent
        self.leave()

    def _watch_deadline(self) -> None:
        states = self._states
        if self._deadline <= states.loop.time():
            self.cancel(DEADLINE)
        elif self._deadline != math.inf:
            self._entry = states.deadlines.add(self._deadline, self._expire)

    def _unwatch_deadline(self) -> None:
        entry, self._entry = self._entry, None
        if entry is not None:
            self._states.deadlines.call_off(entry)

    def _expire(self) -> None:
        self._entry = None
        self.cancel(DEADLINE)


class AsyncioGroupScope(AsyncioCancelScope):
    """The cancel scope of a task group."""

    __slots__ = ("tasks",)

    def __init__(self, states: TaskStates, tasks: Collection[Task[Any]]) -> None:
        super().__init__(states)
        self.tasks = tasks


def _checked(deadline: float) -> float:
    deadline = float(deadline)
    if math.isnan(deadline):  # it has no place in the order of deadlines
        raise ValueError("the deadline must not be NaN")
    return deadline
