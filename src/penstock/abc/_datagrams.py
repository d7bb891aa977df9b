"""The contracts of datagram sockets.

What holds for every async method here, beside what ``_streams`` says:

- Datagrams arrive whole or not at all, each with its own length; an empty one is one.
- ``BrokenResourceError`` tells what the system has said, mostly about a datagram that was sent
  before; the socket stays usable.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from ipaddress import IPv4Address, IPv6Address
from socket import socket
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from penstock.abc._sockets import IPSockAddrType, _SocketProvider
from penstock.abc._streams import UnreliableObjectStream

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = (
    "ConnectedUDPSocket",
    "ConnectedUNIXDatagramSocket",
    "IPAddressType",
    "UDPPacketType",
    "UDPSocket",
    "UNIXDatagramPacketType",
    "UNIXDatagramSocket",
)

T_Packet = TypeVar("T_Packet")

IPAddressType: TypeAlias = str | IPv4Address | IPv6Address
UDPPacketType: TypeAlias = tuple[bytes, IPSockAddrType]
#: The address is a path, an abstract name as bytes, or None for a sender without a name.
UNIXDatagramPacketType: TypeAlias = tuple[bytes, str | bytes | None]


class _DatagramSocket(_SocketProvider, UnreliableObjectStream[T_Packet]):
    """What all datagram sockets do."""

    __slots__ = ()

    @abstractmethod
    async def receive_many(self, max_packets: int) -> list[T_Packet]:
        """Receive as many datagrams as are there, or wait for the first one.

        What has come is received with one system call where the system can (recvmmsg(2)).  If
        cancelled, no datagram was taken.

        Args:
            max_packets: Longest result; at least 1.  At most 1,024 come at once, fewer if they
                are long.

        Returns:
            What :meth:`receive` returns, at least once, in the order of arrival.

        Raises:
            BrokenResourceError: The system tells of an error, such as that an earlier datagram was
                refused; the socket stays usable.
            BusyResourceError: Another task is receiving.
            ClosedResourceError: The socket was closed, before or during the call.
            TypeError: ``max_packets`` is not an integer.
            ValueError: ``max_packets`` is below 1.
        """


class UDPSocket(_DatagramSocket[UDPPacketType]):
    """A UDP socket that exchanges datagrams with anybody.

    An item is a datagram with the address of the other side: ``(data, (host, port))``.
    """

    __slots__ = ()

    @classmethod
    async def from_socket(cls, sock_or_fd: socket | int) -> UDPSocket:
        """Make one of a bound socket, which then belongs to it.

        If it raises, the socket or descriptor still belongs to the caller.  If cancelled,
        nothing has happened to it.

        Args:
            sock_or_fd: A socket of the standard library, or a descriptor.

        Raises:
            OSError: The system refuses to watch it.
            TypeError: It is neither.
            ValueError: It is not bound, or no UDP socket.
        """
        from penstock._sockets.udp import adopt_udp_socket  # which knows this class

        return await adopt_udp_socket(sock_or_fd)

    @abstractmethod
    async def sendto(self, data: ReadableBuffer, host: IPAddressType, port: int) -> None:
        """Send a datagram.

        If cancelled, it was not sent.

        Args:
            data: At most 65,507 bytes over IPv4, 65,527 over IPv6; fewer than 1,200 pass every
                network unbroken (RFC 8085, section 3.2).
            host: Address, or a name, which stands for the first of its addresses and is looked
                up each time, in a worker thread.
            port: Port number, 0 to 65535.

        Raises:
            BrokenResourceError: The datagram is too long (EMSGSIZE), the host is unknown, or the
                system has refused it otherwise; the cause tells.
            TypeError: An argument is of the wrong type.
            ValueError: ``port`` is out of range, or ``host`` has characters that no name may have.
        """

    @abstractmethod
    def join_multicast_group(
        self, group: IPAddressType, interface: str | int | None = None
    ) -> None:
        """Receive what is sent to a multicast group.

        Args:
            group: Address of the group, of the socket's family.
            interface: Name or index of the network interface on which to join; None: the one
                that the system's routes lead to.

        Raises:
            BrokenResourceError: The system refuses it, as for a group that was joined already.
            ClosedResourceError: The socket was closed.
            OSError: There is no such interface.
            ValueError: ``group`` is not a multicast address of the socket's family.
        """

    @abstractmethod
    def leave_multicast_group(
        self, group: IPAddressType, interface: str | int | None = None
    ) -> None:
        """Undo :meth:`join_multicast_group`; closing the socket leaves every group.

        Args:
            group: As it was joined.
            interface: As it was joined.

        Raises:
            BrokenResourceError: The group was not joined there.
            ClosedResourceError: The socket was closed.
            OSError: There is no such interface.
            ValueError: ``group`` is not a multicast address of the socket's family.
        """


class ConnectedUDPSocket(_DatagramSocket[bytes]):
    """A UDP socket that exchanges datagrams with one peer.

    Where nobody listens there, the system tells by an ICMP message, and the next operation raises
    BrokenResourceError with ConnectionRefusedError as its cause: if it was a send, its datagram
    did not go out.  The socket stays usable: the peer may come.
    """

    __slots__ = ()

    @classmethod
    async def from_socket(cls, sock_or_fd: socket | int) -> ConnectedUDPSocket:
        """Make one of a connected socket, which then belongs to it.

        If it raises, the socket or descriptor still belongs to the caller.  If cancelled,
        nothing has happened to it.

        Args:
            sock_or_fd: A socket of the standard library, or a descriptor.

        Raises:
            OSError: The system refuses to watch it.
            TypeError: It is neither.
            ValueError: It is not connected, or no UDP socket.
        """
        from penstock._sockets.udp import adopt_connected_udp_socket  # which knows this class

        return await adopt_connected_udp_socket(sock_or_fd)


class UNIXDatagramSocket(_DatagramSocket[UNIXDatagramPacketType]):
    """A UNIX datagram socket that exchanges datagrams with any other one.

    An item is a datagram with the address of the other side: ``(data, path)``.  Nothing is lost
    between UNIX sockets: a send waits until the queue of the receiver has room.
    """

    __slots__ = ()

    @classmethod
    async def from_socket(cls, sock_or_fd: socket | int) -> UNIXDatagramSocket:
        """Make one of a socket, which then belongs to it; its path is not removed on closing.

        If it raises, the socket or descriptor still belongs to the caller.  If cancelled,
        nothing has happened to it.

        Args:
            sock_or_fd: A socket of the standard library, or a descriptor.

        Raises:
            OSError: The system refuses to watch it.
            TypeError: It is neither.
            ValueError: It is no UNIX datagram socket.
        """
        from penstock._sockets.unix_datagrams import adopt_unix_datagram_socket  # see above

        return await adopt_unix_datagram_socket(sock_or_fd)

    @abstractmethod
    async def sendto(self, data: ReadableBuffer, path: str | bytes | os.PathLike[Any]) -> None:
        """Send a datagram, waiting while the queue of the receiver is full.

        Linux tells nobody when there is room in the queue of a peer that one is not connected
        to, so that this tries again after a pause that grows from 1 ms to 100 ms.  If cancelled,
        the datagram was not sent.

        Args:
            data: At most what the socket's send buffer takes, some 200 KiB by default.
            path: Path of the receiver, or an abstract name.

        Raises:
            BrokenResourceError: Nobody is there, the datagram is too long (EMSGSIZE), or the
                system has refused it otherwise; the cause tells.
            TypeError: An argument is of the wrong type.
            ValueError: ``path`` is empty or has a null character in it.
        """


class ConnectedUNIXDatagramSocket(_DatagramSocket[bytes]):
    """A UNIX datagram socket that exchanges datagrams with one peer.

    Nothing is lost between UNIX sockets: a send waits until the queue of the peer has room.
    """

    __slots__ = ()

    @classmethod
    async def from_socket(cls, sock_or_fd: socket | int) -> ConnectedUNIXDatagramSocket:
        """Make one of a connected socket, which then belongs to it.

        Its path is not removed on closing.  If it raises, the socket or descriptor still belongs
        to the caller.  If cancelled, nothing has happened to it.

        Args:
            sock_or_fd: A socket of the standard library, or a descriptor.

        Raises:
            OSError: The system refuses to watch it.
            TypeError: It is neither.
            ValueError: It is not connected, or no UNIX datagram socket.
        """
        from penstock._sockets.unix_datagrams import (  # see above
            adopt_connected_unix_datagram_socket,
        )

        return await adopt_connected_unix_datagram_socket(sock_or_fd)
