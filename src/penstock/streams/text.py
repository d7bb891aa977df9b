"""Text streams: object streams of strings over any stream of bytes.

Lives here: when bytes are decoded, and what becomes of those that cannot be.  How is the business
of the standard library's incremental codecs.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from typing import Any

from penstock._backends import current_backend
from penstock._exceptions import ClosedResourceError, EndOfStream
from penstock._synchronization import ResourceGuard
from penstock.abc import (
    AnyByteReceiveStream,
    AnyByteSendStream,
    AnyByteStream,
    AnyByteStreamConnectable,
    ObjectReceiveStream,
    ObjectSendStream,
    ObjectStream,
    ObjectStreamConnectable,
)
from penstock.streams._threads import refuse_other_thread
from penstock.streams._whole import WholeSender

__all__ = ("TextConnectable", "TextReceiveStream", "TextSendStream", "TextStream")

#: What they give for two pieces is not the one behind the other, and they are decoded as wholes.
NAME_CODECS = ("idna", "punycode")
#: How much is decoded at a time where there is an error, which costs a copy of what is behind it.
PIECE = 1024
#: The most bytes that may come without making a character.  UTF-7 and the escapes of Python wait
#: for an end that a peer need not send, and look at all of it again whenever more has come.
MOST_HELD = 8192


def _check_codec(encoding: str, errors: str) -> None:
    """Raise LookupError where there is no such text encoding or error handler."""
    "".encode(encoding)  # the one public question that tells text encodings from others
    if codecs.lookup(encoding).name in NAME_CODECS:
        raise LookupError(f"{encoding!r} encodes names, not text that comes in pieces")
    codecs.lookup_error(errors)


class TextReceiveStream(ObjectReceiveStream[str]):
    """Receive bytes from any bytes-oriented stream as text.

    Characters are handed out as soon as they are complete, however they were cut on the way.  One
    task at a time receives.

    Args:
        transport_stream: A byte stream, or an object stream of bytes.
        encoding: Name of a text encoding.
        errors: What to do about bytes that cannot be decoded, as for :meth:`bytes.decode`.

    Raises:
        LookupError: There is no such text encoding or error handler.
    """

    def __init__(
        self,
        transport_stream: AnyByteReceiveStream,
        encoding: str = "utf-8",
        errors: str = "strict",
    ) -> None:
        _check_codec(encoding, errors)
        self.transport_stream = transport_stream
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._undecoded = b""  # from where an error was found behind good text
        self._pieces: list[bytes] = []  # what comes behind that, the last one first
        self._guard = ResourceGuard("reading from")
        self._closed = False

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self.transport_stream.extra_attributes

    async def receive(self) -> str:
        """Receive the text that is there, or wait for the first character.

        If cancelled, nothing is lost of what has arrived.

        Returns:
            At least one character.

        Raises:
            BrokenResourceError: The stream below is broken.
            BusyResourceError: Another task is receiving.
            ClosedResourceError: The stream was closed, before or during the call.
            EndOfStream: There is no further text.
            UnicodeDecodeError: Bytes cannot be decoded, or the stream ended within a character.
                The text before them was returned by an earlier call; a further one goes on
                behind them.  Also, whatever ``errors`` is: more than 8,192 bytes came without
                making a character, as UTF-7 and the escapes of Python allow.
        """
        with self._guard:
            if self._closed:
                raise ClosedResourceError
            text = ""
            while not text:
                chunk, self._undecoded = self._undecoded, b""
                if not chunk and self._pieces:
                    chunk = self._pieces.pop()
                if chunk:
                    await self._look_for_cancellation(chunk)
                else:
                    try:
                        chunk = await self.transport_stream.receive()
                    except EndOfStream:
                        text = self._decode(b"", final=True)
                        if not text:
                            raise
                        break
                text = self._decode(chunk, final=False)
                if not text:
                    self._check_held()
            return text

    def _refuse_other_thread(self) -> None:
        refuse_other_thread(self.transport_stream)

    async def aclose(self) -> None:
        self._refuse_other_thread()
        self._closed = True
        await self.transport_stream.aclose()

    async def _look_for_cancellation(self, undecoded: bytes) -> None:
        try:
            await current_backend().checkpoint_if_cancelled()
        except BaseException:
            self._undecoded = undecoded
            raise

    def _decode(self, chunk: bytes, final: bool) -> str:
        """Decode what can be, before anything is said of what cannot."""
        decoder = self._decoder
        before = decoder.getstate()
        try:
            return decoder.decode(chunk, final)
        except UnicodeDecodeError as exc:
            if len(chunk) > PIECE:
                decoder.setstate(before)
                starts = range((len(chunk) - 1) // PIECE * PIECE, -1, -PIECE)
                self._pieces = [chunk[start : start + PIECE] for start in starts]
                return ""
            # exc.object is the chunk, perhaps with held bytes before it; they end together.
            good = len(chunk) - (len(exc.object) - exc.start)
            if exc.start and good >= 0:
                decoder.setstate(before)
                try:  # with care: UTF-16 without a mark finds the later of two errors first
                    text = self._decode(chunk[:good], final=True)
                except UnicodeDecodeError:
                    self._undecoded += chunk[good:]
                    raise
                if text:
                    self._undecoded += chunk[good:]
                    return text
            self._undecoded = exc.object[exc.end :]
            decoder.setstate((b"", decoder.getstate()[1]))  # without the bytes that it held
            raise

    def _check_held(self) -> None:
        """Give up bytes that make no character, however many of them come."""
        held, state = self._decoder.getstate()
        if len(held) > MOST_HELD:
            self._decoder.setstate((b"", state))
            reason = f"more than {MOST_HELD} bytes, and no character"
            raise UnicodeDecodeError(self._encoding, held, 0, len(held), reason)


class TextSendStream(ObjectSendStream[str]):
    """Send text as bytes over any bytes-oriented stream.

    What an item was encoded to goes out whole, and nothing of it is held back: the receiver can
    decode all of it.  A byte order mark goes out once, before the first item.  One task at a time
    sends.

    Args:
        transport_stream: A byte stream, or an object stream of bytes.
        encoding: Name of a text encoding.
        errors: What to do about characters that cannot be encoded, as for :meth:`str.encode`.

    Raises:
        LookupError: There is no such text encoding or error handler.
    """

    def __init__(
        self, transport_stream: AnyByteSendStream, encoding: str = "utf-8", errors: str = "strict"
    ) -> None:
        _check_codec(encoding, errors)
        self.transport_stream = transport_stream
        self.errors = errors
        self._encoder = codecs.getincrementalencoder(encoding)(errors)
        self._sender = WholeSender(transport_stream)
        self._guard = ResourceGuard("writing to")

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self.transport_stream.extra_attributes

    @property
    def partial_send(self) -> int | None:
        """1: the last send was cut short, and the rest of its item goes out before the next one.

        0: it was cut short before anything of it went out.  None: it was complete.
        """
        return self._sender.partial

    async def send(self, item: str) -> None:
        """Send text.

        If cancelled, it was not sent, or its rest goes out before the next item:
        :attr:`partial_send` says which.  Over a byte stream that does not tell how much went out,
        sending is broken from then on.

        Raises:
            BrokenResourceError: The stream below is broken.
            BusyResourceError: Another task is sending.
            ClosedResourceError: The stream was closed, before or during the call.
            TypeError: ``item`` is not a string.
            UnicodeEncodeError: ``item`` cannot be encoded; nothing was sent.
        """
        if not isinstance(item, str):
            raise TypeError(f"expected a string, not {item!r}")
        with self._guard:
            encoder, sender = self._encoder, self._sender
            before = encoder.getstate()
            sent = False
            sender.partial = 0
            try:
                data = encoder.encode(item, final=True)
                await sender.send(((data,),) if data else ())
                sent = True
            finally:
                if not sent and not sender.partial:
                    encoder.setstate(before)

    async def aclose(self) -> None:
        """Close this stream and the one below; if cancelled, they are closed all the same.

        Of an item that was cut short, the rest is not sent.
        """
        self._refuse_other_thread()
        self._sender.close()
        await self.transport_stream.aclose()

    def _refuse_other_thread(self) -> None:
        refuse_other_thread(self.transport_stream)


class TextStream(ObjectStream[str]):
    """Both directions: receive bytes as text and send text as bytes.

    Args:
        transport_stream: A byte stream, or an object stream of bytes, in both directions.
        encoding: Name of a text encoding.
        errors: What to do about what cannot be decoded or encoded, as for :meth:`bytes.decode`.

    Raises:
        LookupError: There is no such text encoding or error handler.
    """

    def __init__(
        self, transport_stream: AnyByteStream, encoding: str = "utf-8", errors: str = "strict"
    ) -> None:
        self.transport_stream = transport_stream
        self._receive_stream = TextReceiveStream(transport_stream, encoding, errors)
        self._send_stream = TextSendStream(transport_stream, encoding, errors)

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self.transport_stream.extra_attributes

    @property
    def partial_send(self) -> int | None:
        """As of :class:`TextSendStream`."""
        return self._send_stream.partial_send

    async def receive(self) -> str:
        """Do what :meth:`TextReceiveStream.receive` does, when cancelled as well."""
        return await self._receive_stream.receive()

    async def send(self, item: str) -> None:
        """Do what :meth:`TextSendStream.send` does, when cancelled as well."""
        await self._send_stream.send(item)

    async def send_eof(self) -> None:
        """Tell the peer that nothing more will be sent; receiving goes on.

        Calling it again is silent.  If cancelled, the peer was not told; less may be left of an
        item that was cut short, whose rest goes out before.
        """
        await self._send_stream._sender.send_rest()
        await self.transport_stream.send_eof()

    def _refuse_other_thread(self) -> None:
        refuse_other_thread(self._receive_stream)

    async def aclose(self) -> None:
        self._refuse_other_thread()
        self._send_stream._sender.close()
        await self._receive_stream.aclose()


class TextConnectable(ObjectStreamConnectable[str]):
    """Something to connect to that gives a text stream, in UTF-8.

    Args:
        connectable: What to connect to.
    """

    def __init__(self, connectable: AnyByteStreamConnectable) -> None:
        self.connectable = connectable

    async def connect(self) -> TextStream:
        return TextStream(await self.connectable.connect())
