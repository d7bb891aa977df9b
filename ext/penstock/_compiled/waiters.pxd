from cpython.object cimport PyObject

cdef extern from "Python.h":
    ctypedef int (*visitproc)(PyObject*, void*) noexcept


cdef enum State:
    WAITING
    PROMISED
    TAKEN
    GONE
    CLOSED


cdef class End:
    cdef bint _open
    # Who waits at this end, in order.  Not owned: whoever is in this list is in one of the
    # queue's, too.
    cdef PyObject* _first
    cdef PyObject* _last


cdef class Waiter:
    cdef object _item      # what a waiting sender wants to send
    cdef object _wait      # what wake is called with
    cdef object _wake      # ends the wait; false where it had been cancelled
    cdef End _end          # closing it ends the wait
    cdef int _state
    cdef unsigned int _binding  # which binding of the queue it waits under
    cdef PyObject* _before  # neighbours in the list of waiters; not owned, NULL unless linked
    cdef PyObject* _after
    cdef PyObject* _end_before  # the same in the list of its end
    cdef PyObject* _end_after


cdef struct WaitList:       # in order of arrival; owns a reference to each waiter in it
    PyObject* first
    PyObject* last
    Py_ssize_t length


cdef Waiter park(
    WaitList* waiters, object item, object wait, object wake, End end, unsigned int binding
)
cdef int remove(WaitList* waiters, Waiter waiter) except -1
cdef Waiter pop(WaitList* waiters)
cdef list take_out(WaitList* waiters, End end, State state)
cdef int traverse(WaitList* waiters, visitproc visit, void* arg) noexcept
cdef int check(WaitList* waiters, unsigned int binding) except -1
