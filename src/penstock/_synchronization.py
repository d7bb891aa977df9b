"""What tasks tell each other with, written once over the two primitives wait and wake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from penstock._backends import current_backend

__all__ = ("Event", "EventStatistics")


@dataclass(frozen=True)
class EventStatistics:
    """What :meth:`Event.statistics` returns."""

    tasks_waiting: int
    """How many tasks wait for the event."""


class Event:
    """A flag that is raised once, and the tasks that wait for it.

    May be made, and set, with no event loop running.
    """

    # I1  _waits holds the waits that were neither woken nor cancelled; empty once _set
    __slots__ = ("__weakref__", "_set", "_waits")

    def __init__(self) -> None:
        self._set = False
        self._waits: dict[Any, Callable[[Any], bool]] = {}

    def set(self) -> None:
        """Raise the flag, and wake every task that waits for it."""
        if not self._set:
            self._set = True
            waits, self._waits = self._waits, {}
            for wait, wake in waits.items():
                wake(wait)

    def is_set(self) -> bool:
        """Whether the flag was raised."""
        return self._set

    async def wait(self) -> None:
        """Wait until the flag is raised.

        If cancelled, the event is as it was.
        """
        backend = current_backend()
        while not backend.budget.spend():
            await backend.settle()
        if self._set:
            return
        wait = backend.new_wait()
        self._waits[wait] = backend.wake
        try:
            await wait
        except BaseException:
            self._waits.pop(wait, None)
            raise

    def statistics(self) -> EventStatistics:
        """Return how many tasks wait."""
        return EventStatistics(len(self._waits))
