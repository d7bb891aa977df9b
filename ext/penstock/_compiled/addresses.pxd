cdef extern from "sys/socket.h" nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    """
    ctypedef unsigned int socklen_t
    struct sockaddr:
        unsigned short sa_family
    struct sockaddr_storage:
        unsigned short ss_family
    int AF_INET, AF_INET6, AF_UNIX

cdef bint is_known(int family) noexcept
cdef object to_python(sockaddr_storage* address, socklen_t length)
cdef socklen_t from_python(int family, object address, sockaddr_storage* result) except? 0
cdef int check_numeric(int family, object address) except -1
