"""Sockets and descriptors that a program brings: whether they are what they should be."""

from __future__ import annotations

import errno
import socket

from penstock.socket import SocketType

__all__ = ("check_socket", "give_back")


def check_socket(
    sock_or_fd: socket.socket | SocketType | int,
    kind: int,
    family: int = socket.AF_UNSPEC,
    *,
    connected: bool = False,
    bound: bool = False,
) -> socket.socket:
    """Return the socket, or one made of the descriptor, non-blocking.

    Args:
        sock_or_fd: A socket of the standard library, or one of :mod:`penstock.socket`, which is
            closed then, or a descriptor.
        kind: Such as ``SOCK_STREAM``.
        family: Such as ``AF_UNIX``; ``AF_UNSPEC``: any.
        connected: Whether it must have a peer.
        bound: Whether it must have a local address.

    Raises:
        TypeError: It is neither a socket nor a descriptor.
        ValueError: It is not the socket that it should be; it stays the caller's, as it was.
    """
    if isinstance(sock_or_fd, socket.socket):
        _check(sock_or_fd, kind, family, connected, bound)
        sock = sock_or_fd
    elif isinstance(sock_or_fd, SocketType):
        _check(sock_or_fd._sock, kind, family, connected, bound)
        sock = sock_or_fd._surrender()
    elif isinstance(sock_or_fd, int):
        sock = _socket_of(sock_or_fd, connected, bound)
        try:
            _check(sock, kind, family, connected, bound)
        except BaseException:
            sock.detach()
            raise
    else:
        raise TypeError(
            f"expected an int or socket, got {type(sock_or_fd).__qualname__} instead: "
            f"{sock_or_fd!r}"
        )
    sock.setblocking(False)
    return sock


def give_back(sock: socket.socket, sock_or_fd: socket.socket | SocketType | int) -> None:
    """Leave to the caller what :func:`check_socket` has made ``sock`` of."""
    if isinstance(sock_or_fd, int):
        sock.detach()
    elif sock is not sock_or_fd:  # the object that it came from is closed
        sock.close()


def _socket_of(fd: int, connected: bool, bound: bool) -> socket.socket:
    try:
        return socket.socket(fileno=fd)
    except (OverflowError, ValueError) as exc:  # what no descriptor can be
        raise ValueError(f"{exc}: {fd}") from None
    except OSError as exc:
        if exc.errno == errno.ENOTSOCK:
            reason = "the file descriptor does not refer to a socket"
        elif connected:
            reason = "the socket must be connected"
        elif bound:
            reason = "the socket must be bound to a local address"
        else:
            raise
        raise ValueError(f"{reason}: {fd}") from exc


def _check(sock: socket.socket, kind: int, family: int, connected: bool, bound: bool) -> None:
    if hasattr(sock, "do_handshake"):  # an ssl.SSLSocket, whose bytes are not those of the wire
        raise TypeError(f"expected a socket without TLS, not {sock!r}")
    if connected:
        try:
            sock.getpeername()
        except OSError as exc:
            raise ValueError(f"the socket must be connected: {sock!r}") from exc
    if bound and not _is_bound(sock):
        raise ValueError(f"the socket must be bound to a local address: {sock!r}")
    if family != socket.AF_UNSPEC and sock.family != family:
        expected = socket.AddressFamily(family).name
        raise ValueError(f"address family mismatch: expected {expected}, got {_name(sock.family)}")
    if sock.type != kind:
        expected = socket.SocketKind(kind).name
        raise ValueError(f"socket type mismatch: expected {expected}, got {_name(sock.type)}")


def _is_bound(sock: socket.socket) -> bool:
    try:
        address = sock.getsockname()
    except OSError:
        return False
    return bool(address[1] if sock.family in (socket.AF_INET, socket.AF_INET6) else address)


def _name(number: int) -> str:
    return getattr(number, "name", str(number))  # Python has no names for the rarer ones
