from libc.stdint cimport uint32_t

from penstock._compiled.budget cimport ReadyBudget
from penstock._compiled.readiness cimport Readiness

cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        unsigned long long u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data

cdef enum:
    BATCH = 256            # events that one look at the poller takes
    SCRATCH_BYTES = 65536  # 64 KiB: the longest receive that passes through the scratch memory
    BATCH_BYTES = 2097152  # 2 MiB, of which the system provides what is written to


cdef class Poller:
    # I1  every open registration is known to its poller, and no closed one is
    # I2  an event of a registration that was closed never changes another one: it carries slot and
    #     generation, and no two registrations that were ever in one slot have the same generation
    cdef object __weakref__
    cdef int _epoll                  # -1: none, or closed
    cdef epoll_event _events[BATCH]
    cdef char* _scratch              # where receives go before their length is known
    cdef char* _batch                # where batches of datagrams go; NULL before the first one
    cdef list _slots                 # of Registration or None
    cdef list _free                  # indices of the slots that are None
    cdef uint32_t _generation        # of the latest registration
    cdef ReadyBudget _budget
    cdef object _new_wait
    cdef object _wake
    cdef object _watch_once          # None: epoll

    cdef char* _batch_memory(self) except NULL
    cdef int _control(self, int operation, Readiness registration, uint32_t events) except -1
    cdef int _tell_system(self, int operation, Readiness registration, uint32_t events) noexcept
    cdef int _forget(self, Readiness registration, int fd) except -1
