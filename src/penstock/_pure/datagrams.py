"""Non-blocking calls of datagram sockets.

Lives here: receiving and sending whole datagrams, one or as many as are there.  Whether that is
worth a call is known by ``readiness``.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from penstock._pure.addresses import check_numeric
from penstock._pure.arguments import LARGEST_CALL, octets_of, positive
from penstock._pure.readiness import Readiness

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ("DatagramCalls",)

T = TypeVar("T")

#: Datagrams that one call hands out at most, so that no task holds the loop.
LARGEST_BATCH = 1024
#: Bytes that a datagram of a batch may have.
LARGEST_DATAGRAM = 1 << 20


def _nbytes(packet: tuple[bytes, Any]) -> int:
    return len(packet[0])


class DatagramCalls(Readiness):
    """The calls of a datagram socket.

    Addresses are what the socket module has: ``(host, port)``, ``(host, port, flow, scope)``, a
    path as str, an abstract name as bytes, or None for a peer without a name.
    """

    __slots__ = ()

    # -- receiving -------------------------------------------------------------------------

    def recvfrom(self, max_bytes: int) -> tuple[bytes, Any] | None:
        """Receive one datagram, what is behind its first ``max_bytes`` bytes being cut off.

        Returns:
            The datagram and the address that it came from; None: declined, or nothing is there.
        """
        positive("max_bytes", max_bytes)
        if not self._may_read():
            return None
        try:
            data, address = self._sock.recvfrom(max_bytes)
        except BlockingIOError:
            self._readable = False
            return None
        self._has_read(len(data), max_bytes)
        return data, address

    def recv_many(self, max_packets: int, max_bytes: int) -> list[bytes] | None:
        """Receive the datagrams that are there.

        At most ``max_packets``, at most 1,024, and no further system call once they have 256 KiB
        together.  One that is longer than ``max_bytes``, or than 1 MiB, is lost, which is an
        error.  An error behind the first datagram is raised by the next call.

        Returns:
            The datagrams, at least one; None as in :meth:`recvfrom`.
        """
        return self._receive_many(max_packets, max_bytes, self._sock.recv, len)

    def recvfrom_many(self, max_packets: int, max_bytes: int) -> list[tuple[bytes, Any]] | None:
        """Receive the datagrams that are there, with addresses; otherwise as :meth:`recv_many`."""
        return self._receive_many(max_packets, max_bytes, self._sock.recvfrom, _nbytes)

    def _receive_many(
        self,
        max_packets: int,
        max_bytes: int,
        call: Callable[[int], T],
        nbytes_of: Callable[[T], int],
    ) -> list[T] | None:
        count = min(positive("max_packets", max_packets), LARGEST_BATCH)
        size = min(positive("max_bytes", max_bytes), LARGEST_DATAGRAM)
        if not self._may_read():
            return None
        packets: list[T] = []
        room = LARGEST_CALL
        while count > 0 and room > 0:
            count -= 1
            try:
                packet = call(size + 1)  # one byte more tells whether it is too long
            except BlockingIOError:
                self._readable = self._late != 0
                break
            except OSError as exc:
                self._late = exc.errno or errno.EIO
                break
            nbytes = nbytes_of(packet)
            if nbytes > size:
                self._late = errno.EMSGSIZE
            else:
                packets.append(packet)
                room -= nbytes
        self._budget.spend_bytes(LARGEST_CALL - room)
        if not packets:
            self._raise_late()
            return None
        return packets

    # -- sending ---------------------------------------------------------------------------

    def sendto(self, data: ReadableBuffer, address: Any) -> int:
        """Send one datagram, to the connected peer where ``address`` is None.

        Raises:
            ValueError: The host of an Internet address is not numeric; it is not looked up.

        Returns:
            How many bytes went out; -1: declined, or there is no room, and nothing was sent.
        """
        with octets_of(data) as octets:
            if not self._may_write():
                return -1
            try:
                if address is None:
                    nbytes = self._sock.send(octets)
                else:
                    check_numeric(self._family, address)
                    nbytes = self._sock.sendto(octets, address)
            except BlockingIOError:
                self.clear_writable()
                return -1
        self._budget.spend_bytes(nbytes)
        return nbytes
