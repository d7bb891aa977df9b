"""The clocks of a measurement: the CPU time of this process, and what a clock on the wall says."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic, perf_counter_ns, process_time, process_time_ns
from typing import NamedTuple

__all__ = ("PATIENCE", "Spent", "now", "progressing", "since")

#: How long, in seconds, nothing may happen where something always should.
PATIENCE = 5.0


class Spent(NamedTuple):
    """Nanoseconds; the least CPU time comes first in order."""

    cpu: int
    elapsed: int


def now() -> Spent:
    """Read both clocks."""
    return Spent(process_time_ns(), perf_counter_ns())


def since(start: Spent) -> Spent:
    """Return what has been spent since ``start``."""
    cpu = process_time_ns() - start.cpu
    return Spent(cpu, perf_counter_ns() - start.elapsed)


def _watch(done: Event, patience: float) -> None:
    used, moved = process_time(), monotonic()
    while not done.wait(patience / 10):
        if process_time() - used > patience / 100:  # more than this thread uses
            used, moved = process_time(), monotonic()
        elif monotonic() - moved >= patience:
            print(
                f"nothing has happened for {patience:g} s: an item or a wakeup was lost",
                file=sys.stderr,
                flush=True,
            )
            os._exit(1)


@contextmanager
def progressing(patience: float) -> Iterator[None]:
    """End this process, with a message, if it stands still for ``patience`` seconds.

    Whoever waits for an item that was lost waits for ever, and in whatever event loop it is: so
    it is another thread that sees that no CPU time is used any more.
    """
    done = Event()
    thread = Thread(target=_watch, args=(done, patience), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
