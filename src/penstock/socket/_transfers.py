"""What low-level sockets receive and send, each call as its namesake in the standard library."""

from __future__ import annotations

import socket as stdlib
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from penstock.socket._addresses import AF_UNIX, resolved
from penstock.socket._waiting import WaitingSocket

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ("TransferringSocket",)

T = TypeVar("T")
#: A control message: level, type, data.  See cmsg(3).
Control = tuple[int, int, bytes]

#: With these a blocking socket does not wait either: send(2), recv(2), "The flags argument".
DONTWAIT = getattr(stdlib, "MSG_DONTWAIT", 0)
NEVER_WAITING = DONTWAIT | stdlib.MSG_OOB | getattr(stdlib, "MSG_ERRQUEUE", 0)
#: Received descriptors are not inherited by child programs, like every descriptor in Python.
CLOEXEC = int(getattr(stdlib, "MSG_CMSG_CLOEXEC", 0))
#: An error is enough where the peer is gone, also in a program that has SIGPIPE end it.
NO_SIGNAL = int(getattr(stdlib, "MSG_NOSIGNAL", 0))
NO_ROOM = -1


class TransferringSocket(WaitingSocket):
    """A socket that receives and sends."""

    __slots__ = ()

    async def _receive(self, flags: int, call: Callable[..., T], *args: Any) -> T:
        if flags & NEVER_WAITING:
            return await self._at_once(call, *args)
        return await self._read(lambda registration: registration.read_with(call, *args))

    async def _send(
        self, flags: int, call: Callable[..., int], *args: Any, addressed: bool = False
    ) -> int:
        if flags & DONTWAIT:
            nbytes = await self._at_once(call, *args)
        elif addressed and self._sock.family == AF_UNIX:
            nbytes = await self._insist(NO_ROOM, _unless_full, call, *args)
        else:
            nbytes = await self._write(lambda registration: registration.write_with(call, *args))
        self._count(nbytes)
        return nbytes

    def _count(self, nbytes: int) -> None:
        """Count bytes that a call has moved on the ready budget."""
        if self._registration is not None:
            self._registration.budget.spend_bytes(nbytes)

    # -- receiving -------------------------------------------------------------------------

    async def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive at most ``bufsize`` bytes; ``b""`` at the end of a stream.

        If cancelled, nothing was received.

        Args:
            bufsize: A stream may give less, and gives at most 256 KiB.
            flags: The ``MSG_...`` of recv(2).

        Raises:
            BlockingIOError: ``flags`` say not to wait, and nothing is there.
            BusyResourceError: Another task is receiving.
            ClosedResourceError: The socket was closed, before or during the call.
            OSError: The peer has reset the connection, or the system has another complaint.
        """
        if flags == 0 and self._sock.type == stdlib.SOCK_STREAM and 0 < bufsize <= sys.maxsize:
            return await self._read(lambda registration: registration.recv(bufsize))
        data = await self._receive(flags, self._sock.recv, bufsize, flags)
        self._count(len(data))
        return data

    async def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """Receive into ``buffer`` and return how many bytes; 0 at the end of a stream.

        If cancelled, nothing was received.

        Args:
            buffer: Writable memory.
            nbytes: At most so many bytes; 0: as many as there is memory for.
            flags: The ``MSG_...`` of recv(2).

        Raises:
            OSError: As in :meth:`recv`; and so are BusyResourceError and ClosedResourceError.
        """
        received = await self._receive(flags, self._sock.recv_into, buffer, nbytes, flags)
        self._count(received)
        return received

    async def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """Receive one datagram, and the address that it came from.

        If cancelled, nothing was received.

        Args:
            bufsize: What does not fit is lost.
            flags: The ``MSG_...`` of recv(2).

        Raises:
            OSError: As in :meth:`recv`; and so are BusyResourceError and ClosedResourceError.
        """
        data, address = await self._receive(flags, self._sock.recvfrom, bufsize, flags)
        self._count(len(data))
        return data, address

    async def recvfrom_into(
        self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0
    ) -> tuple[int, Any]:
        """Receive one datagram into ``buffer``; return its size and the address it came from.

        If cancelled, nothing was received.

        Args:
            buffer: Writable memory; what does not fit is lost.
            nbytes: At most so many bytes; 0: as many as there is memory for.
            flags: The ``MSG_...`` of recv(2).

        Raises:
            OSError: As in :meth:`recv`; and so are BusyResourceError and ClosedResourceError.
        """
        received, address = await self._receive(
            flags, self._sock.recvfrom_into, buffer, nbytes, flags
        )
        self._count(received)
        return received, address

    if sys.platform != "win32":

        async def recvmsg(
            self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
        ) -> tuple[bytes, list[Control], int, Any]:
            """Receive data, control messages, flags and address.

            Received descriptors are not inherited by child programs.  If cancelled, nothing was
            received.

            Args:
                bufsize: At most so many bytes.
                ancbufsize: Room for control messages; see :func:`penstock.socket.CMSG_SPACE`.
                flags: The ``MSG_...`` of recvmsg(2).

            Raises:
                OSError: As in :meth:`recv`; and so are BusyResourceError and
                    ClosedResourceError.
            """
            data, control, seen, address = await self._receive(
                flags, self._sock.recvmsg, bufsize, ancbufsize, flags | CLOEXEC
            )
            self._count(len(data))
            return data, control, _without_cloexec(seen, flags), address

        async def recvmsg_into(
            self, buffers: Iterable[WriteableBuffer], ancbufsize: int = 0, flags: int = 0, /
        ) -> tuple[int, list[Control], int, Any]:
            """Receive into ``buffers``, one after the other; else as :meth:`recvmsg`.

            If cancelled, nothing was received.

            Raises:
                OSError: As in :meth:`recv`; and so are BusyResourceError and
                    ClosedResourceError.
            """
            received, control, seen, address = await self._receive(
                flags, self._sock.recvmsg_into, list(buffers), ancbufsize, flags | CLOEXEC
            )
            self._count(received)
            return received, control, _without_cloexec(seen, flags), address

    # -- sending ---------------------------------------------------------------------------

    async def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        """Send as much of ``data`` as there is room for, at least a byte, and return how much.

        If cancelled, nothing was sent.

        Args:
            data: Bytes-like; its length in bytes counts, whatever its items are.
            flags: The ``MSG_...`` of send(2).

        Raises:
            BlockingIOError: ``flags`` say not to wait, and there is no room.
            BusyResourceError: Another task is sending or connecting.
            ClosedResourceError: The socket was closed, before or during the call.
            OSError: The connection is broken, or the system has another complaint.
        """
        return await self._send(flags, self._sock.send, data, flags | NO_SIGNAL)

    @overload
    async def sendto(self, data: ReadableBuffer, address: Any, /) -> int: ...

    @overload
    async def sendto(self, data: ReadableBuffer, flags: int, address: Any, /) -> int: ...

    async def sendto(self, data: ReadableBuffer, /, *args: Any) -> int:
        """Send one datagram to a numeric address, and return how many bytes.

        If cancelled, nothing was sent.

        Args:
            data: Bytes-like.
            args: The ``MSG_...`` of send(2), which may be left out; and the address.

        Raises:
            OSError: As in :meth:`send`; and so are BusyResourceError and ClosedResourceError.
            ValueError: The host is a name.
        """
        flags = args[0] if len(args) > 1 else 0
        if len(args) in (1, 2):
            args = (flags | NO_SIGNAL, resolved(self._sock.family, args[-1]))
        return await self._send(flags, self._sock.sendto, data, *args, addressed=True)

    if sys.platform != "win32":

        async def sendmsg(
            self,
            buffers: Iterable[ReadableBuffer],
            ancdata: Iterable[tuple[int, int, ReadableBuffer]] = (),
            flags: int = 0,
            address: Any = None,
            /,
        ) -> int:
            """Send the bytes of ``buffers`` and control messages; return how many bytes.

            If cancelled, nothing was sent.

            Args:
                buffers: Bytes-like, one after the other.
                ancdata: Level, type and data of each control message.
                flags: The ``MSG_...`` of send(2).
                address: A numeric one; None: that of the peer.

            Raises:
                OSError: As in :meth:`send`; and so are BusyResourceError and
                    ClosedResourceError.
                ValueError: The host is a name.
            """
            # As lists, for several tries.
            args: tuple[Any, ...] = (list(buffers), list(ancdata), flags | NO_SIGNAL)
            if address is not None:
                args += (resolved(self._sock.family, address),)
            return await self._send(flags, self._sock.sendmsg, *args, addressed=address is not None)

    async def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        """Send all of ``data``.

        If cancelled, or after any other exception, some of it was sent, or all, or nothing, and
        nobody can tell.  The byte streams of penstock can.

        Args:
            data: Bytes-like; its length in bytes counts, whatever its items are.
            flags: The ``MSG_...`` of send(2).

        Raises:
            OSError: As in :meth:`send`; and so are BusyResourceError and ClosedResourceError.
        """
        with _octets(data) as octets:
            sent = await self.send(octets, flags)
            while sent < len(octets):
                sent += await self.send(octets[sent:], flags)


def _octets(data: ReadableBuffer) -> memoryview:
    """Look at bytes-like data byte by byte, whatever its items are."""
    memory = memoryview(data)
    if not memory.c_contiguous:
        raise BufferError(f"expected contiguous bytes-like data, not {data!r}")
    try:
        return memory.cast("B")
    except (TypeError, ValueError):  # cast() knows no structures, and no dimension of length 0
        return memoryview(memory.tobytes())


def _unless_full(call: Callable[..., int], *args: Any) -> int:
    """Make a call that sends; return ``NO_ROOM`` where it would block."""
    try:
        return call(*args)
    except BlockingIOError:
        return NO_ROOM


def _without_cloexec(seen: int, flags: int) -> int:
    """Return the flags of a message without the one that only this module has asked for."""
    return seen if flags & CLOEXEC else seen & ~CLOEXEC
