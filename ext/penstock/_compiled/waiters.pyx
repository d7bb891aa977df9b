"""Compiled twin of ``penstock/_pure/waiters.py``, which holds the contract.

The lists are doubly linked, so that whoever is cancelled leaves both of its own at once.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF


@cython.final
cdef class End:
    def __cinit__(self):
        self._open = True


# Without tp_clear: a cleared waiter could no longer be unlinked, and the cycles that go through
# one are broken by the queue, which lets go of it.
@cython.final
@cython.no_gc_clear
@cython.freelist(64)
cdef class Waiter:
    @property
    def taken(self):
        return self._state == TAKEN


cdef Waiter park(
    WaitList* waiters, object item, object wait, object wake, End end, unsigned int binding
):
    cdef Waiter waiter = Waiter.__new__(Waiter)
    waiter._item = item
    waiter._wait = wait
    waiter._wake = wake
    waiter._end = end
    waiter._state = WAITING
    waiter._binding = binding
    waiter._before = waiters.last
    waiter._after = NULL
    if waiters.last == NULL:
        waiters.first = <PyObject*>waiter
    else:
        (<Waiter>waiters.last)._after = <PyObject*>waiter
    waiters.last = <PyObject*>waiter
    waiters.length += 1
    waiter._end_before = end._last
    waiter._end_after = NULL
    if end._last == NULL:
        end._first = <PyObject*>waiter
    else:
        (<Waiter>end._last)._end_after = <PyObject*>waiter
    end._last = <PyObject*>waiter
    Py_INCREF(waiter)
    return waiter


cdef int remove(WaitList* waiters, Waiter waiter) except -1:
    cdef End end = waiter._end
    if waiter._before == NULL:
        waiters.first = waiter._after
    else:
        (<Waiter>waiter._before)._after = waiter._after
    if waiter._after == NULL:
        waiters.last = waiter._before
    else:
        (<Waiter>waiter._after)._before = waiter._before
    waiter._before = waiter._after = NULL
    waiters.length -= 1
    if waiter._end_before == NULL:
        end._first = waiter._end_after
    else:
        (<Waiter>waiter._end_before)._end_after = waiter._end_after
    if waiter._end_after == NULL:
        end._last = waiter._end_before
    else:
        (<Waiter>waiter._end_after)._end_before = waiter._end_before
    waiter._end_before = waiter._end_after = NULL
    Py_DECREF(waiter)  # never the last one: the caller holds another
    return 0


cdef Waiter pop(WaitList* waiters):
    cdef Waiter waiter = <Waiter>waiters.first
    remove(waiters, waiter)
    return waiter


cdef list take_out(WaitList* waiters, End end, State state):
    """Take out who waits at ``end``, or at all ends."""
    cdef list out = []
    cdef Waiter waiter
    cdef PyObject* pointer = waiters.first if end is None else end._first
    while pointer != NULL:
        waiter = <Waiter>pointer
        pointer = waiter._after if end is None else waiter._end_after
        out.append(waiter)
    for waiter in out:
        remove(waiters, waiter)
        waiter._state = state
    return out


cdef int traverse(WaitList* waiters, visitproc visit, void* arg) noexcept:
    """Show the garbage collector who waits."""
    cdef PyObject* waiter = waiters.first
    cdef int result = 0
    while waiter != NULL and not result:
        result = visit(waiter, arg)
        waiter = (<Waiter>waiter)._after
    return result


cdef int check(WaitList* waiters, unsigned int binding) except -1:
    """Assert the invariants of the queue that are about who waits."""
    cdef set waiting = set()
    cdef set ends = set()
    cdef PyObject* pointer = waiters.first
    cdef Waiter waiter
    while pointer != NULL:
        waiter = <Waiter>pointer
        assert waiter._state == WAITING, "I6"
        assert waiter._binding == binding, "I8"
        waiting.add(waiter)
        ends.add(waiter._end)
        pointer = waiter._after
    for end in ends:
        pointer = (<End>end)._first
        while pointer != NULL:
            waiter = <Waiter>pointer
            assert waiter in waiting, "I7"
            waiting.remove(waiter)
            pointer = waiter._end_after
    assert not waiting, "I7"
    return 0
