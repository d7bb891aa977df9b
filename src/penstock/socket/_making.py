"""How low-level sockets come to be: new, from descriptors, from the standard library's sockets."""

from __future__ import annotations

import socket as stdlib
import sys
from contextlib import suppress
from typing import TypeGuard

from penstock.socket._objects import SocketType

__all__ = (
    "from_stdlib_socket",
    "fromfd",
    "is_async_socket",
    "socket",
    "socketpair",
)


def socket(
    family: int = stdlib.AF_INET,
    type: int = stdlib.SOCK_STREAM,
    proto: int = 0,
    fileno: int | None = None,
) -> SocketType:
    """Make a socket, as :class:`socket.socket` does, whose calls are awaited.

    Two options of a new socket are not the system's: ``SO_REUSEADDR`` is on (on Windows
    ``SO_EXCLUSIVEADDRUSE`` is), and ``IPV6_V6ONLY`` is off.  :meth:`SocketType.setsockopt`
    changes them back.

    Example::

        async def ask(server: tuple[str, int], question: bytes) -> bytes:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                await sock.connect(await sock.resolve_remote_address(server))
                await sock.send(question)
                return await sock.recv(65535)

    Args:
        family: Any ``AF_...`` that the system has.
        type: Such as ``SOCK_DGRAM``; ``SOCK_NONBLOCK`` and ``SOCK_CLOEXEC`` change nothing.
        proto: Protocol number; 0: the usual one.
        fileno: The descriptor of an existing socket, which is taken over as it is: its family,
            type and protocol are read from it, and no option is changed.

    Raises:
        OSError: The system has no such socket, or ``fileno`` is none.
        TypeError: An argument is of the wrong type.
    """
    if fileno is not None:
        return SocketType(stdlib.socket(fileno=fileno))
    return _with_defaults(stdlib.socket(family, type, proto))


def socketpair(
    family: int | None = None, type: int = stdlib.SOCK_STREAM, proto: int = 0
) -> tuple[SocketType, SocketType]:
    """Make two sockets that are connected to each other, as :func:`socket.socketpair` does.

    Args:
        family: None: ``AF_UNIX``, or ``AF_INET`` where there is no such.
        type: Such as ``SOCK_STREAM``.
        proto: Protocol number; 0: the usual one.

    Raises:
        OSError: The system has no such pair.
    """
    if family is None:
        family = getattr(stdlib, "AF_UNIX", stdlib.AF_INET)
    left, right = stdlib.socketpair(family, type, proto)
    return _with_defaults(left), _with_defaults(right)


def _with_defaults(sock: stdlib.socket) -> SocketType:
    with suppress(OSError):  # not every family has it
        if sys.platform == "win32":
            sock.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_REUSEADDR, 1)
    if sock.family == stdlib.AF_INET6:
        with suppress(OSError):  # where a system has no dual-stack sockets
            sock.setsockopt(stdlib.IPPROTO_IPV6, stdlib.IPV6_V6ONLY, 0)
    return SocketType(sock)


def from_stdlib_socket(sock: stdlib.socket) -> SocketType:
    """Make a socket of one of the standard library's, which is non-blocking from then on.

    Its options stay as they are.  Closing either closes both: use one of the two.

    Args:
        sock: Of any family and type.

    Raises:
        OSError: ``sock`` is closed.
        TypeError: ``sock`` is not a :class:`socket.socket`, or is of a subclass of it, whose
            calls may do something else, such as :class:`ssl.SSLSocket`.
    """
    if type(sock) is not stdlib.socket:
        raise TypeError(f"expected a socket.socket, not {sock!r}")
    return SocketType(sock)


def fromfd(fd: int, family: int, type: int, proto: int = 0) -> SocketType:
    """Make a socket of a duplicate of a descriptor, which stays the caller's.

    The two share the mode of the socket, which is non-blocking from then on.

    Args:
        fd: A descriptor of a socket.
        family: For programs written for :func:`socket.fromfd`, as are ``type`` and ``proto``:
            they are read from the socket.

    Raises:
        OSError: ``fd`` is not the descriptor of a socket, or there is none free for a duplicate.
        TypeError: ``fd`` is not an integer.
    """
    original = stdlib.socket(fileno=fd)
    try:
        return SocketType(original.dup())
    finally:
        original.detach()


if sys.platform == "win32":

    def fromshare(info: bytes) -> SocketType:
        """Make a socket of what :meth:`SocketType.share` of another process has returned.

        Raises:
            OSError: It cannot be taken over.
        """
        return SocketType(stdlib.fromshare(info))

    __all__ += ("fromshare",)


def is_async_socket(obj: object) -> TypeGuard[SocketType]:
    """Whether ``obj`` is a socket of this module, and not, say, one of the standard library."""
    return isinstance(obj, SocketType)
