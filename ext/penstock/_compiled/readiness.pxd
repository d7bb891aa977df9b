from libc.stdint cimport uint32_t

from penstock._compiled.budget cimport ReadyBudget
from penstock._compiled.poller cimport Poller

cdef uint32_t events_of(bint armed) noexcept


cdef class Readiness:
    # I1  a flag that is clear will be set by an event to come: it is cleared by a call that would
    #     have blocked; or by a short read, while no event has told of a hang-up or urgent data: on
    #     TCP at once; on a UNIX byte stream when the system was asked to tell again of what lies
    #     behind it (on any other socket a short read says nothing)
    # I2  reader and writer are cleared by the task that set them, and by nobody else
    # I3  closed or released: fd < 0, and both flags are clear
    # I4  late is the number of an error that came behind datagrams of one batch, which were handed
    #     out: the next receive raises it; 0: there is none; readable is set while there is one
    cdef Poller _poller
    cdef ReadyBudget _budget         # the poller's
    cdef readonly object sock
    cdef readonly int fd             # -1 once closed or released
    cdef readonly bint readable      # whether receiving, or accepting, is worth a try
    cdef readonly bint writable      # whether sending is worth a try
    cdef bint _armed                 # whether events of writability are asked for
    cdef bint _drains                # whether a short read means that there was nothing else
    cdef bint _asks                  # whether what is left behind one is asked for by an event
    cdef bint _plenty                # whether the last receive brought much: the next one will
    cdef int _family
    cdef int _late
    cdef uint32_t _index             # its slot
    cdef uint32_t _generation
    cdef object _call_off_reading    # without epoll: calls off the watch; None: there is none
    cdef object _call_off_writing
    cdef public object reader        # the wait of the task that receives, or None
    cdef public object writer        # the wait of the task that sends, or None
    cdef public Py_ssize_t sent      # bytes of the last send that went out, of total
    cdef public Py_ssize_t total

    cdef int _set_up(self, Poller poller, object sock) except -1
    cdef bint _may_read(self) except -1
    cdef bint _asked_again(self) noexcept
    cdef bint _may_write(self) except -1
    cdef int _raise_late(self) except -1
    cdef bint _may_park(self) noexcept
    cdef void _has_read(self, Py_ssize_t nbytes, Py_ssize_t asked) noexcept
    cdef int _watch(self, bint writing) except -1
    cdef int _deliver(self, uint32_t flags) except -1
