"""From host names to socket addresses."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeAlias

import idna

from penstock import to_thread

__all__ = ("AddressInfo", "Host", "look_up", "resolve", "show_address")

#: family, type, protocol, canonical name, address: as ``socket.getaddrinfo`` returns it.
AddressInfo: TypeAlias = tuple[Any, Any, int, str, Any]
Host: TypeAlias = str | IPv4Address | IPv6Address


def show_address(host: object, port: object) -> str:
    """Return an address as people write it."""
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def check_port(name: str, port: object, lowest: int = 0) -> None:
    """Check a port number.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is not between ``lowest`` and 65535.
    """
    if not isinstance(port, int):
        raise TypeError(f"{name} must be an integer, not {port!r}")
    if not lowest <= port <= 65535:
        raise ValueError(f"{name} must be between {lowest} and 65535, not {port}")


async def resolve(
    host: Host | None, port: int, *, family: int = 0, flags: int = 0
) -> Sequence[AddressInfo]:
    """Look up the TCP addresses of a host, in the order in which the system prefers them.

    If cancelled, a look-up that was begun is abandoned.

    Raises:
        socket.gaierror: There is no such host; its name is in the message.
        TypeError: ``host`` is neither a name nor an address.
        ValueError: ``host`` has characters that no name may have.
    """
    if host is not None and not isinstance(host, str | IPv4Address | IPv6Address):
        raise TypeError(f"host must be a string or an IP address, not {host!r}")
    name = None if host is None else str(host)
    return await look_up(name, port, family, socket.SOCK_STREAM, 0, flags)


async def look_up(
    host: bytes | str | None,
    port: bytes | str | int | None,
    family: int,
    kind: int,
    protocol: int,
    flags: int,
) -> Sequence[AddressInfo]:
    """Do what :func:`socket.getaddrinfo` does, names outside ASCII by IDNA 2008.

    Numeric addresses are not looked up; names are, in a worker thread that is abandoned on
    cancellation.

    Raises:
        socket.gaierror: There is no such host or service; the host is in the message.
        ValueError: ``host`` has characters that no name may have.
    """
    name: bytes | None
    if isinstance(host, str):
        # As bytes: the codec that a str passes through refuses what is no name with UnicodeError.
        name = host.encode() if host.isascii() else idna.encode(host, uts46=True)
    else:
        name = host
    if name is not None and b"\0" in name:  # the system would look up what stands before it
        raise ValueError(f"a host name has no null character: {host!r}")
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    try:
        return socket.getaddrinfo(name, port, family, kind, protocol, flags | numeric)
    except socket.gaierror as exc:
        if exc.errno != socket.EAI_NONAME:
            raise _unknown(host, exc) from None
    try:
        return await to_thread.run_sync(
            socket.getaddrinfo,
            name,
            port,
            family,
            kind,
            protocol,
            flags,
            abandon_on_cancel=True,
        )
    except socket.gaierror as exc:
        raise _unknown(host, exc) from None


def _unknown(host: object, exc: socket.gaierror) -> socket.gaierror:
    return socket.gaierror(exc.errno, f"{exc.strerror}: {host!r}")
