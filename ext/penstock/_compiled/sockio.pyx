"""Compiled twin of ``penstock/_pure/sockio.py``, which holds the contract."""

cimport cython
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.errno cimport EAGAIN, EBADF, EINTR, errno
from libc.stdint cimport uint32_t

from penstock._compiled.budget cimport ReadyBudget

import os
import socket
from functools import partial

cdef extern from "Python.h":
    PyObject* new_bytes "PyBytes_FromStringAndSize"(const char* data, Py_ssize_t size) except NULL
    Py_ssize_t PyNumber_AsSsize_t(object number, void* overflow) except? -1
    char* contents "PyBytes_AS_STRING"(PyObject* data) noexcept
    int resize_bytes "_PyBytes_Resize"(PyObject** data, Py_ssize_t size) except -1

cdef extern from "sys/uio.h" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "sys/socket.h" nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    """
    struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
    ssize_t c_recv "recv"(int fd, void* memory, size_t nbytes, int flags)
    ssize_t c_send "send"(int fd, const void* memory, size_t nbytes, int flags)
    ssize_t c_sendmsg "sendmsg"(int fd, const msghdr* message, int flags)
    int c_accept4 "accept4"(int fd, void* address, void* length, int flags)
    int MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_NONBLOCK

cdef extern from "unistd.h" nogil:
    int c_close "close"(int fd)

cdef extern from "string.h" nogil:
    void* memset(void* memory, int value, size_t nbytes)

cdef extern from "sys/epoll.h" nogil:
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int operation, int fd, epoll_event* event)
    int epoll_wait(int epfd, epoll_event* events, int count, int timeout)
    enum:
        EPOLLIN, EPOLLPRI, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP, EPOLLET
        EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLL_CLOEXEC

cdef enum:
    LARGEST_CALL = 262144
    LARGEST_VECTOR = 1024

cdef inline uint32_t _events_of(bint armed) noexcept:
    cdef uint32_t events = EPOLLIN | EPOLLPRI | EPOLLRDHUP | <uint32_t>EPOLLET
    return events | EPOLLOUT if armed else events


cdef object _CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
cdef object _INTERNET = (socket.AF_INET, socket.AF_INET6)
cdef object _STREAM = socket.SOCK_STREAM
cdef object _TCP = (0, socket.IPPROTO_TCP)


cdef Py_ssize_t _count(object max_bytes) except -1:
    cdef Py_ssize_t count
    if not isinstance(max_bytes, int):
        raise TypeError(f"max_bytes must be an integer, not {max_bytes!r}")
    count = PyNumber_AsSsize_t(max_bytes, NULL)  # clips what is too large
    if count < 1:
        raise ValueError(f"max_bytes must be at least 1, not {max_bytes}")
    return min(count, <Py_ssize_t>LARGEST_CALL)


cdef object _check_range(str name, Py_ssize_t value, Py_ssize_t limit):
    if not 0 <= value <= limit:
        raise ValueError(f"{name} must be between 0 and {limit}, not {value}")


cdef int _get_view(object data, Py_buffer* view) except -1:
    """Get the memory of bytes-like data, which the caller releases."""
    try:
        PyObject_GetBuffer(data, view, PyBUF_C_CONTIGUOUS)
    except (BufferError, TypeError):
        raise TypeError(f"expected contiguous bytes-like data, not {data!r}") from None
    return 0


@cython.final
cdef class Poller:
    def __cinit__(self):
        self._epoll = -1
        self._scratch = NULL

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

    @property
    def fd(self):
        return self._epoll

    def __len__(self):
        return len(self._slots) - len(self._free)

    def register(self, sock):
        cdef Registration registration = Registration.__new__(Registration)
        if self._epoll < 0 and self._watch_once is None:
            raise RuntimeError("this poller is closed")
        if sock.fileno() < 0:
            raise OSError(EBADF, os.strerror(EBADF))
        if sock.gettimeout() != 0:
            raise ValueError(f"expected a non-blocking socket, not {sock!r}")
        registration._poller = self
        registration._budget = self._budget
        registration.sock = sock
        registration.fd = sock.fileno()
        registration.readable = registration.writable = True
        registration._drains = (
            sock.family in _INTERNET and sock.type == _STREAM and sock.proto in _TCP
        )
        self._generation += 1
        registration._generation = self._generation
        registration._index = self._free[len(self._free) - 1] if self._free else len(self._slots)
        if self._epoll >= 0:
            self._control(EPOLL_CTL_ADD, registration, _events_of(False))
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

    cdef int _control(self, int operation, Registration registration, uint32_t events) except -1:
        cdef epoll_event event
        event.events = events
        event.data.u64 = (<unsigned long long>registration._generation << 32) | registration._index
        if epoll_ctl(self._epoll, operation, registration.fd, &event):
            PyErr_SetFromErrno(OSError)
        return 0

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


@cython.final
cdef class Registration:
    def __cinit__(self):
        self.fd = -1

    def __init__(self, *args):
        raise TypeError("registrations are made by Poller.register()")

    @property
    def budget(self):
        return self._budget

    # -- receiving -------------------------------------------------------------------------

    cdef bint _may_read(self) except -1:
        return self.readable and self.reader is None and self._budget.take()

    cdef void _has_read(self, Py_ssize_t nbytes, Py_ssize_t asked) noexcept:
        if 0 < nbytes < asked and self._drains:
            self.readable = False
        self._budget.take_bytes(nbytes)

    def recv(self, max_bytes):
        cdef Py_ssize_t asked = _count(max_bytes)
        cdef Py_ssize_t nbytes
        cdef PyObject* raw = NULL
        if not self._may_read():
            return None
        if asked <= SCRATCH_BYTES:
            nbytes = self._receive(self._poller._scratch, asked)
            if nbytes < 0:
                return None
            return PyBytes_FromStringAndSize(self._poller._scratch, nbytes)
        # A second copy would cost more here than giving back what was allocated too much.
        raw = new_bytes(NULL, asked)
        try:
            nbytes = self._receive(contents(raw), asked)
            if nbytes < 0:
                return None
            resize_bytes(&raw, nbytes)
            return <object>raw
        finally:
            Py_XDECREF(raw)

    cdef Py_ssize_t _receive(self, void* memory, Py_ssize_t asked) except -2:
        cdef Py_ssize_t nbytes
        while True:
            nbytes = c_recv(self.fd, memory, asked, 0)
            if nbytes >= 0:
                self._has_read(nbytes, asked)
                return nbytes
            if errno == EAGAIN:
                self.readable = False
                return -1
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)

    def recv_into(self, buffer):
        cdef Py_buffer view
        cdef Py_ssize_t asked
        try:
            PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS)
        except (BufferError, TypeError):
            raise TypeError(f"expected contiguous writable memory, not {buffer!r}") from None
        try:
            asked = min(view.len, <Py_ssize_t>LARGEST_CALL)
            if not asked:
                raise ValueError("cannot receive into an empty buffer")
            return self._receive(view.buf, asked) if self._may_read() else -1
        finally:
            PyBuffer_Release(&view)

    def recvfrom(self, max_bytes):
        cdef Py_ssize_t asked = _count(max_bytes)
        if not self._may_read():
            return None
        try:
            data, address = self.sock.recvfrom(asked)
        except BlockingIOError:
            self.readable = False
            return None
        self._has_read(len(data), asked)
        return data, address

    def recvmsg(self, max_bytes, ancillary_bytes):
        cdef Py_ssize_t asked = _count(max_bytes)
        if not self._may_read():
            return None
        try:
            message = self.sock.recvmsg(asked, ancillary_bytes, _CLOEXEC)
        except BlockingIOError:
            self.readable = False
            return None
        self._has_read(len(message[0]), asked)
        return message

    def read_with(self, call, *args):
        if not self._may_read():
            return None
        try:
            return call(*args)
        except BlockingIOError:
            self.readable = False
            return None

    def accept(self):
        cdef int fd
        if not self._may_read():
            return -1
        while True:
            fd = c_accept4(self.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)
            if fd >= 0:
                return fd
            if errno == EAGAIN:
                self.readable = False
                return -1
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)

    # -- sending ---------------------------------------------------------------------------

    cdef bint _may_write(self) except -1:
        return self.writable and self.writer is None and self._budget.take()

    def send(self, data, Py_ssize_t offset):
        cdef Py_buffer view
        cdef Py_ssize_t nbytes
        cdef bint is_bytes = type(data) is bytes
        cdef const char* memory
        cdef Py_ssize_t total
        if is_bytes:
            memory = PyBytes_AS_STRING(data)
            total = PyBytes_GET_SIZE(data)
        else:
            _get_view(data, &view)
            memory = <const char*>view.buf
            total = view.len
        try:
            _check_range("offset", offset, total)
            if self.writer is not None:
                return -1
            self.sent = offset
            self.total = total
            if not self._may_write():
                return -1
            while True:
                nbytes = min(total - offset, <Py_ssize_t>LARGEST_CALL)
                nbytes = c_send(self.fd, memory + offset, nbytes, MSG_NOSIGNAL)
                if nbytes >= 0:
                    break
                if errno == EAGAIN:
                    self.clear_writable()
                    return -1
                if errno != EINTR:
                    PyErr_SetFromErrno(OSError)
        finally:
            if not is_bytes:
                PyBuffer_Release(&view)
        self.sent = offset + nbytes
        self._budget.take_bytes(nbytes)
        return total - self.sent

    @cython.boundscheck(True)  # a buffer's own code may cut ``buffers`` short
    def sendmsg(self, buffers, Py_ssize_t first, Py_ssize_t offset):
        cdef Py_buffer views[LARGEST_VECTOR]
        cdef iovec vector[LARGEST_VECTOR]
        cdef msghdr message
        cdef Py_ssize_t nbytes, stop
        cdef Py_ssize_t room = LARGEST_CALL
        cdef int count = 0
        cdef int number
        stop = len(buffers)
        _check_range("first", first, stop - 1)
        if not self._may_write():
            return -1
        stop = min(stop, first + LARGEST_VECTOR)
        try:
            while first < stop and room > 0:
                _get_view(buffers[first], &views[count])
                count += 1
                _check_range("offset", offset, views[count - 1].len)
                vector[count - 1].iov_base = <char*>views[count - 1].buf + offset
                vector[count - 1].iov_len = min(views[count - 1].len - offset, room)
                room -= vector[count - 1].iov_len
                offset = 0
                first += 1
            memset(&message, 0, sizeof(message))
            message.msg_iov = vector
            message.msg_iovlen = count
            while True:
                nbytes = c_sendmsg(self.fd, &message, MSG_NOSIGNAL)
                if nbytes >= 0:
                    break
                if errno == EAGAIN:
                    self.clear_writable()
                    return -1
                if errno != EINTR:
                    PyErr_SetFromErrno(OSError)
        finally:
            for number in range(count):
                PyBuffer_Release(&views[number])
        self._budget.take_bytes(nbytes)
        return nbytes

    def sendto(self, data, address):
        if not self._may_write():
            return -1
        try:
            nbytes = self.sock.sendto(data, address)
        except BlockingIOError:
            self.clear_writable()
            return -1
        self._budget.take_bytes(nbytes)
        return nbytes

    def write_with(self, call, *args):
        if not self._may_write():
            return None
        try:
            return call(*args)
        except BlockingIOError:
            self.clear_writable()
            return None

    def clear_writable(self):
        if self.fd < 0:
            return
        self.writable = False
        if not self._armed and self._poller._epoll >= 0:
            self._poller._control(EPOLL_CTL_MOD, self, _events_of(True))
            self._armed = True

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
            self._drains = False
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
        cdef Poller poller = self._poller
        cdef int fd = self.fd
        if fd < 0:
            return
        self.fd = -1
        self.readable = self.writable = False
        poller._slots[self._index] = None
        poller._free.append(self._index)
        for call_off in (self._call_off_reading, self._call_off_writing):
            if call_off is not None:
                call_off()
        # Fails where somebody has closed it behind the socket's back.
        if poller._epoll >= 0 and self.sock.fileno() == fd:
            epoll_ctl(poller._epoll, EPOLL_CTL_DEL, fd, NULL)
        for wait in (self.reader, self.writer):
            if wait is not None and not self._budget.is_foreign():
                poller._wake(wait)


def _tell(Registration registration not None, writing):
    """Note what the event loop's own watch has seen."""
    if writing:
        registration._call_off_writing = None
    else:
        registration._call_off_reading = None
    registration._budget.start_turn()
    registration._deliver(<uint32_t>EPOLLOUT if writing else <uint32_t>EPOLLIN)
