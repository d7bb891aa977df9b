"""Multicast options of UDP sockets, for IPv4 (ip(7)) and IPv6 (ipv6(7), RFC 3493 section 5.2)."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, ip_address

from penstock._exceptions import BrokenResourceError
from penstock._sockets.resolving import Host

__all__ = ("interface_index", "join", "leave", "set_interface", "set_loop", "set_ttl")

NO_ADDRESS = bytes(4)


def join(sock: socket.socket, group: Host, interface: str | int | None) -> None:
    """Join a group; see :meth:`penstock.abc.UDPSocket.join_multicast_group`."""
    _change(sock, socket.IP_ADD_MEMBERSHIP, socket.IPV6_JOIN_GROUP, group, interface)


def leave(sock: socket.socket, group: Host, interface: str | int | None) -> None:
    """Leave a group; see :meth:`penstock.abc.UDPSocket.leave_multicast_group`."""
    _change(sock, socket.IP_DROP_MEMBERSHIP, socket.IPV6_LEAVE_GROUP, group, interface)


def _change(
    sock: socket.socket, option: int, option6: int, group: Host, interface: str | int | None
) -> None:
    address = ip_address(group)
    version = 4 if sock.family == socket.AF_INET else 6
    if address.version != version or not address.is_multicast:
        raise ValueError(f"group must be an IPv{version} multicast address, not {str(group)!r}")
    index = interface_index(interface)
    try:
        if isinstance(address, IPv4Address):
            request = address.packed + NO_ADDRESS + struct.pack("@i", index)
            sock.setsockopt(socket.IPPROTO_IP, option, request)
        else:
            request = address.packed + struct.pack("@I", index)
            sock.setsockopt(socket.IPPROTO_IPV6, option6, request)
    except OSError as exc:
        raise BrokenResourceError from exc


def interface_index(interface: str | int | None) -> int:
    """Return the index of a network interface, 0 where the system may choose.

    Raises:
        OSError: There is no such interface; its name or index is in the message.
        TypeError: It is neither a name nor an index.
    """
    if interface is None:
        return 0
    if not isinstance(interface, int | str):
        raise TypeError(f"interface must be a name or an index, not {interface!r}")
    try:
        if isinstance(interface, str):
            return socket.if_nametoindex(interface)
        socket.if_indextoname(interface)
    except (OSError, OverflowError) as exc:
        raise OSError(getattr(exc, "errno", None), f"no such interface: {interface!r}") from None
    return interface


def set_interface(sock: socket.socket, interface: str | int) -> None:
    """Send to groups through this interface."""
    index = interface_index(interface)
    if sock.family == socket.AF_INET:
        request = NO_ADDRESS + NO_ADDRESS + struct.pack("@i", index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)


def set_ttl(sock: socket.socket, ttl: int) -> None:
    """Let what is sent to groups pass at most ``ttl - 1`` routers."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)


def set_loop(sock: socket.socket, loop: bool) -> None:
    """Say whether this machine's own members of a group get what is sent to it."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, loop)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, loop)
