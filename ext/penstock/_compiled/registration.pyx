"""Compiled twin of ``penstock/_pure/registration.py``, which holds the contract."""

cimport cython
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.errno cimport EAGAIN, EINTR, errno

from penstock._compiled.arguments cimport (
    LARGEST_CALL,
    LARGEST_SEND,
    check_range,
    get_view,
    positive,
)
from penstock._compiled.datagrams cimport DatagramCalls
from penstock._compiled.poller cimport SCRATCH_BYTES

import socket

cdef extern from "Python.h":
    PyObject* new_bytes "PyBytes_FromStringAndSize"(const char* data, Py_ssize_t size) except NULL
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

cdef extern from "string.h" nogil:
    void* memset(void* memory, int value, size_t nbytes)

cdef enum:
    LARGEST_VECTOR = 1024
    PLENTY = 16384  # bytes: where a copy begins to cost more than an allocation of 64 KiB

cdef object _CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


@cython.final
cdef class Registration(DatagramCalls):
    # -- receiving -------------------------------------------------------------------------

    def recv(self, max_bytes):
        cdef Py_ssize_t asked = min(positive("max_bytes", max_bytes), <Py_ssize_t>LARGEST_CALL)
        cdef Py_ssize_t nbytes
        cdef PyObject* raw = NULL
        if not self._may_read():
            return None
        if asked <= SCRATCH_BYTES and not self._plenty:
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
                self._plenty = nbytes >= PLENTY
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

    def recvmsg(self, max_bytes, ancillary_bytes):
        cdef Py_ssize_t asked = min(positive("max_bytes", max_bytes), <Py_ssize_t>LARGEST_CALL)
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
            get_view(data, &view)
            memory = <const char*>view.buf
            total = view.len
        try:
            check_range("offset", offset, total)
            if self.writer is not None:
                return -1
            self.sent = offset
            self.total = total
            if not self._may_write():
                return -1
            while True:
                nbytes = min(total - offset, <Py_ssize_t>LARGEST_SEND)
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
        cdef Py_ssize_t room = LARGEST_SEND
        cdef int count = 0
        cdef int number
        stop = len(buffers)
        check_range("first", first, stop - 1)
        if not self._may_write():
            return -1
        stop = min(stop, first + LARGEST_VECTOR)
        try:
            while first < stop and room > 0:
                get_view(buffers[first], &views[count])
                count += 1
                check_range("offset", offset, views[count - 1].len)
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

    def write_with(self, call, *args):
        if not self._may_write():
            return None
        try:
            return call(*args)
        except BlockingIOError:
            self.clear_writable()
            return None
