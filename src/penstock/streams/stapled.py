"""Several streams or listeners as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from penstock.abc import (
    ByteReceiveStream,
    ByteSendStream,
    ByteStream,
    ObjectReceiveStream,
    ObjectSendStream,
    ObjectStream,
)

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer
    from typing_extensions import TypeVar as TypeVarWithDefault

__all__ = ("StapledByteStream", "StapledObjectStream")

T_Send = TypeVar("T_Send")
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
        await self.send_stream.aclose()

    async def aclose(self) -> None:
        """Close both sides, whatever becomes of the other.

        If both fail, the last exception is raised.  If cancelled, they are closed all the same.
        """
        try:
            await self.send_stream.aclose()
        finally:
            await self.receive_stream.aclose()


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
        """Send an item at once.

        Raises:
            NotImplementedError: The sending side cannot.
            WouldBlock: There is no room.  What else the sending side raises is raised as well.
        """
        _nowait(self.send_stream, "send_nowait")(item)

    async def send_eof(self) -> None:
        """Close the sending side; receiving goes on.  If cancelled, it is closed all the same."""
        await self.send_stream.aclose()

    async def aclose(self) -> None:
        """Close both sides, whatever becomes of the other.

        If both fail, the last exception is raised.  If cancelled, they are closed all the same.
        """
        try:
            await self.send_stream.aclose()
        finally:
            await self.receive_stream.aclose()


def _nowait(side: object, name: str) -> Callable[..., Any]:
    method: Callable[..., Any] | None = getattr(side, name, None)
    if method is None:
        raise NotImplementedError(f"{name!r} method not implemented in {type(side)}")
    return method
