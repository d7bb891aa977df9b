from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact

cdef enum:
    LARGEST_CALL = 262144   # bytes that one call moves at most
    LARGEST_SEND = 1048576  # the same of a send of a stream

cdef Py_ssize_t positive(str name, object number) except -1
cdef int check_range(str name, Py_ssize_t value, Py_ssize_t limit) except -1
cdef int get_view(object data, Py_buffer* view) except -1
cdef Py_ssize_t clipped_size(object value, str name, Py_ssize_t least) except? -1


cdef inline Py_ssize_t size_of(object value, str name, Py_ssize_t least) except? -1:
    """Return an argument that counts bytes, clipped to what a length can be."""
    cdef Py_ssize_t size
    cdef int overflow
    if PyLong_CheckExact(value):
        size = PyLong_AsLongLongAndOverflow(value, &overflow)
        if size >= least and not overflow:
            return size
    return clipped_size(value, name, least)
