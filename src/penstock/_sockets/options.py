"""The options of TCP connections: what may be asked for, and how the system is told."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass

__all__ = ("TCPOptions",)

#: What setsockopt(2) takes, a C int.
LARGEST_INT = 2**31 - 1
#: Longest time before a keep-alive probe that Linux takes, in seconds (MAX_TCP_KEEPIDLE).
LONGEST_KEEPALIVE = 32767
#: macOS has another name for it.
KEEPALIVE_AFTER = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))
KEEPALIVE_EVERY = getattr(socket, "TCP_KEEPINTVL", None)
USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)


@dataclass(frozen=True, slots=True)
class TCPOptions:
    """The options of one TCP connection; see :func:`penstock.connect_tcp` for what they mean.

    Raises:
        TypeError: One is of the wrong type.
        ValueError: One is out of range.
    """

    nodelay: bool = True
    keepalive: bool | int = False
    user_timeout: float | None = None
    send_buffer_size: int | None = None
    receive_buffer_size: int | None = None

    def __post_init__(self) -> None:
        if self.keepalive is not False:
            _check_integer("keepalive", self.keepalive, LONGEST_KEEPALIVE)
        if self.send_buffer_size is not None:
            _check_integer("send_buffer_size", self.send_buffer_size, LARGEST_INT)
        if self.receive_buffer_size is not None:
            _check_integer("receive_buffer_size", self.receive_buffer_size, LARGEST_INT)
        timeout = self.user_timeout
        if timeout is not None:
            if not isinstance(timeout, int | float):
                raise TypeError(f"user_timeout must be a number of seconds, not {timeout!r}")
            if not 0 < timeout <= LARGEST_INT / 1000:
                raise ValueError(
                    f"user_timeout must be above 0 and at most {LARGEST_INT / 1000} seconds, "
                    f"not {timeout!r}"
                )

    def apply(self, sock: socket.socket) -> None:
        """Set the options of a socket that is about to connect.

        Buffer sizes have to be there by then: the handshake announces the receive window's
        scale, tcp(7).

        Raises:
            OSError: The system refuses one.
        """
        if self.send_buffer_size is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.send_buffer_size)
        if self.receive_buffer_size is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer_size)
        if self.nodelay:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.keepalive is not False:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self.keepalive is not True:
                _set_tcp(sock, KEEPALIVE_AFTER, self.keepalive)
                _set_tcp(sock, KEEPALIVE_EVERY, self.keepalive)
        if self.user_timeout is not None:
            _set_tcp(sock, USER_TIMEOUT, max(1, round(self.user_timeout * 1000)))


def _set_tcp(sock: socket.socket, option: int | None, value: int) -> None:
    if option is None:  # not on this system
        raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
    sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _check_integer(name: str, value: object, highest: int) -> None:
    if not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if not 1 <= value <= highest:
        raise ValueError(f"{name} must be between 1 and {highest}, not {value}")
