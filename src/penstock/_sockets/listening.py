"""Listening for TCP connections.

Lives here: how TCP sockets come to listen.  What listening sockets do lives in ``accepting``.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from penstock._backends import current_backend
from penstock._hotpath import Registration
from penstock._readiness import poller_of
from penstock._sockets.accepting import ListeningSocket
from penstock._sockets.resolving import Host, check_port, resolve, show_address
from penstock.abc import SocketStream

__all__ = ("TCPListener", "create_tcp_listener")


class TCPListener(ListeningSocket):
    """A listening TCP socket."""

    __slots__ = ()

    def _stream_of(self, registration: Registration) -> SocketStream:
        with suppress(OSError):  # BSD refuses it where the peer has reset the connection
            registration.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return super()._stream_of(registration)


async def create_tcp_listener(
    *,
    local_host: Host | None = None,
    local_port: int = 0,
    family: int = socket.AF_UNSPEC,
    backlog: int = 65536,
    reuse_port: bool = False,
) -> TCPListener:
    """Listen for TCP connections.

    If cancelled, nothing listens.

    Args:
        local_host: Host name or IP address to listen on; a name stands for the first of its
            addresses.  None: all interfaces, IPv6 and IPv4 with one socket where the system can.
        local_port: Port number; 0: one that is free.
        family: ``AF_INET`` or ``AF_INET6`` to look for addresses of that family only.
        backlog: Connections that the system queues until they are accepted, at most 65536.
        reuse_port: Let other sockets of the same user listen on this port as well.

    Raises:
        OSError: The name is unknown, or the address cannot be listened on; it is in the message.
        TypeError: An argument is of the wrong type.
        ValueError: ``local_port``, ``backlog`` or ``family`` is out of range.
    """
    check_port("local_port", local_port)
    if not isinstance(backlog, int):
        raise TypeError(f"backlog must be an integer, not {backlog!r}")
    if backlog < 0:
        raise ValueError(f"backlog cannot be negative: {backlog}")
    if not isinstance(family, int):
        raise TypeError(f"family must be an integer, not {family!r}")
    if family not in (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6):
        raise ValueError(f"family must be AF_INET, AF_INET6 or AF_UNSPEC, not {family!r}")
    backend = current_backend()
    while not backend.budget.spend():
        await backend.settle()
    dual_stack = local_host is None and family == socket.AF_UNSPEC and socket.has_dualstack_ipv6()
    if dual_stack:
        family = socket.AF_INET6
    infos = await resolve(local_host, local_port, family=family, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = infos[0]
    try:
        sock = _listening_socket(family, kind, protocol, dual_stack, reuse_port)
    except OSError as exc:
        raise _at(address, exc) from None
    try:
        try:
            sock.bind(address)
            sock.listen(min(backlog, 65536))
        except OSError as exc:
            raise _at(address, exc) from None
        return TCPListener(backend, poller_of(backend).register(sock))
    except BaseException:
        sock.close()
        raise


def _listening_socket(
    family: int, kind: int, protocol: int, dual_stack: bool, reuse_port: bool
) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual_stack)
    except BaseException:
        sock.close()
        raise
    return sock


def _at(address: Any, exc: OSError) -> OSError:
    """Return ``exc`` with the address in its message."""
    return OSError(exc.errno, f"{exc.strerror}: {show_address(*address[:2])}")
