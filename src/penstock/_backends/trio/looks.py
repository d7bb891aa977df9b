"""How a run of Trio comes to look at the poller: right after its own look for events.

Trio tells a task of a descriptor, once, and the task asks again.  So the event of a socket would
cost two turns: one for that task, one for the task that waits for the socket.  An instrument runs
within the turn in which Trio has looked for events; so what it wakes runs in that one.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

import trio
from trio.lowlevel import add_instrument

__all__ = ("look_along",)


class _Look(trio.abc.Instrument):
    def __init__(self, waits: dict[int, Any], fd: int, callback: Callable[[], Any]) -> None:
        self._waits = waits
        self._fd = fd
        self._callback = callback

    def after_io_wait(self, timeout: float) -> None:
        if self._fd not in self._waits:  # there was an event of it
            self._waits[self._fd]
            self._callback()


def look_along(fd: int, callback: Callable[[], Any]) -> bool:
    """Call ``callback`` whenever Trio has looked for events and ``fd`` is readable.

    That ends with the run, or when ``fd`` is closed.

    Returns:
        Whether that can be done.  False: nothing was done.
    """
    manager: Any = getattr(trio._core._run.GLOBAL_RUN_CONTEXT.runner, "io_manager", None)
    try:
        epoll, waits = manager._epoll, manager._registered
        # Trio makes a note of each descriptor that is asked for, and drops it at an event for which
        # no task waits.  Whether it does is tried.
        waits[fd]
        manager.process_events([(fd, select.EPOLLIN)])
        if fd in waits:
            return False
        epoll.register(fd, select.EPOLLIN)
    except Exception:
        return False
    waits[fd]
    add_instrument(_Look(waits, fd, callback))
    return True
