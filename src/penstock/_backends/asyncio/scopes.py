"""Cancel scopes on asyncio: their tree, their deadlines, and what they catch.

How a cancellation reaches the tasks inside a scope is in ``states``.  The rules of both:

**The tree.**  Each task that was ever in a scope has a :class:`TaskState`, which knows its
innermost scope; a scope knows its parent.  So the scopes of a task are a chain, and the chain of a
task group's child goes on with the group's scope, which also knows its children.  A task that is
started by other means begins a tree of its own.

**What is felt.**  Seen from inside, the innermost cancelled scope counts; the first shield ends the
search, but does not protect from its own scope (``effective()``).

**Delivery.**  asyncio cancels a task once; a scope cancels every wait inside it.  ``cancel()``, a
deadline and a shield that is lowered *kick* each task that now feels a cancellation:

- One that waits gets ``task.cancel()``, unless its wait has a result: that comes first.
- One that runs, or is about to, is *looked at* in the next turn of the loop, after its step.

After every ``task.cancel()`` the task is looked at again: still in a cancelled scope and waiting
again, it is cancelled again.  If the wait did not end at once (another task, ``gather()``, a future
that refuses), nobody looks until it ends by itself.  penstock's own operations raise the
cancellation themselves, before they have had an effect: while a scope of the loop is cancelled,
its ready budget is held at 0, so that all of them look.

**No spinning.**  Nobody looks at a task that a shield covers.  A task that swallows more than 64
cancellations gets the next ones after pauses of 1 ms to 10 ms, and penstock's operations make it
wait as long before they raise.  The count starts anew where it leaves a scope for a place where no
cancellation is felt.

**What is caught.**  A cancelled scope catches the ``CancelledError`` that leaves it, whoever raised
it, unless (1) a cancelled scope around it is felt, so that the outermost one catches; or (2) the
task was cancelled natively since it entered.  Out of an exception group the cancellations are
taken, and the rest is raised as a group, with its cause and context.

**Counts.**  Ours shows in ``task.cancelling()`` from ``task.cancel()`` to the end of the step that
it interrupts, at most once (``sent``), so that ``asyncio.timeout`` and ``asyncio.TaskGroup`` inside
give way to it.  It is given back by ``uncancel()`` when the task enters or leaves a scope, and
when it is looked at.  A wait that was cancelled natively in this turn is cancelled on top: the
order of the two makes no difference.  3.11 and 3.12 only count; from 3.13 on ``uncancel()`` to
zero also revokes a cancellation that is not delivered yet.  Ours is always delivered when it is
given back, so that this only revokes what asyncio.TaskGroup of 3.13 renews on leaving.

**Native cancellation** is never caught, held up by a shield, or repeated: a scope compares
``cancelling()`` with what it was on entry.  One that was swallowed without ``uncancel()`` makes the
scopes around it catch nothing more, as it does with ``asyncio.timeout``.

**Deadlines** of all scopes share one timer (``deadlines``); a deadline that has passed on entry or
when it is set cancels at once.  It may be moved at any time; a cancellation is never revoked.

**Eager tasks** run before their group has got hold of them, so their state is made when they first
ask, from the coroutine that is being started.  The group kicks them when it has them.

**Foreign scopes.**  AnyIO's cancel natively, with counts that rise and fall like ours; each side
leaves the other's cancellations alone.  AnyIO knows its own by their text: ours begins otherwise.
Neither feels the shields of the other.
"""

from __future__ import annotations

import math
from asyncio import CancelledError, Task, current_task
from collections.abc import Collection
from types import TracebackType
from typing import Any, Self
from weakref import ref

from penstock._backends._base import BackendCancelScope, refuse_other_thread
from penstock._backends._deadlines import Entry
from penstock._backends.asyncio.states import TaskState, TaskStates, effective

__all__ = ("AsyncioCancelScope", "AsyncioGroupScope")

#: The reason of a cancellation that nobody called for.
DEADLINE = "deadline exceeded"


class AsyncioCancelScope(BackendCancelScope):
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
        "_expired",
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
        self._entered = self._cancel_called = self._cancelled_caught = self._expired = False
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
        refuse_other_thread(self._states.budget)
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
        refuse_other_thread(self._states.budget)
        self._deadline = _checked(value)
        if self._state is not None and not self._cancel_called:
            self._unwatch_deadline()
            self._watch_deadline()

    @property
    def shield(self) -> bool:
        return self._shield

    @shield.setter
    def shield(self, value: bool) -> None:
        refuse_other_thread(self._states.budget)
        lowered = self._shield and not value
        self._shield = value
        if lowered and self._state is not None and effective(self) is not None:
            self._states.reach(self._state, self)

    @property
    def cancel_called(self) -> bool:
        # A block that computes without a wait keeps the timer from running: so look.
        if (
            self._deadline != math.inf
            and not self._cancel_called
            and (self._state is not None or not self._entered)
            and self._deadline <= self._states.loop.time()
            and not self._states.budget.foreign
        ):
            self._expire()
        return self._cancel_called

    @property
    def expired(self) -> bool:
        return self._expired

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
            states.watch(state)
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
            if exc_type is GeneratorExit and (task is None or state.task() is None):
                return False  # closed by the garbage collector
            if task is None or state.task() is not task:
                raise RuntimeError(
                    "Attempted to exit cancel scope in a different task than it was entered in"
                )
            raise RuntimeError(
                "Attempted to exit a cancel scope that isn't the current tasks's current "
                "cancel scope"  # AnyIO's text, to the letter
            )
        state.scope = parent
        looked = states.cancelled
        self.leave()
        try:
            if not looked:
                return False  # nothing was sent and there is nothing to catch
            states.give_back(state, task)
            outer = effective(parent)
            if outer is None:
                state.tries = 0
            else:
                states.watch(state)
            return (
                self._cancel_called
                and exc_val is not None
                and (self._shield or outer is None)
                and task.cancelling() <= self._base
                and self._catch(exc_val)
            )
        finally:  # what is raised leads back to this frame
            task = exc_val = None

    def _catch(self, exc: BaseException) -> bool:
        """Catch the cancellations in ``exc``; raise what else there is in it."""
        rest: BaseException | None = None
        if isinstance(exc, BaseExceptionGroup):
            caught, rest = exc.split(CancelledError)
            self._cancelled_caught = caught is not None
        else:
            self._cancelled_caught = isinstance(exc, CancelledError)
        if rest is None or not self._cancelled_caught:
            return self._cancelled_caught
        try:
            raise rest
        finally:  # it takes the place of exc, and is no consequence of it
            rest.__context__ = exc.__context__
            rest.__suppress_context__ = exc.__suppress_context__
            del exc, caught, rest

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
            self._expire()
        elif self._deadline != math.inf:
            self._entry = states.deadlines.add(self._deadline, self._expire)

    def _unwatch_deadline(self) -> None:
        entry, self._entry = self._entry, None
        if entry is not None:
            self._states.deadlines.call_off(entry)

    def _expire(self) -> None:
        self._entry = None
        self._expired = True
        self.cancel(DEADLINE)


class AsyncioGroupScope(AsyncioCancelScope):
    """The cancel scope of a task group."""

    __slots__ = ("tasks",)

    def __init__(self, states: TaskStates, tasks: Collection[Task[Any]]) -> None:
        super().__init__(states)
        self.tasks = tasks


def _checked(deadline: float) -> float:
    if math.isnan(deadline):  # it has no place in the order of deadlines
        raise ValueError("deadline must not be NaN")
    return float(deadline)
