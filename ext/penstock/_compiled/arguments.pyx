"""Compiled twin of ``penstock/_pure/arguments.py``: for the kernels alone."""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyObject_GetBuffer
from cpython.number cimport PyIndex_Check

from reprlib import repr as short_repr

cdef extern from "Python.h":
    Py_ssize_t PyNumber_AsSsize_t(object number, void* overflow) except? -1


cdef Py_ssize_t clipped_size(object value, str name, Py_ssize_t least) except? -1:
    """Do what ``size_of`` does, for what is no plain integer in its range."""
    cdef Py_ssize_t size
    if not PyIndex_Check(value):
        raise TypeError(f"{name} must be an integer, not {short_repr(value)}")
    size = PyNumber_AsSsize_t(value, NULL)  # clips what is too large
    if size < least:
        kind = "positive" if least else "non-negative"
        raise ValueError(f"{name} must be a {kind} integer, not {value!r}")
    return size


cdef Py_ssize_t positive(str name, object number) except -1:
    cdef Py_ssize_t count
    if not isinstance(number, int):
        raise TypeError(f"{name} must be an integer, not {number!r}")
    count = PyNumber_AsSsize_t(number, NULL)  # clips what is too large
    if count < 1:
        raise ValueError(f"{name} must be a positive integer, not {number}")
    return count


cdef int check_range(str name, Py_ssize_t value, Py_ssize_t limit) except -1:
    if not 0 <= value <= limit:
        raise ValueError(f"{name} must be between 0 and {limit}, not {value}")
    return 0


cdef int get_view(object data, Py_buffer* view) except -1:
    """Get the memory of bytes-like data, which the caller releases."""
    try:
        PyObject_GetBuffer(data, view, PyBUF_C_CONTIGUOUS)
    except (BufferError, TypeError):
        raise TypeError(f"expected contiguous bytes-like data, not {data!r}") from None
    return 0
