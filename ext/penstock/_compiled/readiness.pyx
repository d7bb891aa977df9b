"""Compiled twin of ``penstock/_pure/readiness.py``, which holds the contract."""

from libc.stdint cimport uint32_t

from penstock._compiled.budget cimport ReadyBudget
from penstock._compiled.poller cimport Poller

import os
import socket
from functools import partial

cdef extern from "sys/epoll.h" nogil:
    enum:
        EPOLLIN, EPOLLPRI, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP, EPOLLET
        EPOLL_CTL_MOD

cdef object _INTERNET = (socket.AF_INET, socket.AF_INET6)
cdef object _UNIX = getattr(socket, "AF_UNIX", None)
cdef object _STREAM = socket.SOCK_STREAM
cdef object _TCP = (0, socket.IPPROTO_TCP)


cdef uint32_t events_of(bint armed) noexcept:
    """Return what to ask the system for; ``armed``: writability too."""
    cdef uint32_t events = EPOLLIN | EPOLLPRI | EPOLLRDHUP | <uint32_t>EPOLLET
    return events | EPOLLOUT if armed else events


cdef class Readiness:
    def __cinit__(self):
        self.fd = -1

    def __init__(self, *args):
        raise TypeError("registrations are made by Poller.register()")

    cdef int _set_up(self, Poller poller, object sock) except -1:
        self._poller = poller
        self._budget = poller._budget
        self.sock = sock
        self.fd = sock.fileno()
        self.readable = self.writable = True
        self._family = sock.family
        self._drains = (
            sock.family in _INTERNET and sock.type == _STREAM and sock.proto in _TCP
        )
        self._asks = sock.family == _UNIX and sock.type == _STREAM
        return 0

    @property
    def budget(self):
        return self._budget

    # -- declining -------------------------------------------------------------------------

    cdef bint _may_read(self) except -1:
        if not (self.readable and self.reader is None and self._budget.take()):
            return False
        if self._late:
            self._raise_late()
        return True

    cdef int _raise_late(self) except -1:
        cdef int number = self._late
        if number:
            self._late = 0
            raise OSError(number, os.strerror(number))
        return 0

    cdef void _has_read(self, Py_ssize_t nbytes, Py_ssize_t asked) noexcept:
        if 0 < nbytes < asked and (self._drains or (self._asks and self._asked_again())):
            self.readable = False
        self._budget.take_bytes(nbytes)

    cdef bint _asked_again(self) noexcept:
        # Fails where somebody has closed it behind the socket's back.
        return not self._poller._tell_system(EPOLL_CTL_MOD, self, events_of(self._armed))

    cdef bint _may_write(self) except -1:
        return self.writable and self.writer is None and self._budget.take()

    def clear_writable(self):
        if self.fd < 0:
            return
        if not self._armed and self._poller._epoll >= 0:
            self._poller._control(EPOLL_CTL_MOD, self, events_of(True))
            self._armed = True
        self.writable = False

    def set_writable(self):
        self.writable = self.fd >= 0

    # -- waiting ---------------------------------------------------------------------------

    def park_reader(self):
        if self.readable or self.reader is not None or not self._may_park():
            return None
        self.reader = self._poller._new_wait()
        self._watch(False)
        return self.reader

    def park_writer(self):
        if self.writable or self.writer is not None or not self._may_park():
            return None
        self.writer = self._poller._new_wait()
        self._watch(True)
        return self.writer

    cdef bint _may_park(self) noexcept:
        if self.fd < 0 or self._budget._left <= 0 or self._budget.is_foreign():
            return False
        self._budget.take_back()
        return True

    cdef int _watch(self, bint writing) except -1:
        watch_once = self._poller._watch_once
        if watch_once is None:
            return 0
        if writing:
            if self._call_off_writing is None:
                self._call_off_writing = watch_once(self.fd, True, partial(_tell, self, True))
        elif self._call_off_reading is None:
            self._call_off_reading = watch_once(self.fd, False, partial(_tell, self, False))
        return 0

    cdef int _deliver(self, uint32_t flags) except -1:
        if flags & (EPOLLPRI | EPOLLERR | EPOLLHUP | EPOLLRDHUP):
            self._drains = self._asks = False
        if flags & ~<uint32_t>EPOLLOUT:
            self.readable = True
            if self.reader is not None:
                self._poller._wake(self.reader)
        if flags & (EPOLLOUT | EPOLLHUP | EPOLLERR):
            self.writable = True
            if self.writer is not None:
                self._poller._wake(self.writer)
        return 0

    def close(self):
        if self.fd >= 0:
            # Before the descriptor is closed: a duplicate of it would go on to have events.
            self.release()
            self.sock.close()

    def release(self):
        cdef int fd = self.fd
        if fd < 0:
            return
        self.fd = -1
        self.readable = self.writable = False
        self._poller._forget(self, fd)
        for call_off in (self._call_off_reading, self._call_off_writing):
            if call_off is not None:
                call_off()
        for wait in (self.reader, self.writer):
            if wait is not None and not self._budget.is_foreign():
                self._poller._wake(wait)


def _tell(Readiness registration not None, writing):
    """Note what the event loop's own watch has seen."""
    if writing:
        registration._call_off_writing = None
    else:
        registration._call_off_reading = None
    registration._budget.start_turn()
    registration._deliver(<uint32_t>EPOLLOUT if writing else <uint32_t>EPOLLIN)
