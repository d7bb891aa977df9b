"""How much waits in the system's queues of a socket; asked of the system, counted nowhere."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

try:
    from fcntl import ioctl
    from termios import FIONREAD, TIOCOUTQ
except ImportError:  # Windows
    ioctl = None  # type: ignore[assignment]

__all__ = ("receive_queue", "send_queue")


def receive_queue(sock: socket.socket) -> int | None:
    """Return how many bytes have come and were not taken yet (SIOCINQ, tcp(7))."""
    return None if ioctl is None else _ask(sock, FIONREAD)


def send_queue(sock: socket.socket) -> int | None:
    """Return how many bytes were sent and not acknowledged yet (SIOCOUTQ, tcp(7))."""
    return None if ioctl is None else _ask(sock, TIOCOUTQ)


def _ask(sock: socket.socket, request: int) -> int | None:
    with suppress(OSError):  # not every system has both for sockets
        (nbytes,) = struct.unpack("i", ioctl(sock.fileno(), request, bytes(4)))
        return int(nbytes)
    return None
