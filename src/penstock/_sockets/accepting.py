"""Accepting connections, whatever peers and an exhausted system do meanwhile.

Lives here: what listening sockets of every kind have in common.  How they come to listen lives in
``listening``; what is done with connections lives in ``serving``.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from penstock._backends import Backend
from penstock._exceptions import BrokenResourceError
from penstock._hotpath import Registration
from penstock._readiness import poller_of
from penstock._sockets.registered import RegisteredSocket
from penstock._sockets.reserve import Reserve
from penstock._sockets.serving import Serving, logger
from penstock._sockets.stream import ConnectedSocketStream
from penstock.abc import ListenerStatistics, SocketListener, SocketStream, TaskSpawner

__all__ = ("ListeningSocket",)

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
NO_DESCRIPTOR = frozenset((errno.EMFILE, errno.ENFILE))
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 1.0  # seconds between tries while exhausted, doubling
LOG_INTERVAL = 5.0  # seconds between two log lines about it
#: What one connection counts as in the ready budget: 64 of them use it up, in some 0.8 ms.
COST = 4096  # bytes


class ListeningSocket(RegisteredSocket, SocketListener):
    """A listening socket.

    Args:
        backend: The backend of the event loop that the listener belongs to.
        registration: The socket, with that loop's poller.
    """

    __slots__ = (
        "_accepted",
        "_failures",
        "_failures_logged",
        "_logged_at",
        "_pause",
        "_reserve",
        "_serving",
        "_turned_away",
    )

    def __init__(self, backend: Backend, registration: Registration) -> None:
        super().__init__(backend, registration)
        self._serving: Serving[SocketStream] = Serving(backend)
        self._reserve = Reserve()
        self._accepted = self._turned_away = 0
        self._pause = SHORTEST_PAUSE
        self._failures = 0  # to accept, for want of descriptors or memory
        self._failures_logged = 0  # of them
        self._logged_at = -LOG_INTERVAL

    async def accept(self) -> SocketStream:
        """Accept one connection.

        Connections that were gone before are passed over; while the system has no descriptor or
        no memory for one more, accepting pauses.  Once it has had no descriptor for more than a
        second, what is queued is accepted and closed, so that no peer waits for ever.  If
        cancelled, no connection was taken out of the queue.

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
                    registration.budget.spend_bytes(COST)
                    self._accepted += 1
                    if self._pause > SHORTEST_PAUSE:
                        self._pause = SHORTEST_PAUSE
                        self._reserve.fill()
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
        """Do what can be done where the system has nothing left for one more connection."""
        self._failures += 1
        self._log_failures(exc)
        patient = self._pause < LONGEST_PAUSE  # a burst is best waited out
        if not patient and exc.errno in NO_DESCRIPTOR and self._turn_away():
            return  # for the next one
        registration = self._registration
        registration.reader = wait = self._backend.new_wait()  # closing ends it
        try:
            deadline = self._backend.current_time() + self._pause
            with self._backend.create_cancel_scope(deadline=deadline, shield=False):
                await wait
        finally:
            registration.reader = None
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _log_failures(self, exc: OSError) -> None:
        now = self._backend.current_time()
        if now - self._logged_at >= LOG_INTERVAL:
            logger.error(
                "accepting connections paused: %s (%d times since the last such line)",
                exc.strerror,
                self._failures - self._failures_logged,
            )
            self._logged_at = now
            self._failures_logged = self._failures

    def _turn_away(self) -> bool:
        """Accept a connection with the descriptor in reserve, and close it.

        Returns:
            Whether there was one, and a reserve.
        """
        if not self._reserve.empty():
            return False
        try:
            connection, _ = self._registration.sock.accept()
        except OSError:  # nobody is there, or another thread was faster
            return False
        else:
            connection.close()
        finally:
            self._reserve.fill()
        self._registration.budget.spend_bytes(COST)
        self._turned_away += 1
        return True

    async def serve(
        self,
        handler: Callable[[SocketStream], Awaitable[Any]],
        task_group: TaskSpawner | None = None,
        *,
        max_connections: int | None = None,
        on_error: Callable[[Exception, SocketStream], object] | None = None,
    ) -> None:
        self._check_loop()
        await self._serving.serve(
            self.accept, handler, task_group, max_connections=max_connections, on_error=on_error
        )

    async def drain(self, deadline: float) -> int:
        self._check_loop()
        return await self._serving.drain(self.aclose, deadline)

    async def aclose(self) -> None:
        try:
            await super().aclose()
        finally:
            if self._registration.fd < 0:
                self._reserve.empty()
                if self._backend.is_current():
                    self._serving.stop()

    def statistics(self) -> ListenerStatistics:
        serving = self._serving
        return ListenerStatistics(
            accepted=self._accepted,
            open_handlers=serving.open_handlers,
            lost_connections=serving.lost_connections,
            cancelled_handlers=serving.cancelled_handlers,
            accept_failures=self._failures,
            turned_away=self._turned_away,
        )
