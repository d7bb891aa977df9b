"""Making UDP sockets: of addresses and options, or of sockets that a program brings.

What they do lives in ``datagrams``.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from penstock._backends import Backend, current_backend
from penstock._hotpath import Registration
from penstock._readiness import poller_of
from penstock._sockets import multicast
from penstock._sockets.adopting import check_socket, give_back
from penstock._sockets.datagrams import ConnectedUDPDatagrams, UDPDatagrams
from penstock._sockets.resolving import Host, check_family, check_port, resolve, show_address
from penstock.abc import ConnectedUDPSocket, UDPSocket

__all__ = (
    "adopt_connected_udp_socket",
    "adopt_udp_socket",
    "create_connected_udp_socket",
    "create_udp_socket",
)

INTERNET = (socket.AF_INET, socket.AF_INET6)
ANY_HOST: dict[int, str] = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


@dataclass(frozen=True, slots=True)
class UDPOptions:
    """The options of one UDP socket; see :func:`create_udp_socket` for what they mean.

    Raises:
        OSError: There is no such interface.
        TypeError: One is of the wrong type.
        ValueError: ``multicast_ttl`` is out of range.
    """

    reuse_port: bool
    broadcast: bool
    multicast_interface: str | int | None
    multicast_ttl: int | None
    multicast_loop: bool | None

    def __post_init__(self) -> None:
        multicast.interface_index(self.multicast_interface)
        ttl = self.multicast_ttl
        if ttl is not None and not isinstance(ttl, int):
            raise TypeError(f"multicast_ttl must be an integer, not {ttl!r}")
        if ttl is not None and not 0 <= ttl <= 255:
            raise ValueError(f"multicast_ttl must be between 0 and 255, not {ttl}")

    def apply(self, sock: socket.socket) -> None:
        """Set the options of a socket that is not bound yet."""
        if self.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if self.broadcast:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if self.multicast_interface is not None:
            multicast.set_interface(sock, self.multicast_interface)
        if self.multicast_ttl is not None:
            multicast.set_ttl(sock, self.multicast_ttl)
        if self.multicast_loop is not None:
            multicast.set_loop(sock, self.multicast_loop)


async def create_udp_socket(
    family: int = socket.AF_UNSPEC,
    *,
    local_host: Host | None = None,
    local_port: int = 0,
    reuse_port: bool = False,
    broadcast: bool = False,
    multicast_interface: str | int | None = None,
    multicast_ttl: int | None = None,
    multicast_loop: bool | None = None,
) -> UDPSocket:
    """Create a UDP socket.

    If cancelled, no socket stays open.

    Args:
        family: ``AF_INET`` or ``AF_INET6``; ``AF_UNSPEC``: that of ``local_host``.
        local_host: Host name or IP address to receive at; a name stands for the first of its
            addresses.  None: all interfaces.
        local_port: Port number; 0: one that is free.
        reuse_port: Let other sockets of the same user receive at this port as well.
        broadcast: Allow sending to broadcast addresses.
        multicast_interface: Name or index of the network interface to send to multicast groups
            through; None: the one that the system's routes lead to.
        multicast_ttl: Routers that what is sent to groups may pass, and one, 0 to 255 (0: it
            does not leave this machine); None: 1.
        multicast_loop: Whether members of a group on this machine get what is sent to it; None:
            they do.

    Raises:
        OSError: The name is unknown, the address cannot be bound to, or there is no such
            interface; the offending value is in the message.
        TypeError: An argument is of the wrong type.
        ValueError: Neither ``family`` nor ``local_host`` was given, or a number is out of range.
    """
    check_family(family)
    if family == socket.AF_UNSPEC and not local_host:
        raise ValueError('Either "family" or "local_host" must be given')
    check_port("local_port", local_port)
    options = UDPOptions(reuse_port, broadcast, multicast_interface, multicast_ttl, multicast_loop)
    backend = current_backend()
    await backend.begin_operation()
    family, local = await _local_address(backend, family, local_host, local_port)
    return UDPDatagrams(backend, _open(backend, family, options, local, None))


async def create_connected_udp_socket(
    remote_host: Host,
    remote_port: int,
    *,
    family: int = socket.AF_UNSPEC,
    local_host: Host | None = None,
    local_port: int = 0,
    reuse_port: bool = False,
    broadcast: bool = False,
    multicast_interface: str | int | None = None,
    multicast_ttl: int | None = None,
    multicast_loop: bool | None = None,
) -> ConnectedUDPSocket:
    """Create a UDP socket that exchanges datagrams with one peer.

    Nothing is sent to that end.  If cancelled, no socket stays open.

    Args:
        remote_host: Host name or IP address of the peer; a name stands for the first of its
            addresses that the system has a route to.
        remote_port: Port number of the peer, 1 to 65535.
        family: ``AF_INET`` or ``AF_INET6`` to look for addresses of that family only.
        local_host: Host name or IP address to receive at; None: what the route leads through.
        local_port: Port number; 0: one that is free.
        reuse_port: As for :func:`create_udp_socket`, and so are the others.
        broadcast: As there.
        multicast_interface: As there.
        multicast_ttl: As there.
        multicast_loop: As there.

    Raises:
        OSError: A name is unknown, an address cannot be bound or connected to, or there is no
            such interface; the offending value is in the message.
        TypeError: An argument is of the wrong type.
        ValueError: A number is out of range.
    """
    check_port("remote_port", remote_port, lowest=1)
    if remote_host is None:  # which would stand for this machine
        raise TypeError("host must be a string or an IP address, not None")
    check_family(family)
    check_port("local_port", local_port)
    options = UDPOptions(reuse_port, broadcast, multicast_interface, multicast_ttl, multicast_loop)
    backend = current_backend()
    await backend.begin_operation()
    local: Any = None
    if local_host:
        family, local = await _local_address(backend, family, local_host, local_port)
    infos = await resolve(remote_host, remote_port, family=family)
    failed: OSError | None = None
    try:
        for family, _, _, _, remote in infos:
            bound = local or ((ANY_HOST[family], local_port) if local_port else None)
            try:
                registration = _open(backend, family, options, bound, remote)
                return ConnectedUDPDatagrams(backend, registration)
            except OSError as exc:
                failed = failed or exc
        assert failed is not None
        raise failed
    finally:
        del failed  # this frame is in its traceback


async def _local_address(
    backend: Backend, family: int, host: Host | None, port: int
) -> tuple[int, Any]:
    if not host:
        return family, (ANY_HOST[family], port)
    infos = await resolve(host, port, family=family, flags=socket.AI_PASSIVE)
    return infos[0][0], infos[0][4]


def _open(
    backend: Backend, family: int, options: UDPOptions, local: Any, remote: Any
) -> Registration:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        options.apply(sock)
        if local is not None:
            _with_address(sock.bind, local)
        if remote is not None:
            _with_address(sock.connect, remote)
        return poller_of(backend).register(sock)
    except BaseException:
        sock.close()
        raise


def _with_address(call: Callable[[Any], None], address: Any) -> None:
    """Bind or connect; an error names the address."""
    try:
        call(address)
    except OSError as exc:
        raise OSError(exc.errno, f"{exc.strerror}: {show_address(*address[:2])}") from None


async def adopt_udp_socket(sock_or_fd: socket.socket | int) -> UDPDatagrams:
    """See :meth:`penstock.abc.UDPSocket.from_socket`."""
    backend = current_backend()
    await backend.checkpoint_if_cancelled()
    return UDPDatagrams(backend, _adopt(backend, sock_or_fd, bound=True))


async def adopt_connected_udp_socket(sock_or_fd: socket.socket | int) -> ConnectedUDPDatagrams:
    """See :meth:`penstock.abc.ConnectedUDPSocket.from_socket`."""
    backend = current_backend()
    await backend.checkpoint_if_cancelled()
    return ConnectedUDPDatagrams(backend, _adopt(backend, sock_or_fd, connected=True))


def _adopt(
    backend: Backend,
    sock_or_fd: socket.socket | int,
    *,
    connected: bool = False,
    bound: bool = False,
) -> Registration:
    sock = check_socket(sock_or_fd, socket.SOCK_DGRAM, connected=connected, bound=bound)
    try:
        if sock.family not in INTERNET:
            family = socket.AddressFamily(sock.family).name
            raise ValueError(f"address family mismatch: expected AF_INET or AF_INET6, got {family}")
        return poller_of(backend).register(sock)
    except BaseException:
        give_back(sock, sock_or_fd)
        raise
