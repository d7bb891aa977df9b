from libc.stdint cimport uint32_t

from penstock._compiled.budget cimport ReadyBudget

cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        unsigned long long u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data

cdef enum:
    BATCH = 256            # events that one look at the poller takes
    SCRATCH_BYTES = 65536  # 64 KiB: the longest receive that passes through the scratch memory


cdef class Poller:
    # I1  every open registration is known to its poller, and no closed one is
    # I2  an event of a registration that was closed never changes another one: it carries slot and
    #     generation, and no two registrations that were ever in one slot have the same generation
    cdef object __weakref__
    cdef int _epoll                  # -1: none, or closed
    cdef epoll_event _events[BATCH]
    cdef char* _scratch              # where receives go before their length is known
    cdef list _slots                 # of Registration or None
    cdef list _free                  # indices of the slots that are None
    cdef uint32_t _generation        # of the latest registration
    cdef ReadyBudget _budget
    cdef object _new_wait
    cdef object _wake
    cdef object _watch_once          # None: epoll

    cdef int _control(self, int operation, Registration registration, uint32_t events) except -1


cdef class Registration:
    # I1  a flag that is clear will be set by an event to come: it is cleared by a call that would
    #     have blocked; or by a short read, on TCP alone, and only while no event has told of a
    #     hang-up or urgent data (on any other socket something can lie behind a short read)
    # I2  reader and writer are cleared by the task that set them, and by nobody else
    # I3  closed or released: fd < 0, and both flags are clear
    cdef Poller _poller
    cdef ReadyBudget _budget         # the poller's
    cdef readonly object sock
    cdef readonly int fd             # -1 once closed or released
    cdef readonly bint readable      # whether receiving, or accepting, is worth a try
    cdef readonly bint writable      # whether sending is worth a try
    cdef bint _armed                 # whether events of writability are asked for
    cdef bint _drains                # whether a short read means that there was nothing else
    cdef uint32_t _index             # its slot
    cdef uint32_t _generation
    cdef object _call_off_reading    # without epoll: calls off the watch; None: there is none
    cdef object _call_off_writing
    cdef public object reader        # the wait of the task that receives, or None
    cdef public object writer        # the wait of the task that sends, or None
    cdef public Py_ssize_t sent      # bytes of the last send that went out, of total
    cdef public Py_ssize_t total

    cdef bint _may_read(self) except -1
    cdef bint _may_write(self) except -1
    cdef bint _may_park(self) noexcept
    cdef Py_ssize_t _receive(self, void* memory, Py_ssize_t asked) except -2
    cdef void _has_read(self, Py_ssize_t nbytes, Py_ssize_t asked) noexcept
    cdef int _watch(self, bint writing) except -1
    cdef int _deliver(self, uint32_t flags) except -1
