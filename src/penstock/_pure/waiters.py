"""Who waits at the ends of a queue, and in which order.

Lives here: one task that waits, and the lists that it is in: one of the queue, for its direction,
and one of its end, because closing an end must not search for its waiters among all.  What they
wait for is the queue's business.  A wait is an opaque object that ``wake(wait)`` ends.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = (
    "CLOSED",
    "GONE",
    "PROMISED",
    "TAKEN",
    "WAITING",
    "End",
    "WaitList",
    "Waiter",
    "park",
    "pop",
    "remove",
    "take_out",
)

#: The states of a waiter, which is in the lists while it is WAITING, and only then.
WAITING, PROMISED, TAKEN, GONE, CLOSED = range(5)


class End:
    """One open end of a queue: a stream or one of its clones."""

    __slots__ = ("_open", "_waiters")

    def __init__(self) -> None:
        self._open = True
        self._waiters: dict[Waiter, None] = {}  # in order


class Waiter:
    """One task that waits at one end of a queue."""

    __slots__ = ("_binding", "_end", "_item", "_state", "_wait", "_wake")

    def __init__(
        self, item: Any, wait: Any, wake: Callable[[Any], bool], end: End, binding: int
    ) -> None:
        self._item = item
        self._wait = wait
        self._wake = wake
        self._end = end
        self._binding = binding  # which binding of the queue it waits under
        self._state = WAITING

    @property
    def taken(self) -> bool:
        """Whether the item of this waiting sender was taken: its send has happened."""
        return self._state == TAKEN


#: Those who wait in one direction of a queue, in the order in which they came.
WaitList: TypeAlias = OrderedDict[Waiter, None]


def park(waiters: WaitList, waiter: Waiter) -> None:
    """Put a waiter at the end of the line."""
    waiters[waiter] = None
    waiter._end._waiters[waiter] = None


def pop(waiters: WaitList) -> Waiter:
    """Take out the first in line."""
    waiter, _ = waiters.popitem(last=False)
    del waiter._end._waiters[waiter]
    return waiter


def remove(waiters: WaitList, waiter: Waiter) -> None:
    """Take out a waiter, wherever it stands."""
    del waiters[waiter]
    del waiter._end._waiters[waiter]


def take_out(waiters: WaitList, end: End | None, state: int) -> list[Waiter]:
    """Take out who waits at ``end``, or at all ends, in order, and leave them in ``state``."""
    out = list(waiters if end is None else end._waiters)
    for waiter in out:
        remove(waiters, waiter)
        waiter._state = state
    return out
