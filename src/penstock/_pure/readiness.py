"""Readiness: whether a call of a socket is worth making, and who waits until it is.

Lives here: the flags of one socket, the waits on it and the end of both.  They own no task and
know no event loop: a wait is an opaque object that ``wake(wait)`` ends.  The calls themselves live
in ``registration``.

Readiness is edge-triggered, save what ``_asked_again`` says.  A flag says "a call may succeed"; a
call that would block clears it, and the next event of the operating system sets it again.  A task
that waits is woken with readiness, never with data, and makes the call itself when it runs: so its
cancellation has nothing to lose.  See epoll(7), "Level-triggered and edge-triggered".
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any

from penstock._pure.budget import ReadyBudget

if TYPE_CHECKING:
    from penstock._pure.poller import Poller

__all__ = ("Readiness",)

# The numbers of epoll(7); without epoll they only pass between methods of this module.
EPOLLIN, EPOLLPRI, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP = 0x1, 0x2, 0x4, 0x8, 0x10, 0x2000
EPOLLET = 0x80000000
EVENTS = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET
#: The same at each look at the poller, for as long as there is something to read.
LASTING_EVENTS = EVENTS & ~EPOLLET
UNIX = getattr(socket, "AF_UNIX", None)  # not every system has it
#: What makes a short read say nothing about what is left.
UNUSUAL = EPOLLPRI | EPOLLERR | EPOLLHUP | EPOLLRDHUP


class Readiness:
    """One socket of one poller: whether calls of it are worth making, and who waits for that.

    A call is *declined* when the registration is closed, when the flag says that it would block,
    when a task waits in that direction, or when the ready budget says so.
    """

    # I1  a flag that is clear will be set by an event to come: it is cleared by a call that would
    #     have blocked; or by a short read, while no event has told of a hang-up or urgent data: on
    #     TCP at once; on a UNIX byte stream when the system was asked to tell again of what lies
    #     behind it, or does so anyway (on any other socket a short read says nothing)
    # I2  reader and writer are cleared by the task that set them, and by nobody else
    # I3  closed or released: fd < 0, and both flags are clear
    # I4  late is the number of an error that came behind datagrams of one batch, which were handed
    #     out: the next receive raises it; 0: there is none; readable is set while there is one
    # I5  (of this twin alone) lasting: the system tells at each look at the poller that there is
    #     something to read; an event that wakes nobody ends that, or the event loop would look for
    #     ever; never while events of writability are asked for
    __slots__ = (
        "_armed",
        "_asks",
        "_budget",
        "_drains",
        "_family",
        "_fd",
        "_lasting",
        "_late",
        "_poller",
        "_readable",
        "_sock",
        "_watches",
        "_writable",
        "reader",
        "sent",
        "total",
        "writer",
    )

    def __init__(self, poller: Poller, sock: socket.socket) -> None:
        self._poller = poller
        self._budget = poller._budget
        self._sock = sock
        self._fd = sock.fileno()
        self._family = int(sock.family)  # the socket makes an enum of it at each look
        self._readable = self._writable = True
        self._late = 0
        self._armed = False  # whether events of writability are asked for
        self._lasting = False
        self._watches: list[Callable[[], None] | None] = [None, None]
        # Whether a short read means that there was nothing else.
        self._drains = (
            sock.family in (socket.AF_INET, socket.AF_INET6)
            and sock.type == socket.SOCK_STREAM
            and sock.proto in (0, socket.IPPROTO_TCP)
        )
        # Whether what is left behind a short read is asked for by an event.
        self._asks = sock.family == UNIX and sock.type == socket.SOCK_STREAM
        #: The wait of the task that receives, or None.
        self.reader: Any = None
        #: The wait of the task that sends, or None.
        self.writer: Any = None
        #: Bytes of the last send that went out, of ``total``.
        self.sent: int = 0
        self.total: int = 0

    @property
    def fd(self) -> int:
        """The descriptor; -1 once closed or released."""
        return self._fd

    @property
    def sock(self) -> socket.socket:
        """The socket."""
        return self._sock

    @property
    def budget(self) -> ReadyBudget:
        """The ready budget of the event loop that the socket belongs to."""
        return self._budget

    @property
    def readable(self) -> bool:
        """Whether receiving, or accepting, is worth a try."""
        return self._readable

    @property
    def writable(self) -> bool:
        """Whether sending is worth a try."""
        return self._writable

    # -- declining -------------------------------------------------------------------------

    def _may_read(self) -> bool:
        if not (self._readable and self.reader is None and self._budget.spend()):
            return False
        if self._late:
            self._raise_late()
        return True

    def _raise_late(self) -> None:
        number, self._late = self._late, 0
        if number:
            raise OSError(number, os.strerror(number))

    def _has_read(self, nbytes: int, asked: int) -> None:
        if 0 < nbytes < asked and (self._drains or (self._asks and self._asked_again())):
            self._readable = False
        self._budget.spend_bytes(nbytes)

    def _asked_again(self) -> bool:
        """Have an event come for what is there already; a call that would block costs more.

        Asking costs a system call for each short read.  Where many sockets have events at a time,
        the system is asked once for all short reads to come.  Where few have, that costs more: it
        tells of the same bytes twice, before and after the event loop has come to the task.
        """
        epoll = self._poller._epoll
        if epoll is None:
            return False
        lasting = self._poller._busy and not self._armed
        if not (lasting and self._lasting):
            try:
                epoll.modify(self._fd, LASTING_EVENTS if lasting else self._events())
            except OSError:  # somebody has closed it behind the socket's back
                return False
            self._lasting = lasting
        return True

    def _events(self) -> int:
        return EVENTS | EPOLLOUT if self._armed else EVENTS

    def _end_lasting(self) -> None:
        """Have the system tell of what is there once, and not again."""
        self._lasting = False
        epoll = self._poller._epoll
        if epoll is not None:
            try:
                epoll.modify(self._fd, self._events())
            except OSError:
                pass  # somebody has closed it behind the socket's back

    def _may_write(self) -> bool:
        return self._writable and self.writer is None and self._budget.spend()

    def clear_writable(self) -> None:
        """Note that sending would block, and ask for the event that says otherwise."""
        if self._fd < 0:
            return
        if not self._armed and self._poller._epoll is not None:
            self._poller._epoll.modify(self._fd, EVENTS | EPOLLOUT)
            self._armed = True
            self._lasting = False
        self._writable = False

    def set_writable(self) -> None:
        """Note that sending is worth another try, though no event says so."""
        self._writable = self._fd >= 0

    # -- waiting ---------------------------------------------------------------------------

    def park_reader(self) -> Any:
        """Start to wait until receiving is worth a try.

        The caller awaits what is returned and then sets :attr:`reader` to None, whatever came.

        Returns:
            The wait.  None: there is nothing to wait for, or it is declined.
        """
        budget = self._budget
        if (  # _may_park() written out: every receive that waits comes here
            self._readable
            or self.reader is not None
            or self._fd < 0
            or budget._left <= 0
            or budget._thread != get_ident()
        ):
            return None
        if budget._holds or budget._size == 1:
            budget.revoke()
        wait = self.reader = self._poller._new_wait()
        if self._poller._watch_once is not None:
            self._watch(False)
        return wait

    def park_writer(self) -> Any:
        """Start to wait until sending is worth a try; as :meth:`park_reader`."""
        if self._writable or self.writer is not None or not self._may_park():
            return None
        wait = self.writer = self._poller._new_wait()
        if self._poller._watch_once is not None:
            self._watch(True)
        return wait

    def _may_park(self) -> bool:
        budget = self._budget
        if self._fd < 0 or budget.left <= 0 or budget.foreign:
            return False
        budget.revoke()
        return True

    def _watch(self, writing: bool) -> None:
        """Have the event loop tell of readiness, where there is no epoll to do it."""
        watch_once = self._poller._watch_once
        if watch_once is not None and self._watches[writing] is None:

            def deliver() -> None:
                self._watches[writing] = None
                self._budget.turn()
                self._deliver(EPOLLOUT if writing else EPOLLIN)

            self._watches[writing] = watch_once(self._fd, writing, deliver)

    def _deliver(self, flags: int) -> None:
        wake = self._poller._wake
        if flags & UNUSUAL:
            self._drains = self._asks = False
        if flags & ~EPOLLOUT:
            self._readable = True
            if (self.reader is None or not wake(self.reader)) and self._lasting:
                self._end_lasting()
        if flags & (EPOLLOUT | EPOLLHUP | EPOLLERR):
            self._writable = True
            if self.writer is not None:
                wake(self.writer)

    def close(self) -> None:
        """Leave the poller, close the socket, and end the waits on it; again: do nothing."""
        if self._fd >= 0:
            # Before the descriptor is closed: a duplicate of it would go on to have events.
            self.release()
            self._sock.close()

    def release(self) -> None:
        """Leave the poller and end the waits; the socket stays open; again: do nothing."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        self._readable = self._writable = False
        poller = self._poller
        if poller._known.get(fd) is self:
            del poller._known[fd]
        for call_off in self._watches:
            if call_off is not None:
                call_off()
        if poller._epoll is not None and self._sock.fileno() == fd:
            try:
                poller._epoll.unregister(fd)
            except OSError:
                pass  # somebody has closed it behind the socket's back
        for wait in (self.reader, self.writer):
            if wait is not None and not self._budget.foreign:
                poller._wake(wait)
