cdef class TrioProbe:
    # I1  status_at is where an object of the type tasks has its slot of the cancel status, flag_at
    #     where one of the type statuses has that of its flag; while there are none, these types
    #     are None
    cdef dict _variables
    cdef object _tasks
    cdef object _statuses
    cdef Py_ssize_t _status_at
    cdef Py_ssize_t _flag_at

    cdef bint look(self) except -1
    cdef bint ask(self) except -1


cdef class ReadyBudget:
    # I1  0 <= left <= size and 0 <= stash <= size
    # I2  while held (holds > 0 or size == 1), left <= 1 and what remains until the yield is in
    #     stash; while not held, stash == 0
    # I3  thread is the one whose event loop this budget serves; 0 once that loop has ended, and
    #     then left == stash == 0 for ever
    cdef Py_ssize_t _size        # operations between two yields
    cdef Py_ssize_t _left        # operations that may go ahead without a look
    cdef Py_ssize_t _stash       # operations that may go ahead after a look
    cdef Py_ssize_t _bytes_left  # bytes of ready work until the budget is used up
    cdef Py_ssize_t _holds       # how many have asked for a look at every operation
    cdef unsigned long _thread
    cdef object _probe           # None, or called before each operation
    cdef TrioProbe _trio         # the probe, if it is one of these: asked without a call

    cdef bint take(self) except -1
    cdef void take_bytes(self, Py_ssize_t nbytes) noexcept
    cdef void take_back(self) noexcept
    cdef bint is_foreign(self) noexcept
    cdef void start_over(self) noexcept
    cdef void start_turn(self) noexcept
