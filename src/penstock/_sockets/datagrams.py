"""Datagrams over sockets.

Lives here: the async facades over a kernel registration, which makes the system calls and knows
whether they are worth making.  How their sockets come to be lives in ``udp`` and
``unix_datagrams``.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from penstock._backends import Backend, Wait
from penstock._exceptions import BrokenResourceError, BusyResourceError
from penstock._hotpath import Registration
from penstock._sockets import multicast
from penstock._sockets.registered import RegisteredSocket
from penstock._sockets.resolving import Host, check_port, resolve
from penstock._sockets.unix_paths import BoundPath, Path, address_of
from penstock.abc import (
    ConnectedUDPSocket,
    ConnectedUNIXDatagramSocket,
    UDPPacketType,
    UDPSocket,
    UNIXDatagramPacketType,
    UNIXDatagramSocket,
)
from penstock.abc._sockets import IPSockAddrType, plain_address

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = (
    "ConnectedUDPDatagrams",
    "ConnectedUNIXDatagrams",
    "UDPDatagrams",
    "UNIXDatagrams",
)

T = TypeVar("T")

#: More bytes than a UDP datagram can have: none is cut off.
UDP_BYTES = 65536
#: More bytes than Linux lets a UNIX datagram have by default (twice ``net.core.wmem_max``).
UNIX_BYTES = 1 << 20
SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.1  # seconds between tries while a queue is full, doubling


class DatagramSocket(RegisteredSocket):
    """What all datagram sockets have in common: how they wait."""

    __slots__ = ()

    async def _receive(self, call: Callable[..., T | None], *args: int) -> T:
        """Return what ``call``, which receives from the registration, has received."""
        registration = self._registration
        try:
            received = call(*args)
            while received is None:
                wait = registration.park_reader()
                if wait is None:
                    await self._settle_reader("reading from")
                else:
                    try:
                        await wait
                    finally:
                        registration.reader = None
                received = call(*args)
            return received
        except OSError as exc:
            raise BrokenResourceError from exc
        except (RuntimeError, TypeError):  # what event loops say to a wait of another one
            self._check_loop()
            raise

    async def _send(self, data: ReadableBuffer, address: Any) -> None:
        """Send a datagram, to the connected peer where ``address`` is None."""
        registration = self._registration
        try:
            if registration.sendto(data, address) < 0:
                with memoryview(data) as memory:  # asked once: it may run code of its own
                    await self._wait_writable()
                    while registration.sendto(memory, address) < 0:
                        await self._wait_writable()
        except OSError as exc:
            raise BrokenResourceError from exc
        except (RuntimeError, TypeError):  # what event loops say to a wait of another one
            self._check_loop()
            raise

    async def _wait_writable(self) -> None:
        """Wait until a send is worth a try."""
        registration = self._registration
        wait = registration.park_writer()
        if wait is None:
            await self._settle_writer()
        else:
            try:
                await wait
            finally:
                registration.writer = None

    async def _settle_writer(self) -> None:
        """Do what stands before a send that the kernel has declined."""
        registration = self._registration
        self._check_usable()
        if registration.writer is not None:
            raise BusyResourceError("writing to")
        registration.writer = self._taken()
        try:
            await self._backend.settle()
        finally:
            registration.writer = None


class UDPDatagrams(DatagramSocket, UDPSocket):
    """A UDP socket without a peer.

    Args:
        backend: The backend of the event loop that the socket belongs to.
        registration: The socket, with that loop's poller.
    """

    __slots__ = ()

    async def receive(self) -> UDPPacketType:
        return _udp_packet(await self._receive(self._registration.recvfrom, UDP_BYTES))

    async def receive_many(self, max_packets: int) -> list[UDPPacketType]:
        call = self._registration.recvfrom_many
        return [_udp_packet(it) for it in await self._receive(call, max_packets, UDP_BYTES)]

    async def send(self, item: UDPPacketType) -> None:
        try:
            data, (host, port) = item
        except (TypeError, ValueError):
            raise TypeError(f"expected (data, (host, port)), not {item!r}") from None
        await self.sendto(data, host, port)

    async def sendto(self, data: ReadableBuffer, host: Host, port: int) -> None:
        try:
            await self._send(data, (host, port))
            return
        except (OverflowError, TypeError, ValueError):
            pass  # perhaps because of the address, which is a name, or not written plainly
        await self._send(data, await self._look_up(host, port))

    async def _look_up(self, host: Host, port: int) -> Any:
        check_port("port", port)
        family = self._registration.sock.family
        # IPv4 peers of an IPv6 socket have mapped addresses (RFC 4291, section 2.5.5.2).
        flags = socket.AI_V4MAPPED if family == socket.AF_INET6 else 0
        if host is None:  # which would stand for this machine
            raise TypeError("host must be a string or an IP address, not None")
        try:
            infos = await resolve(host, port, family=family, flags=flags)
        except OSError as exc:
            raise BrokenResourceError from exc
        return infos[0][4]

    def join_multicast_group(self, group: Host, interface: str | int | None = None) -> None:
        self._check_usable()
        multicast.join(self._registration.sock, group, interface)

    def leave_multicast_group(self, group: Host, interface: str | int | None = None) -> None:
        self._check_usable()
        multicast.leave(self._registration.sock, group, interface)


def _udp_packet(packet: tuple[bytes, Any]) -> UDPPacketType:
    if len(packet[1]) == 2:
        return packet
    return packet[0], cast("IPSockAddrType", plain_address(packet[1]))


class ConnectedUDPDatagrams(DatagramSocket, ConnectedUDPSocket):
    """A UDP socket with a peer; arguments as :class:`UDPDatagrams`."""

    __slots__ = ()

    async def receive(self) -> bytes:
        return await self._receive(self._registration.recv, UDP_BYTES)

    async def receive_many(self, max_packets: int) -> list[bytes]:
        return await self._receive(self._registration.recv_many, max_packets, UDP_BYTES)

    async def send(self, item: ReadableBuffer) -> None:
        await self._send(item, None)


class BoundDatagramSocket(DatagramSocket):
    """A UNIX datagram socket that may have been bound to a path.

    Args:
        backend: The backend of the event loop that the socket belongs to.
        registration: The socket, with that loop's poller.
        path: What to remove from the file system when the socket is closed, if anything.
    """

    __slots__ = ("_path",)

    def __init__(
        self, backend: Backend, registration: Registration, path: BoundPath | None = None
    ) -> None:
        super().__init__(backend, registration)
        self._path = path

    def _close(self) -> None:
        if self._path is not None:
            self._path.remove()
        super()._close()


class UNIXDatagrams(BoundDatagramSocket, UNIXDatagramSocket):
    """A UNIX datagram socket without a peer."""

    __slots__ = ()

    async def receive(self) -> UNIXDatagramPacketType:
        packets = await self._receive(self._registration.recvfrom_many, 1, UNIX_BYTES)
        return packets[0]

    async def receive_many(self, max_packets: int) -> list[UNIXDatagramPacketType]:
        return await self._receive(self._registration.recvfrom_many, max_packets, UNIX_BYTES)

    async def send(self, item: UNIXDatagramPacketType) -> None:
        try:
            data, path = item
        except (TypeError, ValueError):
            raise TypeError(f"expected (data, path), not {item!r}") from None
        if path is None:
            raise TypeError("a socket without a name cannot be sent to: path must not be None")
        await self.sendto(data, path)

    async def sendto(self, data: ReadableBuffer, path: Path) -> None:
        registration = self._registration
        address = address_of(path)
        try:
            if registration.sendto(data, address) < 0:
                with memoryview(data) as memory:  # asked once: it may run code of its own
                    await self._send_patiently(memory, address)
        except OSError as exc:
            raise BrokenResourceError from exc
        except (RuntimeError, TypeError):  # what event loops say to a wait of another one
            self._check_loop()
            raise

    async def _send_patiently(self, data: memoryview, address: Any) -> None:
        """Wait until there is room for a datagram, and send it."""
        registration = self._registration
        pause = SHORTEST_PAUSE
        while True:
            wait = registration.park_writer()
            if wait is None:
                await self._settle_writer()
                if registration.sendto(data, address) >= 0:
                    return
                # It was let through: there is no room.  Another round would find the budget
                # used up, yield, and find the system's word of room (see _pause): a spin.
                wait = registration.writer = self._taken()
            await self._pause(wait, pause)
            registration.set_writable()  # whether the system has said so or not
            pause = min(2 * pause, LONGEST_PAUSE)
            if registration.sendto(data, address) >= 0:
                return

    async def _pause(self, wait: Wait, seconds: float) -> None:
        """Wait for so many seconds, or until the socket is closed.

        The system tells of room whenever a send has failed for want of it, having given back the
        memory that the send had taken: that ends nothing here, or this would spin.
        """
        registration = self._registration
        deadline = self._backend.current_time() + seconds
        try:
            with self._backend.create_cancel_scope(deadline=deadline, shield=False):
                while registration.fd >= 0:
                    await wait
                    registration.writer = wait = self._backend.new_wait()
        finally:
            registration.writer = None


class ConnectedUNIXDatagrams(BoundDatagramSocket, ConnectedUNIXDatagramSocket):
    """A UNIX datagram socket with a peer."""

    __slots__ = ()

    async def receive(self) -> bytes:
        packets = await self._receive(self._registration.recv_many, 1, UNIX_BYTES)
        return packets[0]

    async def receive_many(self, max_packets: int) -> list[bytes]:
        return await self._receive(self._registration.recv_many, max_packets, UNIX_BYTES)

    async def send(self, item: ReadableBuffer) -> None:
        await self._send(item, None)
