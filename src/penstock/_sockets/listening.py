"""Listening for TCP connections, and serving them.

Lives here: the listener, which survives whatever peers and an exhausted system do to it.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from penstock._backends import Backend, current_backend
from penstock._exceptions import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
)
from penstock._hotpath import Registration
from penstock._readiness import poller_of
from penstock._sockets.registered import RegisteredSocket
from penstock._sockets.resolving import Host, check_port, resolve, show_address
from penstock._sockets.stream import ConnectedSocketStream
from penstock.abc import SocketListener, SocketStream, TaskSpawner

__all__ = ("TCPListener", "create_tcp_listener")

logger = logging.getLogger("penstock.listener")

#: What a connection that was gone before it was accepted can leave behind: accept(2), "Error
#: handling".  The next one may be well.  Not every system knows all of them.
GONE = frozenset(
    getattr(errno, name, -1)
    for name in (
        "ECONNABORTED",
        "ECONNRESET",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "ENETDOWN",
        "ENETUNREACH",
        "ENONET",
        "ENOPROTOOPT",
        "EOPNOTSUPP",
        "EPERM",
        "EPROTO",
        "ETIMEDOUT",
    )
)
#: What the system says when it has no descriptor or no memory for one more connection, or cannot
#: watch one more (ENOSPC).
EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC))
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 1.0  # seconds between tries while exhausted, doubling
LOG_INTERVAL = 5.0  # seconds between two log lines about it


class TCPListener(RegisteredSocket, SocketListener):
    """A listening TCP socket.

    Args:
        backend: The backend of the event loop that the listener belongs to.
        registration: The socket, with that loop's poller.
    """

    __slots__ = ("_failures", "_logged_at", "_lost", "_pause")

    def __init__(self, backend: Backend, registration: Registration) -> None:
        super().__init__(backend, registration)
        self._lost = 0
        self._pause = SHORTEST_PAUSE
        self._failures = 0  # to accept, for want of descriptors or memory, since the last log line
        self._logged_at = -LOG_INTERVAL

    @property
    def lost_connections(self) -> int:
        """How many connections have ended by an error about them that their handler let out."""
        return self._lost

    async def accept(self) -> SocketStream:
        """Accept one connection.

        Connections that were gone before are passed over; while the system has no descriptor or
        no memory for one more, accepting pauses.  If cancelled, no connection was taken out of
        the queue.

        Raises:
            BrokenResourceError: The listening socket has failed.
            BusyResourceError: Another task is accepting from this listener.
            ClosedResourceError: The listener was closed, before or during the call.
        """
        registration = self._registration
        while True:
            try:
                fd = registration.accept()
                if fd >= 0:
                    stream = self._adopt(fd)
                    self._pause = SHORTEST_PAUSE
                    return stream
            except OSError as exc:
                if exc.errno in EXHAUSTED:
                    await self._exhausted(exc)
                elif exc.errno not in GONE:
                    raise BrokenResourceError from exc
                continue
            wait = registration.park_reader()
            if wait is None:
                await self._settle_reader("accepting connections from")
            else:
                try:
                    await wait
                except (RuntimeError, TypeError):  # what event loops say to a wait of another one
                    self._check_loop()
                    raise
                finally:
                    registration.reader = None

    def _adopt(self, fd: int) -> SocketStream:
        """Make a stream of an accepted descriptor."""
        listening = self._registration.sock
        sock = socket.socket(listening.family, listening.type, listening.proto, fileno=fd)
        try:
            sock.setblocking(False)
            with suppress(OSError):  # BSD refuses it where the peer has reset the connection
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            registration = poller_of(self._backend).register(sock)
        except OSError:
            sock.close()
            raise
        return ConnectedSocketStream(self._backend, registration)

    async def _exhausted(self, exc: OSError) -> None:
        """Pause because the system has nothing left for one more connection."""
        self._failures += 1
        now = self._backend.current_time()
        if now - self._logged_at >= LOG_INTERVAL:
            logger.error(
                "accepting connections paused: %s (%d times since the last such line)",
                exc.strerror,
                self._failures,
            )
            self._logged_at = now
            self._failures = 0
        registration = self._registration
        registration.reader = wait = self._backend.new_wait()  # closing ends it
        try:
            with self._backend.create_cancel_scope(deadline=now + self._pause, shield=False):
                await wait
        finally:
            registration.reader = None
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    async def serve(
        self,
        handler: Callable[[SocketStream], Awaitable[Any]],
        task_group: TaskSpawner | None = None,
    ) -> None:
        """Accept connections for ever and start a task with ``handler`` for each.

        EndOfStream and BrokenResourceError that a handler lets out are about its own connection:
        they end it, and the listener goes on.  Any other exception propagates.

        If cancelled, no connection was lost: what was not handed to a handler stays queued in
        the system.

        Args:
            handler: Called with the stream of a new connection, which it closes.
            task_group: Anything with ``start_soon``; without it, a task group of its own is
                made, which waits for the handlers.

        Raises:
            BrokenResourceError: The listening socket has failed.
            BusyResourceError: Another task is accepting from this listener.
            ClosedResourceError: The listener was closed.
        """
        if not callable(handler):
            raise TypeError(f"handler must be callable, not {handler!r}")
        if task_group is not None:
            await self._serve(handler, task_group)
            return
        end: Exception | None = None  # as it is, not in the group of the handlers' exceptions
        try:
            async with self._backend.create_task_group() as own_group:
                try:
                    await self._serve(handler, own_group)
                except (BrokenResourceError, BusyResourceError, ClosedResourceError) as exc:
                    end = exc
                    own_group.cancel_scope.cancel()
            if end is not None:
                raise end
        finally:
            end = None  # this frame is in its traceback

    async def _serve(
        self, handler: Callable[[SocketStream], Awaitable[Any]], task_group: TaskSpawner
    ) -> None:
        while True:
            stream = await self.accept()
            try:
                task_group.start_soon(self._handle, handler, stream)
            except BaseException:
                await stream.aclose()
                raise

    async def _handle(
        self, handler: Callable[[SocketStream], Awaitable[Any]], stream: SocketStream
    ) -> None:
        ended = False
        try:
            await handler(stream)
        except* (BrokenResourceError, EndOfStream) as group:  # a handler's task group makes groups
            logger.debug("a connection ended in its handler: %r", group.exceptions)
            ended = True
        if ended:
            self._lost += 1
            await stream.aclose()


async def create_tcp_listener(
    *,
    local_host: Host | None = None,
    local_port: int = 0,
    family: int = socket.AF_UNSPEC,
    backlog: int = 65536,
    reuse_port: bool = False,
) -> TCPListener:
    """Listen for TCP connections.

    If cancelled, nothing listens.

    Args:
        local_host: Host name or IP address to listen on; a name stands for the first of its
            addresses.  None: all interfaces, IPv6 and IPv4 with one socket where the system can.
        local_port: Port number; 0: one that is free.
        family: ``AF_INET`` or ``AF_INET6`` to look for addresses of that family only.
        backlog: Connections that the system queues until they are accepted, at most 65536.
        reuse_port: Let other sockets of the same user listen on this port as well.

    Raises:
        OSError: The name is unknown, or the address cannot be listened on; it is in the message.
        TypeError: An argument is of the wrong type.
        ValueError: ``local_port``, ``backlog`` or ``family`` is out of range.
    """
    check_port("local_port", local_port)
    if not isinstance(backlog, int):
        raise TypeError(f"backlog must be an integer, not {backlog!r}")
    if backlog < 0:
        raise ValueError(f"backlog cannot be negative: {backlog}")
    if not isinstance(family, int):
        raise TypeError(f"family must be an integer, not {family!r}")
    if family not in (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6):
        raise ValueError(f"family must be AF_INET, AF_INET6 or AF_UNSPEC, not {family!r}")
    backend = current_backend()
    while not backend.budget.spend():
        await backend.settle()
    dual_stack = local_host is None and family == socket.AF_UNSPEC and socket.has_dualstack_ipv6()
    if dual_stack:
        family = socket.AF_INET6
    infos = await resolve(local_host, local_port, family=family, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = infos[0]
    try:
        sock = _listening_socket(family, kind, protocol, dual_stack, reuse_port)
    except OSError as exc:
        raise _at(address, exc) from None
    try:
        try:
            sock.bind(address)
            sock.listen(min(backlog, 65536))
        except OSError as exc:
            raise _at(address, exc) from None
        return TCPListener(backend, poller_of(backend).register(sock))
    except BaseException:
        sock.close()
        raise


def _listening_socket(
    family: int, kind: int, protocol: int, dual_stack: bool, reuse_port: bool
) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual_stack)
    except BaseException:
        sock.close()
        raise
    return sock


def _at(address: Any, exc: OSError) -> OSError:
    """Return ``exc`` with the address in its message."""
    return OSError(exc.errno, f"{exc.strerror}: {show_address(*address[:2])}")
