"""One poller per running event loop: who makes it, who closes it, what a fork does to it.

The poller is an epoll instance of its own, and the event loop watches that one descriptor.  A
socket is registered once; waiting for it costs the event loop nothing.  Where the system has no
epoll, each wait is a watch of the event loop instead.
"""

from __future__ import annotations

import os
import select
from weakref import WeakSet

from penstock._backends import Backend
from penstock._hotpath import Poller

__all__ = ("poller_of",)

HAVE_EPOLL = hasattr(select, "epoll")

_polling: WeakSet[Backend] = WeakSet()


def poller_of(backend: Backend) -> Poller:
    """Return the poller of an event loop, which lives as long as the loop."""
    poller = backend.poller
    if poller is None:
        if HAVE_EPOLL:
            poller = Poller(backend.budget, backend.new_wait, backend.wake)
            backend.on_close(poller.close)
            backend.watch(poller.fd, poller.poll)
        else:
            poller = Poller(backend.budget, backend.new_wait, backend.wake, backend.watch_once)
            backend.on_close(poller.close)
        backend.poller = poller
        _polling.add(backend)
    return poller


def _abandon_in_child() -> None:
    # The child shares the parent's epoll instance: to deregister a socket there would make the
    # parent deaf to it.  So the child closes its copy of the descriptor and touches nothing.
    for backend in list(_polling):
        backend.abandon()
        if backend.poller is not None:
            backend.poller.close()
            backend.poller = None
    _polling.clear()


os.register_at_fork(after_in_child=_abandon_in_child)
