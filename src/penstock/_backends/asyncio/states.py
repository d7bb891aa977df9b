"""Level-triggered cancellation on asyncio, without a loop that spins.

asyncio cancels a task once; a scope cancels every wait inside it.  So a task in a cancelled scope
is cancelled natively, watched until that has had its effect, and cancelled again if it waits
again.  Lives here: which scope each task of an event loop is in, and that watch.  Scopes form a
tree: a task's scopes are a chain, and the chains of a task group's children begin at its scope.
"""

from __future__ import annotations

import math
from asyncio import AbstractEventLoop, CancelledError, Future, Handle, Task, current_task
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from penstock._backends.asyncio.deadlines import Deadlines
from penstock._hotpath import ReadyBudget

if TYPE_CHECKING:
    from penstock._backends.asyncio.scopes import AsyncioCancelScope

__all__ = ("TaskState", "TaskStates", "effective", "effective_deadline", "only_cancelled")

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

    def __init__(self, task: ref[Task[Any]], scope: AsyncioCancelScope | None) -> None:
        self.task = task
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
    # I7  by_task has a state, if any, for each task that lives; its keys call themselves off
    __slots__ = ("_budget", "by_task", "cancelled", "deadlines", "loop", "starting")

    def __init__(self, loop: AbstractEventLoop, budget: ReadyBudget) -> None:
        self.loop = loop
        self.cancelled = 0
        #: The coroutine that a task group is starting, and its scope.  An eager task runs, and
        #: asks for its state, before the group has got hold of the task.
        self.starting: tuple[object, AsyncioCancelScope] | None = None
        self.deadlines = Deadlines(loop)
        self._budget = budget
        # By hand, because WeakKeyDictionary.get() takes twice as long.
        self.by_task: dict[ref[Task[Any]], TaskState] = {}

    # -- finding ---------------------------------------------------------------------------

    def find(self, task: Task[Any]) -> TaskState | None:
        """Return the state of ``task``, or None if it was never in a scope."""
        state = self.by_task.get(ref(task))
        if state is None and self.starting is not None and task.get_coro() is self.starting[0]:
            state = self._add(task, self.starting[1])
        return state

    def make(self, task: Task[Any]) -> TaskState:
        """Return the state of ``task``, a new one if need be."""
        state = self.find(task)
        return self._add(task, None) if state is None else state

    def _add(self, task: Task[Any], scope: AsyncioCancelScope | None) -> TaskState:
        key = ref(task, self.by_task.pop)
        state = self.by_task[key] = TaskState(key, scope)
        return state

    def adopt(self, task: Task[Any], scope: AsyncioCancelScope) -> None:
        """Let the scopes of the new ``task`` begin at ``scope``."""
        state = self.by_task.get(ref(task))
        if state is not None:  # an eager task; a task factory that wraps coroutines hides it
            self.rebase(state, scope, scope)
        else:
            state = self._add(task, scope)
            if self.cancelled and effective(scope) is not None:
                self.kick(state)

    def rebase(self, state: TaskState, old: AsyncioCancelScope, new: AsyncioCancelScope) -> None:
        """Let the scopes of a task that begin at ``old``, or at none, begin at ``new``."""
        outermost: AsyncioCancelScope | None = None
        inner = state.scope
        while inner is not None and inner is not old:
            outermost, inner = inner, inner._parent
        if outermost is None:
            state.scope = new
        else:
            outermost._parent = new
        if self.cancelled and effective(state.scope) is not None:
            self.kick(state)

    def raise_if_cancelled(self) -> None:
        """Raise if the current task is in a cancelled scope.

        Raises:
            CancelledError: It is; the message names the scope, and the reason if there is one.
        """
        if self.cancelled:
            scope = self._pending()
            if scope is not None:
                raise CancelledError(scope.message())

    def _pending(self) -> AsyncioCancelScope | None:
        """Return the cancelled scope that the current task is in, if any.

        A function of its own: a task that is cancelled keeps the exception, whose traceback must
        not lead back to the task.
        """
        task = current_task(self.loop)
        state = None if task is None else self.find(task)
        return None if state is None else effective(state.scope)

    def parent(self, task: Task[Any]) -> Task[Any] | None:
        """Return the task that hosts the task group of ``task``, if it is in one."""
        state = self.find(task)
        scope = None if state is None else state.scope
        while scope is not None:
            if scope._state is not None and scope._state is not state:
                return scope._state.task()
            scope = scope._parent
        return None

    def is_being_cancelled(self, task: Task[Any]) -> bool:
        """Whether ``task`` is in a cancelled scope, or a native cancellation is on its way."""
        state = self.find(task)
        if state is not None and effective(state.scope) is not None:
            return True
        waiter = getattr(task, "_fut_waiter", None)
        return getattr(task, "_must_cancel", False) or (waiter is not None and waiter.cancelled())

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
        for task in scope.tasks:
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


def effective(scope: AsyncioCancelScope | None) -> AsyncioCancelScope | None:
    """Return the innermost cancelled scope that can be seen from inside ``scope``, if any."""
    while scope is not None:
        if scope._cancel_called:
            return scope
        if scope._shield:
            return None
        scope = scope._parent
    return None


def effective_deadline(scope: AsyncioCancelScope | None) -> float:
    """Return the earliest deadline that is felt inside ``scope``; -inf once cancelled."""
    deadline = math.inf
    while scope is not None:
        if scope._cancel_called:
            return -math.inf
        deadline = min(deadline, scope._deadline)
        if scope._shield:
            break
        scope = scope._parent
    return deadline


def only_cancelled(exc: BaseException) -> bool:
    """Whether ``exc`` is a cancellation, or a group of nothing else."""
    if isinstance(exc, BaseExceptionGroup):
        return all(map(only_cancelled, exc.exceptions))
    return isinstance(exc, CancelledError)
