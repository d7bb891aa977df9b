"""A flag that is raised once, and its statistics."""

from __future__ import annotations

from dataclasses import dataclass

from penstock._backends import Wait, current_backend
from penstock._synchronization.waiting import LoopMember

__all__ = ("Event", "EventStatistics")


@dataclass(frozen=True)
class EventStatistics:
    """What :meth:`Event.statistics` returns."""

    tasks_waiting: int
    """How many tasks wait for the event."""


class Event(LoopMember):
    """A flag that is raised once, and the tasks that wait for it.

    May be made, and set, with no event loop running.
    """

    # I1  _waits holds the waits that were neither woken nor cancelled; empty once _set
    __slots__ = ("_set", "_waits")

    def __init__(self) -> None:
        super().__init__()
        self._set = False
        self._waits: dict[Wait, None] = {}

    def set(self) -> None:
        """Raise the flag, and wake every task that waits for it.

        Raises:
            RuntimeError: Tasks of another event loop or thread wait for it.
        """
        if self._waits:
            self._check_loop()
        self._set = True
        waits, self._waits = self._waits, {}
        backend = self._backend
        if backend is not None:
            for wait in waits:
                backend.wake(wait)

    def is_set(self) -> bool:
        """Whether the flag was raised."""
        return self._set

    async def wait(self) -> None:
        """Wait until the flag is raised.

        If cancelled, the event is as it was.

        Raises:
            RuntimeError: It was not raised, and tasks of another event loop or thread have waited
                for it.
        """
        backend = self._backend
        if backend is None or not backend.is_current():
            backend = current_backend() if self._set else self._bind()
        if self._set:
            if not backend.budget.spend():
                await backend.settle()
                backend.budget.spend()
            return
        await backend.checkpoint_if_cancelled()
        wait = backend.new_wait()
        self._waits[wait] = None
        try:
            await wait
        except BaseException:
            self._waits.pop(wait, None)
            raise
        backend.budget.turn()  # whoever waited was resumed by the event loop

    def statistics(self) -> EventStatistics:
        """Return how many tasks wait."""
        return EventStatistics(len(self._waits))

    def _forget_waits(self) -> None:
        self._waits = {}
