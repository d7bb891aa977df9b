"""Making streams of UNIX sockets that were connected elsewhere."""

from __future__ import annotations

import socket

from penstock._backends import current_backend
from penstock._readiness import poller_of
from penstock._sockets.adopting import check_socket, give_back
from penstock._sockets.unix_stream import ConnectedUNIXStream, stream_of
from penstock.socket import SocketType

__all__ = ("adopt_unix_stream",)


async def adopt_unix_stream(sock_or_fd: socket.socket | SocketType | int) -> ConnectedUNIXStream:
    """Make a stream of a socket; see :meth:`penstock.abc.UNIXSocketStream.from_socket`."""
    backend = current_backend()
    await backend.checkpoint_if_cancelled()
    kind = socket.SOCK_SEQPACKET if _is_seqpacket(sock_or_fd) else socket.SOCK_STREAM
    sock = check_socket(sock_or_fd, kind, socket.AF_UNIX, connected=True)
    try:
        return stream_of(backend, poller_of(backend).register(sock))
    except BaseException:
        give_back(sock, sock_or_fd)
        raise


def _is_seqpacket(sock_or_fd: object) -> bool:
    if isinstance(sock_or_fd, socket.socket | SocketType):
        return sock_or_fd.type == socket.SOCK_SEQPACKET
    if not isinstance(sock_or_fd, int):
        return False
    try:
        sock = socket.socket(fileno=sock_or_fd)
    except (
        OSError,
        OverflowError,
        ValueError,
    ):  # no socket: what it is to be decides what is said about it
        return False
    kind = sock.type
    sock.detach()
    return kind == socket.SOCK_SEQPACKET
