"""penstock's byte streams as asyncio's reader and writer, and those as a byte stream.

Lives here: a transport over a byte stream, under asyncio's own ``StreamReader`` and
``StreamWriter``, so that code which looks inside them finds what it knows; and the way back.  For
programs on asyncio: the transport has two tasks of its event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from penstock._arguments import positive
from penstock._backends import current_backend
from penstock._exceptions import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
)
from penstock._octets import view_of
from penstock._synchronization import ResourceGuard
from penstock.abc import ByteStream, SocketAttribute
from penstock.lowlevel import checkpoint_if_cancelled
from penstock.streams.tls import TLSAttribute

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ("FromAsyncioStreams", "as_asyncio_streams")

#: What ``get_extra_info`` calls it -> the typed attribute.
EXTRA = {
    "peername": SocketAttribute.remote_address,
    "socket": SocketAttribute.raw_socket,
    "sockname": SocketAttribute.local_address,
    "cipher": TLSAttribute.cipher,
    "peercert": TLSAttribute.peer_certificate,
    "ssl_object": TLSAttribute.ssl_object,
}


def as_asyncio_streams(
    stream: ByteStream, *, limit: int = 65536
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a reader and a writer of asyncio's over ``stream``, which is theirs from now on.

    They read ahead and buffer as asyncio's do: up to twice ``limit`` received bytes, and 64 KiB to
    send until ``drain`` waits.  Closing the writer sends what is left, then closes the stream.

    Args:
        stream: Any byte stream of the running asyncio event loop.
        limit: As that of ``asyncio.StreamReader``, in bytes.

    Raises:
        RuntimeError: No asyncio event loop is running.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport = _StreamTransport(loop, stream, protocol)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


class _StreamTransport(asyncio.Transport):
    """A transport of asyncio's over a byte stream."""

    # I1  _unsent has what was written and not handed to the stream; _size is its bytes, and those
    #     that the stream is sending
    # I2  the protocol is paused if and only if _size went over _high and not yet down to _low
    # I3  connection_lost is called once, when both tasks are done with the stream

    def __init__(
        self, loop: asyncio.AbstractEventLoop, stream: ByteStream, protocol: asyncio.Protocol
    ) -> None:
        super().__init__()
        self._loop, self._stream, self._protocol = loop, stream, protocol
        self._unsent: list[bytes] = []
        self._size = 0
        self._low, self._high = 16384, 65536
        self._paused = False
        self._reading, self._written = asyncio.Event(), asyncio.Event()
        self._reading.set()
        self._closing = self._eof = self._begun = False
        self._failure: Exception | None = None
        protocol.connection_made(self)
        self._reader = loop.create_task(self._read())
        self._writer = loop.create_task(self._write())
        self._writer.add_done_callback(self._lost)

    # -- receiving -------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while True:
                await self._reading.wait()
                self._protocol.data_received(await self._stream.receive())
        except EndOfStream:
            if not self._protocol.eof_received():
                self.close()
        except (BrokenResourceError, ClosedResourceError) as exc:
            self._note_failure(exc)
            self.abort()

    def pause_reading(self) -> None:
        self._reading.clear()

    def resume_reading(self) -> None:
        self._reading.set()

    def is_reading(self) -> bool:
        return self._reading.is_set() and not self._closing

    # -- sending ---------------------------------------------------------------------------

    def write(self, data: ReadableBuffer) -> None:
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing:
            return  # as asyncio's transports do: connection_lost tells
        piece = bytes(view_of(data))
        if piece:
            self._unsent.append(piece)
            self._size += len(piece)
            self._written.set()
            if self._size > self._high and not self._paused:
                self._paused = True
                self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[ReadableBuffer]) -> None:
        self.write(b"".join(list_of_data))

    async def _write(self) -> None:
        self._begun = True
        eof_sent = False
        try:
            while True:
                if self._unsent:
                    pieces, self._unsent = self._unsent, []
                    await self._stream.send_many(pieces)
                    self._size -= sum(map(len, pieces))
                    if self._paused and self._size <= self._low:
                        self._paused = False
                        self._protocol.resume_writing()
                elif self._eof and not eof_sent:
                    eof_sent = True
                    await self._stream.send_eof()
                elif self._closing:
                    break
                else:
                    self._written.clear()
                    await self._written.wait()
        except (BrokenResourceError, ClosedResourceError) as exc:
            self._note_failure(exc)
        finally:
            self._closing = True
            self._reader.cancel()
            await self._stream.aclose()

    def can_write_eof(self) -> bool:
        return self._stream.extra(TLSAttribute.tls_version, "TLSv1.3") == "TLSv1.3"

    def write_eof(self) -> None:
        self._eof = True
        self._written.set()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = 65536 if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low

    def get_write_buffer_size(self) -> int:
        return self._size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    # -- the end ---------------------------------------------------------------------------

    def close(self) -> None:
        self._closing = True
        self._written.set()

    def is_closing(self) -> bool:
        return self._closing

    def abort(self) -> None:
        self._closing = True
        self._unsent.clear()
        if self._begun:  # else it would never run, and the stream stay open
            self._writer.cancel()  # which closes the stream, whatever it is waiting for

    def _note_failure(self, exc: Exception) -> None:
        if self._failure is None:
            cause = exc.__cause__
            self._failure = cause if isinstance(cause, OSError) else ConnectionResetError(str(exc))

    def _lost(self, writer: asyncio.Task[None]) -> None:
        if not writer.cancelled() and (exc := writer.exception()) is not None:
            self._loop.call_exception_handler({"message": "a transport failed", "exception": exc})
        self._protocol.connection_lost(self._failure)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol  # type: ignore[assignment]  # of a stream transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        attribute = EXTRA.get(name)
        return default if attribute is None else self._stream.extra(attribute, default)


class FromAsyncioStreams(ByteStream):
    """A reader and a writer of asyncio's as a byte stream of penstock's, which owns them.

    A cancelled send has handed all its bytes to the writer, or none: ``partial_send`` says which.

    Args:
        reader: Where to receive from.
        writer: Where to send to; closed with the stream.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._source, self._sink = reader, writer
        self._receiving, self._sending = ResourceGuard("reading from"), ResourceGuard("writing to")
        self._closed = self._eof_sent = self._draining = False
        self._partial: int | None = None

    @property
    def partial_send(self) -> int | None:
        """How many bytes of the last send went to the writer, if it was cut short; None: all."""
        return self._partial

    async def receive(self, max_bytes: int = 65536) -> bytes:
        positive("max_bytes", max_bytes)
        if self._closed:
            raise ClosedResourceError
        with self._receiving:
            backend = current_backend()
            await backend.begin_operation()
            try:
                data = await self._source.read(max_bytes)
            except OSError as exc:
                raise BrokenResourceError from exc
        if data:
            backend.budget.spend_bytes(len(data))
            return data
        if self._closed:
            raise ClosedResourceError
        raise EndOfStream

    async def send(self, item: ReadableBuffer) -> None:
        if self._closed or self._eof_sent:
            raise ClosedResourceError
        with self._sending:
            self._partial = 0
            backend = current_backend()
            await backend.begin_operation()
            data = bytes(view_of(item))
            backend.budget.spend_bytes(len(data))
            self._draining = True
            try:
                if not self._sink.is_closing():  # else a write would be a RuntimeError, or be lost
                    self._sink.write(data)
                    self._partial = len(data)
                await self._sink.drain()  # which may keep quiet about the end of the connection
                if self._sink.is_closing():
                    raise ClosedResourceError if self._closed else BrokenResourceError
            except OSError as exc:
                if self._closed:
                    raise ClosedResourceError from exc
                raise BrokenResourceError from exc
            finally:
                self._draining = False
            self._partial = None

    async def send_many(self, buffers: Iterable[ReadableBuffer]) -> None:
        # One send, so that what is told of it is told of all.
        await self.send(b"".join([view_of(buffer) for buffer in buffers]))

    async def send_eof(self) -> None:
        if self._closed:
            raise ClosedResourceError
        with self._sending:
            await checkpoint_if_cancelled()
            if not self._sink.can_write_eof():
                raise NotImplementedError(f"{self._sink!r} cannot end one direction alone")
            if not self._eof_sent:
                self._eof_sent = True
                self._sink.write_eof()

    async def aclose(self) -> None:
        """Send what is left, and close the writer.

        What is left is thrown away if this is cancelled, and where a task waits to send: its peer
        takes nothing.
        """
        if self._closed:
            await checkpoint_if_cancelled()
            return  # asyncio has one future for all who wait: a wait that was cancelled cancels it
        self._closed = True
        if self._draining:
            self._sink.transport.abort()
        self._sink.close()
        try:
            await self._sink.wait_closed()
        except OSError:
            pass  # what the peer did
        except BaseException:
            self._sink.transport.abort()
            raise

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        info = {attribute: self._sink.get_extra_info(name) for name, attribute in EXTRA.items()}
        return {
            attribute: lambda value=value: value  # type: ignore[misc]  # bound now
            for attribute, value in info.items()
            if value is not None
        }
