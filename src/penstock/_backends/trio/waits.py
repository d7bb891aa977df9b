"""How a task of Trio waits, is woken, and is interrupted where it waits too long.

Trio interrupts tasks by cancel scopes alone, of which one takes 6 us and more.  What penstock's own
streams wait for is woken by penstock: so a limit to their time needs none.
"""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import Any

import outcome
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from penstock._backends._deadlines import Deadlines, Entry

__all__ = ("OVERDUE", "TrioTimeLimit", "TrioWait", "check_overdue", "wake")


def _message() -> object:
    """Return what Trio's own wait says to the scheduler, once for all waits.

    Made anew, each wait costs five objects of Trio's: a seventh of a TCP echo, a quarter of an item
    that goes through an unbuffered memory stream.
    """
    waiting = wait_task_rescheduled(lambda _raise_cancel: Abort.SUCCEEDED)
    try:
        return waiting.send(None)
    finally:
        waiting.close()


_PARK = _message()
#: What a task that was woken is resumed with; shared, as nobody unwraps it.
_WOKEN: outcome.Value[None] = outcome.Value(None)
#: The tasks whose time was up when they did not wait; the next thing that they wait for tells them.
OVERDUE: set[Task] = set()


class _TimeIsUp(Exception):
    """What interrupts a task at its limit; whoever set that swallows it."""


def check_overdue(task: Task) -> None:
    """Interrupt ``task``, which runs, if its time is up."""
    if task in OVERDUE:
        raise _TimeIsUp


class TrioWait:
    """One wait of one task; woken or aborted at most once."""

    # While parked, and neither woken nor aborted, it is the `custom_sleep_data` of its task: Trio
    # forgets that as soon as it reschedules the task, for whatever reason.
    __slots__ = ("parked", "task")

    def __init__(self) -> None:
        self.task: Task | None = current_task()
        self.parked = False

    def __await__(self) -> Generator[Any, outcome.Outcome[None], None]:
        task = self.task
        if task is None:  # woken before it was awaited
            return
        if OVERDUE:
            check_overdue(task)
        self.parked = True
        task.custom_sleep_data = self
        result = yield _PARK
        if result is not _WOKEN:
            try:
                result.unwrap()
            finally:
                del result  # the exception knows this frame: together they would be a cycle


def wake(wait: TrioWait) -> bool:
    """Let the task that waits go on; False where the wait was over before."""
    return _end(wait, _WOKEN)


def _end(wait: TrioWait, result: outcome.Outcome[None]) -> bool:
    task = wait.task
    if task is None:
        return False
    wait.task = None
    if wait.parked:
        if task.custom_sleep_data is not wait:
            return False
        reschedule(task, result)
    return True


class TrioTimeLimit:
    """A block in which the current task is interrupted at a deadline.

    Args:
        deadlines: Those of its run of Trio.
        deadline: On the clock of that run, and still to come.
    """

    # I1  inside the block, _entry is among the deadlines until it is called; then it is None
    __slots__ = ("_deadline", "_deadlines", "_entry", "_task")

    def __init__(self, deadlines: Deadlines, deadline: float) -> None:
        self._deadlines = deadlines
        self._deadline = deadline

    def __enter__(self) -> None:
        self._task: Task | None = current_task()
        self._entry: Entry | None = self._deadlines.add(self._deadline, self._interrupt)

    def _interrupt(self) -> None:
        self._entry = None
        task = self._task
        assert task is not None
        wait = task.custom_sleep_data
        if isinstance(wait, TrioWait):
            _end(wait, outcome.Error(_TimeIsUp()))
        else:  # woken, or yields
            OVERDUE.add(task)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool:
        task, self._task = self._task, None
        if self._entry is not None:
            self._deadlines.call_off(self._entry)
            return False
        assert task is not None
        OVERDUE.discard(task)
        return exc_type is _TimeIsUp
