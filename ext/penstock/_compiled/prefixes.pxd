"""Compiled twin of ``penstock/_pure/prefixes.py``: all of it is compiled into its callers."""

from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact

cdef enum:
    MORE = 0         # bytes of a frame's prefix are still to come
    MALFORMED = -1   # what stands there is no prefix


cdef inline int prefix_of(object value) except? -99:
    """Return what announces the size of a frame: see the pure twin's PREFIXES."""
    cdef int overflow
    cdef long long prefix
    if PyLong_CheckExact(value):
        prefix = PyLong_AsLongLongAndOverflow(value, &overflow)
        if not overflow and prefix in (4, 2, 1, 8, 0, -4, -2, -1, -8):
            return <int>prefix
    raise ValueError(f"no such prefix: {value!r}")


cdef inline int announced(
    const char* start, Py_ssize_t unread, int prefix, unsigned long long* size
) noexcept:
    """Read the prefix of the next frame; return its length, MORE or MALFORMED."""
    cdef const unsigned char* data = <const unsigned char*>start
    cdef int width = prefix if prefix > 0 else -prefix
    cdef int at
    size[0] = 0
    if prefix == 0:
        for at in range(min(unread, 10)):
            if at == 9 and data[at] > 1:  # more than 64 bits
                return MALFORMED
            size[0] |= <unsigned long long>(data[at] & 0x7F) << (7 * at)
            if data[at] < 0x80:
                return MALFORMED if at and not data[at] else at + 1
        return MORE
    if unread < width:
        return MORE
    for at in range(width):
        size[0] = size[0] << 8 | data[at if prefix > 0 else width - 1 - at]
    return width
