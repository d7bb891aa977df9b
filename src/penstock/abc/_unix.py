"""The contract of UNIX socket streams: byte streams that descriptors can be passed over."""

from __future__ import annotations

import struct
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from socket import SOL_SOCKET, socket
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.abc._attributes import TypedAttributeSet, typed_attribute
from penstock.abc._sockets import SocketStream

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike, ReadableBuffer

    from penstock.socket import SocketType

__all__ = ("PeerCredentials", "UNIXSocketAttribute", "UNIXSocketStream")


class PeerCredentials(NamedTuple):
    """Who is at the other end, as it was when the connection was made: unix(7), SO_PEERCRED."""

    pid: int
    """The number of its process."""
    uid: int
    """The number of its user."""
    gid: int
    """The number of its group."""


class UNIXSocketAttribute(TypedAttributeSet):
    """What can be asked of a UNIX socket stream beside the attributes of every socket."""

    #: The process that connected, or that listened; where the system has ``SO_PEERCRED``.
    peer_credentials: PeerCredentials = typed_attribute()


class UNIXSocketStream(SocketStream):
    """A byte stream over a connected UNIX socket.

    A receive other than :meth:`receive_fds` takes no descriptors: the system closes those that
    came with the bytes.

    Over a socket of type ``SOCK_SEQPACKET`` it is a stream of messages.  Each send sends one, as
    a whole or not at all; ``send_many`` makes one of all its buffers.  Each receive receives one,
    which may be empty: only ``EndOfStream`` is the end.  A message that is longer than the
    receive asks for, or than the system sends, is a ``BrokenResourceError`` of that one call: it
    is lost, or was not sent, and the stream goes on behind it.
    """

    __slots__ = ()

    @classmethod
    async def from_socket(cls, sock_or_fd: socket | SocketType | int) -> UNIXSocketStream:
        """Make a stream of a connected UNIX socket, which then belongs to the stream.

        If it raises, the socket or descriptor still belongs to the caller.  If cancelled,
        nothing has happened to it.

        Args:
            sock_or_fd: A socket of type ``SOCK_STREAM`` or ``SOCK_SEQPACKET``, of the standard
                library or of :mod:`penstock.socket`, or its descriptor.

        Raises:
            TypeError: It is neither a socket nor an integer.
            ValueError: It is not a connected UNIX socket of one of those types.
        """
        from penstock._sockets.unix_adopting import adopt_unix_stream  # which knows this class

        return await adopt_unix_stream(sock_or_fd)

    @abstractmethod
    async def send_fds(self, message: ReadableBuffer, fds: Collection[FileDescriptorLike]) -> None:
        """Send descriptors along with a message.

        The peer gets duplicates of them with the first byte of ``message``.  If cancelled, some
        bytes may have gone out, as with :meth:`send`, and the descriptors with the first of them.

        Args:
            message: Bytes-like object of at least one byte; without a byte nothing goes out.
            fds: At least 1 and at most 253 of them (``SCM_MAX_FD`` of unix(7)): descriptors, or
                objects with ``fileno()`` such as files and sockets.  They stay open until the
                call is over, and after it are still the caller's.

        Raises:
            BrokenResourceError: The connection has failed; or the system refused the message
                (the ``OSError`` is the cause) and the stream goes on without it.
            TypeError: ``message`` is not bytes-like, or one of ``fds`` is no descriptor.
            ValueError: ``message`` or ``fds`` is empty, or one of ``fds`` is closed, or there are
                too many; nothing was sent.
        """

    @abstractmethod
    async def receive_fds(self, msglen: int, maxfds: int) -> tuple[bytes, list[int]]:
        """Receive bytes and the descriptors that came with them.

        If cancelled, neither bytes nor descriptors were taken.

        Args:
            msglen: Longest message to take, in bytes.  0: take descriptors alone; on
                ``SOCK_STREAM`` the bytes that they came with are received by the next call.
            maxfds: How many descriptors to take at most; at least 1.

        Returns:
            The bytes, and the descriptors, which are the caller's to close and are not inherited
            by child programs.  Both may be empty: where ``msglen`` is 0 and no descriptor came
            with the next byte, and at an empty message (``SOCK_SEQPACKET``).

        Raises:
            BrokenResourceError: The connection has failed; or more descriptors came than
                ``maxfds`` or than this process may open, or the message was longer than
                ``msglen`` (``SOCK_SEQPACKET``).  Then those that came are closed, the message
                that they came with is lost, and the stream goes on behind it.
            EndOfStream: The peer has sent its last byte.
            TypeError: An argument is not an integer.
            ValueError: ``msglen`` is negative, or ``maxfds`` below 1.
        """

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        attributes = super().extra_attributes
        try:
            from socket import SO_PEERCRED
        except ImportError:  # not on Linux
            return attributes
        raw = self._raw_socket

        def peer_credentials() -> PeerCredentials:
            layout = struct.Struct("3i")
            return PeerCredentials(
                *layout.unpack(raw.getsockopt(SOL_SOCKET, SO_PEERCRED, layout.size))
            )

        return {**attributes, UNIXSocketAttribute.peer_credentials: peer_credentials}
