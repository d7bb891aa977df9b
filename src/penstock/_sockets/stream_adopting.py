"""Making streams of sockets that were connected elsewhere, or are born connected."""

from __future__ import annotations

import socket
from contextlib import suppress

from penstock._backends import current_backend
from penstock._readiness import poller_of
from penstock._sockets.adopting import check_socket, give_back
from penstock._sockets.stream import ConnectedSocketStream
from penstock.abc import SocketStream
from penstock.socket import SocketType

__all__ = ("adopt_stream", "socket_stream_pair")


async def adopt_stream(sock_or_fd: socket.socket | SocketType | int) -> ConnectedSocketStream:
    """Make a stream of a connected socket; see :meth:`penstock.abc.SocketStream.from_socket`."""
    backend = current_backend()
    await backend.checkpoint_if_cancelled()
    sock = check_socket(sock_or_fd, socket.SOCK_STREAM, connected=True)
    try:
        registration = poller_of(backend).register(sock)
    except BaseException:
        give_back(sock, sock_or_fd)
        raise
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):  # not TCP, or the peer has reset the connection
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ConnectedSocketStream(backend, registration)


def socket_stream_pair() -> tuple[SocketStream, SocketStream]:
    """Return two streams that are connected to each other, by :func:`socket.socketpair`.

    Raises:
        NoEventLoopError: No event loop is running here.
        OSError: The system refuses: there are too many descriptors, say.
    """
    backend = current_backend()
    streams: list[ConnectedSocketStream] = []
    pair = socket.socketpair()
    try:
        for sock in pair:
            sock.setblocking(False)
            streams.append(ConnectedSocketStream(backend, poller_of(backend).register(sock)))
    except BaseException:
        for stream in streams:
            stream._close()
        for sock in pair:
            sock.close()
        raise
    return streams[0], streams[1]
