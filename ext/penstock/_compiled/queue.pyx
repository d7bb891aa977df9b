"""Compiled twin of ``penstock/_pure/queue.py``, which holds the contract.

Items live in a ring of object pointers, and waiters in linked lists.  Both are invisible to Cython's
own garbage collection support, so this module installs its own, at its end.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

from penstock._compiled.budget cimport ReadyBudget
from penstock._compiled.waiters cimport (
    CLOSED,
    GONE,
    PROMISED,
    TAKEN,
    WAITING,
    End,
    Waiter,
    WaitList,
    check,
    park,
    pop,
    remove,
    take_out,
    traverse,
    visitproc,
)

import math

cdef extern from "Python.h":
    ctypedef int (*traverseproc)(PyObject*, visitproc, void*) noexcept
    ctypedef int (*inquiry)(PyObject*) noexcept
    ctypedef struct PyTypeObject:
        traverseproc tp_traverse
        inquiry tp_clear
    Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    BATCH = 4096
    ITEM = 64
    SMALLEST_RING = 16
    KEPT_RING = 1024  # a longer ring is given back when the last item has left it


@cython.final
cdef class _Nothing:
    def __repr__(self):
        return "NOTHING"


NOTHING = _Nothing()
cdef object _NOTHING = NOTHING


@cython.final
@cython.no_gc_clear
cdef class ItemQueue:
    def __cinit__(self):
        self._ring = NULL
        self._mask = -1

    def __init__(self, max_buffer_size=0):
        self._max_buffer_size = max_buffer_size
        if max_buffer_size >= PY_SSIZE_T_MAX:
            self._limit = PY_SSIZE_T_MAX
        else:
            self._limit = max_buffer_size

    def __dealloc__(self):
        _clear(<PyObject*>self)
        PyMem_Free(self._ring)

    # -- facts -----------------------------------------------------------------------------

    def __len__(self):
        return self._length - self._reserved

    @property
    def budget(self):
        return self._budget

    @property
    def max_buffer_size(self):
        return self._max_buffer_size

    @property
    def full(self):
        return self._length - self._reserved >= self._limit

    @property
    def peak(self):
        return self._peak

    @property
    def open_senders(self):
        return self._open_senders

    @property
    def open_receivers(self):
        return self._open_receivers

    @property
    def waiting_senders(self):
        return self._senders.length

    @property
    def waiting_receivers(self):
        return self._receivers.length

    @property
    def starved(self):
        return self._budget is None or self._budget._left <= 0

    @property
    def ended(self):
        return not self._open_senders and not self._length

    # -- binding ---------------------------------------------------------------------------

    def bind(self, ReadyBudget budget):
        self._bind(budget)

    cdef int _bind(self, ReadyBudget budget) except -1:
        cdef list senders, receivers
        if budget is self._budget:
            return 0
        self._budget = budget
        self._bindings += 1
        self._reserved = 0
        senders = take_out(&self._senders, None, GONE)
        receivers = take_out(&self._receivers, None, GONE)
        if not self._open_receivers:
            self._drop_items()
        return 0  # the waiters go here; destructors may come back in: the queue is whole by now

    @property
    def usable(self):
        return self._is_usable()

    cdef bint _is_usable(self) except -1:
        if self._budget is None:
            return True
        if self._budget._thread == 0:
            self._bind(None)
            return True
        return not self._budget.is_foreign()

    # -- items -----------------------------------------------------------------------------

    def put(self, item):
        if not self._open_receivers or not self._has_room():
            return False
        if self._budget is None or not self._budget.take():
            return False
        return self._put(item)

    def put_nowait(self, item):
        return (
            self._is_usable() and self._open_receivers > 0 and self._has_room() and self._put(item)
        )

    def put_many(self, items, Py_ssize_t start):
        if not self._open_receivers or not self._has_room():
            return 0
        if self._budget is None or not self._budget.take():
            return 0
        return self.put_many_nowait(items, start)

    @cython.boundscheck(True)  # a destructor may come back in and cut ``items`` short
    def put_many_nowait(self, items, Py_ssize_t start):
        cdef Py_ssize_t done = start
        cdef Py_ssize_t stop = min(len(items), start + BATCH)
        if not self._is_usable() or not self._open_receivers:
            return 0
        while done < stop and self._has_room() and self._put(items[done]):
            done += 1
        self._charge(done - start)
        return done - start

    def get(self):
        if not self._has_items():
            return _NOTHING
        if self._budget is None or not self._budget.take():
            return _NOTHING
        return self._get()

    def get_nowait(self):
        return self._get() if self._is_usable() else _NOTHING

    def get_many(self, max_items):
        if not self._has_items():
            return []
        if self._budget is None or not self._budget.take():
            return []
        return self.get_many_nowait(max_items)

    def get_many_nowait(self, max_items):
        cdef list items = []
        cdef Py_ssize_t left = BATCH if max_items > BATCH else max_items
        if self._is_usable():
            while left > 0:
                item = self._get()
                if item is _NOTHING:
                    break
                items.append(item)
                left -= 1
            self._charge(len(items))
        return items

    cdef int _charge(self, Py_ssize_t moved) except -1:
        if self._budget is not None:
            self._budget.take_bytes(moved * ITEM)
        return 0

    cdef bint _has_room(self) noexcept:
        return self._receivers.length > 0 or self._length - self._reserved < self._limit

    cdef bint _has_items(self) noexcept:
        return self._length > self._reserved or self._senders.length > 0

    cdef int _push(self, object item) except -1:
        if self._length == self._mask + 1:
            self._resize(max(<Py_ssize_t>SMALLEST_RING, 2 * self._length))
        Py_INCREF(item)
        self._ring[(self._head + self._length) & self._mask] = <PyObject*>item
        self._length += 1
        return 0

    cdef object _shift(self):
        cdef PyObject* pointer = self._ring[self._head]
        self._head = (self._head + 1) & self._mask
        self._length -= 1
        if not self._length and self._mask >= KEPT_RING:
            self._give_back()
        item = <object>pointer
        Py_DECREF(item)  # the ring's reference; item holds another
        return item

    cdef bint _put(self, object item) except -1:
        cdef Py_ssize_t used, tail
        self._push(item)
        if not self._receivers.length or not self._promise():
            used = self._length - self._reserved
            if used > self._limit:
                # Everybody who seemed to wait had been cancelled.  The tail is another item only
                # if a destructor has come back in and taken this one.
                tail = (self._head + self._length - 1) & self._mask
                if self._length and self._ring[tail] == <PyObject*>item:
                    self._length -= 1
                    Py_DECREF(item)
                    return False
            elif used > self._peak:
                self._peak = used
        return True

    cdef object _get(self):
        cdef Waiter waiter
        if self._length > self._reserved:
            item = self._shift()
            if self._senders.length:
                self._refill()
            return item
        while self._senders.length:
            waiter = pop(&self._senders)
            item = waiter._item
            waiter._item = None
            waiter._state = TAKEN
            if waiter._wake(waiter._wait):
                if self._length:  # all of them are promised, but they are older
                    self._push(item)
                    item = self._shift()
                return item
            waiter._state = GONE
        return _NOTHING

    cdef bint _promise(self) except -1:
        cdef Waiter waiter
        while self._receivers.length:
            waiter = pop(&self._receivers)
            waiter._state = PROMISED
            self._reserved += 1
            if waiter._wake(waiter._wait):
                return True
            waiter._state = GONE
            self._reserved -= 1
        return False

    cdef int _refill(self) except -1:
        cdef Waiter waiter
        while self._senders.length and self._length - self._reserved < self._limit:
            waiter = pop(&self._senders)
            item = waiter._item
            waiter._item = None
            waiter._state = TAKEN
            if waiter._wake(waiter._wait):
                self._push(item)
            else:
                waiter._state = GONE
        return 0

    # -- waiting ---------------------------------------------------------------------------

    def park_sender(self, item, wait, wake, End end not None):
        cdef Waiter waiter = park(&self._senders, item, wait, wake, end, self._bindings)
        if not self._open_receivers or not end._open:
            self._end_waits(&self._senders, end)
        return waiter

    def park_receiver(self, wait, wake, End end not None):
        cdef Waiter waiter = park(&self._receivers, None, wait, wake, end, self._bindings)
        if not end._open:
            self._end_waits(&self._receivers, end)
        elif self._length > self._reserved:
            self._promise()
        else:
            self._end_receivers()
        return waiter

    def collect(self, Waiter waiter not None):
        if waiter._state != PROMISED or waiter._binding != self._bindings:
            return _NOTHING
        waiter._state = TAKEN
        self._reserved -= 1
        item = self._shift()  # makes no room: it took none
        self._end_receivers()
        return item

    def cancel_receiver(self, Waiter waiter not None):
        cdef int state = waiter._state
        waiter._state = GONE
        if state == WAITING:
            remove(&self._receivers, waiter)
        elif state == PROMISED and self._is_usable() and waiter._binding == self._bindings:
            self._reserved -= 1
            if not self._promise():
                if not self._open_receivers:
                    self._drop_items()
                self._end_receivers()

    def cancel_sender(self, Waiter waiter not None):
        if waiter._state == TAKEN:
            return False
        if waiter._state == WAITING:
            remove(&self._senders, waiter)
        waiter._state = GONE
        waiter._item = None
        return True

    # -- ends ------------------------------------------------------------------------------

    def open_sender(self):
        self._open_senders += 1
        return End()

    def open_receiver(self):
        self._open_receivers += 1
        return End()

    def close_sender(self, End end not None):
        end._open = False
        self._open_senders -= 1
        self._end_waits(&self._senders, end)
        self._end_receivers()

    def close_receiver(self, End end not None):
        end._open = False
        self._open_receivers -= 1
        self._end_waits(&self._receivers, end)
        if not self._open_receivers:
            self._end_waits(&self._senders, None)
            self._drop_items()

    cdef int _end_receivers(self) except -1:
        # A promise that is given back goes to who waits: nobody is sent away before.
        if not self._open_senders and not self._reserved:
            self._end_waits(&self._receivers, None)
        return 0

    cdef int _end_waits(self, WaitList* waiters, End end) except -1:
        cdef list ended
        cdef Waiter waiter
        if not waiters.length:
            return 0
        ended = take_out(waiters, end, CLOSED)
        for waiter in ended:
            waiter._item = None  # a destructor may come back in: all of them are out
        if ended and self._is_usable():
            for waiter in ended:
                waiter._wake(waiter._wait)
        return 0

    cdef int _drop_items(self) except -1:
        cdef list dropped = []
        while self._length > self._reserved:
            self._length -= 1
            item = <object>self._ring[(self._head + self._length) & self._mask]
            dropped.append(item)
            Py_DECREF(item)
        if not self._length:
            self._give_back()
        return 0  # dropped goes here; destructors may come back in: the queue is whole by now

    cdef void _give_back(self) noexcept:
        """Free the ring, which is empty: unlike a smaller one, that cannot fail."""
        PyMem_Free(self._ring)
        self._ring = NULL
        self._mask = -1
        self._head = 0

    cdef int _resize(self, Py_ssize_t capacity) except -1:
        cdef PyObject** ring = <PyObject**>PyMem_Malloc(capacity * sizeof(PyObject*))
        cdef Py_ssize_t index
        if ring == NULL:
            raise MemoryError
        for index in range(self._length):
            ring[index] = self._ring[(self._head + index) & self._mask]
        PyMem_Free(self._ring)
        self._ring = ring
        self._head = 0
        self._mask = capacity - 1
        return 0

    def _check(self):
        cdef Py_ssize_t used = self._length - self._reserved
        assert 0 <= self._reserved <= self._length, "I1"
        if self._receivers.length:
            assert used == 0, "I2"
            assert not self._senders.length, "I2"
            assert self._open_senders or self._reserved, "I5"
        if self._senders.length:
            assert used >= self._limit, "I3"
            assert self._open_receivers, "I4"
        check(&self._senders, self._bindings)
        check(&self._receivers, self._bindings)
        assert self._max_buffer_size == math.inf or self._peak <= self._limit


# Garbage collection.  The collector must see what the ring and the lists own, and clearing must
# leave a queue that still works, empty: destructors of items may use it.

cdef int _traverse(PyObject* pointer, visitproc visit, void* arg) noexcept:
    cdef ItemQueue queue = <ItemQueue>pointer
    cdef Py_ssize_t index
    cdef int result = _cython_traverse(pointer, visit, arg)
    for index in range(queue._length):
        if result:
            return result
        result = visit(queue._ring[(queue._head + index) & queue._mask], arg)
    if not result:
        result = traverse(&queue._senders, visit, arg)
    if not result:
        result = traverse(&queue._receivers, visit, arg)
    return result


cdef int _clear(PyObject* pointer) noexcept:
    cdef ItemQueue queue = <ItemQueue>pointer
    cdef PyObject* item
    while queue._senders.length:
        pop(&queue._senders)._state = GONE
    while queue._receivers.length:
        pop(&queue._receivers)._state = GONE
    queue._reserved = 0
    while queue._length:
        item = queue._ring[queue._head]
        queue._head = (queue._head + 1) & queue._mask
        queue._length -= 1
        Py_DECREF(<object>item)
    return 0


cdef traverseproc _cython_traverse = (<PyTypeObject*>ItemQueue).tp_traverse
(<PyTypeObject*>ItemQueue).tp_traverse = _traverse
(<PyTypeObject*>ItemQueue).tp_clear = _clear
