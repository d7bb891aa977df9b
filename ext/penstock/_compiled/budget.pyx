"""Compiled twin of ``penstock/_pure/budget.py``, which holds the contract."""

cimport cython

from cpython.dict cimport PyDict_GetItemWithError
from cpython.ref cimport PyObject

import sys

cdef extern from *:
    """
    #include <structmember.h>

    /* Return where in an object of this type the slot of this name is; 0: it is no slot. */
    static Py_ssize_t slot_offset(PyObject* type, PyObject* name) {
        Py_ssize_t offset = 0;
        PyObject* found = PyObject_GetAttr(type, name);
        if (found == NULL) {
            PyErr_Clear();
            return 0;
        }
        if (Py_IS_TYPE(found, &PyMemberDescr_Type)) {
            PyMemberDef* member = ((PyMemberDescrObject*)found)->d_member;
            if (member->type == T_OBJECT_EX)
                offset = member->offset;
        }
        Py_DECREF(found);
        return offset;
    }

    #define TYPE_OF(value) ((PyObject*)Py_TYPE(value))
    #define READ_SLOT(owner, offset) (*(PyObject**)((char*)(owner) + (offset)))
    """
    Py_ssize_t slot_offset(object, object) noexcept
    PyObject* READ_SLOT(PyObject*, Py_ssize_t) noexcept
    PyObject* TYPE_OF(PyObject*) noexcept
    PyObject* Py_False

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident() noexcept

cdef enum:
    OPERATIONS = 256
    BYTES = 262144


@cython.final
cdef class TrioProbe:
    def __init__(self, variables):
        if type(variables) is not dict:
            raise TypeError(f"variables must be a dictionary, not {type(variables).__name__}")
        self._variables = variables

    def __call__(self):
        return self.look()

    cdef bint look(self) except -1:
        cdef PyObject* task = PyDict_GetItemWithError(self._variables, "task")
        cdef PyObject* status
        if task is not NULL and TYPE_OF(task) is <PyObject*>self._tasks:
            status = READ_SLOT(task, self._status_at)
            if (
                status is not NULL
                and TYPE_OF(status) is <PyObject*>self._statuses
                and READ_SLOT(status, self._flag_at) is Py_False
            ):
                return False
        return self.ask()

    cdef bint ask(self) except -1:
        """Let Python answer, and note where the slots are, if it is slots."""
        task = self._variables.get("task")
        status = getattr(task, "_cancel_status", None)
        cdef bint flag = getattr(status, "effectively_cancelled", True)
        self._tasks = self._statuses = None
        self._status_at = slot_offset(type(task), "_cancel_status")
        self._flag_at = slot_offset(type(status), "effectively_cancelled")
        if self._status_at and self._flag_at:
            self._tasks = type(task)
            self._statuses = type(status)
        return flag


@cython.final
cdef class ReadyBudget:
    def __init__(self, size=OPERATIONS, probe=None):
        self._thread = PyThread_get_thread_ident()
        self._probe = probe
        self._trio = probe if type(probe) is TrioProbe else None
        self._holds = 0
        self.resize(size)

    @property
    def size(self):
        return self._size

    @property
    def left(self):
        return self._left

    @property
    def exhausted(self):
        return self._left + self._stash <= 0

    @property
    def retired(self):
        return self._thread == 0

    @property
    def foreign(self):
        return self.is_foreign()

    @property
    def alert(self):
        return self._holds > 0 or (self._probe is not None and bool(self._probe()))

    def resize(self, size):
        if not isinstance(size, int):
            raise TypeError(f"the ready budget must be an integer, not {size!r}")
        if size < 1:
            raise ValueError(f"the ready budget must be at least 1, not {size}")
        if size > sys.maxsize:
            raise ValueError(f"the ready budget must be at most {sys.maxsize}, not {size}")
        self._size = size
        self.start_turn()

    def spend(self):
        return self.take()

    def spend_bytes(self, Py_ssize_t nbytes):
        self.take_bytes(nbytes)

    def refill(self):
        self.start_over()

    def turn(self):
        self.start_turn()

    def grant(self):
        if self._left <= 0 and self._thread:
            self._left = 1
            if self._stash > 0:
                self._stash -= 1
            if self._bytes_left <= 0:
                self._bytes_left = BYTES

    def revoke(self):
        self.take_back()

    def hold(self):
        self._holds += 1
        if self._holds == 1 and self._size > 1:
            self._stash = self._left
            self._left = 0

    def release(self):
        self._holds -= 1
        if self._holds == 0 and self._size > 1:
            self._left = max(self._left, self._stash)
            self._stash = 0

    def retire(self):
        self._thread = 0
        self._left = self._stash = 0

    cdef bint take(self) except -1:
        if self._left <= 0 or self._thread != PyThread_get_thread_ident():
            return False
        if self._trio is not None:
            if self._trio.look():
                return False
        elif self._probe is not None and self._probe():
            return False
        self._left -= 1
        return True

    cdef void take_bytes(self, Py_ssize_t nbytes) noexcept:
        self._bytes_left -= nbytes
        if self._bytes_left <= 0:
            self._left = self._stash = 0

    cdef void take_back(self) noexcept:
        if self._left and (self._holds or self._size == 1):
            self._left = 0
            self._stash = min(self._stash + 1, self._size) if self._size > 1 else 0

    cdef bint is_foreign(self) noexcept:
        return self._thread != PyThread_get_thread_ident()

    cdef void start_over(self) noexcept:
        if not self._thread:
            return
        self._bytes_left = BYTES
        if self._holds or self._size == 1:
            self._left = 0
            self._stash = self._size
        else:
            self._left = self._size
            self._stash = 0

    cdef void start_turn(self) noexcept:
        if self._size > 1:
            self.start_over()
        else:  # every operation yields by itself
            self._left = self._stash = 0

    def _check(self):
        assert 0 <= self._left <= self._size, "I1"
        assert 0 <= self._stash <= self._size, "I1"
        if self._holds or self._size == 1:
            assert self._left <= 1, "I2"
        else:
            assert self._stash == 0, "I2"
        assert self._thread or not self._left + self._stash, "I3"
