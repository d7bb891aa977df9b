"""Socket addresses between C and what the socket module has for them.

Lives here: AF_INET, AF_INET6 and AF_UNIX, as Modules/socketmodule.c of CPython converts them
(ip(7), ipv6(7), unix(7)).  Other families, and whatever is not written plainly, are left to the
socket module.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcpy, memset, strlen

import socket

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    long PyLong_AsLongAndOverflow(object number, int* overflow) except? -1
    object PyUnicode_DecodeFSDefaultAndSize(const char* text, Py_ssize_t size)
    object PyUnicode_DecodeASCII(const char* text, Py_ssize_t size, const char* errors)
    object PyUnicode_EncodeFSDefault(object text)
    bint PyBytes_CheckExact(object value)
    bint PyLong_CheckExact(object value)
    bint PyTuple_CheckExact(object value)
    bint PyUnicode_CheckExact(object value)

cdef extern from "string.h" nogil:
    size_t strnlen(const char* text, size_t limit)

cdef extern from "netinet/in.h" nogil:
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        uint16_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        uint16_t sin6_family
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id

cdef extern from "sys/un.h" nogil:
    struct sockaddr_un:
        uint16_t sun_family
        char sun_path[108]

cdef extern from "arpa/inet.h" nogil:
    const char* inet_ntop(int family, const void* address, char* text, socklen_t size)
    int inet_pton(int family, const char* text, void* address)
    uint16_t htons(uint16_t number)
    uint16_t ntohs(uint16_t number)
    uint32_t htonl(uint32_t number)
    uint32_t ntohl(uint32_t number)

cdef enum:
    TEXT = 64         # bytes that a numeric address takes, and more
    PATH_OFFSET = 2   # of sun_path
    PATH_BYTES = 108
    LARGEST_FLOW = 0xFFFFF


cdef bint is_known(int family) noexcept:
    return family == AF_INET or family == AF_INET6 or family == AF_UNIX


cdef Py_ssize_t _dotted(const unsigned char* octets, char* text) noexcept:
    """Write an IPv4 address as text; return its length."""
    cdef char* end = text
    cdef int number
    cdef unsigned char octet
    for number in range(4):
        octet = octets[number]
        if octet >= 100:
            end[0] = 48 + octet // 100
            end += 1
        if octet >= 10:
            end[0] = 48 + octet // 10 % 10
            end += 1
        end[0] = 48 + octet % 10
        end[1] = 46
        end += 2
    return end - text - 1


cdef object to_python(sockaddr_storage* address, socklen_t length):
    """Return an address that the system wrote; of a known family, or of no length."""
    cdef char text[TEXT]
    cdef sockaddr_in* internet
    cdef sockaddr_in6* internet6
    cdef char* path
    cdef Py_ssize_t size
    if length == 0:
        return None
    if address.ss_family == AF_INET:
        internet = <sockaddr_in*>address
        size = _dotted(<const unsigned char*>&internet.sin_addr, text)
        return PyUnicode_DecodeASCII(text, size, NULL), <long>ntohs(internet.sin_port)
    if address.ss_family == AF_INET6:
        internet6 = <sockaddr_in6*>address
        inet_ntop(AF_INET6, &internet6.sin6_addr, text, TEXT)
        return (
            text.decode("ascii"),
            <long>ntohs(internet6.sin6_port),
            <unsigned long>ntohl(internet6.sin6_flowinfo),
            <unsigned long>internet6.sin6_scope_id,
        )
    path = (<sockaddr_un*>address).sun_path
    size = length - PATH_OFFSET
    if size > 0 and path[0] == 0:
        return PyBytes_FromStringAndSize(path, size)
    return PyUnicode_DecodeFSDefaultAndSize(path, strnlen(path, size))


cdef bint _read_number(object number, long limit, long* result) except -1:
    """Read an integer; return whether it is one, and between 0 and ``limit``."""
    cdef int overflow
    if not PyLong_CheckExact(number):
        return False
    result[0] = PyLong_AsLongAndOverflow(number, &overflow)
    return not overflow and 0 <= result[0] <= limit


cdef socklen_t from_python(int family, object address, sockaddr_storage* result) except? 0:
    """Write an address for the system; return its length, 0 where the socket module has to."""
    if family == AF_UNIX:
        return _from_path(address, <sockaddr_un*>result)
    if family == AF_INET or family == AF_INET6:
        return _from_internet(family, address, result)
    return 0


cdef socklen_t _from_path(object address, sockaddr_un* result) except? 0:
    cdef Py_ssize_t size
    if PyUnicode_CheckExact(address):
        address = PyUnicode_EncodeFSDefault(address)
    elif not PyBytes_CheckExact(address):
        return 0
    size = PyBytes_GET_SIZE(address)
    if size == 0 or size >= PATH_BYTES:  # the socket module knows what is wrong with it, if it is
        return 0
    memset(result, 0, sizeof(sockaddr_un))
    result.sun_family = AF_UNIX
    memcpy(result.sun_path, PyBytes_AS_STRING(address), size)
    # A path is counted with the null character behind it, an abstract name has none.
    return PATH_OFFSET + size + (PyBytes_AS_STRING(address)[0] != 0)


cdef socklen_t _from_internet(int family, object address, sockaddr_storage* result) except? 0:
    cdef sockaddr_in* internet = <sockaddr_in*>result
    cdef sockaddr_in6* internet6 = <sockaddr_in6*>result
    cdef long port, flow = 0, scope = 0
    cdef Py_ssize_t size, length
    cdef const char* host
    if not PyTuple_CheckExact(address):
        return 0
    length = len(<tuple>address)
    if length < 2 or not PyUnicode_CheckExact((<tuple>address)[0]):
        return 0
    if not _read_number((<tuple>address)[1], 0xFFFF, &port):
        return 0
    host = PyUnicode_AsUTF8AndSize((<tuple>address)[0], &size)
    if <size_t>size != strlen(host):
        return 0
    if family == AF_INET:
        if length != 2 or inet_pton(AF_INET, host, &internet.sin_addr) != 1:
            return 0
        internet.sin_family = AF_INET
        internet.sin_port = htons(<uint16_t>port)
        return sizeof(sockaddr_in)
    if length > 2 and not _read_number((<tuple>address)[2], LARGEST_FLOW, &flow):
        return 0
    if length > 3 and not _read_number((<tuple>address)[3], 0xFFFFFFFF, &scope):
        return 0
    if length > 4 or inet_pton(AF_INET6, host, &internet6.sin6_addr) != 1:
        return 0
    internet6.sin6_family = AF_INET6
    internet6.sin6_port = htons(<uint16_t>port)
    internet6.sin6_flowinfo = htonl(<uint32_t>flow)
    internet6.sin6_scope_id = <uint32_t>scope
    return sizeof(sockaddr_in6)


cdef int check_numeric(int family, object address) except -1:
    if (family != AF_INET and family != AF_INET6) or not isinstance(address, tuple):
        return 0
    host = address[0] if address else None
    numeric = host.partition("%")[0] if family == AF_INET6 and type(host) is str else host
    try:
        socket.inet_pton(family, numeric)
    except (OSError, TypeError, ValueError):
        raise ValueError(f"the host must be a numeric address, not {host!r}") from None
    return 0
