"""Streams over connected UNIX sockets: of bytes, and of messages.

Lives here: the async facades, which add to those of ``stream`` what only UNIX sockets do.  How
they come to be connected lives in ``unix_connecting``, ``unix_listening`` and ``unix_adopting``.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Collection
from typing import IO, TYPE_CHECKING, Any, TypeVar

from penstock._arguments import not_negative, positive
from penstock._backends import Backend
from penstock._exceptions import BrokenResourceError
from penstock._hotpath import Registration
from penstock._octets import octets_of
from penstock._sockets.stream import ConnectedSocketStream
from penstock._sockets.unix_descriptors import (
    CLOEXEC,
    Ancillary,
    close_all,
    packed,
    received_in,
    room_for,
)
from penstock.abc._unix import UNIXSocketStream

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike, ReadableBuffer, WriteableBuffer

__all__ = ("ConnectedUNIXStream", "MessageStream", "stream_of")

T = TypeVar("T")

#: Bytes that one call receives of a byte stream at most, as in the kernels.
LARGEST_CALL = 262_144
#: Longer than any message that a system takes; one that is longer still is an error.
LARGEST_MESSAGE = 1 << 26
#: Buffers that one ``sendmsg`` takes (``IOV_MAX`` of Linux).
LARGEST_VECTOR = 1024
#: What the system says of one message, and not of the connection.
REFUSALS = frozenset((errno.EBADF, errno.EMSGSIZE, errno.EPERM, errno.ETOOMANYREFS))
#: An error is enough where the peer is gone.
NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)
#: Asks for the time of each message; the number is that of asm-generic/socket.h.
SO_TIMESTAMP = 29


def stream_of(backend: Backend, registration: Registration) -> ConnectedUNIXStream:
    """Make a stream of a connected UNIX socket."""
    if registration.sock.type == socket.SOCK_SEQPACKET:
        return MessageStream(backend, registration)
    return ConnectedUNIXStream(backend, registration)


class ConnectedUNIXStream(ConnectedSocketStream, UNIXSocketStream):
    """A byte stream over a connected UNIX socket.

    Args:
        backend: The backend of the event loop that the stream belongs to.
        registration: The socket, with that loop's poller.
    """

    __slots__ = ()

    #: Bytes that one call receives at most.
    _largest = LARGEST_CALL

    async def receive_fds(self, msglen: int, maxfds: int) -> tuple[bytes, list[int]]:
        not_negative("msglen", msglen)
        positive("maxfds", maxfds)
        message, ancillary, flags, _ = await self._read_with(
            self._registration.sock.recvmsg, min(msglen, self._largest), room_for(maxfds), CLOEXEC
        )
        self._registration.budget.spend_bytes(len(message))
        fds = received_in(ancillary)
        cut = flags & socket.MSG_TRUNC and msglen
        if cut or flags & socket.MSG_CTRUNC or len(fds) > maxfds:
            close_all(fds)
            raise BrokenResourceError(
                f"a message was longer than {msglen} bytes, and is lost"
                if cut
                else f"more descriptors came than {maxfds} or than this process may open: "
                "they are closed, and the message is lost"
            )
        if not message and not fds and self._is_end(msglen, ancillary):
            self._ended()
        return message, fds

    def _is_end(self, msglen: int, ancillary: Ancillary) -> bool:
        """Whether a receive that brought nothing means that there is nothing more to come."""
        if msglen:
            return True
        try:
            return not self._registration.sock.recv(1, socket.MSG_PEEK)
        except OSError as exc:
            self._failed(exc)

    async def _read_with(self, call: Callable[..., T], *args: Any) -> T:
        """Call a method of the socket that takes something from it, once there is something."""
        registration = self._registration
        try:
            while (taken := registration.read_with(call, *args)) is None:
                wait = registration.park_reader()
                if wait is None:
                    await self._settle_reader("reading from")
                else:
                    try:
                        await wait
                    finally:
                        registration.reader = None
            return taken
        except OSError as exc:
            self._failed(exc)
        except (RuntimeError, TypeError):  # what event loops say to a wait of another one
            self._check_loop()
            raise

    async def send_fds(self, message: ReadableBuffer, fds: Collection[FileDescriptorLike]) -> None:
        registration = self._registration
        with octets_of(message) as octets:
            if not octets:
                raise ValueError("message must not be empty")
            ancillary = packed(fds)
            if registration.writer is None:
                registration.sent, registration.total = 0, len(octets)
            try:
                await self._send_in_one([octets], ancillary)
                await self._send_rest(octets, registration.total - registration.sent)
            except OSError as exc:
                self._failed(exc)
            except (RuntimeError, TypeError):  # what event loops say to a wait of another one
                self._check_loop()
                raise

    async def _send_in_one(self, views: list[memoryview], ancillary: Ancillary) -> None:
        """Send what one system call takes, with the ancillary data."""
        registration = self._registration
        sendmsg = registration.sock.sendmsg
        try:
            while (sent := registration.write_with(sendmsg, views, ancillary, NO_SIGNAL)) is None:
                await self._wait_writable()
        except OSError as exc:
            if exc.errno not in REFUSALS:
                raise
            raise BrokenResourceError(
                f"the system refused a message of {registration.total} bytes: {exc.strerror}"
            ) from exc
        registration.sent = sent
        registration.budget.spend_bytes(sent)


class MessageStream(ConnectedUNIXStream):
    """A stream of messages over a connected UNIX socket of type ``SOCK_SEQPACKET``.

    Each send sends one message and each receive receives one.  A message may be empty: only
    ``EndOfStream`` means that no other one will come.  If cancelled, a send has sent nothing.

    Args:
        backend: The backend of the event loop that the stream belongs to.
        registration: The socket, with that loop's poller.
    """

    __slots__ = ()

    _largest = LARGEST_MESSAGE

    def __init__(self, backend: Backend, registration: Registration) -> None:
        super().__init__(backend, registration)
        # The system returns 0 bytes for an empty message and at the end alike; but with the
        # message, and not with the end, it delivers the time.
        registration.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMP, 1)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Receive the next message.

        If cancelled, no message was taken.

        Args:
            max_bytes: Longest message to take, in bytes; at least 1.

        Returns:
            One message, which may be empty.

        Raises:
            BrokenResourceError: The connection has failed; or the message was longer than
                ``max_bytes``: it is lost, and the stream goes on behind it.
            EndOfStream: The peer has sent its last message.
            TypeError: ``max_bytes`` is not an integer.
            ValueError: ``max_bytes`` is below 1.
        """
        positive("max_bytes", max_bytes)
        message, ancillary, flags, _ = await self._read_with(
            self._registration.sock.recvmsg, min(max_bytes, self._largest), _room_for_time()
        )
        self._check_message(len(message), max_bytes, ancillary, flags)
        return message

    async def receive_into(self, buffer: WriteableBuffer) -> int:
        """Receive the next message into memory of the caller, as :meth:`receive` does.

        If cancelled, no message was taken; the contents of ``buffer`` are undefined.

        Args:
            buffer: Contiguous writable memory of at least one byte.

        Returns:
            How many bytes were written at its beginning; 0: the message is empty.
        """
        try:
            memory = memoryview(buffer)
        except (BufferError, TypeError):
            raise TypeError(f"expected contiguous writable memory, not {buffer!r}") from None
        with memory:
            if memory.readonly or not memory.c_contiguous:
                raise TypeError(f"expected contiguous writable memory, not {buffer!r}")
            if not memory.nbytes:
                raise ValueError("cannot receive into an empty buffer")
            nbytes, ancillary, flags, _ = await self._read_with(
                self._registration.sock.recvmsg_into, [memory], _room_for_time()
            )
            self._check_message(nbytes, memory.nbytes, ancillary, flags)
            return nbytes

    def _check_message(self, nbytes: int, limit: int, ancillary: Ancillary, flags: int) -> None:
        self._registration.budget.spend_bytes(nbytes)
        if flags & socket.MSG_TRUNC:
            raise BrokenResourceError(f"a message was longer than {limit} bytes, and is lost")
        if not ancillary:
            self._ended()

    def _is_end(self, msglen: int, ancillary: Ancillary) -> bool:
        return not ancillary

    async def send(self, item: ReadableBuffer) -> None:
        """Send one message.

        If cancelled, it was not sent.

        Args:
            item: Bytes-like object; empty, it is an empty message, which programs that do not
                look twice take for the end of the stream.

        Raises:
            BrokenResourceError: The connection has failed; or the message is longer than the
                system takes (EMSGSIZE; see ``SO_SNDBUF`` in socket(7)), and the stream goes on
                without it.
        """
        await self.send_many((item,))

    async def _send_views(self, views: list[memoryview]) -> None:
        """Send all buffers as one message; without a buffer, none."""
        if not views:
            await self._settle_writer()
        elif len(views) <= LARGEST_VECTOR:
            await self._send_in_one(views, ())
        else:
            with memoryview(b"".join(views)) as message:
                await self._send_in_one([message], ())

    async def send_file(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
        """Refuse: a file has no boundaries of messages.  Never waits, so cannot be cancelled.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("a file has no boundaries of messages: use send()")


def _room_for_time() -> int:
    return socket.CMSG_SPACE(16)  # so that there is none left for descriptors
