"""Checks of listeners: serving, cancellation, closing, and what becomes of handlers that fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeAlias

from penstock._eventloop import wait_all_tasks_blocked
from penstock._exceptions import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
    IncompleteRead,
)
from penstock._synchronization import Event
from penstock._tasks import create_task_group
from penstock.abc import AsyncResource, Listener
from penstock.testing._checking import (
    DOORS,
    Checks,
    Door,
    attempts,
    cancelled,
    raises,
    refuse_unknown,
    require,
    run_checks,
)

__all__ = ("check_listener",)

Connect: TypeAlias = Callable[[], Awaitable[AsyncResource]]
ListenerMaker: TypeAlias = Callable[[], Awaitable[tuple[Listener[Any], Connect]]]

LISTENERS = Checks()


class Subject:
    """A fresh listener, and how to connect to it."""

    def __init__(self, listener: Any, connect: Connect) -> None:
        self.listener = listener
        self._connect = connect
        self.served = 0
        self._changed = Event()

    async def connect(self) -> None:
        """Connect, and stay until cancelled."""
        async with await self._connect():
            await Event().wait()

    async def handle(self, stream: AsyncResource) -> None:
        """Count the connection, and close it."""
        async with stream:
            self.served += 1
            self._changed.set()
            self._changed = Event()

    async def has_served(self, count: int) -> None:
        while self.served < count:
            await self._changed.wait()


@LISTENERS.add
async def is_a_listener(subject: Subject) -> None:
    """It is a Listener."""
    require(isinstance(subject.listener, Listener), f"{subject.listener!r} is no Listener")


@LISTENERS.add
async def every_connection_gets_a_handler(subject: Subject) -> None:
    """serve() starts one handler for each connection, also for those that came before it."""
    async with attempts() as calls:
        for _ in range(3):
            await calls.begin(subject.connect)
        serving = await calls.begin(subject.listener.serve, subject.handle)
        await subject.has_served(3)
        for _ in range(3):
            await calls.begin(subject.connect)
        await subject.has_served(6)
        require(serving.running, "serve() has ended")
        require(subject.served == 6, f"6 connections had {subject.served} handlers")


@LISTENERS.add
async def handlers_run_in_the_group_that_was_given(subject: Subject) -> None:
    """Handlers run in the task group that serve() was given, and outlive serve()."""
    release = Event()

    async def handle(stream: AsyncResource) -> None:
        await subject.handle(stream)
        await release.wait()
        subject.served += 10

    async with attempts() as calls, create_task_group() as group:
        serving = await calls.begin(subject.listener.serve, handle, group)
        await calls.begin(subject.connect)
        await subject.has_served(1)
        serving.cancel()
        await serving.ended()
        require(serving.was_cancelled, "serve() was not cancelled")
        release.set()
        await subject.has_served(1)
    require(subject.served == 11, "the handler has ended with serve()")


@LISTENERS.add
async def second_serve_is_busy(subject: Subject) -> None:
    """While a task serves, another one gets BusyResourceError, and the first goes on."""
    async with attempts() as calls:
        first = await calls.begin(subject.listener.serve, subject.handle)
        await (await calls.begin(subject.listener.serve, subject.handle)).raised(BusyResourceError)
        require(first.running, "the first serve() was disturbed")
        await calls.begin(subject.connect)
        await subject.has_served(1)


@LISTENERS.add
async def pending_cancellation_is_noticed_by_serve(subject: Subject) -> None:
    """In a cancelled scope, serve() is cancelled, and no connection is lost."""
    async with attempts() as calls:
        await calls.begin(subject.connect)
        with cancelled("serve()"):
            await subject.listener.serve(subject.handle)
        await calls.begin(subject.listener.serve, subject.handle)
        await subject.has_served(1)


@LISTENERS.add
async def cancelled_serve_can_serve_again(subject: Subject) -> None:
    """After serve() was cancelled, connections wait for the next one, and none is lost."""
    async with attempts() as calls:
        for count in range(1, 4):
            serving = await calls.begin(subject.listener.serve, subject.handle)
            serving.cancel()
            await serving.ended()
            await calls.begin(subject.connect)
            serving = await calls.begin(subject.listener.serve, subject.handle)
            await subject.has_served(count)
            serving.cancel()
            await serving.ended()


@LISTENERS.add_for_each(DOORS)
async def close_ends_serve(subject: Subject, close: Door) -> None:
    """Closing ends serve() with ClosedResourceError, a later one too; closing again is silent."""
    async with attempts() as calls:
        serving = await calls.begin(subject.listener.serve, subject.handle)
        await (await calls.begin(close, subject.listener)).returned()
        await serving.raised(ClosedResourceError)
        for again in DOORS.values():
            await (await calls.begin(again, subject.listener)).returned()
        with raises("serve() after closing", ClosedResourceError):
            await subject.listener.serve(subject.handle)


@LISTENERS.add_for_each(
    {exc.__name__: exc for exc in (EndOfStream, IncompleteRead, BrokenResourceError)}
)
async def handler_may_lose_its_connection(subject: Subject, error: type[Exception]) -> None:
    """An error of its own connection that a handler lets out ends that connection alone."""

    async def handle(stream: AsyncResource) -> None:
        await subject.handle(stream)
        raise error

    async with attempts() as calls:
        serving = await calls.begin(subject.listener.serve, handle)
        for count in (1, 2):
            await calls.begin(subject.connect)
            await subject.has_served(count)
        require(serving.running, f"{error.__name__} of a handler has ended serve()")


@LISTENERS.add
async def other_errors_of_handlers_propagate(subject: Subject) -> None:
    """Any other exception of a handler leaves serve(), and its stream is closed."""
    streams: list[Any] = []

    async def handle(stream: Any) -> None:
        streams.append(stream)
        raise LookupError

    async with attempts() as calls:
        serving = await calls.begin(subject.listener.serve, handle)
        await calls.begin(subject.connect)
        await serving.ended()
        error: BaseException | None = serving.error
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        require(isinstance(error, LookupError), f"serve() ended with {serving.error!r}")
        with raises("receive() on the stream of a failed handler", ClosedResourceError):
            await streams[0].receive()


@LISTENERS.add
async def on_error_takes_errors_of_handlers(subject: Subject) -> None:
    """on_error gets the exception and the stream, and the listener goes on."""
    taken: list[Any] = []

    async def handle(stream: AsyncResource) -> None:
        await subject.handle(stream)
        raise LookupError

    def on_error(exc: Exception, stream: Any) -> None:
        taken.append(exc)

    async def serve() -> None:
        await subject.listener.serve(handle, on_error=on_error)

    async with attempts() as calls:
        serving = await calls.begin(serve)
        for count in (1, 2):
            await calls.begin(subject.connect)
            await subject.has_served(count)
        require(serving.running, "an exception that on_error has taken ended serve()")
        require(
            [type(exc) for exc in taken] == [LookupError] * 2, f"on_error was called with {taken!r}"
        )


@LISTENERS.add
async def max_connections_is_a_bound(subject: Subject) -> None:
    """No more than max_connections handlers run at once; the next one begins when one ends."""
    release = Event()

    async def handle(stream: AsyncResource) -> None:
        await subject.handle(stream)
        await release.wait()

    async def serve() -> None:
        await subject.listener.serve(handle, max_connections=2)

    async with attempts() as calls:
        await calls.begin(serve)
        for _ in range(3):
            await calls.begin(subject.connect)
        await subject.has_served(2)
        await wait_all_tasks_blocked()  # a third one may come a moment later
        require(subject.served == 2, f"{subject.served} handlers run at once")
        release.set()
        await subject.has_served(3)


async def check_listener(
    maker: ListenerMaker, *, without: Collection[str] = (), timeout: float = 10
) -> None:
    """Check a listener.

    Every check has a fresh listener, which is closed afterwards, and is done at a ready budget of
    1 and at the event loop's own.  If cancelled, the current listener is closed.

    Args:
        maker: A coroutine function that returns a listener, and a coroutine function that
            connects to it and returns the client's stream; it may wait until somebody serves.
        without: Names of checks to leave out, for what such a listener cannot do by its nature.
        timeout: After how many seconds a check has failed because it hangs.

    Raises:
        AssertionError: A check has failed; the message begins with its name.
        ValueError: There is no check with a name that is in ``without``.
    """
    refuse_unknown(without, LISTENERS)
    await run_checks(LISTENERS, maker, Subject, about="listener", without=without, timeout=timeout)
