"""Compiled twin of ``penstock/_pure/poller.py``, which holds the contract."""

cimport cython
from cpython.exc cimport PyErr_SetFromErrno
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.errno cimport EBADF
from libc.stdint cimport uint32_t

from penstock._compiled.budget cimport ReadyBudget
from penstock._compiled.readiness cimport Readiness, events_of
from penstock._compiled.registration cimport Registration

import os

cdef extern from "unistd.h" nogil:
    int c_close "close"(int fd)

cdef extern from "sys/epoll.h" nogil:
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int operation, int fd, epoll_event* event)
    int epoll_wait(int epfd, epoll_event* events, int count, int timeout)
    enum:
        EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CLOEXEC


@cython.final
cdef class Poller:
    def __cinit__(self):
        self._epoll = -1
        self._scratch = NULL
        self._batch = NULL

    def __init__(self, ReadyBudget budget not None, new_wait, wake, watch_once=None):
        self._budget = budget
        self._new_wait = new_wait
        self._wake = wake
        self._watch_once = watch_once
        self._slots = []
        self._free = []
        self._scratch = <char*>PyMem_Malloc(SCRATCH_BYTES)
        if self._scratch == NULL:
            raise MemoryError
        if watch_once is None:
            self._epoll = epoll_create1(EPOLL_CLOEXEC)
            if self._epoll < 0:
                PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        if self._epoll >= 0:
            c_close(self._epoll)
        PyMem_Free(self._scratch)
        PyMem_Free(self._batch)

    cdef char* _batch_memory(self) except NULL:
        if self._batch == NULL:
            self._batch = <char*>PyMem_Malloc(BATCH_BYTES)
            if self._batch == NULL:
                raise MemoryError
        return self._batch

    @property
    def fd(self):
        return self._epoll

    def __len__(self):
        return len(self._slots) - len(self._free)

    def register(self, sock):
        cdef Registration registration
        if self._epoll < 0 and self._watch_once is None:
            raise RuntimeError("this poller is closed")
        if sock.fileno() < 0:
            raise OSError(EBADF, os.strerror(EBADF))
        if sock.gettimeout() != 0:
            raise ValueError(f"expected a non-blocking socket, not {sock!r}")
        registration = Registration.__new__(Registration)
        registration._set_up(self, sock)
        self._generation += 1
        registration._generation = self._generation
        registration._index = self._free[len(self._free) - 1] if self._free else len(self._slots)
        if self._epoll >= 0:
            self._control(EPOLL_CTL_ADD, registration, events_of(False))
        if self._free:
            self._free.pop()
            self._slots[registration._index] = registration
        else:
            self._slots.append(registration)
        return registration

    def poll(self):
        cdef int count, number
        cdef uint32_t index
        cdef unsigned long long tag
        cdef Registration registration
        self._budget.start_turn()
        if self._epoll < 0:
            return 0
        count = epoll_wait(self._epoll, self._events, BATCH, 0)
        for number in range(count):
            tag = self._events[number].data.u64
            index = <uint32_t>tag
            registration = self._slots[index]
            if registration is not None and registration._generation == <uint32_t>(tag >> 32):
                registration._deliver(self._events[number].events)
        return max(count, 0)

    def close(self):
        if self._epoll >= 0:
            c_close(self._epoll)
            self._epoll = -1
        self._watch_once = None

    cdef int _forget(self, Readiness registration, int fd) except -1:
        self._slots[registration._index] = None
        self._free.append(registration._index)
        # Before the descriptor is closed: a duplicate of it would go on to have events.  Fails
        # where somebody has closed it behind the socket's back.
        if self._epoll >= 0 and registration.sock.fileno() == fd:
            epoll_ctl(self._epoll, EPOLL_CTL_DEL, fd, NULL)
        return 0

    cdef int _control(self, int operation, Readiness registration, uint32_t events) except -1:
        if self._tell_system(operation, registration, events):
            PyErr_SetFromErrno(OSError)
        return 0

    cdef int _tell_system(self, int operation, Readiness registration, uint32_t events) noexcept:
        cdef epoll_event event
        event.events = events
        event.data.u64 = (<unsigned long long>registration._generation << 32) | registration._index
        return epoll_ctl(self._epoll, operation, registration.fd, &event)

    def _check(self):
        cdef Registration registration
        for index, known in enumerate(self._slots):
            if known is None:
                assert index in self._free, "I1"
            else:
                registration = known
                assert registration._index == <uint32_t>index, "I1"
                assert registration.fd >= 0, "I1"
                assert registration._generation <= self._generation, "I2"
