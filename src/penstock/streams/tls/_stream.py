"""A byte stream that encrypts what it sends and decrypts what it receives.

Lives here: what a caller may ask of it, from the handshake to the end.  What OpenSSL is asked lives
in ``_engine``, and how ciphertext travels in ``_pump``.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn, Self

from penstock import to_thread
from penstock._arguments import positive
from penstock._backends import Backend, current_backend
from penstock._exceptions import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
)
from penstock._kin import with_kindred_keys
from penstock._octets import octets_of
from penstock.abc import AnyByteStream, ByteStream
from penstock.streams.tls._attributes import TLSAttribute
from penstock.streams.tls._contexts import AnySSLContext, default_context
from penstock.streams.tls._engine import Engine
from penstock.streams.tls._pump import PATIENCE, Pump

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ("TLSStream",)

#: Plaintext that is encrypted in one go: 64 KiB take some 40 us, and 16 KiB are one record.
PIECE = 65536
#: Bytes of the ready budget that a unit of the engine's effort stands for: 1,024 units use it up.
BYTES_OF_EFFORT = 256
#: Effort that is not worth counting: a few records with data.
EFFORTLESS = 16
#: How long closing waits while a task waits for data, in seconds: closing the transport sets that
#: one free.
BRIEF = 0.01


class TLSStream(ByteStream):
    """An encrypted byte stream over any stream of bytes; made by :meth:`wrap`.

    One task may receive while another sends.  What the peer does wrong is a BrokenResourceError
    with the :exc:`ssl.SSLError` as its cause, and the peer is told by an alert.
    """

    __slots__ = (
        "__weakref__",
        "_backend",
        "_closed",
        "_engine",
        "_eof_sent",
        "_partial_send",
        "_pump",
        "_reading",
        "_writing",
        "standard_compatible",
        "transport_stream",
    )

    def __init__(
        self, transport_stream: AnyByteStream, engine: Engine, standard_compatible: bool
    ) -> None:
        #: The stream below.
        self.transport_stream: Any = transport_stream
        #: Whether the end of the stream has to be announced by whoever ends it.
        self.standard_compatible: bool = standard_compatible
        self._backend: Backend = current_backend()
        self._engine = engine
        self._pump = Pump(transport_stream, engine, self._backend)
        self._reading = self._writing = False
        self._partial_send: int | None = None
        self._closed = False
        self._eof_sent = False

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
            engine = Engine(*ends)
        else:  # others may block, as those do that ask the system about certificates
            engine = await to_thread.run_sync(Engine, *ends)
        stream = cls(transport_stream, engine, standard_compatible)
        await stream._shake_hands()
        return stream

    async def _shake_hands(self) -> None:
        engine = self._engine
        while not engine.shake_hands():
            if self._pump.truncated:
                raise BrokenResourceError("the stream has ended in the middle of the TLS handshake")
            await self._pump.flush()
            await self._pump.feed()
        if isinstance(engine.failure, ssl.SSLCertVerificationError):
            await self._pump.flush_alert()
            try:
                raise engine.failure
            finally:
                engine.failure = None  # whose traceback leads back to this frame
        if engine.failure is not None:
            await self._raise_failure()
        if engine.object.server_side and engine.object.version() == "TLSv1.3":
            self._pump.held = engine.outgoing.pending
        else:
            await self._pump.flush()

    async def _raise_failure(self) -> NoReturn:
        """Give the stream up because of what the object said."""
        failure = self._engine.failure
        assert failure is not None
        await self._pump.flush_alert()
        raise BrokenResourceError(failure.reason or str(failure)) from failure

    def _check_loop(self) -> None:
        if not self._backend.is_current():
            raise RuntimeError("this stream belongs to another event loop or thread")

    # -- receiving -------------------------------------------------------------------------

    async def receive(self, max_bytes: int = 65536) -> bytes:
        positive("max_bytes", max_bytes)
        if self._closed:
            raise ClosedResourceError
        if self._reading:
            raise BusyResourceError("reading from")
        self._reading = True
        try:
            while not self._backend.budget.spend():
                self._check_loop()
                await self._backend.settle()
            engine = self._engine
            while not self._closed:
                if engine.ready:
                    data = engine.read(max_bytes)
                    if engine.effort > EFFORTLESS:
                        self._backend.budget.spend_bytes(BYTES_OF_EFFORT * engine.effort)
                    if data:
                        return data
                if engine.ended:
                    raise EndOfStream
                await self._read_on()
            raise ClosedResourceError
        finally:
            self._reading = False

    async def _read_on(self) -> None:
        """Get on with the ciphertext there is, get more, or raise why there will be none."""
        engine = self._engine
        if engine.failure is not None:
            await self._raise_failure()
        elif engine.more:  # more than one step may do
            await self._backend.checkpoint()
        elif self._pump.truncated:
            if self.standard_compatible:
                raise BrokenResourceError("the stream has ended without an announcement")
            engine.ended = True
        elif self._pump.ignored:
            await self._pump.flush()
        elif self._pump.flushing or self._pump.quiet:
            await self._pump.feed()  # nothing to send, or whoever sends takes it along
        else:
            await self._pump.feed_and_flush()

    # -- sending ---------------------------------------------------------------------------

    @property
    def partial_send(self) -> int | None:
        """How many bytes of the last send were encrypted, if it was cut short; None: all.

        What was encrypted goes out with whatever is done next.
        """
        return self._partial_send

    async def send(self, item: ReadableBuffer) -> None:
        if type(item) is bytes:  # which nobody can resize
            await self._write((item,))
        else:
            with octets_of(item) as octets:
                await self._write((octets,))

    async def send_many(self, buffers: Iterable[ReadableBuffer]) -> None:
        with ExitStack() as stack:
            views = [stack.enter_context(octets_of(buffer)) for buffer in buffers]
            if sum(map(len, views)) <= PIECE:  # few records are better than many
                await self._write((b"".join(views),))
            else:
                await self._write(views)

    async def _write(self, views: Sequence[bytes | memoryview]) -> None:
        if self._closed or self._eof_sent:
            raise ClosedResourceError
        if self._writing:
            raise BusyResourceError("writing to")
        self._writing = True
        self._partial_send = sent = 0
        try:
            while not self._backend.budget.spend():
                self._check_loop()
                await self._backend.settle()
            for view in views:
                offset = 0
                while offset < len(view):
                    if self._closed:
                        raise ClosedResourceError
                    if self._engine.failure is not None:
                        await self._raise_failure()
                    if self._pump.unsent:  # of a send that was cut short: nothing is piled on it
                        await self._pump.flush()
                        continue
                    nbytes = self._engine.write(view[offset : offset + PIECE])
                    if nbytes:
                        offset += nbytes
                        sent += nbytes
                        self._partial_send = sent
                        await self._pump.flush()
                    elif self._engine.failure is None:
                        await self._write_on()
            self._partial_send = None
        finally:
            self._writing = False

    async def _write_on(self) -> None:
        """Get what the peer has to say before anything can be sent (TLS 1.2: it renegotiates)."""
        if self._pump.truncated:
            raise BrokenResourceError("the stream has ended")
        await self._pump.flush()
        if not self._engine.hand_over():
            await self._pump.feed()

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
        version = self._engine.object.version()
        if version != "TLSv1.3":
            raise NotImplementedError(
                f"send_eof() requires at least TLSv1.3; current session uses {version}"
            )
        self._check_loop()
        await self._backend.checkpoint_if_cancelled()
        self._announce_end()
        await self._pump.flush()

    def _announce_end(self) -> None:
        """Have the engine announce the end; again: do nothing."""
        if not self._eof_sent:
            self._eof_sent = True
            self._engine.announce_end()

    async def unwrap(self) -> tuple[Any, bytes]:
        """End the encryption and go on with the transport in the clear.

        Waits until the peer has announced the end as well.  If cancelled, the stream can be
        unwrapped again, received from or closed.

        Returns:
            The stream below, and what came behind the peer's announcement.

        Raises:
            BrokenResourceError: The peer has sent something that was not received before, or the
                stream has ended.
            BusyResourceError: Another task is receiving or sending.
            ClosedResourceError: The stream was closed, before or during the call, or unwrapped.
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
            if self._engine.kept:
                raise BrokenResourceError("the peer has sent data that was not received")
            if self._closed:
                raise ClosedResourceError
        finally:
            self._reading = self._writing = False
        self._closed = True
        return self.transport_stream, self._engine.leftover()

    async def _end_both(self) -> None:
        """Announce the end, and wait for the peer's announcement or for data."""
        engine = self._engine
        self._announce_end()
        while not engine.look_ahead() and not engine.ended:
            await self._read_on()  # which sends as well: the peer may be doing the same
        await self._pump.flush()

    async def aclose(self) -> None:
        """Announce the end, wait at most two seconds for the peer's announcement, and close.

        What the peer sends meanwhile is thrown away.  Closing twice is silent, and what the peer
        did is never raised.  Without ``standard_compatible``, and where the event loop that the
        stream belongs to has ended, the transport is closed at once.  If cancelled, it is closed
        without the announcement.

        Raises:
            RuntimeError: The stream belongs to an event loop in another thread.
        """
        self._refuse_other_thread()
        already, self._closed = self._closed, True
        try:
            if self.standard_compatible and not already and self._backend.is_current():
                await self._part()
        finally:
            await self.transport_stream.aclose()

    def _refuse_other_thread(self) -> None:
        budget = self._backend.budget
        if budget.foreign and not budget.retired:
            raise RuntimeError("this stream belongs to an event loop in another thread")

    async def _part(self) -> None:
        if self._pump.truncated or self._pump.torn or self._pump.flushing:
            return  # the peer has gone, or a task that sends is stuck: closing sets it free
        waited_for = self._reading or self._pump.feeding
        deadline = self._backend.current_time() + (BRIEF if waited_for else PATIENCE)
        with self._backend.create_cancel_scope(deadline=deadline, shield=False):
            try:
                if waited_for:
                    self._announce_end()
                    await self._pump.flush()
                else:
                    await self._end_both()
                    while not self._engine.ended:
                        self._engine.kept = b""
                        await self._end_both()
            except (BrokenResourceError, ClosedResourceError, BusyResourceError):
                pass  # what the peer did

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        ssl_object = self._engine.object
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
