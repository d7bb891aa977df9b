"""Making UNIX datagram sockets: of paths, or of sockets that a program brings.

What they do lives in ``datagrams``, what becomes of their paths in ``unix_paths``.
"""

from __future__ import annotations

import socket

from penstock._backends import Backend, current_backend
from penstock._hotpath import Registration
from penstock._readiness import poller_of
from penstock._sockets.adopting import check_socket, give_back
from penstock._sockets.datagrams import ConnectedUNIXDatagrams, UNIXDatagrams
from penstock._sockets.unix_descriptors import refuse_all
from penstock._sockets.unix_paths import BoundPath, Path, address_of, at, bind
from penstock.abc import ConnectedUNIXDatagramSocket, UNIXDatagramSocket

__all__ = (
    "adopt_connected_unix_datagram_socket",
    "adopt_unix_datagram_socket",
    "create_connected_unix_datagram_socket",
    "create_unix_datagram_socket",
)


async def create_unix_datagram_socket(
    *, local_path: Path | None = None, local_mode: int | None = None
) -> UNIXDatagramSocket:
    """Create a UNIX datagram socket.

    A socket that no process has open any more is replaced; to that end the directory is locked
    (flock(2)) for a moment.  Closing the socket removes the path, unless it has become another's
    or this is a forked child.  Where the system can (Linux 6.16), it refuses datagrams with
    descriptors.  If cancelled, nothing stays behind.

    Args:
        local_path: Path to receive at, at most 107 bytes; with a null byte in front an abstract
            name (unix(7)).  None: none, so that nobody can send to it.
        local_mode: Permissions of the path, such as ``0o600``, which it has before anybody can
            send to it; None: those that the umask leaves.

    Raises:
        OSError: The path is taken by a socket in use or by another file (EADDRINUSE), or cannot
            be bound to; it is in the message.
        TypeError: An argument is of the wrong type.
        ValueError: ``local_path`` is empty or has a null character in it, ``local_mode`` is out
            of range, or there is one without a path that it could be of.
    """
    local = None if local_path is None else address_of(local_path)
    _check_mode(local_mode, local)
    backend = current_backend()
    registration, bound = await _open(backend, local_path, local, local_mode, None)
    return UNIXDatagrams(backend, registration, bound)


async def create_connected_unix_datagram_socket(
    remote_path: Path, *, local_path: Path | None = None, local_mode: int | None = None
) -> ConnectedUNIXDatagramSocket:
    """Create a UNIX datagram socket that exchanges datagrams with one peer.

    What is said of the path at :func:`create_unix_datagram_socket` holds here too.  If
    cancelled, nothing stays behind.

    Args:
        remote_path: Path, or abstract name, of the peer.
        local_path: Path to receive at, or abstract name; None: none, so that the peer cannot
            answer.
        local_mode: Permissions of the local path; None: those that the umask leaves.

    Raises:
        OSError: Nobody is at ``remote_path``, or ``local_path`` cannot be bound to; the path is
            in the message.
        TypeError: An argument is of the wrong type.
        ValueError: A path is empty or has a null character in it, ``local_mode`` is out of
            range, or there is one without a path that it could be of.
    """
    address_of(remote_path)
    local = None if local_path is None else address_of(local_path)
    _check_mode(local_mode, local)
    backend = current_backend()
    registration, bound = await _open(backend, local_path, local, local_mode, remote_path)
    return ConnectedUNIXDatagrams(backend, registration, bound)


def _check_mode(mode: int | None, local: bytes | None) -> None:
    if mode is None:
        return
    if not isinstance(mode, int):
        raise TypeError(f"local_mode must be an integer, not {mode!r}")
    if not 0 <= mode <= 0o7777:
        raise ValueError(f"local_mode must be between 0 and 0o7777, not {mode:#o}")
    if local is None or local.startswith(b"\0"):
        raise ValueError(f"only a path has permissions; local_mode must be None, not {mode:#o}")


async def _open(
    backend: Backend,
    local_path: Path | None,
    local: bytes | None,
    mode: int | None,
    remote_path: Path | None,
) -> tuple[Registration, BoundPath | None]:
    await backend.begin_operation()
    bound: BoundPath | None = None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        refuse_all(sock)  # which no method could receive
        if local_path is not None and local is not None:
            try:
                bound = await bind(backend, sock, local, mode)
            except OSError as exc:
                raise at(local_path, exc) from None
        if remote_path is not None:
            try:
                sock.connect(address_of(remote_path))
            except OSError as exc:
                raise at(remote_path, exc) from None
        return poller_of(backend).register(sock), bound
    except BaseException:
        if bound is not None:
            bound.remove()
        sock.close()
        raise


async def adopt_unix_datagram_socket(sock_or_fd: socket.socket | int) -> UNIXDatagrams:
    """See :meth:`penstock.abc.UNIXDatagramSocket.from_socket`."""
    backend = current_backend()
    await backend.checkpoint_if_cancelled()
    return UNIXDatagrams(backend, _adopt(backend, sock_or_fd, connected=False))


async def adopt_connected_unix_datagram_socket(
    sock_or_fd: socket.socket | int,
) -> ConnectedUNIXDatagrams:
    """See :meth:`penstock.abc.ConnectedUNIXDatagramSocket.from_socket`."""
    backend = current_backend()
    await backend.checkpoint_if_cancelled()
    return ConnectedUNIXDatagrams(backend, _adopt(backend, sock_or_fd, connected=True))


def _adopt(backend: Backend, sock_or_fd: socket.socket | int, *, connected: bool) -> Registration:
    sock = check_socket(sock_or_fd, socket.SOCK_DGRAM, socket.AF_UNIX, connected=connected)
    try:
        return poller_of(backend).register(sock)
    except BaseException:
        give_back(sock, sock_or_fd)
        raise
