from penstock._compiled.readiness cimport Readiness


cdef class DatagramCalls(Readiness):
    cdef object _recvfrom_sock(self, Py_ssize_t asked)
    cdef list _receive_many(self, object max_packets, object max_bytes, bint with_address)
    cdef int _receive_batch(
        self, int asked, Py_ssize_t size, bint with_address, list packets, Py_ssize_t* room
    ) except -1
    cdef int _recvfrom_many_sock(
        self, Py_ssize_t size, list packets, Py_ssize_t* room
    ) except -1
    cdef Py_ssize_t _send_to(self, const char* memory, Py_ssize_t size, object address) except -2
    cdef Py_ssize_t _sendto_sock(self, const char* memory, Py_ssize_t size, object address) except -2
