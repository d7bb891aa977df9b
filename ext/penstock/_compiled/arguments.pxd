cdef enum:
    LARGEST_CALL = 262144   # bytes that one call moves at most
    LARGEST_SEND = 1048576  # the same of a send of a stream

cdef Py_ssize_t positive(str name, object number) except -1
cdef int check_range(str name, Py_ssize_t value, Py_ssize_t limit) except -1
cdef int get_view(object data, Py_buffer* view) except -1
