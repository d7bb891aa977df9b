"""The contracts of socket streams and their listeners."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from socket import AF_INET, AF_INET6, AddressFamily, socket
from typing import IO, TYPE_CHECKING, Any, TypeAlias, overload

from penstock._exceptions import ClosedResourceError
from penstock._kin import with_kindred_keys
from penstock.abc._attributes import TypedAttributeProvider, TypedAttributeSet, typed_attribute
from penstock.abc._listeners import Listener
from penstock.abc._streams import ByteStream

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from penstock.socket import SocketType

__all__ = (
    "IPSockAddrType",
    "SocketAttribute",
    "SocketListener",
    "SocketStatistics",
    "SocketStream",
)

IPSockAddrType: TypeAlias = tuple[str, int]
SockAddrType: TypeAlias = IPSockAddrType | str | bytes


class SocketAttribute(TypedAttributeSet, anyio="anyio.abc"):
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
        if scope_id and "%" not in host:
            host = f"{host}%{scope_id}"
        return host, port
    return address  # type: ignore[no-any-return]  # what the socket module gave


class _SocketProvider(TypedAttributeProvider):
    """Answers for :class:`SocketAttribute` from the raw socket."""

    __slots__ = ()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        raw = self._open_socket()
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
        return with_kindred_keys(attributes)

    @property
    @abstractmethod
    def _raw_socket(self) -> socket: ...

    def _open_socket(self) -> socket:
        raw = self._raw_socket
        if raw.fileno() < 0:
            raise ClosedResourceError
        return raw


@dataclass(frozen=True)
class SocketStatistics:
    """What :meth:`SocketStream.statistics` returns."""

    receive_buffer_used: int | None
    """How many bytes have come and were not received yet; None: the system does not say."""
    send_buffer_used: int | None
    """How many bytes were sent and not acknowledged by the peer yet; None: as above."""
    tasks_waiting_receive: int
    """How many tasks wait for bytes: 0 or 1."""
    tasks_waiting_send: int
    """How many tasks wait for room: 0 or 1."""


class SocketStream(_SocketProvider, ByteStream):
    """A byte stream over a connected socket."""

    __slots__ = ()

    @classmethod
    async def from_socket(cls, sock_or_fd: socket | SocketType | int) -> SocketStream:
        """Make a stream of a connected stream socket, which then belongs to the stream.

        If it raises, the socket or descriptor still belongs to the caller.  If cancelled,
        nothing has happened to it.

        Args:
            sock_or_fd: A socket of the standard library or of :mod:`penstock.socket`, or a
                descriptor.

        Raises:
            OSError: The system refuses to watch it.
            TypeError: It is neither, or its bytes go through TLS.
            ValueError: It is not connected, or no stream socket.
        """
        from penstock._sockets.stream_adopting import adopt_stream  # which knows this class

        return await adopt_stream(sock_or_fd)

    @abstractmethod
    async def send_file(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
        """Send the bytes of a file.

        From a regular file they go to the socket by sendfile(2), through no memory of the
        program's; what is not in the system's page cache is read in a worker thread first.  The
        bytes of any other file object are read there.  The file's position does not count, and
        what it is afterwards is not defined.

        If cancelled, some of the bytes may have gone out: :attr:`partial_send` tells how many,
        and sending on from there continues the sequence.

        Args:
            file: A file object that gives bytes; one of another kind than regular files must
                be able to seek.
            offset: Where in the file to begin, in bytes; at least 0.
            count: How many bytes to send, at least 0.  None: all that the file has.

        Returns:
            How many bytes were sent: fewer than ``count`` if the file ended before.

        Raises:
            OSError: The file cannot be read.
            TypeError: ``file`` does not give bytes, or a number is no integer.
            ValueError: A number is negative, or ``file`` is closed or not readable.
        """

    @abstractmethod
    def statistics(self) -> SocketStatistics:
        """Return what waits in the system, and who waits for it.

        Raises:
            ClosedResourceError: The stream was closed.
        """

    @overload
    def getsockopt(self, level: int, option: int) -> int: ...
    @overload
    def getsockopt(self, level: int, option: int, buffersize: int) -> bytes: ...

    def getsockopt(self, level: int, option: int, buffersize: int = 0) -> int | bytes:
        """Return an option of the socket, as :meth:`socket.socket.getsockopt` does.

        Args:
            level: Such as ``SOL_SOCKET``.
            option: Such as ``SO_RCVBUF``.
            buffersize: How many bytes the option has at most; 0: it is an integer.

        Raises:
            ClosedResourceError: The stream was closed.
            OSError: The system has no such option for it.
        """
        return self._open_socket().getsockopt(level, option, buffersize)

    @overload
    def setsockopt(self, level: int, option: int, value: int | ReadableBuffer) -> None: ...
    @overload
    def setsockopt(self, level: int, option: int, value: None, length: int) -> None: ...

    def setsockopt(self, level: int, option: int, value: Any, length: int | None = None) -> None:
        """Set an option of the socket, as :meth:`socket.socket.setsockopt` does.

        Args:
            level: Such as ``SOL_SOCKET``.
            option: Such as ``SO_RCVBUF``.
            value: An integer, or the bytes of the option; None: a null pointer.
            length: With None, how many bytes it stands for.

        Raises:
            ClosedResourceError: The stream was closed.
            OSError: The system refuses it.
        """
        raw = self._open_socket()
        if length is None:
            raw.setsockopt(level, option, value)
        else:
            raw.setsockopt(level, option, value, length)


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

        Raises:
            BusyResourceError: Another task is accepting.
            ClosedResourceError: The listener was closed.
        """
