"""The classes that are acquired and released, for tests of what they have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock import CapacityLimiter, Condition, Lock, Semaphore

__all__ = ("EXCLUSIONS", "tasks_waiting")

#: Each lets one task in at a time.
EXCLUSIONS: dict[str, Callable[[], Any]] = {
    "Lock": Lock,
    "fast Lock": lambda: Lock(fast_acquire=True),
    "Semaphore": lambda: Semaphore(1),
    "fast Semaphore": lambda: Semaphore(1, fast_acquire=True),
    "CapacityLimiter": lambda: CapacityLimiter(1),
    "Condition": Condition,
}


def tasks_waiting(thing: Any) -> int:
    """Return how many tasks wait to acquire ``thing``."""
    statistics = thing.statistics()
    statistics = getattr(statistics, "lock_statistics", statistics)
    waiting: int = statistics.tasks_waiting
    return waiting
