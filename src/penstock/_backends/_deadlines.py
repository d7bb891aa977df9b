"""The deadlines of one event loop, behind a single timer.

Most timeouts never come true.  A timer of the loop's own for each costs 1 to 2 us to set and to
cancel, and on Trio, which has scopes alone for it, 6; an entry in this heap takes a fifth of one.
May not live here: what a deadline is for, and how an event loop keeps time.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

__all__ = ("Deadlines", "Entry")

#: The deadline, a number that keeps entries in order, and what to call; None once called off.
Entry = list[Any]

#: So many entries that were called off may stay before anybody counts them.
FEW = 64


class Deadlines(ABC):
    """What is to be called when, on one event loop."""

    # I1  _heap is a heap; _dead of its entries were called off
    # I2  a timer is set, for _timer_at, if there are entries; none of them is due before
    __slots__ = ("_dead", "_heap", "_numbers", "_timer_at")

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._dead = 0
        self._numbers = count()
        self._timer_at = math.inf

    def add(self, deadline: float, callback: Callable[[], None]) -> Entry:
        """Have ``callback`` called at ``deadline``; return what :meth:`call_off` takes."""
        entry: Entry = [deadline, next(self._numbers), callback]
        heappush(self._heap, entry)
        if deadline < self._timer_at:
            self._set_timer_at(deadline)
        return entry

    def call_off(self, entry: Entry) -> None:
        """Let ``entry``, which has not been called, not be called."""
        entry[2] = None
        self._dead += 1
        if self._dead > FEW and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2] is not None]
            heapify(self._heap)
            self._dead = 0

    def _set_timer_at(self, deadline: float) -> None:
        self._timer_at = deadline
        self._set_timer(deadline)

    @abstractmethod
    def _now(self) -> float:
        """Read the event loop's clock."""

    @abstractmethod
    def _set_timer(self, deadline: float) -> None:
        """Have :meth:`_ring` called at ``deadline``, and not at what was set before."""

    def _ring(self) -> None:
        # uvloop rings up to half a millisecond early: what it was set for is due all the same.
        now = max(self._now(), self._timer_at)
        self._timer_at = math.inf
        while self._heap and (self._heap[0][2] is None or self._heap[0][0] <= now):
            entry = heappop(self._heap)
            callback = entry[2]
            if callback is None:
                self._dead -= 1
            else:
                callback()
        if self._heap and self._heap[0][0] < self._timer_at:
            self._set_timer_at(self._heap[0][0])
