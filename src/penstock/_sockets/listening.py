"""Listening for TCP connections, and taking over sockets that listen already.

Lives here: how sockets come to listen.  What listening sockets do lives in ``accepting``.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

from penstock._arguments import not_negative
from penstock._backends import current_backend
from penstock._hotpath import Registration
from penstock._readiness import poller_of
from penstock._sockets.accepting import ListeningSocket
from penstock._sockets.adopting import check_socket, give_back
from penstock._sockets.options import TCPOptions
from penstock._sockets.resolving import (
    AddressInfo,
    Host,
    check_family,
    check_port,
    resolve,
    show_address,
)
from penstock._sockets.unix_listening import UNIXListener
from penstock.abc import SocketStream
from penstock.abc._sockets import plain_address
from penstock.streams.stapled import MultiListener

__all__ = ("adopt_listener", "create_tcp_listener")

LONGEST_BACKLOG = 65536
#: How often a port that is free for all addresses is looked for.
PORT_TRIES = 10


async def create_tcp_listener(
    *,
    local_host: Host | None = None,
    local_port: int = 0,
    family: int = socket.AF_UNSPEC,
    backlog: int = LONGEST_BACKLOG,
    reuse_port: bool = False,
    nodelay: bool = True,
    keepalive: bool | int = False,
    user_timeout: float | None = None,
    send_buffer_size: int | None = None,
    receive_buffer_size: int | None = None,
) -> MultiListener[SocketStream]:
    """Listen for TCP connections, on every address of a name.

    If cancelled, nothing listens.

    Args:
        local_host: Host name or IP address to listen on; an IPv6 address may have a scope, as in
            ``fe80::1%eth0``.  None: all interfaces, IPv6 and IPv4 with one socket where the
            system can.
        local_port: Port number; 0: one that is free, the same for all addresses.
        family: ``AF_INET`` or ``AF_INET6`` to look for addresses of that family only.
        backlog: Connections that the system queues for each address until they are accepted, at
            most 65536.
        reuse_port: Let other sockets of the same user listen on this port as well.
        nodelay: For the accepted connections, as in :func:`connect_tcp`; so are the next four.
        keepalive: As in :func:`connect_tcp`.
        user_timeout: As in :func:`connect_tcp`.
        send_buffer_size: As in :func:`connect_tcp`.
        receive_buffer_size: As in :func:`connect_tcp`.

    Raises:
        OSError: The name is unknown, or one of its addresses cannot be listened on; it is in the
            message.
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range.
    """
    check_port("local_port", local_port)
    not_negative("backlog", backlog)
    check_family(family)
    options = TCPOptions(nodelay, keepalive, user_timeout, send_buffer_size, receive_buffer_size)
    backend = current_backend()
    await backend.begin_operation()
    flags = socket.AI_PASSIVE | socket.AI_ADDRCONFIG
    found = await resolve(local_host, local_port, family=family, flags=flags)
    infos = sorted(set(found))  # glibc may give one twice: sourceware.org bug 14969
    dual_stack = local_host is None and family == socket.AF_UNSPEC and socket.has_dualstack_ipv6()
    if dual_stack:
        infos = [info for info in infos if info[0] == socket.AF_INET6] or infos

    def listen(info: AddressInfo, port: int) -> Registration:
        sock = _bound_socket(info, port, dual_stack, reuse_port)
        try:
            options.apply(sock)  # accepted sockets inherit them
            sock.listen(min(backlog, LONGEST_BACKLOG))
            return poller_of(backend).register(sock)
        except BaseException:
            sock.close()
            raise

    errors: list[OSError] = []
    try:
        for _ in range(PORT_TRIES):
            try:
                registrations = _listen_on_all(infos, local_port, listen)
            except OSError as exc:
                if exc.errno != errno.EADDRINUSE or local_port or len(infos) == 1:
                    raise
                errors.append(exc)
                infos.append(infos.pop(0))  # another address chooses the port
            else:
                return MultiListener([ListeningSocket(backend, one) for one in registrations])
        raise OSError(
            errno.EADDRINUSE,
            f"Could not create {len(infos)} listeners with a consistent port: {local_host}",
        ) from ExceptionGroup("several bind attempts failed", errors)
    finally:
        errors.clear()  # this frame is in their tracebacks


def _listen_on_all(
    infos: list[AddressInfo], port: int, listen: Callable[[AddressInfo, int], Registration]
) -> list[Registration]:
    """Listen on all addresses, on one port; if one of them fails, on none."""
    registrations: list[Registration] = []
    try:
        for info in infos:
            try:
                registrations.append(listen(info, port))
            except OSError as exc:
                address = show_address(plain_address(info[4])[0], port)
                raise OSError(exc.errno, f"{exc.strerror}: {address}") from None
            port = registrations[-1].sock.getsockname()[1]
    except BaseException:
        for registration in registrations:
            registration.close()
        raise
    return registrations


def _bound_socket(
    info: AddressInfo, port: int, dual_stack: bool, reuse_port: bool
) -> socket.socket:
    family, kind, protocol, _, (host, _, *scope) = info
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        if sys.platform == "win32":  # where SO_REUSEADDR would let anybody take the port over
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual_stack)
        sock.bind((host, port, *scope))
    except BaseException:
        sock.close()
        raise
    return sock


async def adopt_listener(sock_or_fd: socket.socket | int) -> ListeningSocket:
    """Make a listener of a socket; see :meth:`penstock.abc.SocketListener.from_socket`."""
    backend = current_backend()
    await backend.checkpoint_if_cancelled()
    sock = check_socket(sock_or_fd, socket.SOCK_STREAM, bound=True)
    try:
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ValueError(f"the socket must be listening: {sock!r}")
        registration = poller_of(backend).register(sock)
    except BaseException:
        give_back(sock, sock_or_fd)
        raise
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):  # not TCP
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted ones inherit it
    if sock.family == socket.AF_UNIX:
        return UNIXListener(backend, registration)  # which removes no path: it is not ours
    return ListeningSocket(backend, registration)
