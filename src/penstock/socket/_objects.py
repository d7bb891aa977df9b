"""Socket objects: the standard library's, with tasks that wait where threads would block.

Lives here: connecting, addresses and options.  What sockets receive and send lives in
``_transfers``, how tasks wait in ``_waiting``, how sockets are made in ``_making``.
"""

from __future__ import annotations

import errno
import os
import socket as stdlib
import sys
from typing import TYPE_CHECKING, Any, overload

from penstock.socket._addresses import IP_FAMILIES, resolve_address, resolved
from penstock.socket._transfers import TransferringSocket

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ("SocketType",)

#: connect(2) goes on by itself.  Windows says EWOULDBLOCK, which elsewhere is EAGAIN and says no.
CONNECTING = frozenset((errno.EINPROGRESS, errno.EINTR, errno.EWOULDBLOCK)) - {errno.EAGAIN}


class SocketType(TransferringSocket):
    """A socket whose calls are awaited.

    Made by :func:`penstock.socket.socket` and its like.  Everything is as in
    :class:`socket.socket`, but for what is said here:

    - No host name is ever looked up: an address has numbers, or the call raises ValueError.
      :meth:`resolve_local_address` and :meth:`resolve_remote_address` make numbers of names.
    - A socket belongs to the first event loop that waits on it, until that loop has ended.
    - One task can receive (or accept) while another sends (or connects); a second one in the same
      direction gets BusyResourceError.
    - A cancelled call has had no effect, except :meth:`sendall` and :meth:`connect`.
    - Closing, be it by :meth:`close`, :meth:`detach` or the end of a ``with`` block, wakes the
      tasks that wait on the socket with ClosedResourceError, which every asynchronous call of a
      closed socket raises.  The other calls raise the OSError of the standard library.
    - ``MSG_DONTWAIT``, and receiving with ``MSG_OOB`` or ``MSG_ERRQUEUE``, raise BlockingIOError
      instead of waiting, as on a blocking socket.  ``MSG_WAITALL`` does nothing.
    """

    __slots__ = ("_did_shutdown_SHUT_WR",)

    def __init__(self, sock: stdlib.socket) -> None:
        super().__init__(sock)
        self._did_shutdown_SHUT_WR = False

    def __repr__(self) -> str:
        return repr(self._sock).replace("socket.socket", "penstock.socket.socket", 1)

    # -- connecting ------------------------------------------------------------------------

    async def connect(self, address: Any, /) -> None:
        """Connect to a numeric address.

        If cancelled, even before anything was sent, the socket is closed: nobody could tell
        what state it is in.  After an OSError it stays open.

        Args:
            address: Such as ``("127.0.0.1", 80)``; a path, or a path-like object, for
                ``AF_UNIX``.

        Raises:
            BusyResourceError: Another task is sending or connecting.
            ClosedResourceError: The socket was closed, before or during the call.
            OSError: It cannot be connected; the address is in the message.
            ValueError: The host is a name.
        """
        try:
            await self._connect(resolved(self._sock.family, address))
        except Exception:
            raise
        except BaseException:
            self.close()
            raise

    async def _connect(self, address: Any) -> None:
        number = await self._insist(errno.EAGAIN, self._sock.connect_ex, address)
        if number in CONNECTING:
            self._enter()[1].clear_writable()
            number = await self._write(
                lambda registration: registration.write_with(
                    self._sock.getsockopt, stdlib.SOL_SOCKET, stdlib.SO_ERROR
                )
            )
            if sys.platform == "linux" and self._is_tcp():
                # Until it is asked again Linux holds that this call goes on, and the next one
                # would get its end instead: ECONNABORTED, or nothing at all.
                self._sock.connect_ex(address)
        if number:
            raise OSError(number, f"{os.strerror(number)}: {address!r}")

    def _is_tcp(self) -> bool:
        sock = self._sock
        if sock.family not in IP_FAMILIES or sock.type != stdlib.SOCK_STREAM:
            return False
        return sock.proto in (0, stdlib.IPPROTO_TCP)

    async def accept(self) -> tuple[SocketType, Any]:
        """Accept one connection and return its socket and the address of its peer.

        If cancelled, no connection was taken out of the queue.

        Example::

            async def serve(
                listening: socket.SocketType,
                handler: Callable[[socket.SocketType], Awaitable[object]],
            ) -> None:
                async with create_task_group() as tg:
                    while True:
                        connection, _ = await listening.accept()
                        tg.start_soon(handler, connection)

        Raises:
            BusyResourceError: Another task is accepting.
            ClosedResourceError: The socket was closed, before or during the call.
            OSError: The socket does not listen, or the system has no descriptor for one more.
        """
        sock, address = await self._receive(0, self._sock.accept)
        return SocketType(sock), address

    # -- addresses -------------------------------------------------------------------------

    async def resolve_local_address(self, address: Any, /) -> Any:
        """Return a numeric address for :meth:`bind`, of this socket's family.

        If cancelled, a look-up that was begun is abandoned.

        Example::

            async def bind(sock: socket.SocketType) -> None:
                sock.bind(await sock.resolve_local_address(("localhost", 0)))

        Args:
            address: Host and port: a name or an address, and a number or the name of a service.
                None as the host: every interface.  What is not of an IP family is returned as
                it is.

        Raises:
            ClosedResourceError: The socket is closed.
            socket.gaierror: There is no such host or service for this socket.
            ValueError: ``address`` has the wrong shape.
        """
        self._enter()
        return await resolve_address(self._sock, address, stdlib.AI_PASSIVE)

    async def resolve_remote_address(self, address: Any, /) -> Any:
        """Return a numeric address for :meth:`connect` or :meth:`sendto`, of this socket's family.

        If cancelled, a look-up that was begun is abandoned.

        Example::

            async def connect(sock: socket.SocketType, host: str, port: int) -> None:
                await sock.connect(await sock.resolve_remote_address((host, port)))

        Args:
            address: As in :meth:`resolve_local_address`, but None as the host: this machine.

        Raises:
            ClosedResourceError: The socket is closed.
            socket.gaierror: There is no such host or service for this socket.
            ValueError: ``address`` has the wrong shape.
        """
        self._enter()
        return await resolve_address(self._sock, address, 0)

    def bind(self, address: Any, /) -> None:
        """Give the socket a numeric local address.

        Args:
            address: Such as ``("127.0.0.1", 80)``, ``("", 80)`` for every interface, or a path,
                or a path-like object, for ``AF_UNIX``.

        Raises:
            OSError: The socket cannot have that address.
            ValueError: The host is a name; see :meth:`resolve_local_address`.
        """
        self._sock.bind(resolved(self._sock.family, address))

    def getsockname(self) -> Any:
        """Return the local address."""
        return self._sock.getsockname()

    def getpeername(self) -> Any:
        """Return the address of the peer."""
        return self._sock.getpeername()

    # -- what the standard library's socket does -------------------------------------------

    @property
    def family(self) -> int:
        """Such as ``AF_INET``."""
        return self._sock.family

    @property
    def type(self) -> int:
        """Such as ``SOCK_STREAM``."""
        return self._sock.type

    @property
    def proto(self) -> int:
        """The protocol number."""
        return self._sock.proto

    @property
    def did_shutdown_SHUT_WR(self) -> bool:  # noqa: N802  Trio's name
        """Whether :meth:`shutdown` was called with ``SHUT_WR`` or ``SHUT_RDWR``."""
        return self._did_shutdown_SHUT_WR

    def fileno(self) -> int:
        """Return the descriptor; -1 once closed."""
        return self._sock.fileno()

    def listen(self, backlog: int = min(stdlib.SOMAXCONN, 128), /) -> None:
        """Let peers connect.

        Args:
            backlog: Connections that the system queues until they are accepted.
        """
        self._sock.listen(backlog)

    def shutdown(self, how: int, /) -> None:
        """End the stream in one direction, or both.

        Args:
            how: ``SHUT_RD``, ``SHUT_WR`` or ``SHUT_RDWR``.
        """
        self._sock.shutdown(how)
        if how in (stdlib.SHUT_WR, stdlib.SHUT_RDWR):
            self._did_shutdown_SHUT_WR = True

    @overload
    def getsockopt(self, level: int, optname: int, /) -> int: ...

    @overload
    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes: ...

    def getsockopt(self, level: int, optname: int, /, *buflen: int) -> int | bytes:
        """Return the value of an option: an integer, or ``buflen`` bytes if that is given."""
        return self._sock.getsockopt(level, optname, *buflen)

    @overload
    def setsockopt(self, level: int, optname: int, value: int | ReadableBuffer, /) -> None: ...

    @overload
    def setsockopt(self, level: int, optname: int, value: None, optlen: int, /) -> None: ...

    def setsockopt(self, level: int, optname: int, value: Any, /, *optlen: int) -> None:
        """Set an option to an integer, to bytes, or to ``optlen`` bytes of nothing."""
        self._sock.setsockopt(level, optname, value, *optlen)

    def get_inheritable(self) -> bool:
        """Return whether child programs inherit the descriptor; they do not by default."""
        return self._sock.get_inheritable()

    def set_inheritable(self, inheritable: bool, /) -> None:
        """Set whether child programs inherit the descriptor."""
        self._sock.set_inheritable(inheritable)

    if sys.platform == "win32":

        def share(self, process_id: int, /) -> bytes:
            """Return what :func:`penstock.socket.fromshare` of another process takes."""
            return self._sock.share(process_id)

    def dup(self) -> SocketType:
        """Return another socket for the same connection, with a descriptor of its own."""
        return SocketType(self._sock.dup())
