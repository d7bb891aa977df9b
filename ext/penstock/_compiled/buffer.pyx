"""Compiled twin of ``penstock/_pure/buffer.py`` and ``storage.py``, which hold the contract.

One class: with ``feed`` inherited, CPython 3.11 took 160 instructions more for a call of it.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_SIMPLE,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memcpy, memmove
from penstock._compiled.arguments cimport size_of
from penstock._compiled.budget cimport ReadyBudget
from penstock._compiled.prefixes cimport MORE, announced, prefix_of
from penstock._compiled.search cimport delimiters_of, find_first, overlaps, search

from reprlib import repr as short_repr

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    LEAST = 256      # bytes of the smallest allocation
    SPARE = 16384    # an allocation above this is given back when a quarter of it would do
    KEEP = 65536     # an allocation above this is given back as soon as the buffer is empty
    FEW = 1024       # see the pure twin's budget


@cython.final
cdef class _Room:
    """What the memory of a view from ``reserve()`` belongs to."""

    cdef ReceiveBuffer _owner
    cdef Py_ssize_t _size
    cdef Py_ssize_t _stride
    cdef Py_ssize_t _exports
    cdef bint _released

    def __getbuffer__(self, Py_buffer* view, int flags):
        if self._released:  # its memory may be elsewhere by now
            raise BufferError("this room is no longer reserved")
        view.obj = self
        view.buf = self._owner._data + self._owner._end
        view.len = self._size
        view.readonly = 0
        view.itemsize = 1
        view.format = NULL
        if flags & PyBUF_FORMAT:
            view.format = b"B"
        view.ndim = 1
        view.shape = &self._size
        view.strides = &self._stride
        view.suboffsets = NULL
        view.internal = NULL
        self._exports += 1
        self._owner._exports += 1

    def __releasebuffer__(self, Py_buffer* view):
        self._exports -= 1
        self._owner._exports -= 1
        self._released = self._exports == 0


@cython.final
cdef class ReceiveBuffer:
    def __cinit__(self):
        self._data = NULL

    def __init__(self, budget=None):
        self._delimiters = b"\n"
        self._longest = 1
        if budget is not None:
            self.bind(budget)

    def __dealloc__(self):
        PyMem_Free(self._data)

    @property
    def budget(self):
        return self._budget

    def bind(self, budget):
        if not isinstance(budget, ReadyBudget):
            raise TypeError(f"expected a ReadyBudget, not {short_repr(budget)}")
        self._budget = budget

    @property
    def capacity(self):
        return self._capacity

    def __len__(self):
        return self._end - self._start

    def __bytes__(self):
        return PyBytes_FromStringAndSize(self._data + self._start, self._end - self._start)

    # -- putting in ------------------------------------------------------------------------

    def feed(self, data):
        cdef Py_buffer view
        try:
            PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        except (TypeError, BufferError):
            raise TypeError(
                f"expected contiguous bytes-like data, not {short_repr(data)}"
            ) from None
        try:
            self._make_room(view.len)
            if view.len:
                memcpy(self._data + self._end, view.buf, view.len)
                self._end += view.len
        finally:
            PyBuffer_Release(&view)

    def reserve(self, nbytes):
        cdef Py_ssize_t size = size_of(nbytes, "nbytes", 1)
        cdef _Room room
        self._make_room(size)
        room = _Room.__new__(_Room)
        room._owner = self
        room._size = size
        room._stride = 1
        view = memoryview(room)
        self._room = size
        return view

    def commit(self, nbytes):
        cdef Py_ssize_t size = size_of(nbytes, "nbytes", 0)
        if size > self._room:
            raise ValueError(f"nbytes must be at most {self._room}, not {nbytes!r}")
        if self._exports:
            raise BufferError("a view of the reserved room is still in use")
        self._end += size
        self._drop(0)

    cdef int _make_room(self, Py_ssize_t nbytes) except -1:
        """Let at least ``nbytes`` bytes be free after the unread ones."""
        cdef Py_ssize_t unread = self._end - self._start
        cdef Py_ssize_t wanted
        if self._exports:
            raise BufferError("a view of the reserved room is still in use")
        self._room = 0
        if nbytes > PY_SSIZE_T_MAX // 2 - 2 * unread:
            raise MemoryError
        # Whatever moves `unread` bytes leaves as many bytes free: they pay for the next move.
        wanted = max(2 * unread + nbytes, LEAST)
        if wanted > self._capacity:
            if nbytes > self._capacity - self._end:
                # An eighth more, or a few bytes left over at each refill would move everything.
                self._move(wanted + (wanted >> 3))
        elif self._capacity > SPARE and self._capacity >> 2 > wanted:
            self._move(wanted + (wanted >> 3))
        elif nbytes > self._capacity - self._end:
            memmove(self._data, self._data + self._start, unread)
            self.work += unread
            self._start = 0
            self._end = unread
        return 0

    cdef int _move(self, Py_ssize_t capacity) except -1:
        """Put the unread bytes at the beginning of a new allocation."""
        cdef Py_ssize_t unread = self._end - self._start
        cdef char* data = <char*>PyMem_Malloc(capacity)
        if data == NULL:
            raise MemoryError
        if unread:
            memcpy(data, self._data + self._start, unread)
        PyMem_Free(self._data)
        self._data = data
        self._capacity = capacity
        self._start = 0
        self._end = unread
        self.work += unread
        return 0

    # -- taking out ------------------------------------------------------------------------

    def take(self, max_bytes):
        cdef Py_ssize_t size = size_of(max_bytes, "max_bytes", 1)
        if self._declines() or self._start == self._end:
            return None
        size = min(size, self._end - self._start)
        return self._hand_out(size, size, 0)

    def take_exactly(self, nbytes):
        cdef Py_ssize_t size = size_of(nbytes, "nbytes", 0)
        if self._declines() or size > self._end - self._start:
            return None
        return self._hand_out(size, size, 0)

    def take_into(self, buffer):
        cdef Py_buffer view
        cdef Py_ssize_t size
        try:
            PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        except (TypeError, BufferError):
            raise TypeError(
                f"expected contiguous writable memory, got {short_repr(buffer)}"
            ) from None
        try:
            if not view.len:
                raise ValueError(f"cannot receive into an empty buffer: {short_repr(buffer)}")
            if self._declines() or self._start == self._end or not self._budget.take():
                return -1
            size = min(view.len, self._end - self._start)
            if not size:  # a probe of the budget took what there was
                return -1
            memcpy(view.buf, self._data + self._start, size)
            if size > FEW:
                self._budget.take_bytes(size)
            self._drop(size)
            return size
        finally:
            PyBuffer_Release(&view)

    def take_until(self, delimiters, max_bytes, include_delimiter=False):
        cdef Py_ssize_t limit, begin, stop
        cdef bint inclusive = include_delimiter
        if delimiters is not self._delimiters:
            delimiters = delimiters_of(delimiters)
        limit = size_of(max_bytes, "max_bytes", 1)
        if self._declines():
            return None
        if delimiters is not self._delimiters:
            self._look_for(delimiters)
        begin = self._find(limit, &stop)
        if begin < 0 or begin > limit:
            return None
        return self._hand_out(stop if inclusive else begin, stop, 0)

    def take_frame(self, prefix, max_size):
        cdef int kind = prefix_of(prefix)
        cdef Py_ssize_t limit = size_of(max_size, "max_size", 0)
        cdef unsigned long long size
        cdef int width
        if self._declines():
            return None
        width = announced(self._data + self._start, self._end - self._start, kind, &size)
        if (
            width <= 0
            or size > <unsigned long long>limit
            or size > <unsigned long long>(self._end - self._start - width)
        ):
            return None
        return self._hand_out(size, width + size, width)

    def frame_size(self, prefix):
        cdef int kind = prefix_of(prefix)
        cdef unsigned long long size
        cdef int width = announced(self._data + self._start, self._end - self._start, kind, &size)
        if width > 0:
            return size
        return -1 if width == MORE else -2

    def peek(self, nbytes):
        cdef Py_ssize_t size = size_of(nbytes, "nbytes", 1)
        if self._declines() or self._start == self._end or not self._budget.take():
            return None
        size = min(size, self._end - self._start)
        if size > FEW:
            self._budget.take_bytes(size)
        return PyBytes_FromStringAndSize(self._data + self._start, size)

    def limit_exceeded(self, delimiters, max_bytes):
        cdef Py_ssize_t limit, begin, stop, size
        cdef const char* data
        if delimiters is not self._delimiters:
            delimiters = delimiters_of(delimiters)
        limit = size_of(max_bytes, "max_bytes", 1)
        if delimiters is not self._delimiters:
            self._look_for(delimiters)
        begin = self._find(limit, &stop)
        if begin >= 0:
            return begin > limit
        size = self._end - self._start
        if size <= limit:
            return False
        data = self._data + self._start
        if isinstance(self._delimiters, bytes):
            return not overlaps(
                data, size, <bytes>self._delimiters, size - limit, &self.work
            )
        for delimiter in <tuple>self._delimiters:
            if overlaps(data, size, <bytes>delimiter, size - limit, &self.work):
                return False
        return True

    cdef int _look_for(self, object delimiters) except -1:
        """Begin a search from the start, unless it is for the same delimiters as before."""
        cdef Py_ssize_t longest = 0
        if delimiters == self._delimiters:
            self._delimiters = delimiters  # the next look finds the same object, and is short
            return 0
        for delimiter in delimiters if isinstance(delimiters, tuple) else (delimiters,):
            longest = max(longest, PyBytes_GET_SIZE(delimiter))
        self._delimiters = delimiters
        self._longest = longest
        self._scanned = 0
        return 0

    cdef Py_ssize_t _find(self, Py_ssize_t max_bytes, Py_ssize_t* stop) noexcept:
        """Return where the winning match begins, or -1; it ends before ``stop``."""
        cdef Py_ssize_t size = self._end - self._start
        cdef const char* data = self._data + self._start
        cdef Py_ssize_t begin, last
        cdef bytes delimiter
        if max_bytes < size - self._longest:
            size = max_bytes + self._longest  # beyond it, nothing begins early enough
        if self._scanned >= size:
            return -1
        if isinstance(self._delimiters, tuple):
            begin = find_first(
                data, <tuple>self._delimiters, self._scanned, size, stop, &self.work
            )
            self._scanned = size if begin < 0 else stop[0] - 1
            return begin
        delimiter = <bytes>self._delimiters
        last = search(data, delimiter, self._scanned, size, &self.work)
        if last < 0:
            self._scanned = size
            return -1
        self._scanned = last
        stop[0] = last + 1
        return last + 1 - PyBytes_GET_SIZE(delimiter)

    cdef int _declines(self) except -1:
        """Return whether nothing may be taken now; raise while a view forbids to move."""
        if self.claimed or self._budget is None:
            return True
        if self._exports:
            raise BufferError("a view of the reserved room is still in use")
        return False

    cdef object _hand_out(self, Py_ssize_t nbytes, Py_ssize_t consumed, Py_ssize_t skipped):
        """Spend one operation on ``nbytes`` bytes, and forget the first ``consumed`` ones.

        ``skipped`` bytes before them are not handed out.
        """
        cdef Py_ssize_t start = self._start
        cdef Py_ssize_t end = self._end
        if not self._budget.take() or self._start != start or self._end != end:
            return None  # declined, or a probe took or fed
        data = PyBytes_FromStringAndSize(self._data + self._start + skipped, nbytes)
        if nbytes > FEW:
            self._budget.take_bytes(nbytes)
        if consumed:
            self._drop(consumed)
        return data

    cdef void _drop(self, Py_ssize_t nbytes) noexcept:
        """Forget the first ``nbytes`` bytes and the room."""
        self._start += nbytes
        self._scanned = max(self._scanned - nbytes, 0)
        self._room = 0
        if self._start == self._end:
            self._start = self._end = 0
            if self._capacity > KEEP:
                PyMem_Free(self._data)
                self._data = NULL
                self._capacity = 0

    def _check(self):
        assert 0 <= self._start <= self._end <= self._capacity, "I1"
        assert self._start < self._end or self._start == 0, "I1"
        assert 0 <= self._scanned <= self._end - self._start, "I2"
        scanned = bytes(self)[: self._scanned]
        for delimiter in (
            self._delimiters if isinstance(self._delimiters, tuple) else (self._delimiters,)
        ):
            assert delimiter not in scanned, "I2"
        assert 0 <= self._room <= self._capacity - self._end, "I3"
        assert self._room or not self._exports, "I3"
        assert self._end or self._room or self._capacity <= KEEP, "I4"
