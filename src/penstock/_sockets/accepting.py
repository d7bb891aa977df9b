"""Accepting connections and serving them, whatever peers and an exhausted system do meanwhile.

Lives here: what listening sockets of every kind have in common.  How they come to listen lives in
``listening``.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from penstock._backends import Backend
from penstock._exceptions import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
)
from penstock._hotpath import Registration
from penstock._readiness import poller_of
from penstock._sockets.registered import RegisteredSocket
from penstock._sockets.stream import ConnectedSocketStream
from penstock.abc import SocketListener, SocketStream, TaskSpawner

__all__ = ("ListeningSocket",)

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


class ListeningSocket(RegisteredSocket, SocketListener):
    """A listening socket.

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
            return self._stream_of(poller_of(self._backend).register(sock))
        except OSError:
            sock.close()
            raise

    def _stream_of(self, registration: Registration) -> SocketStream:
        """Make a stream of an accepted connection."""
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
