"""Serving connections: how many at once, what an exception of a handler ends, how serving ends.

Lives here: what every listener does with connections, whatever they are.  How a connection is
accepted is the listener's own affair.  All that is asked of it is an ``accept()`` that notices a
cancellation before it takes a connection, even one that comes when the connection has come.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from inspect import iscoroutinefunction
from typing import Any, Generic, TypeVar

from penstock._backends import Backend, Wait, current_backend
from penstock._exceptions import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    DelimiterNotFound,
    EndOfStream,
    FrameTooLarge,
    IncompleteRead,
)
from penstock._synchronization import Event
from penstock.abc import AsyncResource, CancelScope, TaskSpawner

__all__ = ("Serving", "check_deadline", "check_functions", "limit_of", "logger", "serve_in_group")

T = TypeVar("T", bound=AsyncResource)

logger = logging.getLogger("penstock.listener")

#: What a handler lets out when its peer has left, or sends more than is taken: it says nothing
#: about other connections, and no peer may end those.
ENDS_ITSELF = (
    BrokenResourceError,
    DelimiterNotFound,
    EndOfStream,
    FrameTooLarge,
    IncompleteRead,
)


class ConnectionLimit(int):
    """A number of connections, and how many of them there are.

    An integer, because it is handed as ``max_connections`` to several listeners that are to keep
    to it together, through whatever is wrapped around them.

    Args:
        number: The highest.
        shared: Whether several tasks accept.

    Raises:
        TypeError: It is not made of an integer.
        ValueError: It is below 1.
    """

    # I1  taken <= self, if every accept() notices cancellations as it should
    # I2  _accepting holds the scope of each task that waits for a connection, if shared; _full the
    #     wait of each that waits for one to end
    shared: bool
    taken: int
    _accepting: set[CancelScope]
    _full: set[Wait]

    def __new__(cls, number: int, shared: bool = False) -> ConnectionLimit:
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"max_connections must be an integer or None, not {number!r}")
        if number < 1:
            raise ValueError(f"max_connections must be at least 1, not {number}")
        limit = super().__new__(cls, number)
        limit.shared = shared
        limit.taken = 0
        limit._accepting = set()
        limit._full = set()
        return limit

    async def accept(self, backend: Backend, accept: Callable[[], Awaitable[T]]) -> T:
        """Accept one connection, and count it, once there may be one more.

        If cancelled, no connection was taken out of the queue.
        """
        while True:
            while self.taken >= self:
                wait = backend.new_wait()
                self._full.add(wait)
                try:
                    await wait
                finally:
                    self._full.discard(wait)
            if not self.shared:
                stream = await accept()
                self.taken += 1
                return stream
            with backend.create_cancel_scope(deadline=math.inf, shield=False) as scope:
                self._accepting.add(scope)
                try:
                    stream = await accept()
                finally:
                    self._accepting.discard(scope)
                self.taken += 1
                if self.taken >= self:  # a connection that has come to another listener waits
                    for other in self._accepting:
                        other.cancel("there are as many connections as may be")
                return stream

    def give_back(self, backend: Backend) -> None:
        """Note that a connection has ended."""
        self.taken -= 1
        for wait in self._full:
            backend.wake(wait)


class _Place:
    """The place of one connection, from when it was accepted to the end of its handler."""

    __slots__ = ("_limit", "_serving")

    def __init__(self, serving: Serving[Any], limit: ConnectionLimit | None) -> None:
        serving.open_handlers += 1
        self._serving: Serving[Any] | None = serving
        self._limit = limit

    def free(self) -> None:
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.open_handlers -= 1
            if self._limit is not None:
                self._limit.give_back(serving.backend)
            if not serving.open_handlers and serving.idle is not None:
                serving.idle.set()

    # asyncio does not run a task at all that was cancelled before its first step.
    __del__ = free


class Serving(Generic[T]):
    """How one listener serves.

    Args:
        backend: The backend of the event loop that the listener belongs to.
    """

    # I1  open_handlers counts the places that were not freed
    # I2  _scopes holds the scope of each handler that has begun and has not ended
    # I3  _accepting is set while a task accepts, and only then
    # I4  once _stopped, no place is taken, if accept() notices cancellations as it should
    __slots__ = (
        "_accepting",
        "_deadline",
        "_drained",
        "_scopes",
        "_stopped",
        "backend",
        "cancelled_handlers",
        "idle",
        "lost_connections",
        "open_handlers",
    )

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.open_handlers = self.lost_connections = self.cancelled_handlers = 0
        #: Set when there is no handler any more; made when somebody waits for that.
        self.idle: Event | None = None
        self._accepting: CancelScope | None = None
        self._scopes: set[CancelScope] = set()
        self._stopped = self._drained = False
        self._deadline = math.inf

    async def serve(
        self,
        accept: Callable[[], Awaitable[T]],
        handler: Callable[[T], Awaitable[Any]],
        task_group: TaskSpawner | None = None,
        *,
        max_connections: int | None = None,
        on_error: Callable[[Exception, T], object] | None = None,
    ) -> None:
        """Serve what ``accept`` accepts, as :meth:`penstock.abc.Listener.serve` promises.

        If cancelled, no connection was lost.
        """
        check_functions(handler, on_error)
        limit = limit_of(max_connections)
        if limit is not None:
            accept = partial(limit.accept, self.backend, accept)

        async def accept_all(spawner: TaskSpawner) -> None:
            if self._stopped:
                raise ClosedResourceError
            if self._accepting is not None:
                raise BusyResourceError("accepting connections from")
            scope = self.backend.create_cancel_scope(deadline=math.inf, shield=False)
            self._accepting = scope
            try:
                with scope, suppress(ClosedResourceError):
                    while True:
                        await self._start(spawner, handler, await accept(), on_error, limit)
            finally:
                self._accepting = None
            if not self._drained:
                raise ClosedResourceError

        await serve_in_group(accept_all, task_group)

    async def _start(
        self,
        spawner: TaskSpawner,
        handler: Callable[[T], Awaitable[Any]],
        stream: T,
        on_error: Callable[[Exception, T], object] | None,
        limit: ConnectionLimit | None,
    ) -> None:
        """Start the task of a connection; no other task runs before it is started."""
        place = _Place(self, limit)
        try:
            spawner.start_soon(self._handle, handler, stream, on_error, place)
        except BaseException:
            place.free()
            await self._close(stream)
            raise

    async def _handle(
        self,
        handler: Callable[[T], Awaitable[Any]],
        stream: T,
        on_error: Callable[[Exception, T], object] | None,
        place: _Place,
    ) -> None:
        scope = self.backend.create_cancel_scope(deadline=self._deadline, shield=False)
        self._scopes.add(scope)
        failed = True
        try:
            try:
                with scope:
                    await handler(stream)
                failed = scope.cancelled_caught
                self.cancelled_handlers += failed
            except* ENDS_ITSELF as group:  # task groups make groups
                self.lost_connections += 1
                logger.debug("a connection ended in its handler: %r", group.exceptions)
        except GeneratorExit:  # nobody runs this task any more
            failed = False
            raise
        except Exception as exc:
            if on_error is None:
                raise
            on_error(exc, stream)
        finally:
            self._scopes.discard(scope)
            if failed:
                await self._close(stream)
            place.free()

    async def _close(self, stream: T) -> None:
        """Close a stream without waiting, whatever is being cancelled."""
        with self.backend.create_cancel_scope(deadline=-math.inf, shield=True):
            await stream.aclose()

    def stop(self) -> None:
        """End :meth:`serve`, because the listener is closed; again: do nothing."""
        self._stopped = True
        if self._accepting is not None:
            self._accepting.cancel("the listener was closed")

    async def drain(self, close: Callable[[], Awaitable[None]], deadline: float) -> int:
        """Drain as :meth:`penstock.abc.Listener.drain` promises; ``close`` calls :meth:`stop`.

        If cancelled, the handlers run on until ``deadline``.
        """
        check_deadline(deadline)
        await self.backend.checkpoint_if_cancelled()
        self._drained = True
        self._deadline = deadline
        for scope in tuple(self._scopes):
            scope.deadline = deadline
        await close()
        if self.open_handlers:
            self.idle = self.idle or Event()
            await self.idle.wait()
        return self.cancelled_handlers


def limit_of(max_connections: int | None, shared: bool = False) -> ConnectionLimit | None:
    """Return a limit of ``max_connections``, or the one that it is already.

    Args:
        max_connections: How many; None: any number.
        shared: Whether several tasks accept.

    Raises:
        TypeError: It is neither an integer nor None.
        ValueError: It is below 1.
    """
    if max_connections is None:
        return None
    if not isinstance(max_connections, ConnectionLimit):
        return ConnectionLimit(max_connections, shared)
    max_connections.shared |= shared
    return max_connections


def check_functions(handler: object, on_error: object) -> None:
    """Check what is to be called with connections.

    Raises:
        TypeError: ``handler`` cannot be called, or ``on_error`` is neither a plain function nor
            None.
    """
    if not callable(handler):
        raise TypeError(f"handler must be callable, not {handler!r}")
    if on_error is not None and (not callable(on_error) or iscoroutinefunction(on_error)):
        raise TypeError(f"on_error must be a plain function or None, not {on_error!r}")


def check_deadline(deadline: float) -> None:
    """Check when handlers are to end.

    Raises:
        TypeError: It is not a number.
        ValueError: It is NaN.
    """
    if not isinstance(deadline, int | float):
        raise TypeError(f"the deadline must be a number, not {deadline!r}")
    if math.isnan(deadline):
        raise ValueError("the deadline must not be NaN")


async def serve_in_group(
    serve: Callable[[TaskSpawner], Awaitable[None]], task_group: TaskSpawner | None
) -> None:
    """Call ``serve`` with ``task_group``, or with a group of its own for the handlers.

    If cancelled, so are ``serve`` and the tasks of its own group.
    """
    if task_group is not None:
        await serve(task_group)
        return
    end: Exception | None = None  # as it is, not in the group of the handlers' exceptions
    try:
        async with current_backend().create_task_group() as own_group:
            try:
                await serve(own_group)
            except (BrokenResourceError, BusyResourceError, ClosedResourceError) as exc:
                end = exc
                own_group.cancel_scope.cancel("the listener has ended")
        if end is not None:
            raise end
    finally:
        end = None  # this frame is in its traceback
