"""Compiled twin of ``penstock/_pure/datagrams.py``, which holds the contract."""

from cpython.buffer cimport PyBuffer_Release
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EAGAIN, EINTR, EIO, EMSGSIZE, errno
from libc.string cimport memset

from penstock._compiled.addresses cimport (
    check_numeric,
    from_python,
    is_known,
    sockaddr_storage,
    socklen_t,
    to_python,
)
from penstock._compiled.arguments cimport LARGEST_CALL, get_view, positive
from penstock._compiled.poller cimport BATCH_BYTES, SCRATCH_BYTES

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
        void* msg_name
        socklen_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        int msg_flags
    struct sockaddr:
        pass
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    ssize_t c_recvfrom "recvfrom"(
        int fd, void* memory, size_t nbytes, int flags, sockaddr* address, socklen_t* length
    )
    ssize_t c_sendto "sendto"(
        int fd, const void* memory, size_t nbytes, int flags, sockaddr* address, socklen_t length
    )
    int c_recvmmsg "recvmmsg"(
        int fd, mmsghdr* messages, unsigned int count, int flags, void* timeout
    )
    int MSG_NOSIGNAL, MSG_TRUNC

cdef enum:
    LARGEST_BATCH = 1024
    LARGEST_DATAGRAM = 1048576
    ONE_CALL = 32  # datagrams that one recvmmsg takes: 64 KiB each fill the memory for batches


cdef class DatagramCalls(Readiness):

    # -- receiving -------------------------------------------------------------------------

    def recvfrom(self, max_bytes):
        cdef sockaddr_storage sender
        cdef socklen_t length = sizeof(sender)
        cdef Py_ssize_t asked = positive("max_bytes", max_bytes)
        cdef Py_ssize_t nbytes
        if not self._may_read():
            return None
        if asked > SCRATCH_BYTES or not is_known(self._family):
            return self._recvfrom_sock(asked)
        while True:
            nbytes = c_recvfrom(
                self.fd, self._poller._scratch, asked, 0, <sockaddr*>&sender, &length
            )
            if nbytes >= 0:
                break
            if errno == EAGAIN:
                self.readable = False
                return None
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
        self._has_read(nbytes, asked)
        return (
            PyBytes_FromStringAndSize(self._poller._scratch, nbytes), to_python(&sender, length)
        )

    cdef object _recvfrom_sock(self, Py_ssize_t asked):
        try:
            data, address = self.sock.recvfrom(asked)
        except BlockingIOError:
            self.readable = False
            return None
        self._has_read(len(data), asked)
        return data, address

    def recv_many(self, max_packets, max_bytes):
        return self._receive_many(max_packets, max_bytes, False)

    def recvfrom_many(self, max_packets, max_bytes):
        return self._receive_many(max_packets, max_bytes, True)

    cdef list _receive_many(self, object max_packets, object max_bytes, bint with_address):
        cdef Py_ssize_t count = min(positive("max_packets", max_packets), LARGEST_BATCH)
        cdef Py_ssize_t size = min(positive("max_bytes", max_bytes), LARGEST_DATAGRAM)
        cdef Py_ssize_t room = LARGEST_CALL
        cdef bint by_sock = with_address and not is_known(self._family)
        cdef Py_ssize_t at_once = 1 if by_sock else min(BATCH_BYTES // size, ONE_CALL)
        cdef Py_ssize_t asked
        cdef int received = 0
        cdef list packets = []
        if not self._may_read():
            return None
        while count > 0 and room > 0:
            asked = min(count, at_once)
            if by_sock:
                received = self._recvfrom_many_sock(size, packets, &room)
            else:
                received = self._receive_batch(asked, size, with_address, packets, &room)
            if not received:
                break
            count -= received
        self._budget.take_bytes(LARGEST_CALL - room)
        if not packets:
            self._raise_late()
            return None
        return packets

    cdef int _receive_batch(
        self, int asked, Py_ssize_t size, bint with_address, list packets, Py_ssize_t* room
    ) except -1:
        """Receive at most ``asked`` datagrams with one call; return how many there were."""
        cdef mmsghdr messages[ONE_CALL]
        cdef iovec vectors[ONE_CALL]
        cdef sockaddr_storage senders[ONE_CALL]
        cdef char* memory = self._poller._batch_memory()
        cdef int number, received
        cdef msghdr* message
        memset(messages, 0, asked * sizeof(mmsghdr))
        for number in range(asked):
            vectors[number].iov_base = memory + number * size
            vectors[number].iov_len = size
            message = &messages[number].msg_hdr
            message.msg_iov = &vectors[number]
            message.msg_iovlen = 1
            if with_address:
                message.msg_name = &senders[number]
                message.msg_namelen = sizeof(sockaddr_storage)
        while True:
            received = c_recvmmsg(self.fd, messages, asked, 0, NULL)
            if received >= 0:
                break
            if errno == EAGAIN:
                self.readable = self._late != 0
                return 0
            if errno != EINTR:
                self._late = errno
                return 0
        for number in range(received):
            message = &messages[number].msg_hdr
            if message.msg_flags & MSG_TRUNC:
                self._late = EMSGSIZE
                continue
            data = PyBytes_FromStringAndSize(memory + number * size, messages[number].msg_len)
            if with_address:
                data = (data, to_python(&senders[number], message.msg_namelen))
            packets.append(data)
            room[0] -= messages[number].msg_len
        return received

    cdef int _recvfrom_many_sock(
        self, Py_ssize_t size, list packets, Py_ssize_t* room
    ) except -1:
        """Receive at most one datagram, of a family that ``addresses`` does not know."""
        try:
            data, address = self.sock.recvfrom(size + 1)  # a byte more tells if it is too long
        except BlockingIOError:
            self.readable = self._late != 0
            return 0
        except OSError as exc:
            self._late = exc.errno or EIO
            return 0
        if len(data) > size:
            self._late = EMSGSIZE
        else:
            packets.append((data, address))
            room[0] -= len(data)
        return 1

    # -- sending ---------------------------------------------------------------------------

    def sendto(self, data, address):
        cdef Py_buffer view
        cdef Py_ssize_t nbytes
        if type(data) is bytes:
            if not self._may_write():
                return -1
            nbytes = self._send_to(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), address)
        else:
            get_view(data, &view)
            try:
                if not self._may_write():
                    return -1
                nbytes = self._send_to(<const char*>view.buf, view.len, address)
            finally:
                PyBuffer_Release(&view)
        if nbytes >= 0:
            self._budget.take_bytes(nbytes)
        return nbytes

    cdef Py_ssize_t _send_to(self, const char* memory, Py_ssize_t size, object address) except -2:
        cdef sockaddr_storage receiver
        cdef sockaddr* target = NULL
        cdef socklen_t length = 0
        cdef Py_ssize_t nbytes
        if address is not None:
            length = from_python(self._family, address, &receiver)
            if length == 0:
                return self._sendto_sock(memory, size, address)
            target = <sockaddr*>&receiver
        while True:
            nbytes = c_sendto(self.fd, memory, size, MSG_NOSIGNAL, target, length)
            if nbytes >= 0:
                return nbytes
            if errno == EAGAIN:
                self.clear_writable()
                return -1
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)

    cdef Py_ssize_t _sendto_sock(
        self, const char* memory, Py_ssize_t size, object address
    ) except -2:
        check_numeric(self._family, address)
        try:
            return self.sock.sendto(PyBytes_FromStringAndSize(memory, size), address)
        except BlockingIOError:
            self.clear_writable()
            return -1
