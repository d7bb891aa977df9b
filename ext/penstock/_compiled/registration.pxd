from penstock._compiled.datagrams cimport DatagramCalls


cdef class Registration(DatagramCalls):
    cdef Py_ssize_t _receive(self, void* memory, Py_ssize_t asked) except -2
