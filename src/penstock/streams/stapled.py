"""Several streams or listeners as one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import astuple
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from penstock._backends import current_backend
from penstock._exceptions import BrokenResourceError, BusyResourceError, ClosedResourceError
from penstock._sockets.serving import check_deadline, check_functions, limit_of, serve_in_group
from penstock.abc import (
    ByteReceiveStream,
    ByteSendStream,
    ByteStream,
    Listener,
    ListenerStatistics,
    ObjectReceiveStream,
    ObjectSendStream,
    ObjectStream,
    TaskSpawner,
)
from penstock.streams._threads import refuse_other_thread

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer
    from typing_extensions import TypeVar as TypeVarWithDefault

__all__ = ("MultiListener", "StapledByteStream", "StapledObjectStream")

T_Send = TypeVar("T_Send")
T_Stream = TypeVar("T_Stream")
if TYPE_CHECKING:
    T_Receive = TypeVarWithDefault("T_Receive", default=T_Send)
else:
    T_Receive = TypeVar("T_Receive")


class StapledByteStream(ByteStream):
    """Two byte streams as the two directions of one.

    A typed attribute that both have is the receiving one's.

    Args:
        send_stream: What to send on.
        receive_stream: What to receive from.
    """

    def __init__(self, send_stream: ByteSendStream, receive_stream: ByteReceiveStream) -> None:
        self.send_stream = send_stream
        self.receive_stream = receive_stream
        self._closed = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.send_stream!r}, {self.receive_stream!r})"

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {**self.send_stream.extra_attributes, **self.receive_stream.extra_attributes}

    @property
    def partial_send(self) -> int | None:
        """As the sending side tells it; see :attr:`ByteSendStream.partial_send`."""
        return self.send_stream.partial_send

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return await self.receive_stream.receive(max_bytes)

    async def receive_into(self, buffer: WriteableBuffer) -> int:
        return await self.receive_stream.receive_into(buffer)

    async def send(self, item: ReadableBuffer) -> None:
        await self.send_stream.send(item)

    async def send_many(self, buffers: Iterable[ReadableBuffer]) -> None:
        await self.send_stream.send_many(buffers)

    async def send_eof(self) -> None:
        """Close the sending side; receiving goes on.  If cancelled, it is closed all the same."""
        if self._closed:
            raise ClosedResourceError
        await self.send_stream.aclose()

    async def aclose(self) -> None:
        """Close both sides, whatever becomes of the other.

        If both fail, the last exception is raised.  If cancelled, they are closed all the same.
        """
        self._refuse_other_thread()
        self._closed = True
        try:
            await self.send_stream.aclose()
        finally:
            await self.receive_stream.aclose()

    def _refuse_other_thread(self) -> None:
        refuse_other_thread(self.send_stream)
        refuse_other_thread(self.receive_stream)


class StapledObjectStream(ObjectStream[Any], Generic[T_Send, T_Receive]):
    """Two object streams as the two directions of one.

    What is sent may be of another type than what is received: ``StapledObjectStream[str, int]``
    sends strings; ``StapledObjectStream[str]`` does both.  A typed attribute that both streams
    have is the receiving one's.

    Args:
        send_stream: What to send on.
        receive_stream: What to receive from.
    """

    def __init__(
        self,
        send_stream: ObjectSendStream[T_Send],
        receive_stream: ObjectReceiveStream[T_Receive],
    ) -> None:
        self.send_stream = send_stream
        self.receive_stream = receive_stream
        self._closed = False

    if not TYPE_CHECKING:  # type checkers know it by the default of T_Receive

        def __class_getitem__(cls, items):
            both = items if isinstance(items, tuple) else (items, items)
            return super().__class_getitem__(both)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.send_stream!r}, {self.receive_stream!r})"

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {**self.send_stream.extra_attributes, **self.receive_stream.extra_attributes}

    @property
    def partial_send(self) -> int | None:
        """As the sending side tells it; None where it does not."""
        partial: int | None = getattr(self.send_stream, "partial_send", None)
        return partial

    async def receive(self) -> T_Receive:
        return await self.receive_stream.receive()

    def receive_nowait(self) -> T_Receive:
        """Receive the next item at once.

        Raises:
            NotImplementedError: The receiving side cannot.
            WouldBlock: There is no item.  What else the receiving side raises is raised as well.
        """
        receive_nowait: Callable[[], T_Receive] = _nowait(self.receive_stream, "receive_nowait")
        return receive_nowait()

    async def send(self, item: T_Send) -> None:
        await self.send_stream.send(item)

    def send_nowait(self, item: T_Send) -> None:
        """Send ``item`` at once.

        Raises:
            NotImplementedError: The sending side cannot.
            WouldBlock: There is no room.  What else the sending side raises is raised as well.
        """
        _nowait(self.send_stream, "send_nowait")(item)

    async def send_eof(self) -> None:
        """Close the sending side; receiving goes on.  If cancelled, it is closed all the same."""
        if self._closed:
            raise ClosedResourceError
        await self.send_stream.aclose()

    async def aclose(self) -> None:
        """Close both sides, whatever becomes of the other.

        If both fail, the last exception is raised.  If cancelled, they are closed all the same.
        """
        self._refuse_other_thread()
        self._closed = True
        try:
            await self.send_stream.aclose()
        finally:
            await self.receive_stream.aclose()

    def _refuse_other_thread(self) -> None:
        refuse_other_thread(self.send_stream)
        refuse_other_thread(self.receive_stream)


def _nowait(side: object, name: str) -> Callable[..., Any]:
    method: Callable[..., Any] | None = getattr(side, name, None)
    if method is None:
        raise NotImplementedError(f"{name!r} method not implemented in {type(side)}")
    return method


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
