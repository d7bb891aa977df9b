from penstock._compiled.budget cimport ReadyBudget


cdef class ReceiveBuffer:
    # I1  0 <= start <= end <= capacity; an empty buffer begins at 0
    # I2  no match of the delimiters ends within the first `scanned` unread bytes, and there are
    #     that many
    # I3  the room follows the unread bytes and lies within the capacity; while a view of it is
    #     live, nothing moves
    # I4  empty and without room, the buffer holds no more than KEEP bytes of memory
    cdef char* _data             # one allocation; bytes [start, end) are unread
    cdef Py_ssize_t _capacity    # its size
    cdef Py_ssize_t _start
    cdef Py_ssize_t _end
    cdef Py_ssize_t _room        # bytes after end that reserve() promised, until commit()
    cdef Py_ssize_t _exports     # live views of the room
    cdef Py_ssize_t _scanned     # the next search of the same delimiters begins here
    cdef object _delimiters      # bytes or a tuple of bytes; what _scanned is about
    cdef Py_ssize_t _longest     # length of the longest of them
    cdef ReadyBudget _budget
    cdef public bint claimed
    cdef readonly Py_ssize_t work

    cdef int _make_room(self, Py_ssize_t nbytes) except -1
    cdef int _move(self, Py_ssize_t capacity) except -1
    cdef int _declines(self) except -1
    cdef object _hand_out(self, Py_ssize_t nbytes, Py_ssize_t consumed, Py_ssize_t skipped)
    cdef void _drop(self, Py_ssize_t nbytes) noexcept
    cdef int _look_for(self, object delimiters) except -1
    cdef Py_ssize_t _find(self, Py_ssize_t max_bytes, Py_ssize_t* stop) noexcept
