"""Addresses of low-level sockets: numeric ones told from names, and names looked up.

Lives here: the asynchronous look-ups of :mod:`penstock.socket`, and what an address must be like
before a socket gets it.  The system calls that take addresses live in ``_objects``.
"""

from __future__ import annotations

import os
import socket as stdlib
from typing import Any, TypeAlias

from penstock import to_thread
from penstock._backends import current_backend
from penstock._sockets.resolving import look_up

__all__ = ("getaddrinfo", "getnameinfo", "getprotobyname", "resolve_address", "resolved")

#: What :func:`getaddrinfo` tells of one address.
AddressInfo: TypeAlias = tuple[
    stdlib.AddressFamily, stdlib.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]
]

IP_FAMILIES = (stdlib.AF_INET, stdlib.AF_INET6)
AF_UNIX = getattr(stdlib, "AF_UNIX", None)
#: Hosts that are no names and that the standard library knows without a look-up.
SPECIAL_HOSTS = ("", b"", "<broadcast>", b"<broadcast>")


async def getaddrinfo(
    host: bytes | str | None,
    port: bytes | str | int | None,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[AddressInfo]:
    """Look up the addresses of a host, and the port of a service.

    As :func:`socket.getaddrinfo`, but names outside ASCII are translated by IDNA 2008
    (RFC 5891) after the mapping of UTS 46; and what is numeric is answered without a worker
    thread.  If cancelled, the thread is left to itself and its answer unseen.

    Example::

        async def addresses_of(host: str) -> list[str]:
            infos = await socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
            return [address[0] for _, _, _, _, address in infos]

    Args:
        host: Name or numeric address; None: this machine, or every interface with ``AI_PASSIVE``.
        port: Number or service name; None: 0.
        family: Such as ``AF_INET6``; 0: any.
        type: Such as ``SOCK_STREAM``; 0: any.
        proto: Protocol number; 0: any.
        flags: The ``AI_...`` of getaddrinfo(3).

    Returns:
        Family, type, protocol, canonical name and address of each, in the order in which the
        system prefers them.

    Raises:
        socket.gaierror: There is no such host or service; the host is in the message.
        TypeError: An argument is of the wrong type.
        ValueError: ``host`` has characters that no name may have.
    """
    if host is not None and not isinstance(host, bytes | str):
        raise TypeError(f"host must be a string, bytes or None, not {host!r}")
    backend = current_backend()
    await backend.begin_operation()
    return list(await look_up(host, port, family, type, proto, flags))


async def getnameinfo(
    sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
) -> tuple[str, str]:
    """Look up the name of a host and of the service at its port, in a worker thread.

    As :func:`socket.getnameinfo`.  If cancelled, the thread is left to itself and its answer
    unseen.

    Example::

        async def service_at(port: int) -> str:
            _, name = await socket.getnameinfo(("127.0.0.1", port), socket.NI_NUMERICHOST)
            return name

    Args:
        sockaddr: Numeric host and port; for IPv6, flow label and scope may follow.
        flags: The ``NI_...`` of getnameinfo(3); 0: none.

    Returns:
        Host and service; in numbers where they have no name, unless ``NI_NAMEREQD`` is set.

    Raises:
        socket.gaierror: The host is not numeric, or it has no name and must have one.
        TypeError: An argument is of the wrong type.
    """
    return await to_thread.run_sync(stdlib.getnameinfo, sockaddr, flags, abandon_on_cancel=True)


async def getprotobyname(name: str) -> int:
    """Look up the number of a protocol, such as ``"icmp"``, in a worker thread.

    If cancelled, the thread is left to itself and its answer unseen.

    Raises:
        OSError: There is no such protocol.
        TypeError: ``name`` is not a string.
    """
    return await to_thread.run_sync(stdlib.getprotobyname, name, abandon_on_cancel=True)


def resolved(family: int, address: Any) -> Any:
    """Return an address as the standard library takes it without a look-up.

    What is no address at all is left to the standard library, whose error says so.

    Raises:
        ValueError: The host is a name.
    """
    if family == AF_UNIX and isinstance(address, os.PathLike):
        return os.fspath(address)
    if family in IP_FAMILIES and isinstance(address, tuple) and address:
        host = address[0]
        if isinstance(host, str | bytes | bytearray) and not _is_numeric(family, host):
            raise ValueError(
                f"expected a numeric address, not {address!r}; "
                "see resolve_local_address() and resolve_remote_address()"
            )
    return address


def _is_numeric(family: int, host: str | bytes | bytearray) -> bool:
    """Whether the standard library knows what ``host`` is without a look-up."""
    if host in SPECIAL_HOSTS or (isinstance(host, str) and _parses(family, host)):
        return True
    try:
        stdlib.getaddrinfo(
            bytes(host) if isinstance(host, bytearray) else host,
            None,
            family,
            flags=stdlib.AI_NUMERICHOST,
        )
    except stdlib.gaierror as exc:
        return exc.errno != stdlib.EAI_NONAME  # else: of another family, which it will say itself
    return True


def _parses(family: int, host: str) -> bool:
    try:
        stdlib.inet_pton(family, host)
    except OSError:
        return False
    return True


async def resolve_address(sock: stdlib.socket, address: Any, flags: int) -> Any:
    """Resolve the host and the port of an address for a socket.

    Args:
        sock: Its family, type and options decide what addresses it can use.
        address: A tuple of host and port for IP; anything else is returned as it is.
        flags: ``AI_PASSIVE`` for an address to bind to, else 0.

    Raises:
        socket.gaierror: There is no such host or service for this socket.
        ValueError: The address has the wrong shape.
    """
    family = sock.family
    if family not in IP_FAMILIES:
        return resolved(family, address)
    longest = 2 if family == stdlib.AF_INET else 4
    if not isinstance(address, tuple) or not 2 <= len(address) <= longest:
        expected = "(host, port)" if longest == 2 else "(host, port[, flowinfo[, scope_id]])"
        raise ValueError(f"address should be a {expected} tuple, not {address!r}")
    host, port, *rest = address
    if host in ("", b""):
        host = None
    elif host in SPECIAL_HOSTS:
        host = "255.255.255.255"
    if family == stdlib.AF_INET6 and not sock.getsockopt(stdlib.IPPROTO_IPV6, stdlib.IPV6_V6ONLY):
        flags |= stdlib.AI_V4MAPPED
    # Without the protocol: getaddrinfo(3) does not know the rarer ones, such as IPPROTO_MPTCP.
    found = (await getaddrinfo(host, port, family, sock.type, 0, flags))[0][4]
    return (*found[:2], *rest, *found[2 + len(rest) :])
