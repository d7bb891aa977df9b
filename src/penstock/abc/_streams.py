"""The contracts of object streams, byte streams and connectables.

What holds for every async method here, and is therefore not said again at each:

- A cancellation that is pending when the method is called is raised, and nothing has happened.
- ``ClosedResourceError``: this side was closed, before or during the call.
- ``BrokenResourceError``: the outside broke the stream; the ``OSError`` is its cause.
- ``BusyResourceError``: another task is in the same direction of the same stream; it is not
  disturbed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Generic, Self, TypeAlias, TypeVar

from penstock._exceptions import EndOfStream
from penstock.abc._attributes import TypedAttributeProvider
from penstock.abc._resources import AsyncResource

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = (
    "AnyByteReceiveStream",
    "AnyByteSendStream",
    "AnyByteStream",
    "AnyByteStreamConnectable",
    "AnyUnreliableByteReceiveStream",
    "AnyUnreliableByteSendStream",
    "AnyUnreliableByteStream",
    "ByteReceiveStream",
    "ByteSendStream",
    "ByteStream",
    "ByteStreamConnectable",
    "ObjectReceiveStream",
    "ObjectSendStream",
    "ObjectStream",
    "ObjectStreamConnectable",
    "UnreliableObjectReceiveStream",
    "UnreliableObjectSendStream",
    "UnreliableObjectStream",
)

T_Item = TypeVar("T_Item")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


class UnreliableObjectReceiveStream(Generic[T_co], AsyncResource, TypedAttributeProvider):
    """A stream of objects that may lose, double or reorder them on the way."""

    __slots__ = ()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        try:
            return await self.receive()
        except EndOfStream:
            raise StopAsyncIteration from None

    @abstractmethod
    async def receive(self) -> T_co:
        """Receive the next item.

        If cancelled, no item was taken.

        Raises:
            BrokenResourceError: The stream is broken.
            BusyResourceError: Another task is receiving, where only one may.
            ClosedResourceError: The stream was closed, before or during the call.
            EndOfStream: The peer has sent its last item.
        """


class UnreliableObjectSendStream(Generic[T_contra], AsyncResource, TypedAttributeProvider):
    """A stream of objects that may lose, double or reorder them on the way."""

    __slots__ = ()

    @abstractmethod
    async def send(self, item: T_contra) -> None:
        """Send an item.

        If cancelled, it was not sent.

        Args:
            item: What to send; of which type is a matter of the stream.

        Raises:
            BrokenResourceError: There is nobody to receive any more.
            BusyResourceError: Another task is sending, where only one may.
            ClosedResourceError: The stream was closed, before or during the call.
        """


class UnreliableObjectStream(
    UnreliableObjectReceiveStream[T_Item], UnreliableObjectSendStream[T_Item]
):
    """Both directions of an unreliable object stream."""

    __slots__ = ()


class ObjectReceiveStream(UnreliableObjectReceiveStream[T_co]):
    """A stream from which every item comes once and in order."""

    __slots__ = ()


class ObjectSendStream(UnreliableObjectSendStream[T_contra]):
    """A stream on which every item arrives once and in order."""

    __slots__ = ()


class ObjectStream(
    ObjectReceiveStream[T_Item], ObjectSendStream[T_Item], UnreliableObjectStream[T_Item]
):
    """Both directions of a reliable object stream."""

    __slots__ = ()

    @abstractmethod
    async def send_eof(self) -> None:
        """Tell the peer that nothing more will be sent; receiving goes on.

        Calling it again is silent.  If cancelled, the peer was not told.

        Raises:
            BrokenResourceError: The stream is broken.
            BusyResourceError: Another task is sending.
            ClosedResourceError: The stream was closed.
            NotImplementedError: This kind of stream cannot end one direction alone.
        """


class ByteReceiveStream(AsyncResource, TypedAttributeProvider):
    """A stream of bytes to receive from; boundaries of sends do not survive on the way."""

    __slots__ = ()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self.receive()
        except EndOfStream:
            raise StopAsyncIteration from None

    @abstractmethod
    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Receive what is there, or wait for the first byte.

        If cancelled, no byte was taken.

        Args:
            max_bytes: Longest result, in bytes; at least 1.

        Returns:
            Between 1 and ``max_bytes`` bytes, never ``b""``.

        Raises:
            BrokenResourceError: The stream is broken; the ``OSError``, if any, is the cause.
            BusyResourceError: Another task is receiving.
            ClosedResourceError: The stream was closed, before or during the call.
            EndOfStream: The peer has sent its last byte.
            TypeError: ``max_bytes`` is not an integer.
            ValueError: ``max_bytes`` is below 1.
        """

    async def receive_into(self, buffer: WriteableBuffer) -> int:
        """Receive into memory of the caller, as :meth:`receive` does.

        If cancelled, no byte was taken; the contents of ``buffer`` are undefined.

        Args:
            buffer: Contiguous writable memory of at least one byte; its bytes count, whatever
                the format of its items.

        Returns:
            How many bytes were written at its beginning, at least 1.

        Raises:
            BrokenResourceError: The stream is broken; the ``OSError``, if any, is the cause.
            BusyResourceError: Another task is receiving.
            ClosedResourceError: The stream was closed, before or during the call.
            EndOfStream: The peer has sent its last byte.
            TypeError: ``buffer`` is not contiguous writable memory.
            ValueError: ``buffer`` is empty.
        """
        with memoryview(buffer) as memory:
            if memory.readonly or not memory.c_contiguous:
                raise TypeError(f"expected contiguous writable memory, got {buffer!r}")
            if not memory.nbytes:
                raise ValueError("cannot receive into an empty buffer")
            with memory.cast("B") as octets:
                data = await self.receive(len(octets))
                octets[: len(data)] = data
                return len(data)


class ByteSendStream(AsyncResource, TypedAttributeProvider):
    """A stream of bytes to send to; boundaries of sends do not survive on the way."""

    __slots__ = ()

    @property
    def partial_send(self) -> int | None:
        """How many bytes of the last send went out, if it was cut short.

        After it, a send of the rest continues the sequence.  None: all of them, or the stream
        does not know.
        """
        return None

    @abstractmethod
    async def send(self, item: ReadableBuffer) -> None:
        """Send all bytes of ``item``.

        If cancelled, some of them may have gone out.

        Args:
            item: Bytes-like object; its bytes count, whatever the format of its items.

        Raises:
            BrokenResourceError: The stream is broken; the ``OSError``, if any, is the cause.
            BusyResourceError: Another task is sending.
            ClosedResourceError: The stream was closed, before or during the call.
            TypeError: ``item`` is not bytes-like.
        """

    async def send_many(self, buffers: Iterable[ReadableBuffer]) -> None:
        """Send all bytes of several buffers, in order.

        If cancelled, some of them may have gone out.

        Args:
            buffers: Bytes-like objects, looked at before the first byte is sent.

        Raises:
            BrokenResourceError: The stream is broken; the ``OSError``, if any, is the cause.
            BusyResourceError: Another task is sending.
            ClosedResourceError: The stream was closed, before or during the call.
            TypeError: One of ``buffers`` is not bytes-like; nothing was sent.
        """
        views = [memoryview(buffer) for buffer in buffers]
        for view in views or [memoryview(b"")]:  # a send of nothing looks whether it may send
            await self.send(view)


class ByteStream(ByteReceiveStream, ByteSendStream):
    """Both directions of a byte stream."""

    __slots__ = ()

    @abstractmethod
    async def send_eof(self) -> None:
        """Tell the peer that nothing more will be sent; receiving goes on.

        Calling it again is silent.  If cancelled, the peer was not told.

        Raises:
            BrokenResourceError: The stream is broken.
            BusyResourceError: Another task is sending.
            ClosedResourceError: The stream was closed.
            NotImplementedError: This kind of stream cannot end one direction alone.
        """


AnyUnreliableByteReceiveStream: TypeAlias = UnreliableObjectReceiveStream[bytes] | ByteReceiveStream
AnyUnreliableByteSendStream: TypeAlias = UnreliableObjectSendStream[bytes] | ByteSendStream
AnyUnreliableByteStream: TypeAlias = UnreliableObjectStream[bytes] | ByteStream
AnyByteReceiveStream: TypeAlias = ObjectReceiveStream[bytes] | ByteReceiveStream
AnyByteSendStream: TypeAlias = ObjectSendStream[bytes] | ByteSendStream
AnyByteStream: TypeAlias = ObjectStream[bytes] | ByteStream


class ObjectStreamConnectable(ABC, Generic[T_Item]):
    """Something to connect to that gives an object stream."""

    __slots__ = ()

    @abstractmethod
    async def connect(self) -> ObjectStream[T_Item]:
        """Connect, and return the stream.

        If cancelled, no connection stays open.

        Raises:
            ConnectionFailed: It was not possible.
        """


class ByteStreamConnectable(ABC):
    """Something to connect to that gives a byte stream."""

    __slots__ = ()

    @abstractmethod
    async def connect(self) -> ByteStream:
        """Connect, and return the stream.

        If cancelled, no connection stays open.

        Raises:
            ConnectionFailed: It was not possible.
        """


AnyByteStreamConnectable: TypeAlias = ObjectStreamConnectable[bytes] | ByteStreamConnectable
