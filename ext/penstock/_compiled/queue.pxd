from cpython.object cimport PyObject

from penstock._compiled.budget cimport ReadyBudget
from penstock._compiled.waiters cimport End, WaitList


cdef class ItemQueue:
    # I1  0 <= reserved <= len(items); reserved counts the receivers that are promised an item
    # I2  a receiver waits => len(items) == reserved, and no sender waits
    # I3  a sender waits => len(items) - reserved >= max_buffer_size
    # I4  no receiver end is open => no sender waits
    # I5  no sender end is open and nothing is reserved => no receiver waits
    # I6  whoever is in senders or receivers is WAITING, and nobody else is
    # I7  whoever is in senders or receivers is in the list of its end, and nobody else is
    # I8  whoever waits or is promised an item has come under the present binding
    #
    # The ring, items[(head + 0 .. length - 1) & mask], owns a reference to each of its items.
    # It is whole before a reference is dropped: a destructor may come back in.
    cdef PyObject** _ring
    cdef Py_ssize_t _mask        # capacity - 1; the capacity is a power of two, or 0
    cdef Py_ssize_t _head
    cdef Py_ssize_t _length
    cdef Py_ssize_t _reserved
    cdef Py_ssize_t _limit       # max_buffer_size as a number of items
    cdef Py_ssize_t _peak
    cdef Py_ssize_t _open_senders
    cdef Py_ssize_t _open_receivers
    cdef WaitList _senders
    cdef WaitList _receivers
    cdef ReadyBudget _budget     # None: not bound to an event loop
    cdef unsigned int _bindings  # how often it was bound anew: a waiter of an older one is void
    cdef object _max_buffer_size

    cdef bint _has_room(self) noexcept
    cdef bint _has_items(self) noexcept
    cdef int _bind(self, ReadyBudget budget) except -1
    cdef bint _is_usable(self) except -1
    cdef int _charge(self, Py_ssize_t moved) except -1
    cdef int _push(self, object item) except -1
    cdef object _shift(self)
    cdef bint _put(self, object item) except -1
    cdef object _get(self)
    cdef bint _promise(self) except -1
    cdef int _refill(self) except -1
    cdef int _end_receivers(self) except -1
    cdef int _end_waits(self, WaitList* waiters, End end) except -1
    cdef int _drop_items(self) except -1
    cdef void _give_back(self) noexcept
    cdef int _resize(self, Py_ssize_t capacity) except -1
