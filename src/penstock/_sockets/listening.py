"""Listening for TCP connections, and serving them.

Lives here: the listener, which survives whatever peers and an exhausted system do to it.
"""

from __future__ import annotations

import errno
import logging
import socket
import warnings
from collections.abc import Awaitable, Callable
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


class TCPListener(SocketListener):
    """A listening TCP socket.

    Args:
        backend: The backend of the event loop that the listener belongs to.
        registration: The socket, with that loop's poller.
    """

    __slots__ = (
        "__weakref__",
        "_backend",
        "_failures",
        "_logged_at",
        "_pause",
        "_registration",
    )

    def __init__(self, backend: Backend, registration: Registration) -> None:
        self._backend = backend
        self._registration = registration
        self._pause = SHORTEST_PAUSE
        self._failures = 0  # to accept, for want of descriptors or memory, since the last log line
        self._logged_at = -LOG_INTERVAL

    @property
    def _raw_socket(self) -> socket.socket:
        return self._registration.sock

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
                await self._settle()
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
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            registration = poller_of(self._backend).register(sock)
        except OSError:
            sock.close()
            raise
        return ConnectedSocketStream(self._backend, registration)

    async def _settle(self) -> None:
        """Do what stands before an accept that the kernel has declined."""
        registration = self._registration
        if registration.fd < 0:
            raise ClosedResourceError
        self._check_loop()
        if registration.reader is not None:
            raise BusyResourceError("accepting connections from")
        registration.reader = self._backend.new_wait()  # nobody awaits it: the direction is taken
        try:
            await self._backend.settle()
        finally:
            registration.reader = None

    def _check_loop(self) -> None:
        if not self._backend.is_current():
            raise RuntimeError("this listener belongs to another event loop or thread")

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
                task_group.start_soon(_handle, handler, stream)
            except BaseException:
                await stream.aclose()
                raise

    async def aclose(self) -> None:
        registration = self._registration
        if registration.fd >= 0:
            if registration.budget.foreign and not registration.budget.retired:
                raise RuntimeError("this listener belongs to an event loop in another thread")
            registration.close()
        if self._backend.is_current():
            await self._backend.checkpoint_if_cancelled()

    def __del__(self) -> None:
        registration = getattr(self, "_registration", None)
        if registration is not None and registration.fd >= 0:
            registration.close()  # first: the warning may be an error
            warnings.warn(f"Unclosed {self!r}", ResourceWarning, stacklevel=1, source=self)


async def _handle(handler: Callable[[SocketStream], Awaitable[Any]], stream: SocketStream) -> None:
    ended = False
    try:
        await handler(stream)
    except* (BrokenResourceError, EndOfStream) as group:  # a handler's task group makes groups
        logger.debug("a connection ended in its handler: %r", group.exceptions)
        ended = True
    if ended:
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
        ValueError: ``local_port`` or ``backlog`` is out of range.
    """
    check_port("local_port", local_port)
    if not isinstance(backlog, int):
        raise TypeError(f"backlog must be an integer, not {backlog!r}")
    if backlog < 0:
        raise ValueError(f"backlog cannot be negative: {backlog}")
    backend = current_backend()
    await backend.checkpoint_if_cancelled()
    dual_stack = local_host is None and family == socket.AF_UNSPEC and socket.has_dualstack_ipv6()
    if dual_stack:
        family = socket.AF_INET6
    infos = await resolve(backend, local_host, local_port, family=family, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = infos[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual_stack)
        try:
            sock.bind(address)
            sock.listen(min(backlog, 65536))
        except OSError as exc:
            raise OSError(exc.errno, f"{exc.strerror}: {show_address(*address[:2])}") from None
        return TCPListener(backend, poller_of(backend).register(sock))
    except BaseException:
        sock.close()
        raise
