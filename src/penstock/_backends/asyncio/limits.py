"""A limit to the time that one operation waits, on asyncio: lighter than a cancel scope.

It works as ``asyncio.timeout`` does, by a native cancellation that it takes back, with its deadline
among those of the loop's scopes.
"""

from __future__ import annotations

from asyncio import CancelledError, Task, current_task
from types import TracebackType
from typing import Any

from penstock._backends._deadlines import Entry
from penstock._backends.asyncio.states import TaskStates

__all__ = ("AsyncioTimeLimit",)


class AsyncioTimeLimit:
    """A block in which the current task is interrupted, once, at a deadline.

    Args:
        states: The tasks of its event loop.
        deadline: On the clock of that loop, and still to come.
    """

    # I1  inside the block, _entry is among the deadlines until it is called; then it is None, and
    #     _task has one cancellation of ours to give back
    __slots__ = ("_base", "_deadline", "_entry", "_states", "_task")

    def __init__(self, states: TaskStates, deadline: float) -> None:
        self._states = states
        self._deadline = deadline

    def __enter__(self) -> None:
        states = self._states
        task = current_task(states.loop)
        if task is None:
            raise RuntimeError("this is to be called in a task")
        if states.cancelled and (state := states.find(task)) is not None:
            states.give_back(state, task)  # what is felt here was delivered before
        self._task: Task[Any] | None = task
        # As for a scope: one that the task has not met yet may come out of the block.
        self._base = task.cancelling() - getattr(task, "_must_cancel", False)
        self._entry: Entry | None = states.deadlines.add(self._deadline, self._interrupt)

    def _interrupt(self) -> None:
        self._entry = None
        assert self._task is not None
        self._task.cancel()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool:
        task, self._task = self._task, None
        if self._entry is not None:
            self._states.deadlines.call_off(self._entry)
            return False
        assert task is not None
        # Where somebody else has cancelled the task as well, it is theirs.
        return task.uncancel() <= self._base and exc_type is CancelledError
