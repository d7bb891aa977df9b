"""Compiled twin of ``penstock/_pure/search.py``, which holds the contract."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc

from reprlib import repr as short_repr

cdef enum:
    WINDOW = 64      # bytes searched for each of several delimiters before looking further


cdef bytes one_delimiter(object value):
    if type(value) is not bytes:
        try:
            value = bytes(memoryview(value))
        except TypeError:
            raise TypeError(f"a delimiter must be bytes-like, not {short_repr(value)}") from None
    if not value:
        raise ValueError(f"a delimiter must not be empty, not {value!r}")
    return value


cdef object delimiters_of(object value):
    """Return one delimiter as bytes, several as a tuple of bytes."""
    if type(value) is bytes or not isinstance(value, (tuple, list)):
        return one_delimiter(value)
    several = tuple([one_delimiter(item) for item in value])
    if not several:
        raise ValueError(f"there must be a delimiter, not {value!r}")
    # The caller's own tuple, if it will do: the next call knows it by its identity.
    for i in range(len(several)):
        if several[i] is not value[i]:
            return several
    return value if type(value) is tuple else several


cdef Py_ssize_t find_first(
    const char* data,
    tuple delimiters,
    Py_ssize_t low,
    Py_ssize_t size,
    Py_ssize_t* stop,
    Py_ssize_t* work,
) noexcept:
    """Return where the winning match begins, or -1; it ends before ``stop``."""
    cdef Py_ssize_t window = WINDOW
    cdef Py_ssize_t high, last, length, winner
    while low < size:
        high = min(size, low + window)
        winner = 0
        for delimiter in delimiters:
            last = search(data, <bytes>delimiter, low, high, work)
            if last >= 0:
                length = PyBytes_GET_SIZE(delimiter)
                if last + 1 < high or length > winner:
                    winner = length
                high = last + 1
        if winner:
            stop[0] = high
            return high - winner
        low = high
        window *= 2
    return -1


cdef int overlaps(
    const char* data, Py_ssize_t unread, bytes delimiter, Py_ssize_t least, Py_ssize_t* work
) except -1:
    """Return whether at least ``least`` bytes of a delimiter are there, without its end."""
    cdef const char* needle = PyBytes_AS_STRING(delimiter)
    cdef Py_ssize_t size = min(unread, PyBytes_GET_SIZE(delimiter) - 1)
    cdef const char* tail = data + unread - size
    cdef Py_ssize_t at
    cdef Py_ssize_t matched = 0
    cdef Py_ssize_t* borders
    if least > size:
        return False
    # Knuth, Morris and Pratt: whatever the bytes are, it is linear.
    borders = <Py_ssize_t*>PyMem_Malloc(size * sizeof(Py_ssize_t))
    if borders == NULL:
        raise MemoryError
    borders[0] = 0
    for at in range(1, size):
        while matched and needle[matched] != needle[at]:
            matched = borders[matched - 1]
        matched += needle[matched] == needle[at]
        borders[at] = matched
    matched = 0
    for at in range(size):
        while matched and needle[matched] != tail[at]:
            matched = borders[matched - 1]
        matched += needle[matched] == tail[at]
    PyMem_Free(borders)
    work[0] += 2 * size
    return matched >= least
