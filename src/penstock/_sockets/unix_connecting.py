"""Connecting to UNIX sockets."""

from __future__ import annotations

import socket

from penstock._backends import Backend, current_backend
from penstock._readiness import poller_of
from penstock._sockets.unix_paths import Path, address_of, at, check_kind
from penstock._sockets.unix_stream import ConnectedUNIXStream, stream_of

__all__ = ("connect_unix",)

SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.05  # seconds between tries, doubling


async def connect_unix(path: Path, kind: int = socket.SOCK_STREAM) -> ConnectedUNIXStream:
    """Connect to a UNIX socket.

    While the listener's queue of connections is full, tries again and again, with pauses: the
    system does not tell when there is room (connect(2), EAGAIN).  If cancelled, no socket stays
    open.

    Args:
        path: Path of the socket, at most 107 bytes; with a null byte in front an abstract name
            (unix(7)), which knows no permissions: its peer's credentials are all there is.
        kind: ``SOCK_STREAM``, or ``SOCK_SEQPACKET`` for messages: then each ``send`` sends one
            and each ``receive`` receives one, which may be empty.

    Raises:
        OSError: It could not be connected to; the path is in the message.
        TypeError: ``path`` is neither a string nor bytes nor path-like.
        ValueError: ``path`` is empty or has a null character in it, or ``kind`` is another one.
    """
    address = address_of(path)
    check_kind(kind)
    backend = current_backend()
    await backend.begin_operation()
    try:
        sock = socket.socket(socket.AF_UNIX, kind)
    except OSError as exc:
        raise at(path, exc) from None
    try:
        sock.setblocking(False)
        try:
            await _connect(backend, sock, address)
        except OSError as exc:
            raise at(path, exc) from None
        return stream_of(backend, poller_of(backend).register(sock))
    except BaseException:
        sock.close()
        raise


async def _connect(backend: Backend, sock: socket.socket, address: bytes) -> None:
    pause = SHORTEST_PAUSE
    while True:
        try:
            sock.connect(address)
            return
        except BlockingIOError:
            await backend.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
