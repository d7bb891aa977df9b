"""A byte stream that encrypts what it sends and decrypts what it receives.

Lives here: the state machine around :class:`ssl.SSLObject`, and nothing else; it reads from top to
bottom.  The object itself does no I/O: ciphertext that came is fed to its incoming BIO, and what
it leaves in its outgoing BIO is flushed to the transport.

Three rules keep a stream whole whatever is cancelled:

1. Plaintext that was taken out of the object is returned, or kept in ``_plain``, at once: no
   ``await`` stands between.
2. Ciphertext that was taken out of the outgoing BIO stays in ``_unsent`` until the transport has
   it: a record that is lost or torn makes all that follows unreadable.  Whoever flushes next goes
   on where a cancelled flush has stopped.
3. An object that has failed is not asked again: what it said stays in ``_failure``.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn, Self

from penstock import to_thread
from penstock._backends import Backend, current_backend
from penstock._exceptions import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
)
from penstock._kin import with_kindred_keys
from penstock._octets import octets_of
from penstock._synchronization import Lock
from penstock.abc import AnyByteStream, ByteReceiveStream, ByteStream
from penstock.streams.tls._attributes import TLSAttribute
from penstock.streams.tls._contexts import AnySSLContext, bio_pair, default_context

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ("TLSStream",)

#: Plaintext that is encrypted in one go: 64 KiB take some 40 us, and 16 KiB are one record.
PIECE = 65536
#: The most that one call takes out of the object: the contents of a record (RFC 8446, 5.1).
RECORD = 16384
#: The most ciphertext that is received in one go: three full records and what frames them.
FEED = 65536
#: The same after a feed that held no data.  The object does all records without data in one go,
#: and a KeyUpdate of 27 bytes (RFC 8446, 4.6.3) takes 18 us: 64 KiB were 44 ms, 4 KiB are 3.
CAUTIOUS_FEED = 4096
#: What a feed that held no data costs of the ready budget, in bytes: all of it.
FRUITLESS = 262144
#: How long closing, or an alert, waits for the peer, in seconds.
PATIENCE = 2.0
#: The same while a task waits for data, in seconds: it is set free by closing the transport.
BRIEF = 0.01


class TLSStream(ByteStream):
    """An encrypted byte stream over any stream of bytes; made by :meth:`wrap`.

    One task may receive while another sends.  What the peer does wrong is a BrokenResourceError
    with the :exc:`ssl.SSLError` as its cause, and the peer is told by an alert.
    """

    # I1  _unsent: ciphertext that has left the outgoing BIO and that the transport has not taken;
    #     only the holder of _flushing changes it
    # I2  the first _held bytes of the outgoing BIO may wait there for the next send: the session
    #     tickets of a server.  A peer that reads only what it waits for would block them, and we
    #     should wait for each other (RFC 8446, 4.6.1 lets them come at any time)
    # I3  _feeds counts the receives from the transport: whoever wanted more bytes looks whether
    #     somebody else has brought some meanwhile
    # I4  _plain: plaintext that was taken out of the object before it was asked for; it comes
    #     before whatever the object still has
    __slots__ = (
        "__weakref__",
        "_backend",
        "_closed",
        "_ended",
        "_eof_sent",
        "_failure",
        "_feed_size",
        "_feeding",
        "_feeds",
        "_flushing",
        "_held",
        "_incoming",
        "_outgoing",
        "_partial_send",
        "_plain",
        "_reading",
        "_sized",
        "_ssl",
        "_torn",
        "_truncated",
        "_unsent",
        "_writing",
        "standard_compatible",
        "transport_stream",
    )

    def __init__(
        self,
        transport_stream: AnyByteStream,
        ssl_object: ssl.SSLObject,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        standard_compatible: bool,
    ) -> None:
        #: The stream below.
        self.transport_stream: Any = transport_stream
        #: Whether the end of the stream has to be announced by whoever ends it.
        self.standard_compatible: bool = standard_compatible
        self._sized = isinstance(transport_stream, ByteReceiveStream)  # or one of objects
        self._backend: Backend = current_backend()
        self._ssl = ssl_object
        self._incoming = incoming
        self._outgoing = outgoing
        self._unsent = b""
        self._plain = memoryview(b"")
        self._held = 0
        self._feeds = 0
        self._feed_size = FEED
        self._flushing, self._feeding = Lock(fast_acquire=True), Lock(fast_acquire=True)
        self._reading = self._writing = False
        self._partial_send: int | None = None
        self._closed = False
        self._eof_sent = False
        self._ended = False  # the peer has announced the end
        self._truncated = False  # the transport has ended
        self._torn = False  # a record was lost on the way to the transport
        self._failure: ssl.SSLError | None = None

    # -- the handshake ---------------------------------------------------------------------

    @classmethod
    async def wrap(
        cls,
        transport_stream: AnyByteStream,
        *,
        server_side: bool | None = None,
        hostname: str | None = None,
        ssl_context: AnySSLContext | None = None,
        standard_compatible: bool = True,
    ) -> Self:
        """Do the TLS handshake over a stream, and return the encrypted stream.

        If it fails or is cancelled, ``transport_stream`` stays open and is of no more use than to
        be closed.

        Args:
            transport_stream: A byte stream, or an object stream of bytes.  Bytes that a buffered
                stream has at hand are part of the handshake (STARTTLS).
            server_side: Which side this is; None: the client's if ``hostname`` is given.
            hostname: The name or address that the server's certificate has to be for.
            ssl_context: Anything with the ``wrap_bio`` of :class:`ssl.SSLContext`; None: a
                context with the system's certificates.
            standard_compatible: Announce the end of the stream, and require the same of the peer;
                without it nobody can tell an end from an attacker's cut.

        Raises:
            BrokenResourceError: The handshake has failed; the cause says why.
            ssl.SSLCertVerificationError: The peer's certificate is not acceptable.
            TypeError: ``ssl_context`` has no ``wrap_bio``, or ``hostname`` is no string.
            ValueError: ``hostname`` is no name, or missing where ``ssl_context`` wants to check it,
                or ``ssl_context`` is not for this side.
        """
        if server_side is None:
            server_side = not hostname
        if ssl_context is None:
            ssl_context = default_context(server_side=server_side)
        ends = (ssl_context, server_side, hostname)
        if type(ssl_context) is ssl.SSLContext:
            ssl_object, incoming, outgoing = bio_pair(*ends)
        else:  # others may block, as those do that ask the system about certificates
            ssl_object, incoming, outgoing = await to_thread.run_sync(bio_pair, *ends)
        stream = cls(transport_stream, ssl_object, incoming, outgoing, standard_compatible)
        await stream._shake_hands()
        return stream

    async def _shake_hands(self) -> None:
        while True:
            try:
                self._ssl.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError:
                await self._flush_alert()
                raise
            except ssl.SSLError as exc:
                self._note_failure(exc)
                await self._raise_failure()
            if self._truncated:
                raise BrokenResourceError("the stream has ended in the middle of the TLS handshake")
            await self._flush()
            await self._feed()
        if self._ssl.server_side and self._ssl.version() == "TLSv1.3":
            self._held = self._outgoing.pending
        else:
            await self._flush()

    # -- the transport ---------------------------------------------------------------------

    async def _feed(self) -> None:
        """Receive ciphertext, unless somebody else does so meanwhile."""
        feeds = self._feeds
        await self._feeding.acquire()
        try:
            if self._feeds != feeds:
                return
            try:
                if self._sized:
                    data = await self.transport_stream.receive(self._feed_size)
                else:
                    data = await self.transport_stream.receive()
            except EndOfStream:
                self._truncated = True
            else:
                self._incoming.write(data)
            self._feeds += 1
        finally:
            self._feeding.release()

    async def _flush(self) -> None:
        """Have the transport send all ciphertext there is."""
        await self._flushing.acquire()
        try:
            while self._unsent or self._outgoing.pending:
                if self._torn:
                    raise BrokenResourceError("a TLS record was lost when a send was cut short")
                self._held = 0
                if not self._unsent:
                    self._unsent = self._outgoing.read()
                try:
                    await self.transport_stream.send(self._unsent)
                except BusyResourceError:  # somebody else uses the transport; nothing was sent
                    raise
                except BaseException:
                    self._unsent = self._rest()
                    raise
                self._unsent = b""
        finally:
            self._flushing.release()

    def _rest(self) -> bytes:
        """Return what a send that was cut short has left of ``_unsent``."""
        partial: int | None = getattr(self.transport_stream, "partial_send", None)
        if not self._sized:
            return b"" if partial else self._unsent  # an item is sent or is not
        if partial is None:
            self._torn = True
            return b""
        return self._unsent[partial:]

    async def _flush_beside_feed(self) -> None:
        """Receive ciphertext, and send meanwhile what the peer may be waiting for.

        Sending alone could wait for a peer who himself waits until we have received.
        """
        if self._outgoing.pending > FEED:  # he asks for answers, and takes none
            await self._flush()

        async def flush() -> None:
            try:
                await self._flush()
            except (BrokenResourceError, BusyResourceError, ClosedResourceError):
                pass  # who sends will be told

        failure: Exception | None = None  # as it is, not in a group
        try:
            async with self._backend.create_task_group() as group:
                group.start_soon(flush)
                try:
                    await self._feed()
                except Exception as exc:
                    failure = exc
                group.cancel_scope.cancel()
            if failure is not None:
                raise failure
        finally:
            del failure  # whose traceback leads back to this frame

    async def _flush_alert(self) -> None:
        """Tell the peer what is wrong, if it listens."""
        if self._flushing.locked():
            return  # whoever is at it sends that too
        deadline = self._backend.current_time() + PATIENCE
        with self._backend.create_cancel_scope(deadline=deadline, shield=False):
            try:
                await self._flush()
            except (BrokenResourceError, ClosedResourceError, BusyResourceError):
                pass  # what is wrong is being raised already

    def _note_failure(self, exc: ssl.SSLError) -> None:
        self._failure = exc.with_traceback(None)  # whose frames hold this stream

    async def _raise_failure(self) -> NoReturn:
        """Give the stream up because of what the object said."""
        failure = self._failure
        assert failure is not None
        await self._flush_alert()
        raise BrokenResourceError(failure.reason or str(failure)) from failure

    def _check_loop(self) -> None:
        if not self._backend.is_current():
            raise RuntimeError("this stream belongs to another event loop or thread")

    # -- receiving -------------------------------------------------------------------------

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if not isinstance(max_bytes, int):
            raise TypeError(f"max_bytes must be an integer, not {max_bytes!r}")
        if max_bytes < 1:
            raise ValueError(f"max_bytes must be a positive integer, not {max_bytes}")
        if self._closed:
            raise ClosedResourceError
        if self._reading:
            raise BusyResourceError("reading from")
        self._reading = True
        try:
            while not self._backend.budget.spend():
                self._check_loop()
                await self._backend.settle()
            while not self._closed:
                if data := self._at_hand(max_bytes):
                    return data
                if self._ended:
                    raise EndOfStream
                await self._read_on()
            raise ClosedResourceError
        finally:
            self._reading = False

    def _at_hand(self, max_bytes: int) -> bytes:
        """Return the plaintext that is there; what is amiss behind it is noted."""
        chunks = []
        fed = self._incoming.pending
        if self._plain:
            chunks.append(bytes(self._plain[:max_bytes]))
            self._plain = self._plain[max_bytes:]
            max_bytes -= len(chunks[0])
        try:
            while max_bytes and (self._incoming.pending or self._ssl.pending()):
                if self._ended or self._failure is not None:
                    break
                if data := self._ssl.read(min(max_bytes, RECORD)):
                    chunks.append(data)
                    max_bytes -= len(data)
                else:
                    self._ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:  # instead of b"", after our own announcement
            self._ended = True
        except ssl.SSLError as exc:
            self._note_failure(exc)
        if chunks:
            if 2 * fed >= self._feed_size:
                self._feed_size = min(4 * self._feed_size, FEED)
        elif fed >= CAUTIOUS_FEED:
            self._backend.budget.spend_bytes(FRUITLESS)
            if fed > RECORD:
                self._feed_size = CAUTIOUS_FEED
        return b"".join(chunks)

    async def _read_on(self) -> None:
        """Get more ciphertext, or raise why there will be none."""
        if self._failure is not None:
            await self._raise_failure()
        if self._truncated:
            if self.standard_compatible:
                raise BrokenResourceError("the stream has ended without an announcement")
            self._ended = True
        elif self._flushing.locked() or not (
            self._unsent or self._outgoing.pending > self._held
        ):  # nothing to send, or whoever sends takes it along
            await self._feed()
        else:
            await self._flush_beside_feed()

    # -- sending ---------------------------------------------------------------------------

    @property
    def partial_send(self) -> int | None:
        """How many bytes of the last send were encrypted, if it was cut short; None: all.

        What was encrypted goes out with whatever is done next.
        """
        return self._partial_send

    async def send(self, item: ReadableBuffer) -> None:
        with octets_of(item) as octets:
            await self._write([octets])

    async def send_many(self, buffers: Iterable[ReadableBuffer]) -> None:
        with ExitStack() as stack:
            views = [stack.enter_context(octets_of(buffer)) for buffer in buffers]
            if sum(map(len, views)) <= PIECE:  # few records are better than many
                views = [memoryview(b"".join(views))]
            await self._write(views)

    async def _write(self, views: list[memoryview]) -> None:
        if self._closed or self._eof_sent:
            raise ClosedResourceError
        if self._writing:
            raise BusyResourceError("writing to")
        self._writing = True
        self._partial_send = 0
        try:
            while not self._backend.budget.spend():
                self._check_loop()
                await self._backend.settle()
            for view in views:
                offset = 0
                while offset < len(view):
                    offset += await self._write_piece(view[offset : offset + PIECE])
            self._partial_send = None
        finally:
            self._writing = False

    async def _write_piece(self, piece: memoryview) -> int:
        """Encrypt and send some of ``piece``; return how much."""
        while True:
            if self._closed:
                raise ClosedResourceError
            if self._failure is not None:
                await self._raise_failure()
            try:
                nbytes = self._ssl.write(piece)
            except ssl.SSLWantReadError:  # TLS 1.2: the peer renegotiates
                if self._truncated:
                    raise BrokenResourceError("the stream has ended") from None
                await self._flush()
                await self._feed()
            except ssl.SSLError as exc:
                self._note_failure(exc)
            else:
                self._partial_send += nbytes  # type: ignore[operator]  # see _write()
                await self._flush()
                return nbytes

    # -- the end ---------------------------------------------------------------------------

    async def send_eof(self) -> None:
        """Tell the peer that nothing more will be sent; receiving goes on.

        Calling it again is silent.  If cancelled, the peer is told by whatever is done next.

        Raises:
            NotImplementedError: The connection is older than TLS 1.3, where the announcement ends
                both directions (RFC 8446, 6.1).
        """
        if self._closed:
            raise ClosedResourceError
        if self._writing:
            raise BusyResourceError("writing to")
        version = self._ssl.version()
        if version != "TLSv1.3":
            raise NotImplementedError(
                f"send_eof() requires at least TLSv1.3; current session uses {version}"
            )
        self._check_loop()
        await self._backend.checkpoint_if_cancelled()
        self._announce_end()
        await self._flush()

    def _announce_end(self) -> None:
        """Put a close_notify into the outgoing BIO; again: do nothing."""
        if self._eof_sent:
            return
        self._eof_sent = True
        # The object would take a record that is there for the peer's answer, and lose it.
        self._plain = memoryview(self._at_hand(sys.maxsize))
        if self._failure is None:
            try:
                self._ssl.unwrap()
            except ssl.SSLError:  # it wants to read the peer's announcement, or is broken anyway
                pass

    async def unwrap(self) -> tuple[Any, bytes]:
        """End the encryption and go on with the transport in the clear.

        Waits until the peer has announced the end as well.  If cancelled, the stream can be
        unwrapped again, received from or closed.

        Returns:
            The stream below, and what came behind the peer's announcement.

        Raises:
            BrokenResourceError: The peer has sent something that was not received before, or the
                stream has ended.
        """
        if self._closed:
            raise ClosedResourceError
        if self._reading:
            raise BusyResourceError("reading from")
        if self._writing:
            raise BusyResourceError("writing to")
        self._reading = self._writing = True
        try:
            self._check_loop()
            await self._backend.checkpoint_if_cancelled()
            await self._end_both()
            if self._plain:
                raise BrokenResourceError("the peer has sent data that was not received")
            if self._closed:
                raise ClosedResourceError
        finally:
            self._reading = self._writing = False
        self._closed = True
        return self.transport_stream, self._incoming.read()

    async def _end_both(self) -> None:
        """Announce the end, and wait for the peer's announcement or for data."""
        self._announce_end()
        self._plain = memoryview(self._at_hand(sys.maxsize))
        while not self._ended and not self._plain:
            await self._read_on()  # which sends as well: the peer may be doing the same
            self._plain = memoryview(self._at_hand(sys.maxsize))
        await self._flush()

    async def aclose(self) -> None:
        """Announce the end, wait at most two seconds for the peer's announcement, and close.

        What the peer sends meanwhile is thrown away.  Closing twice is silent, and what the peer
        did is never raised.  Without ``standard_compatible`` the transport is closed at once.  If
        cancelled, it is closed without the announcement.
        """
        already, self._closed = self._closed, True
        try:
            if self.standard_compatible and not already:
                await self._part()
        finally:
            await self.transport_stream.aclose()

    async def _part(self) -> None:
        if self._truncated or self._torn or self._flushing.locked():
            return  # the peer has gone, or a task that sends is stuck: closing sets it free
        waited_for = self._reading or self._feeding.locked()
        deadline = self._backend.current_time() + (BRIEF if waited_for else PATIENCE)
        with self._backend.create_cancel_scope(deadline=deadline, shield=False):
            try:
                if waited_for:
                    self._announce_end()
                    await self._flush()
                else:
                    await self._end_both()
                    while not self._ended:
                        self._plain = memoryview(b"")
                        await self._end_both()
            except (BrokenResourceError, ClosedResourceError, BusyResourceError):
                pass  # what the peer did

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        ssl_object = self._ssl
        server_side = ssl_object.server_side
        own: dict[Any, Callable[[], Any]] = {
            TLSAttribute.alpn_protocol: ssl_object.selected_alpn_protocol,
            TLSAttribute.channel_binding_tls_unique: ssl_object.get_channel_binding,
            TLSAttribute.cipher: ssl_object.cipher,
            TLSAttribute.peer_certificate: ssl_object.getpeercert,
            TLSAttribute.peer_certificate_binary: lambda: ssl_object.getpeercert(True),
            TLSAttribute.server_side: lambda: server_side,
            TLSAttribute.shared_ciphers: lambda: (
                ssl_object.shared_ciphers() if server_side else None
            ),
            TLSAttribute.ssl_object: lambda: ssl_object,
            TLSAttribute.standard_compatible: lambda: self.standard_compatible,
            TLSAttribute.tls_version: ssl_object.version,
        }
        return {**self.transport_stream.extra_attributes, **with_kindred_keys(own)}
