"""A listener that does the TLS handshake on every connection that another listener accepts."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from penstock._eventloop import current_time
from penstock._exceptions import BrokenResourceError
from penstock._kin import with_kindred_keys
from penstock._resources import aclose_forcefully
from penstock._synchronization import Semaphore
from penstock._tasks import fail_after
from penstock.abc import AnyByteStream, CancelScope, Listener, ListenerStatistics, TaskSpawner
from penstock.streams.tls._attributes import TLSAttribute
from penstock.streams.tls._contexts import AnySSLContext, check_context
from penstock.streams.tls._stream import TLSStream

__all__ = ("TLSListener",)

logger = logging.getLogger("penstock.tls")

#: Handshakes that one listener has under way; further connections wait for their turn.
HANDSHAKES_AT_ONCE = 256
#: How long one may take while others wait for their turn, in seconds: 256 connections that say
#: nothing would keep everybody out for as long as ``handshake_timeout``.  All of one's own work for
#: 256 handshakes has to fit in, or a rush of good peers would be turned away.
HURRIED = 5.0

#: The encrypted stream that the handler in this task was given.
_handled: ContextVar[TLSStream] = ContextVar("_handled")


@dataclass
class TLSListener(Listener[TLSStream]):
    """A listener whose handlers get encrypted streams.

    The handshake is done in the handler's task, so that accepting goes on meanwhile, on at most
    256 connections at once; while others wait for their turn, it may take 5 seconds.  Where it
    fails, :meth:`handle_handshake_error` is called, and the handler is not.

    Args:
        listener: What accepts the connections.
        ssl_context: As in :meth:`TLSStream.wrap`, for the server's side.
        standard_compatible: As in :meth:`TLSStream.wrap`.
        handshake_timeout: How long a handshake may take, in seconds, above 0.

    Raises:
        TypeError: ``ssl_context`` has no ``wrap_bio``, or ``handshake_timeout`` is not a number.
        ValueError: ``handshake_timeout`` is not above 0.
    """

    listener: Listener[Any]
    ssl_context: AnySSLContext
    standard_compatible: bool = True
    handshake_timeout: float = 30

    def __post_init__(self) -> None:
        check_context(self.ssl_context)
        if not isinstance(self.handshake_timeout, int | float):
            raise TypeError(f"handshake_timeout must be a number, not {self.handshake_timeout!r}")
        if not self.handshake_timeout > 0:
            raise ValueError(f"handshake_timeout must be above 0, not {self.handshake_timeout}")
        self._turns = Semaphore(HANDSHAKES_AT_ONCE, fast_acquire=True)
        # The handshakes that have all their time, the oldest first, and when those of a hurry end.
        self._unhurried: dict[CancelScope, float] = {}
        self._failed = 0

    @staticmethod
    async def handle_handshake_error(exc: BaseException, stream: AnyByteStream) -> None:
        """Close the stream, and raise what was not the peer's doing.

        What was is logged (level DEBUG: any peer can cause it at any rate).  May be overridden.

        Args:
            exc: What ended the handshake: also its timeout or cancellation.
            stream: The stream that the handshake was done over.

        Raises:
            BaseException: ``exc``, unless the peer has failed the handshake or been too slow.
        """
        try:
            await aclose_forcefully(stream)
            if not isinstance(exc, BrokenResourceError | ssl.SSLError | TimeoutError):
                raise exc
            logger.debug("Error during TLS handshake: %r", exc.__cause__ or exc)
        finally:
            del exc  # this frame is in its traceback

    async def serve(
        self,
        handler: Callable[[TLSStream], Awaitable[Any]],
        task_group: TaskSpawner | None = None,
        *,
        max_connections: int | None = None,
        on_error: Callable[[Exception, TLSStream], object] | None = None,
    ) -> None:
        """Do the handshake on what the other listener accepts, and serve it, as that one does.

        A connection counts for ``max_connections`` from before its handshake.  If cancelled, no
        connection was lost.
        """
        if not callable(handler):
            raise TypeError(f"handler must be callable, not {handler!r}")

        async def shake_hands_and_handle(stream: AnyByteStream) -> None:
            try:
                tls_stream = await self._wrap(stream)
            except BaseException as exc:
                self._failed += 1
                await self.handle_handshake_error(exc, stream)
            else:
                _handled.set(tls_stream)
                await handler(tls_stream)

        keywords: dict[str, Any] = {}  # those that were given: AnyIO's listeners know none
        if max_connections is not None:
            keywords["max_connections"] = max_connections
        if on_error is not None:
            keywords["on_error"] = _on_error_of(on_error)
        await self.listener.serve(shake_hands_and_handle, task_group, **keywords)

    async def _wrap(self, stream: AnyByteStream) -> TLSStream:
        if not self._turns.value and self._unhurried:
            oldest = next(iter(self._unhurried))
            oldest.deadline = min(oldest.deadline, self._unhurried.pop(oldest))
        async with self._turns:
            with fail_after(self.handshake_timeout) as scope:
                hurried = current_time() + HURRIED
                if self._turns.statistics().tasks_waiting:
                    scope.deadline = min(scope.deadline, hurried)
                else:
                    self._unhurried[scope] = hurried
                try:
                    tls_stream = await TLSStream.wrap(
                        stream,
                        server_side=True,
                        ssl_context=self.ssl_context,
                        standard_compatible=self.standard_compatible,
                    )
                finally:
                    self._unhurried.pop(scope, None)
        return tls_stream

    async def drain(self, deadline: float) -> int:
        return await self.listener.drain(deadline)

    def statistics(self) -> ListenerStatistics:
        """Return what the other listener has counted, and the handshakes that have failed."""
        return replace(self.listener.statistics(), failed_handshakes=self._failed)

    async def aclose(self) -> None:
        """Close the other listener.

        If cancelled, it is closed all the same.
        """
        await self.listener.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {
            **self.listener.extra_attributes,
            **with_kindred_keys(
                {TLSAttribute.standard_compatible: lambda: self.standard_compatible}
            ),
        }


def _on_error_of(
    on_error: Callable[[Exception, TLSStream], object],
) -> Callable[[Exception, AnyByteStream], object]:
    """Return what calls ``on_error`` with the encrypted stream, in the handler's task.

    Raises:
        TypeError: ``on_error`` cannot be called.
    """
    if not callable(on_error):
        raise TypeError(f"on_error must be a plain function or None, not {on_error!r}")

    def call(exc: Exception, stream: Any) -> object:
        return on_error(exc, _handled.get(stream))

    return call
