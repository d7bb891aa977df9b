"""Level-triggered cancel scopes on asyncio, without a loop that spins.

asyncio cancels a task once; a scope cancels every wait inside it.  So a task in a cancelled scope
is cancelled natively, watched until that has had its effect, and cancelled again if it waits
again.  Lives here: the scopes of every task of an event loop, and that watch.  Scopes form a
tree: a task's scopes are a chain, and the chains of a task group's children begin at its scope.
"""

from __future__ import annotations

import math
from asyncio import (
    AbstractEventLoop,
    CancelledError,
    Future,
    Handle,
    Task,
    TimerHandle,
    current_task,
)
from functools import partial
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary, ref

from penstock._hotpath import ReadyBudget
from penstock.abc._tasks import CancelScope

__all__ = ("AsyncioCancelScope", "TaskStates", "effective", "only_cancelled")

#: A task that swallows a cancellation and waits again meets the next one at once, this many
#: times; afterwards with a pause that doubles from 1 ms up to 100 ms.
PROMPT = 4
FIRST_PAUSE = 0.001
LONGEST_PAUSE = 0.1


class TaskState:
    """What is known about one task: which scope it is in, and how its cancellation goes."""

    # I1  sent: exactly one cancel() of ours has not been given back by uncancel()
    # I2  hung is set only while sent; the task then waits for that future, which takes its time
    # I3  handle is set while a look at the task is due, late says that it is a pause away
    # I4  at most one of handle and hung is set
    __slots__ = ("handle", "hung", "late", "scope", "sent", "task", "tries")

    def __init__(self, task: Task[Any], scope: AsyncioCancelScope | None) -> None:
        self.task = ref(task)  # weak: the states are kept as long as their task lives
        self.scope = scope
        self.sent = False
        self.tries = 0
        self.late = False
        self.handle: Handle | None = None
        self.hung: Future[Any] | None = None


class TaskStates:
    """The scopes of all tasks of one event loop, and the delivery of their cancellations."""

    # I5  cancelled counts the scopes that are entered and cancelled
    # I6  the budget is held while cancelled > 0, so that every ready operation looks
    __slots__ = ("_budget", "_states", "cancelled", "loop", "starting")

    def __init__(self, loop: AbstractEventLoop, budget: ReadyBudget) -> None:
        self.loop = loop
        self.cancelled = 0
        #: The coroutine that a task group is starting, and its scope.  An eager task runs, and
        #: asks for its state, before the group has got hold of the task.
        self.starting: tuple[object, AsyncioCancelScope] | None = None
        self._budget = budget
        self._states: WeakKeyDictionary[Task[Any], TaskState] = WeakKeyDictionary()

    # -- finding ---------------------------------------------------------------------------

    def find(self, task: Task[Any]) -> TaskState | None:
        """Return the state of ``task``, or None if it was never in a scope."""
        state = self._states.get(task)
        if state is None and self.starting is not None and task.get_coro() is self.starting[0]:
            state = self._states[task] = TaskState(task, self.starting[1])
        return state

    def make(self, task: Task[Any]) -> TaskState:
        """Return the state of ``task``, a new one if need be."""
        state = self.find(task)
        if state is None:
            state = self._states[task] = TaskState(task, None)
        return state

    def adopt(self, task: Task[Any], scope: AsyncioCancelScope) -> TaskState:
        """Let the scopes of the new ``task`` begin at ``scope``, and return its state."""
        state = self._states.get(task)
        if state is None:
            state = self._states[task] = TaskState(task, scope)
        else:  # an eager task; a task factory that wraps coroutines hides it from find()
            outermost: AsyncioCancelScope | None = None
            inner = state.scope
            while inner is not None and inner is not scope:
                outermost, inner = inner, inner._parent
            if outermost is None:
                state.scope = scope
            else:
                outermost._parent = scope
        if self.cancelled and effective(state.scope) is not None:
            self.kick(state)
        return state

    def raise_if_cancelled(self) -> None:
        """Raise if the current task is in a cancelled scope.

        Raises:
            CancelledError: It is; the message names the scope, and the reason if there is one.
        """
        if self.cancelled:
            task = current_task(self.loop)
            state = None if task is None else self.find(task)
            if state is not None:
                scope = effective(state.scope)
                if scope is not None:
                    raise CancelledError(scope.message())

    # -- counting --------------------------------------------------------------------------

    def count(self) -> None:
        """Note one more cancelled scope."""
        self.cancelled += 1
        if self.cancelled == 1:
            self._budget.hold()

    def discount(self) -> None:
        """Note that a cancelled scope was left."""
        self.cancelled -= 1
        if self.cancelled == 0:
            self._budget.release()

    # -- delivering ------------------------------------------------------------------------

    def reach(self, state: TaskState, scope: AsyncioCancelScope) -> None:
        """Kick every task inside ``scope``, which ``state`` is in, that no shield covers."""
        todo: list[tuple[TaskState, AsyncioCancelScope]] = [(state, scope)]
        self._add_children(todo, scope)
        while todo:
            state, top = todo.pop()
            inside: list[AsyncioCancelScope] = []
            inner = state.scope
            while inner is not None and inner is not top:
                inside.append(inner)
                inner = inner._parent
            for inner in reversed(inside):
                if inner._shield:
                    break
                self._add_children(todo, inner)
            else:
                self.kick(state)

    def _add_children(
        self, todo: list[tuple[TaskState, AsyncioCancelScope]], scope: AsyncioCancelScope
    ) -> None:
        for task in scope.tasks or ():
            state = self.find(task)
            if state is not None:
                todo.append((state, scope))

    def kick(self, state: TaskState) -> None:
        """Cancel the wait of a task that is in a cancelled scope, without patience."""
        state.tries = 0
        if state.hung is not None:
            return  # cancelled already: what it waits for takes its time
        if state.handle is not None:
            if not state.late:
                return
            state.handle.cancel()
            state.handle = None
        task = state.task()
        if task is None:
            return
        waiter = getattr(task, "_fut_waiter", None)
        if waiter is None or waiter.done():
            # It runs, has not started, or will see a result first: after that.
            self._look_again(state, 0)
        else:
            self.give_back(state, task)
            self._cancel(state, task, waiter)

    def _look_again(self, state: TaskState, pause: float) -> None:
        state.late = pause > 0
        if state.late:
            state.handle = self.loop.call_later(pause, self._look, state)
        else:
            # After the step of the task that is due: the loop is first in, first out.
            state.handle = self.loop.call_soon(self._look, state)

    def _look(self, state: TaskState) -> None:
        state.handle = None
        task = state.task()
        if task is None or task.done():
            return
        self.give_back(state, task)  # its step has come and gone
        if effective(state.scope) is None:
            state.tries = 0
            return
        waiter = getattr(task, "_fut_waiter", None)
        if waiter is not None and waiter.done():
            self._look_again(state, 0)
        else:
            self._cancel(state, task, waiter)

    def _cancel(self, state: TaskState, task: Task[Any], waiter: Future[Any] | None) -> None:
        scope = effective(state.scope)
        assert scope is not None
        state.tries += 1
        state.sent = True
        task.cancel(scope.message())
        if waiter is None or waiter.done():
            tries = state.tries - PROMPT
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries, 10)) if tries >= 0 else 0
            self._look_again(state, pause)
        else:  # another task, say: it is cancelled, and is not cancelled again
            state.hung = waiter
            waiter.add_done_callback(partial(self._wait_over, state))

    def _wait_over(self, state: TaskState, _waiter: Future[Any]) -> None:
        state.hung = None
        if state.handle is None:
            self._look(state)

    def give_back(self, state: TaskState, task: Task[Any]) -> None:
        """Undo what our cancellation has added to ``task.cancelling()``.

        Only for the task that runs, or after its step: until then the cancellation is on its way.
        """
        if state.sent:
            state.sent = False
            task.uncancel()


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
        "_parent",
        "_reason",
        "_shield",
        "_state",
        "_states",
        "_timer",
        "tasks",
    )

    # I7  _state is set while the scope is entered, and never again
    # I8  _timer is set only while the scope is entered and not cancelled
    def __init__(
        self, states: TaskStates, *, deadline: float = math.inf, shield: bool = False
    ) -> None:
        self._states = states
        self._deadline = deadline
        self._shield = shield
        self._entered = self._cancel_called = self._cancelled_caught = False
        self._reason: str | None = None
        self._state: TaskState | None = None
        self._parent: AsyncioCancelScope | None = None
        self._timer: TimerHandle | None = None
        self._base = 0  # what task.cancelling() was on entry
        self.tasks: set[Task[Any]] | None = None  # the children of the task group whose scope it is

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
            self._stop_timer()
            self._states.count()
            self._states.reach(self._state, self)

    @property
    def deadline(self) -> float:
        return self._deadline

    @deadline.setter
    def deadline(self, value: float) -> None:
        self._deadline = float(value)
        if self._state is not None and not self._cancel_called:
            self._stop_timer()
            self._start_timer()

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
        state = states.make(task)
        states.give_back(state, task)
        self._base = task.cancelling()
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
            self._start_timer()

    def leave(self) -> None:
        """Be active no more."""
        self._state = self._parent = None
        if self._timer is not None:
            self._stop_timer()
        if self._cancel_called:
            self._states.discount()

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

    def _start_timer(self) -> None:
        if self._deadline != math.inf:
            loop = self._states.loop
            if self._deadline <= loop.time():
                self._expire()
            else:
                self._timer = loop.call_at(self._deadline, self._expire)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        self.cancel("deadline exceeded")


def effective(scope: AsyncioCancelScope | None) -> AsyncioCancelScope | None:
    """Return the innermost cancelled scope that can be seen from inside ``scope``, if any."""
    while scope is not None:
        if scope._cancel_called:
            return scope
        if scope._shield:
            return None
        scope = scope._parent
    return None


def only_cancelled(exc: BaseException) -> bool:
    """Whether ``exc`` is a cancellation, or a group of nothing else."""
    if isinstance(exc, BaseExceptionGroup):
        return all(map(only_cancelled, exc.exceptions))
    return isinstance(exc, CancelledError)
