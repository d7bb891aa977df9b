"""Which scope each task of an asyncio event loop is in, and how a cancellation gets there.

Lives here: the watch that makes asyncio's cancellation, which comes once, last as long as a
scope.  Its rules, and those of the scopes themselves, are at the top of ``scopes``.
"""

from __future__ import annotations

import math
from asyncio import AbstractEventLoop, CancelledError, Future, Handle, Task, current_task, sleep
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from penstock._backends.asyncio.deadlines import AsyncioDeadlines
from penstock._hotpath import ReadyBudget

if TYPE_CHECKING:
    from penstock._backends.asyncio.scopes import AsyncioCancelScope

__all__ = ("TaskState", "TaskStates", "effective", "effective_deadline", "only_cancelled")

#: A task that swallows a cancellation and waits again meets the next one at once, this many
#: times: enough to close a few dozen streams one after the other.
PROMPT = 64

#: Afterwards with a pause in seconds, which doubles from the first to the longest: a delivery
#: costs some 50 us, so that a task that is deaf for good costs half a percent of a CPU.
FIRST_PAUSE = 0.001
LONGEST_PAUSE = 0.01


class TaskState:
    """What is known about one task: which scope it is in, and how its cancellation goes."""

    # I1  sent: exactly one cancel() of ours has not been given back by uncancel()
    # I2  hung is set only while sent; the task then waits for that future, which takes its time
    # I3  handle is set while a look at the task is due, late says that it is a pause away
    # I4  at most one of handle and hung is set; while sent, one of them is
    # I5  tries counts the cancellations since a scope was left for a place where none is felt
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

    # I6  cancelled counts the scopes that are entered and cancelled
    # I7  the budget is held while cancelled > 0, so that every ready operation looks
    # I8  by_task has a state, if any, for each task that lives; its keys call themselves off
    __slots__ = ("budget", "by_task", "cancelled", "deadlines", "lookouts", "loop", "starting")

    def __init__(self, loop: AbstractEventLoop, budget: ReadyBudget) -> None:
        self.loop = loop
        self.cancelled = 0
        #: Called whenever a task looks for a cancellation: for those who test that.
        self.lookouts: list[Callable[[], None]] = []
        #: The coroutine that a task group is starting, and its scope.  An eager task runs, and
        #: asks for its state, before the group has got hold of the task.
        self.starting: tuple[object, AsyncioCancelScope] | None = None
        self.deadlines = AsyncioDeadlines(loop)
        self.budget = budget
        # By hand, because WeakKeyDictionary.get() takes twice as long.
        self.by_task: dict[ref[Task[Any]], TaskState] = {}

    # -- finding ---------------------------------------------------------------------------

    def find(self, task: Task[Any]) -> TaskState | None:
        """Return the state of ``task``, or None if it was never in a scope."""
        state = self.by_task.get(ref(task))
        if (
            state is None
            and self.starting is not None
            and not task.done()  # get_coro() of an eager task that has ended crashes Python 3.12.1
            and task.get_coro() is self.starting[0]
        ):
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

    async def checkpoint_if_cancelled(self) -> None:
        """Raise if the current task is in a cancelled scope; make one that ignores it wait first.

        Raises:
            CancelledError: It is; the message names the scope, and the reason if there is one.
        """
        for lookout in self.lookouts:
            lookout()
        state = self._current() if self.cancelled else None
        if state is None or effective(state.scope) is None:
            return
        state.tries += 1
        if state.tries > PROMPT:
            await sleep(_pause(state))
        scope = effective(state.scope)
        if scope is not None:
            raise CancelledError(scope.message())

    def _current(self) -> TaskState | None:
        """Return the state of the current task, if it has one.

        A function of its own: a task that is cancelled keeps the exception, whose traceback must
        not lead back to the task.
        """
        task = current_task(self.loop)
        return None if task is None else self.find(task)

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
            self.budget.hold()

    def discount(self) -> None:
        """Note that a cancelled scope was left."""
        self.cancelled -= 1
        if self.cancelled == 0:
            self.budget.release()

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
        """Cancel the wait of a task that a cancellation has just reached."""
        task = state.task()
        if task is None or state.handle is not None or state.hung is not None:
            return  # it is gone, looked at before long, or waits for what takes its time
        waiter = getattr(task, "_fut_waiter", None)
        if waiter is None or _has_result(waiter):
            self._look_again(state)  # it runs, has not started, or will see a result first
        else:
            self.give_back(state, task)
            self._cancel(state, task, waiter)

    def watch(self, state: TaskState) -> None:
        """See to it that the task that runs, in a cancelled scope, is cancelled when it waits."""
        if state.handle is None and state.hung is None:
            self._look_again(state)

    def _look_again(self, state: TaskState, pause: float = 0) -> None:
        state.late = pause > 0
        if state.late:
            state.handle = self.loop.call_later(pause, self._look, state)
        else:
            # After the step of the task that is due: the loop is first in, first out.
            state.handle = self.loop.call_soon(self._look, state)

    def _look(self, state: TaskState) -> None:
        was_late, state.late, state.handle = state.late, False, None
        task = state.task()
        if task is None or task.done():
            return
        self.give_back(state, task)  # its step has come and gone
        if effective(state.scope) is None:
            return
        waiter = getattr(task, "_fut_waiter", None)
        if waiter is not None and _has_result(waiter):
            self._look_again(state)
        elif state.tries >= PROMPT and not was_late:
            self._look_again(state, _pause(state))
        else:
            self._cancel(state, task, waiter)

    def _cancel(self, state: TaskState, task: Task[Any], waiter: Future[Any] | None) -> None:
        scope = effective(state.scope)
        assert scope is not None
        state.tries += 1
        state.sent = True
        task.cancel(scope.message())
        if waiter is None or waiter.done():
            self._look_again(state)
        else:  # another task, say: it is cancelled, and is not cancelled again
            state.hung = waiter
            waiter.add_done_callback(partial(self._wait_over, state))

    def _wait_over(self, state: TaskState, _waiter: Future[Any]) -> None:
        state.hung = None
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


def _has_result(waiter: Future[Any]) -> bool:
    """Whether a task that waits for ``waiter`` is about to go on, and not to be cancelled."""
    return waiter.done() and not waiter.cancelled()


def _pause(state: TaskState) -> float:
    """Return how long a task that ignored so many cancellations is left in peace, in seconds."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(state.tries - PROMPT, 10))


def only_cancelled(exc: BaseException) -> bool:
    """Whether ``exc`` is a cancellation, or a group of nothing else."""
    if isinstance(exc, BaseExceptionGroup):
        return all(map(only_cancelled, exc.exceptions))
    return isinstance(exc, CancelledError)
