"""Non-blocking calls of registered sockets, where "would block" is a return value.

Lives here: the calls of stream sockets, and those for any kind of socket.  Those of datagram
sockets live in ``datagrams``; whether a call is worth making is known by ``readiness``.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

from penstock._pure.arguments import (
    LARGEST_CALL,
    LARGEST_SEND,
    check_range,
    octets_of,
    positive,
    view_of,
)
from penstock._pure.datagrams import DatagramCalls

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ("Registration",)

T = TypeVar("T")

#: Buffers that one ``sendmsg`` takes (``IOV_MAX`` of Linux).
LARGEST_VECTOR = 1024
#: Received descriptors are not inherited by child programs (``MSG_CMSG_CLOEXEC``, recvmsg(2)).
CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
#: An error is enough where the peer is gone, also in a program that has SIGPIPE end it.
NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)


class Registration(DatagramCalls):
    """A socket of one poller, with the calls that can be made of it."""

    __slots__ = ()

    # Of ``Readiness``: typed again for type checkers, which see them set here.
    sent: int
    total: int

    # -- receiving -------------------------------------------------------------------------

    def recv(self, max_bytes: int) -> bytes | None:
        """Receive at most ``max_bytes`` bytes, and at most 256 KiB.

        Returns:
            The bytes, ``b""`` at the end of the stream; None: declined, or nothing is there.
        """
        asked = max_bytes
        if type(asked) is not int or not 0 < asked <= LARGEST_CALL:
            asked = min(positive("max_bytes", asked), LARGEST_CALL)
        # _may_read() and _has_read() written out, as is the budget, here and in _send(): calls of
        # them would cost more than all they do.
        if not self._readable or self.reader is not None:
            return None
        budget = self._budget
        if (
            budget._left <= 0
            or budget._thread != get_ident()
            or (budget._probe is not None and budget._probe())
        ):
            return None
        budget._left -= 1
        if self._late:
            self._raise_late()
        try:
            data = self._sock.recv(asked)
        except BlockingIOError:
            self._readable = False
            return None
        nbytes = len(data)
        if 0 < nbytes < asked and (self._drains or (self._asks and self._asked_again())):
            self._readable = False
        budget._bytes_left -= nbytes
        if budget._bytes_left <= 0:
            budget.spend_bytes(0)
        return data

    def recv_into(self, buffer: WriteableBuffer) -> int:
        """Receive into ``buffer``, at most 256 KiB.

        Returns:
            How many bytes were written, 0 at the end of the stream; -1: declined, or nothing is
            there.
        """
        memory = view_of(buffer)
        if memory is None or memory.readonly or not memory.c_contiguous:
            raise TypeError(f"expected contiguous writable memory, not {buffer!r}")
        with memory:
            asked = min(memory.nbytes, LARGEST_CALL)
            if not asked:
                raise ValueError("cannot receive into an empty buffer")
            if not self._may_read():
                return -1
            try:
                nbytes = self._sock.recv_into(memory, asked)
            except BlockingIOError:
                self._readable = False
                return -1
        self._has_read(nbytes, asked)
        return nbytes

    def recvmsg(
        self, max_bytes: int, ancillary_bytes: int
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any] | None:
        """Receive data, control messages, flags and address; None as in :meth:`recv`."""
        asked = min(positive("max_bytes", max_bytes), LARGEST_CALL)
        if not self._may_read():
            return None
        try:
            message = self._sock.recvmsg(asked, ancillary_bytes, CLOEXEC)
        except BlockingIOError:
            self._readable = False
            return None
        self._has_read(len(message[0]), asked)
        return message

    def read_with(self, call: Callable[..., T], *args: Any) -> T | None:
        """Call ``call(*args)``, a method of the socket that takes something from it.

        For what has no method here; the bytes that it moves are not counted.

        Returns:
            What it returned; None as in :meth:`recv`.
        """
        if not self._may_read():
            return None
        try:
            return call(*args)
        except BlockingIOError:
            self._readable = False
            return None

    def accept(self) -> int:
        """Accept one connection.

        Returns:
            Its descriptor, non-blocking and not inherited by child programs; -1: declined, or
            there is none.
        """
        if not self._may_read():
            return -1
        try:
            connection, _ = self._sock.accept()
        except BlockingIOError:
            self._readable = False
            return -1
        connection.setblocking(False)
        return connection.detach()

    # -- sending ---------------------------------------------------------------------------

    def send(self, data: ReadableBuffer, offset: int) -> int:
        """Send the bytes of ``data`` from ``offset`` on, at most 1 MiB.

        Returns:
            How many bytes of ``data`` are left to be sent; -1: declined, or there is no room, and
            nothing was sent.
        """
        if type(data) is bytes and not offset and len(data) <= LARGEST_SEND:
            return self._send(data, 0, len(data))  # in one piece as it is
        with octets_of(data) as octets:
            total = len(octets)
            check_range("offset", offset, total)
            with octets[offset : offset + LARGEST_SEND] as piece:
                return self._send(piece, offset, total)

    def _send(self, piece: bytes | memoryview, offset: int, total: int) -> int:
        if self.writer is not None:
            return -1
        self.sent, self.total = offset, total
        if not self._writable:
            return -1
        budget = self._budget
        if (
            budget._left <= 0
            or budget._thread != get_ident()
            or (budget._probe is not None and budget._probe())
        ):
            return -1
        budget._left -= 1
        try:
            nbytes = self._sock.send(piece, NO_SIGNAL)
        except BlockingIOError:
            self.clear_writable()
            return -1
        self.sent = offset = offset + nbytes
        budget._bytes_left -= nbytes
        if budget._bytes_left <= 0:
            budget.spend_bytes(0)
        return total - offset

    def sendmsg(self, buffers: Sequence[ReadableBuffer], first: int, offset: int) -> int:
        """Send ``buffers[first:]`` in one call, the first of them from byte ``offset`` on.

        At most 1,024 buffers and at most 1 MiB are sent.

        Returns:
            How many bytes went out; -1 as in :meth:`send`.
        """
        check_range("first", first, len(buffers) - 1)
        if not self._may_write():
            return -1
        vector: list[memoryview] = []
        room = LARGEST_SEND
        try:
            for buffer in buffers[first : first + LARGEST_VECTOR]:
                if room <= 0:
                    break
                with octets_of(buffer) as octets:
                    check_range("offset", offset, len(octets))
                    vector.append(octets[offset : offset + room])
                room -= len(vector[-1])
                offset = 0
            nbytes = self._sock.sendmsg(vector, (), NO_SIGNAL)
        except BlockingIOError:
            self.clear_writable()
            return -1
        finally:
            for view in vector:  # an exception would keep them, and the buffers locked
                view.release()
        self._budget.spend_bytes(nbytes)
        return nbytes

    def write_with(self, call: Callable[..., T], *args: Any) -> T | None:
        """Call ``call(*args)``, a method of the socket that gives something to it.

        For what has no method here; the bytes that it moves are not counted.

        Returns:
            What it returned; None: declined, or there is no room.
        """
        if not self._may_write():
            return None
        try:
            return call(*args)
        except BlockingIOError:
            self.clear_writable()
            return None
