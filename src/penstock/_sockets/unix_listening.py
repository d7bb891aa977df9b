"""Listening for UNIX connections.

Lives here: how UNIX sockets come to listen.  What listening sockets do lives in ``accepting``,
what becomes of their paths in ``unix_paths``.
"""

from __future__ import annotations

import socket

from penstock._arguments import not_negative
from penstock._backends import Backend, current_backend
from penstock._hotpath import Registration
from penstock._readiness import poller_of
from penstock._sockets.accepting import ListeningSocket
from penstock._sockets.unix_paths import BoundPath, Path, address_of, at, bind, check_kind
from penstock._sockets.unix_stream import stream_of
from penstock.abc import SocketStream

__all__ = ("UNIXListener", "create_unix_listener")


class UNIXListener(ListeningSocket):
    """A listening UNIX socket.

    Args:
        backend: The backend of the event loop that the listener belongs to.
        registration: The socket, with that loop's poller.
        path: What to remove from the file system when the listener is closed, if anything.
    """

    __slots__ = ("_path",)

    def __init__(
        self, backend: Backend, registration: Registration, path: BoundPath | None = None
    ) -> None:
        super().__init__(backend, registration)
        self._path = path

    def _stream_of(self, registration: Registration) -> SocketStream:
        return stream_of(self._backend, registration)

    def _close(self) -> None:
        if self._path is not None:
            self._path.remove()
        super()._close()


async def create_unix_listener(
    path: Path,
    *,
    mode: int | None = None,
    backlog: int = 65536,
    kind: int = socket.SOCK_STREAM,
) -> UNIXListener:
    """Listen for connections on a UNIX socket.

    A socket that no process has open any more is replaced; to that end the directory is locked
    (flock(2)) for a moment.  Closing the listener removes the path, unless it has become
    another's or this is a forked child.  If cancelled, nothing listens.

    Args:
        path: Path of the socket, at most 107 bytes; with a null byte in front an abstract name
            (unix(7)), to which every process of the machine may connect.
        mode: Permissions of the path, such as ``0o600``, which it has before anybody can connect
            (it takes the one to write); None: those that the umask leaves.
        backlog: Connections that the system queues until they are accepted, at most 65536.
        kind: ``SOCK_STREAM``, or ``SOCK_SEQPACKET`` for messages.

    Raises:
        OSError: The path is taken by a socket in use or by another file (EADDRINUSE), or cannot
            be listened on; it is in the message.
        TypeError: An argument is of the wrong type.
        ValueError: ``path`` is empty or has a null character in it, ``mode``, ``backlog`` or
            ``kind`` is out of range, or there is a ``mode`` for an abstract name.
    """
    address = address_of(path)
    check_kind(kind)
    _check_mode(mode, address)
    not_negative("backlog", backlog)
    backend = current_backend()
    await backend.begin_operation()
    bound: BoundPath | None = None
    try:
        sock = socket.socket(socket.AF_UNIX, kind)
    except OSError as exc:
        raise at(path, exc) from None
    try:
        sock.setblocking(False)
        try:
            bound = await bind(backend, sock, address, mode)
            sock.listen(min(backlog, 65536))
        except OSError as exc:
            raise at(path, exc) from None
        return UNIXListener(backend, poller_of(backend).register(sock), bound)
    except BaseException:
        if bound is not None:
            bound.remove()
        sock.close()
        raise


def _check_mode(mode: int | None, address: bytes) -> None:
    if mode is None:
        return
    if not isinstance(mode, int):
        raise TypeError(f"mode must be an integer, not {mode!r}")
    if not 0 <= mode <= 0o7777:
        raise ValueError(f"mode must be between 0 and 0o7777, not {mode:#o}")
    if address.startswith(b"\0"):
        raise ValueError(f"an abstract name has no permissions; mode must be None, not {mode:#o}")
