"""The contracts of socket streams and their listeners."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address
from socket import AF_INET, AF_INET6, AddressFamily, socket
from typing import Any, TypeAlias

from penstock._exceptions import ClosedResourceError
from penstock.abc._attributes import TypedAttributeProvider, TypedAttributeSet, typed_attribute
from penstock.abc._listeners import Listener
from penstock.abc._streams import ByteStream

__all__ = ("IPSockAddrType", "SocketAttribute", "SocketListener", "SocketStream")

IPSockAddrType: TypeAlias = tuple[str, int]
SockAddrType: TypeAlias = IPSockAddrType | str | bytes


class SocketAttribute(TypedAttributeSet):
    """What can be asked of a socket, through whatever is wrapped around it."""

    #: The address family.
    family: AddressFamily = typed_attribute()
    #: The address that the socket is bound to.
    local_address: SockAddrType = typed_attribute()
    #: The port of that address; IP sockets only.
    local_port: int = typed_attribute()
    #: The standard library's socket; reading from it, writing to it or closing it is forbidden.
    raw_socket: socket = typed_attribute()
    #: The address of the peer; connected sockets only.
    remote_address: SockAddrType = typed_attribute()
    #: The port of that address; connected IP sockets only.
    remote_port: int = typed_attribute()


def plain_address(address: Any) -> SockAddrType:
    """Return a socket address as AnyIO shows it: host and port, the IPv6 scope in the host."""
    if isinstance(address, tuple) and len(address) == 4:
        host, port, _flow, scope_id = address
        if scope_id and "%" not in host and IPv6Address(host).is_link_local:
            host = f"{host}%{scope_id}"
        return host, port
    return address  # type: ignore[no-any-return]  # what the socket module gave


class _SocketProvider(TypedAttributeProvider):
    """Answers for :class:`SocketAttribute` from the raw socket."""

    __slots__ = ()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        raw = self._raw_socket
        if raw.fileno() < 0:
            raise ClosedResourceError
        attributes: dict[Any, Callable[[], Any]] = {
            SocketAttribute.family: lambda: AddressFamily(raw.family),
            SocketAttribute.local_address: lambda: plain_address(raw.getsockname()),
            SocketAttribute.raw_socket: lambda: raw,
        }
        try:
            peer: Any = raw.getpeername()
        except OSError:
            peer = None
        if peer is not None:
            attributes[SocketAttribute.remote_address] = lambda: plain_address(peer)
        if raw.family in (AF_INET, AF_INET6):
            attributes[SocketAttribute.local_port] = lambda: raw.getsockname()[1]
            if peer is not None:
                attributes[SocketAttribute.remote_port] = lambda: peer[1]
        return attributes

    @property
    @abstractmethod
    def _raw_socket(self) -> socket: ...


class SocketStream(_SocketProvider, ByteStream):
    """A byte stream over a connected socket."""

    __slots__ = ()


class SocketListener(_SocketProvider, Listener[SocketStream]):
    """A socket that peers connect to."""

    __slots__ = ()

    @classmethod
    async def from_socket(cls, sock_or_fd: socket | int) -> SocketListener:
        """Make a listener of a stream socket that listens, which then belongs to the listener.

        If it raises, the socket or descriptor still belongs to the caller.  If cancelled,
        nothing has happened to it.

        Args:
            sock_or_fd: A socket of the standard library, or a descriptor.

        Raises:
            OSError: The system refuses to watch it.
            TypeError: It is neither, or its bytes go through TLS.
            ValueError: It is not bound, does not listen, or is no stream socket.
        """
        from penstock._sockets.listening import adopt_listener  # which knows this class

        return await adopt_listener(sock_or_fd)

    @abstractmethod
    async def accept(self) -> SocketStream:
        """Accept one connection.

        If cancelled, no connection was taken out of the queue.
        """
