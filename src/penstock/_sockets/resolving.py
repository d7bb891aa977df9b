"""From host names to socket addresses, and back.

Lives here: every look-up, public and our own.  What is done with the addresses lives in
``connecting`` and ``listening``.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeAlias, cast

from penstock import to_thread
from penstock._backends import current_backend
from penstock._hostnames import encode_name
from penstock.abc._sockets import IPSockAddrType, plain_address

__all__ = (
    "AddressInfo",
    "Host",
    "check_family",
    "check_host",
    "check_port",
    "getaddrinfo",
    "getnameinfo",
    "look_up",
    "resolve",
    "show_address",
)

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


def check_family(family: object) -> None:
    """Check an address family to look for.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is neither that of IPv4 or IPv6 nor AF_UNSPEC.
    """
    if not isinstance(family, int):
        raise TypeError(f"family must be an integer, not {family!r}")
    if family not in (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6):
        raise ValueError(f"family must be AF_INET, AF_INET6 or AF_UNSPEC, not {family!r}")


def check_host(host: object) -> None:
    """Check that ``host`` may be a name or an address.

    Raises:
        TypeError: It is neither.
    """
    if not isinstance(host, str | IPv4Address | IPv6Address):
        raise TypeError(f"host must be a string or an IP address, not {host!r}")


async def getaddrinfo(
    host: bytes | str | None,
    port: str | int | None,
    *,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[tuple[socket.AddressFamily, socket.SocketKind, int, str, IPSockAddrType]]:
    """Look up the addresses of a host, and the port of a service.

    Names outside ASCII are translated by IDNA 2008 (RFC 5891), non-transitional, after the
    mapping of UTS 46.  Numeric addresses are not looked up; names are, in a worker thread.  If
    cancelled, that thread is left to itself and its answer unseen.

    Args:
        host: Name or address; None: this machine, or every interface with ``AI_PASSIVE``.
        port: Number or service name; None: 0.
        family: Such as ``AF_INET6``; 0: any.
        type: Such as ``SOCK_STREAM``; 0: any.
        proto: Protocol number; 0: any.
        flags: The ``AI_...`` of getaddrinfo(3).

    Returns:
        Family, type, protocol, canonical name and address of each, in the order in which the
        system prefers them.  IPv6 addresses, too, are pairs of host and port; a scope is part of
        the host, as in ``fe80::1%2``.

    Raises:
        socket.gaierror: There is no such host or service; the host is in the message.
        TypeError: An argument is of the wrong type.
        ValueError: ``host`` has characters that no name may have, or is longer than any.
    """
    if host is not None and not isinstance(host, bytes | str):
        raise TypeError(f"host must be a string, bytes or None, not {host!r}")
    if port is not None and not isinstance(port, int | str):
        raise TypeError(f"port must be an integer, a string or None, not {port!r}")
    await current_backend().begin_operation()
    infos = await look_up(host, port, family, type, proto, flags)
    return [
        (family, type, proto, name, cast(IPSockAddrType, plain_address(address)))
        for family, type, proto, name, address in infos
        if isinstance(address[0], str)  # where Python lacks IPv6 it gives raw numbers
    ]


async def getnameinfo(sockaddr: tuple[Any, ...], flags: int = 0) -> tuple[str, str]:
    """Look up the name of a host, and of the service at its port, in a worker thread.

    If cancelled, that thread is left to itself and its answer unseen.

    Args:
        sockaddr: Numeric host and port; for IPv6 flow label and scope may follow.
        flags: The ``NI_...`` of getnameinfo(3).

    Returns:
        Host and service; in numbers where they have no name, unless ``NI_NAMEREQD`` is set.

    Raises:
        socket.gaierror: There is no such address, or it has no name and must have one.
        TypeError: An argument is of the wrong type.
        ValueError: The port is out of range.
    """
    if not isinstance(sockaddr, tuple) or not 2 <= len(sockaddr) <= 4:
        raise TypeError(f"sockaddr must be a tuple of host and port, not {sockaddr!r}")
    if not isinstance(sockaddr[0], str):
        raise TypeError(f"host must be a string, not {sockaddr[0]!r}")
    check_port("port", sockaddr[1])
    return await to_thread.run_sync(socket.getnameinfo, sockaddr, flags, abandon_on_cancel=True)


async def resolve(
    host: Host | None, port: int, *, family: int = 0, flags: int = 0
) -> Sequence[AddressInfo]:
    """Look up the TCP addresses of a host, in the order in which the system prefers them.

    If cancelled, a look-up that was begun is abandoned.

    Raises:
        socket.gaierror: There is no such host; its name is in the message.
        TypeError: ``host`` is neither a name nor an address.
        ValueError: ``host`` has characters that no name may have, or is longer than any.
    """
    if host is not None:
        check_host(host)
        host = str(host)
    return await look_up(host, port, family, socket.SOCK_STREAM, 0, flags)


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
        ValueError: ``host`` has characters that no name may have, or is longer than any.
    """
    # As bytes: the codec that a str passes through refuses what is no name with UnicodeError.
    name = encode_name(host) if isinstance(host, str) else host
    if name is not None and b"\0" in name:  # the system would look up what stands before it
        raise ValueError(f"a host name has no null character: {host!r}")
    if isinstance(port, int):
        port = int(port)  # of an IntEnum, say, which the socket module refuses
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
