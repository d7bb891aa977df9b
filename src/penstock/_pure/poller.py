"""The poller: one per event loop; it learns from the system which sockets have become ready.

Lives here: the system's own poller, and who is registered with it.  It owns no task and knows no
event loop.  What readiness means for one socket lives in ``readiness``.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable
from typing import Any

from penstock._pure.budget import ReadyBudget
from penstock._pure.readiness import EPOLLIN, EVENTS
from penstock._pure.registration import Registration

__all__ = ("Poller",)

#: Events that one look at the poller takes.
BATCH = 256
#: So many in one look are many: a look for nothing then costs less than what it saves.
MANY = 8


class Poller:
    """The readiness of every socket of one event loop.

    Args:
        budget: The ready budget of the loop.
        new_wait: Makes a wait for the current task.
        wake: Ends a wait; returns False where it had been cancelled.
        watch_once: Calls back when a descriptor is next readable (or writable) and returns what
            calls that off.  With it the poller has no descriptor of its own: each wait is a
            watch of the event loop.  For systems without ``epoll``.
    """

    # I1  every open registration is known to its poller, and no closed one is
    # I2  an event of a registration that was closed never changes another one, save that it may
    #     set a flag of readiness, which costs a call that would block
    __slots__ = (
        "__weakref__",
        "_budget",
        "_busy",
        "_epoll",
        "_known",
        "_new_wait",
        "_wake",
        "_watch_once",
    )

    def __init__(
        self,
        budget: ReadyBudget,
        new_wait: Callable[[], Any],
        wake: Callable[[Any], bool],
        watch_once: Callable[[int, bool, Callable[[], Any]], Callable[[], None]] | None = None,
    ) -> None:
        self._budget = budget
        self._new_wait = new_wait
        self._wake = wake
        self._watch_once = watch_once
        self._busy = False  # whether the last look found many events
        self._known: dict[int, Registration] = {}
        self._epoll = select.epoll() if watch_once is None else None

    @property
    def fd(self) -> int:
        """The descriptor to watch: readable while events are due; -1 if there is none."""
        return -1 if self._epoll is None else self._epoll.fileno()

    def __len__(self) -> int:
        """Return how many sockets are registered."""
        return len(self._known)

    def register(self, sock: socket.socket) -> Registration:
        """Watch a non-blocking socket until its registration is closed.

        Raises:
            OSError: The socket is closed, or the system refuses to watch it.
            RuntimeError: The poller is closed.
            ValueError: The socket would block.
        """
        if self._epoll is None and self._watch_once is None:
            raise RuntimeError("this poller is closed")
        if sock.fileno() < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if sock.gettimeout() != 0:
            raise ValueError(f"expected a non-blocking socket, not {sock!r}")
        registration = Registration(self, sock)
        if self._epoll is not None:
            self._epoll.register(registration._fd, EVENTS)
        self._known[registration._fd] = registration
        return registration

    def poll(self) -> int:
        """Take the events that are due and wake who waits for them.

        Returns:
            How many events there were; 256: there may be others.
        """
        self._budget.turn()
        if self._epoll is None:
            return 0
        events = self._epoll.poll(0, BATCH)
        self._busy = len(events) >= MANY
        known, wake = self._known, self._wake
        for fd, flags in events:
            registration = known.get(fd)
            if registration is None:
                self._drop(fd)
                continue
            if flags == EPOLLIN:  # as most are: what _deliver() does then, without a call of it
                registration._readable = True
                reader = registration.reader
                if (reader is None or not wake(reader)) and registration._lasting:
                    registration._end_lasting()
            else:
                registration._deliver(flags)
        return len(events)

    def _drop(self, fd: int) -> None:
        """Have no more events of a socket that was detached before its registration ended."""
        if self._epoll is not None:
            try:
                self._epoll.unregister(fd)
            except OSError:
                pass  # it is closed by now

    def close(self) -> None:
        """End the poller with its event loop, or in a forked child; the sockets stay open."""
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None
        self._watch_once = None

    def _check(self) -> None:
        """Assert the invariants."""
        for fd, registration in self._known.items():
            assert registration._fd == fd, "I1"
            assert registration._poller is self, "I1"
            assert not (registration._lasting and registration._armed), "I5 of Readiness"
