"""Several streams or listeners as one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import astuple
from typing import Any, TypeVar

from penstock._backends import current_backend
from penstock._exceptions import BrokenResourceError, BusyResourceError, ClosedResourceError
from penstock._sockets.serving import check_deadline, check_functions, limit_of, serve_in_group
from penstock.abc import Listener, ListenerStatistics, TaskSpawner

__all__ = ("MultiListener",)

T_Stream = TypeVar("T_Stream")


class MultiListener(Listener[T_Stream]):
    """Several listeners as one.

    A typed attribute that several of them have is the last one's.

    Args:
        listeners: Any number of listeners.  Those of a MultiListener among them are taken out of
            it.
    """

    def __init__(self, listeners: Iterable[Listener[T_Stream]]) -> None:
        #: The listeners that this one consists of.
        self.listeners: list[Listener[T_Stream]] = []
        for listener in listeners:
            if isinstance(listener, MultiListener):
                self.listeners.extend(listener.listeners)
                listener.listeners.clear()
            else:
                self.listeners.append(listener)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.listeners!r})"

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        attributes: dict[Any, Callable[[], Any]] = {}
        for listener in self.listeners:
            attributes.update(listener.extra_attributes)
        return attributes

    async def serve(
        self,
        handler: Callable[[T_Stream], Awaitable[Any]],
        task_group: TaskSpawner | None = None,
        *,
        max_connections: int | None = None,
        on_error: Callable[[Exception, T_Stream], object] | None = None,
    ) -> None:
        """Accept connections from every listener, as :meth:`Listener.serve` does from one.

        ``max_connections`` bounds the handlers of all of them together.  If one of the listeners
        ends with an exception, serving the others ends as well.  If cancelled, no connection was
        lost.
        """
        check_functions(handler, on_error)
        keywords: dict[str, Any] = {}  # those that were given: AnyIO's listeners know none
        if max_connections is not None:
            keywords["max_connections"] = limit_of(max_connections, len(self.listeners) > 1)
        if on_error is not None:
            keywords["on_error"] = on_error

        async def serve_all(spawner: TaskSpawner) -> None:
            end: Exception | None = None  # as it is, not in a group

            async def serve_one(listener: Listener[T_Stream]) -> None:
                nonlocal end
                try:
                    await listener.serve(handler, spawner, **keywords)
                except (BrokenResourceError, BusyResourceError, ClosedResourceError) as exc:
                    end = end or exc
                    accepting.cancel_scope.cancel("one of the listeners has ended")

            try:
                async with current_backend().create_task_group() as accepting:
                    for listener in self.listeners:
                        accepting.start_soon(serve_one, listener)
                if end is not None:
                    raise end
            finally:
                end = None  # this frame is in its traceback

        await serve_in_group(serve_all, task_group)

    async def drain(self, deadline: float) -> int:
        check_deadline(deadline)
        cancelled: list[int] = []

        async def drain_one(listener: Listener[T_Stream]) -> None:
            cancelled.append(await listener.drain(deadline))

        async with current_backend().create_task_group() as draining:
            for listener in self.listeners:
                draining.start_soon(drain_one, listener)
        return sum(cancelled)

    def statistics(self) -> ListenerStatistics:
        """Return the sums of what the listeners have counted."""
        counts = [astuple(listener.statistics()) for listener in self.listeners]
        return ListenerStatistics(*map(sum, zip(*counts, strict=True)))

    async def aclose(self) -> None:
        """Close every listener, whatever becomes of the others.

        If several fail, the last exception is raised.  If cancelled, they are closed all the
        same.
        """
        async with AsyncExitStack() as stack:
            for listener in reversed(self.listeners):
                stack.push_async_callback(listener.aclose)
