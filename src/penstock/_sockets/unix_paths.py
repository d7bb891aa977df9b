"""The addresses of UNIX sockets: what a path may be, and who owns the one that is listened on.

Lives here: everything that touches the file system.  See unix(7).
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from stat import S_ISSOCK
from typing import Any, TypeAlias

from penstock._backends import Backend

__all__ = ("BoundPath", "Path", "address_of", "at", "bind", "check_kind")

Path: TypeAlias = str | bytes | os.PathLike[Any]

PAUSE = 0.01  # seconds between two tries for a lock that others hold for microseconds


def address_of(path: Path) -> bytes:
    """Return the address that a path stands for; one that begins with a null byte is abstract.

    Raises:
        TypeError: It is neither a string nor bytes nor path-like.
        ValueError: It is empty, or goes on behind a null character, where the system would stop.
    """
    address = os.fsencode(path)
    if not address:
        raise ValueError("path must not be empty")
    if b"\0" in address and not address.startswith(b"\0"):
        raise ValueError(f"embedded null character in path: {path!r}")
    return address


def check_kind(kind: int) -> None:
    """Check a socket type.

    Raises:
        ValueError: It is neither ``SOCK_STREAM`` nor ``SOCK_SEQPACKET``.
    """
    if kind not in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        raise ValueError(f"kind must be SOCK_STREAM or SOCK_SEQPACKET, not {kind!r}")


def at(path: Path, exc: OSError) -> OSError:
    """Return ``exc`` with the path in its message."""
    number, text = exc.errno, exc.strerror
    if number is None:  # the socket module's own, for what does not fit into sun_path
        number, text = errno.ENAMETOOLONG, str(exc)
    return OSError(number, text, os.fspath(path))


class BoundPath:
    """A path that a socket of this process has been bound to.

    Args:
        path: The path; not an abstract name.
    """

    __slots__ = ("_path", "_process", "_status")

    def __init__(self, path: bytes) -> None:
        # Not abspath(): what stands before a ".." may be a symbolic link.
        self._path = path if os.path.isabs(path) else os.path.join(os.getcwdb(), path)
        self._status = os.lstat(path)
        self._process = os.getpid()

    def remove(self) -> None:
        """Remove the path, unless it is another's by now, or this is a forked child.

        To be called while the socket is open: from then on the system may give the number of its
        inode to another one.
        """
        with suppress(OSError):  # somebody has removed it, or may no longer
            if self._process == os.getpid() and os.path.samestat(
                self._status, os.lstat(self._path)
            ):
                os.unlink(self._path)


async def bind(
    backend: Backend, sock: socket.socket, address: bytes, mode: int | None
) -> BoundPath | None:
    """Bind a socket, in the place of one that no process has open any more.

    If cancelled, it is not bound.

    Args:
        backend: The backend of the running event loop.
        sock: A UNIX socket.
        address: A path or an abstract name.
        mode: Permissions of the path, which it has before anybody can connect; None: the umask's.

    Returns:
        The path; None for an abstract name.

    Raises:
        OSError: It could not be bound.
    """
    if mode is not None:
        with suppress(OSError):  # only Linux makes the path with these permissions, less the umask
            os.fchmod(sock.fileno(), mode)
    try:
        sock.bind(address)
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE or address.startswith(b"\0"):
            raise
        await _bind_over(backend, sock, address)
    if address.startswith(b"\0"):
        return None
    bound = BoundPath(address)
    try:
        if mode is not None:
            os.chmod(address, mode)
    except OSError:
        bound.remove()
        raise
    return bound


async def _bind_over(backend: Backend, sock: socket.socket, path: bytes) -> None:
    """Bind where something is already; fails if it is anything but a stale socket."""
    import fcntl  # not on Windows, which does not come here

    # Two processes that find the same stale path must not remove each other's new one.
    directory = os.open(os.path.dirname(path) or b".", os.O_RDONLY)
    try:
        while True:
            try:
                fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await backend.sleep(PAUSE)
        if _is_stale(path):
            os.unlink(path)
        sock.bind(path)
    finally:
        os.close(directory)


def _is_stale(path: bytes) -> bool:
    """Whether a path is a socket that no process has open any more."""
    try:
        if not S_ISSOCK(os.lstat(path).st_mode):
            return False
        # A datagram socket finds out without a trace: another type of socket that is alive, be
        # it bound or listening, refuses it with EPROTOTYPE.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            probe.setblocking(False)
            probe.connect(path)
    except ConnectionRefusedError:
        return True
    except OSError:  # alive, gone, or not to be found out: the next bind() tells
        return False
    return False  # a datagram socket that is alive
