"""The contract of listeners: what peers connect to, and what serves them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from penstock.abc._attributes import TypedAttributeProvider
from penstock.abc._resources import AsyncResource
from penstock.abc._tasks import TaskSpawner

__all__ = ("Listener", "ListenerStatistics")

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class ListenerStatistics:
    """What :meth:`Listener.statistics` returns: counts since the listener was made."""

    accepted: int = 0
    """Connections that were accepted."""
    open_handlers: int = 0
    """Handlers that run now."""
    lost_connections: int = 0
    """Handlers that an error of their own connection has ended."""
    cancelled_handlers: int = 0
    """Handlers that :meth:`Listener.drain` has cancelled."""
    accept_failures: int = 0
    """Tries to accept that have failed, for want of descriptors or memory."""
    turned_away: int = 0
    """Connections that were accepted and closed at once, for want of descriptors."""
    failed_handshakes: int = 0
    """TLS handshakes that have failed, been too slow or been cancelled."""


class Listener(Generic[T_co], AsyncResource, TypedAttributeProvider):
    """Something that peers connect to."""

    __slots__ = ()

    @abstractmethod
    async def serve(
        self,
        handler: Callable[[T_co], Awaitable[Any]],
        task_group: TaskSpawner | None = None,
        *,
        max_connections: int | None = None,
        on_error: Callable[[Exception, T_co], object] | None = None,
    ) -> None:
        """Accept connections and start a task with ``handler`` for each, until closed or drained.

        EndOfStream, IncompleteRead, BrokenResourceError, DelimiterNotFound and FrameTooLarge that
        a handler lets out are about its own connection: they end it, are counted and logged (level
        DEBUG), and the listener goes on.  Any other exception propagates, unless ``on_error`` takes
        it.  Whichever exception leaves a handler, its stream is closed.

        If cancelled, no connection was lost: what was not handed to a handler stays queued in
        the system.

        Args:
            handler: Called with the stream of a new connection, which it closes.
            task_group: Anything with ``start_soon``; without it, ``serve`` makes a task group of
                its own and waits for the handlers when it ends.
            max_connections: How many handlers run at once, at least 1.  At this number accepting
                stops, and new connections wait in the system's queue, until a handler ends.
                None: any number.
            on_error: A plain function, called as ``on_error(exc, stream)`` with an exception that
                would propagate, in the handler's task and before the stream is closed.  If it
                returns, whatever it returns, the exception ends only its own connection; what it
                raises propagates.  It is not asked about KeyboardInterrupt and other exceptions
                that are no ``Exception``.

        Raises:
            BrokenResourceError: The listener has failed.
            BusyResourceError: Another task is accepting from this listener.
            ClosedResourceError: The listener was closed, or drained before this began.  A
                ``serve`` that runs while the listener is drained returns.
            TypeError: An argument is of the wrong type.
            ValueError: ``max_connections`` is below 1.
        """

    async def drain(self, deadline: float) -> int:
        """Close the listener, and wait until the handlers that :meth:`serve` has started end.

        Those that still run at ``deadline`` are cancelled.  Calling it again sets another
        deadline.  If cancelled, the listener is closed, and the handlers run on until
        ``deadline``.

        Args:
            deadline: On the event loop's clock, as :func:`penstock.current_time` reads it;
                ``math.inf``: never.

        Returns:
            How many handlers were cancelled; 0: all have ended by themselves.

        Raises:
            NotImplementedError: This kind of listener does not know its handlers.
            TypeError: ``deadline`` is not a number.
            ValueError: ``deadline`` is NaN.
        """
        raise NotImplementedError(f"{type(self).__name__} does not know its handlers")

    def statistics(self) -> ListenerStatistics:
        """Return what the listener has counted.

        Raises:
            NotImplementedError: This kind of listener counts nothing.
        """
        raise NotImplementedError(f"{type(self).__name__} counts nothing")
