"""How ciphertext travels between the engine of a TLS stream and the stream below.

Lives here: receiving, sending, and the tasks that wait for one another meanwhile.  What is in the
ciphertext is ``_engine``'s business, and what a caller asked for ``_stream``'s.

Ciphertext that has left the engine stays in ``unsent`` until the transport has it: a record that
is lost or torn makes all that follows unreadable.  Whoever flushes next goes on where a cancelled
flush has stopped.
"""

from __future__ import annotations

from typing import Any

from penstock._backends import Backend
from penstock._exceptions import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
)
from penstock._synchronization import Event
from penstock.abc import AnyByteStream, ByteReceiveStream
from penstock.streams.tls._engine import FEED, Engine

__all__ = ("PATIENCE", "Pump")

#: How much may have to be sent while more is received: twice what a send of ours puts there, so
#: that two peers who send much at once do not wait for each other.
UNANSWERED = 2 * FEED

#: How long closing, or an alert, waits for the peer, in seconds.
PATIENCE = 2.0


class Pump:
    """Carries ciphertext in both directions, for one task in each.

    Args:
        transport: The stream below.
        engine: What makes the ciphertext and reads it.
        backend: The backend of the event loop that runs the caller.
    """

    # I1  unsent: ciphertext that has left the engine and that the transport has not taken; only
    #     the task that has set flushing changes it
    # I2  the first ``held`` bytes that the engine has to send may wait for the next send: the
    #     session tickets of a server.  A peer that reads only what it waits for would block them,
    #     and we should wait for each other (RFC 8446, 4.6.1 lets them come at any time)
    # I3  flushing, feeding: a task sends, receives; others wait for _flushed, _fed, and look again.
    #     No locks: with nobody else there, the two flags cost next to nothing
    __slots__ = (
        "_backend",
        "_engine",
        "_fed",
        "_flushed",
        "_sized",
        "_transport",
        "feeding",
        "flushing",
        "held",
        "torn",
        "truncated",
        "unsent",
    )

    def __init__(self, transport: AnyByteStream, engine: Engine, backend: Backend) -> None:
        self._transport: Any = transport
        self._sized = isinstance(transport, ByteReceiveStream)  # or one of objects
        self._engine = engine
        self._backend = backend
        #: Ciphertext of a flush that is under way or was cut short, which the transport has not.
        self.unsent = b""
        self._flushed: Event | None = None
        self._fed: Event | None = None
        #: Whether a task is sending, receiving.
        self.flushing = self.feeding = False
        #: How much of what the engine has to send may wait.
        self.held = 0
        #: Whether the transport has ended.
        self.truncated = False
        #: Whether a record was lost on the way to the transport.
        self.torn = False

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to send, but for what may wait."""
        return not self.unsent and self._engine.outgoing.pending <= self.held

    @property
    def ignored(self) -> bool:
        """Whether the peer asks for answers, and takes none."""
        return self._engine.outgoing.pending > UNANSWERED

    async def feed(self) -> None:
        """Receive ciphertext, or wait until somebody else has tried."""
        if self.feeding:
            self._fed = self._fed or Event()
            await self._fed.wait()
            return
        self.feeding = True
        try:
            transport = self._transport
            self._engine.feed(
                await (transport.receive(FEED) if self._sized else transport.receive())
            )
        except EndOfStream:
            self.truncated = True
        finally:
            self.feeding = False
            if self._fed is not None:
                self._fed.set()
                self._fed = None

    async def flush(self) -> None:
        """Have the transport send all ciphertext there is."""
        outgoing = self._engine.outgoing
        while self.flushing:
            self._flushed = self._flushed or Event()
            await self._flushed.wait()
        self.flushing = True
        try:
            while self.unsent or outgoing.pending:
                if self.torn:
                    raise BrokenResourceError("a TLS record was lost when a send was cut short")
                self.held = 0
                if not self.unsent:
                    self.unsent = outgoing.read()
                try:
                    await self._transport.send(self.unsent)
                except BusyResourceError:  # somebody else uses the transport; nothing was sent
                    raise
                except BaseException:
                    self.unsent = self._rest()
                    raise
                self.unsent = b""
        finally:
            self.flushing = False
            if self._flushed is not None:
                self._flushed.set()
                self._flushed = None

    def _rest(self) -> bytes:
        """Return what a send that was cut short has left of ``unsent``."""
        partial: int | None = getattr(self._transport, "partial_send", None)
        if not self._sized:
            return b"" if partial else self.unsent  # an item is sent or is not
        if partial is None:
            self.torn = True
            return b""
        return self.unsent[partial:]

    async def feed_and_flush(self) -> None:
        """Receive ciphertext, and send meanwhile what the peer may be waiting for.

        Sending alone could wait for a peer who himself waits until we have received.
        """

        async def flush() -> None:
            try:
                await self.flush()
            except (BrokenResourceError, BusyResourceError, ClosedResourceError):
                pass  # who sends will be told

        failure: Exception | None = None  # as it is, not in a group
        try:
            async with self._backend.create_task_group() as group:
                group.start_soon(flush)
                try:
                    await self.feed()
                except Exception as exc:
                    failure = exc
                group.cancel_scope.cancel()
            if failure is not None:
                raise failure
        finally:
            del failure  # whose traceback leads back to this frame

    async def flush_alert(self) -> None:
        """Tell the peer what is wrong, if it listens."""
        if self.flushing:
            return  # whoever is at it sends that too
        deadline = self._backend.current_time() + PATIENCE
        with self._backend.create_cancel_scope(deadline=deadline, shield=False):
            try:
                await self.flush()
            except (BrokenResourceError, ClosedResourceError, BusyResourceError):
                pass  # what is wrong is being raised already
