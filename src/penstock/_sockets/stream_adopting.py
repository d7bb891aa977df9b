"""Making streams of sockets that were connected elsewhere."""

from __future__ import annotations

import socket
from contextlib import suppress

from penstock._backends import current_backend
from penstock._readiness import poller_of
from penstock._sockets.adopting import check_socket
from penstock._sockets.stream import ConnectedSocketStream

__all__ = ("adopt_stream",)


async def adopt_stream(sock_or_fd: socket.socket | int) -> ConnectedSocketStream:
    """Make a stream of a connected socket; see :meth:`penstock.abc.SocketStream.from_socket`."""
    backend = current_backend()
    await backend.checkpoint_if_cancelled()
    sock = check_socket(sock_or_fd, socket.SOCK_STREAM, connected=True)
    try:
        registration = poller_of(backend).register(sock)
    except BaseException:
        if sock is not sock_or_fd:
            sock.detach()
        raise
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):  # not TCP, or the peer has reset the connection
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ConnectedSocketStream(backend, registration)
