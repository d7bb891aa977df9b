"""What a stream and a listener have in common: a socket, registered with one event loop's poller.

Lives here: whose the socket is, whether it may be used, who is at it, and how it is closed.  What
is done with it lives in ``stream`` and ``accepting``.
"""

from __future__ import annotations

import socket
import warnings

from penstock._backends import Backend, Wait
from penstock._exceptions import BusyResourceError, ClosedResourceError
from penstock._hotpath import Registration
from penstock.abc import AsyncResource

__all__ = ("RegisteredSocket",)


class RegisteredSocket(AsyncResource):
    """A socket of one event loop.

    Args:
        backend: The backend of the event loop that the socket belongs to.
        registration: The socket, with that loop's poller.
    """

    __slots__ = ("__weakref__", "_backend", "_registration")

    def __init__(self, backend: Backend, registration: Registration) -> None:
        self._backend = backend
        self._registration = registration

    @property
    def _raw_socket(self) -> socket.socket:
        return self._registration.sock

    def _taken(self) -> Wait:
        """Return a wait that nobody awaits: it says that a direction is taken."""
        return self._backend.new_wait()

    def _check_usable(self) -> None:
        if self._registration.fd < 0:
            raise ClosedResourceError
        self._check_loop()

    def _check_loop(self) -> None:
        if not self._backend.is_current():
            raise RuntimeError("this socket belongs to another event loop or thread")

    def _refuse_other_thread(self) -> None:
        budget = self._registration.budget
        if budget.foreign and not budget.retired:
            raise RuntimeError("this socket belongs to an event loop in another thread")

    async def _settle_reader(self, action: str) -> None:
        """Do what stands before a receive or accept that the kernel has declined."""
        registration = self._registration
        self._check_usable()
        if registration.reader is not None:
            raise BusyResourceError(action)
        registration.reader = self._taken()
        try:
            await self._backend.settle()
        finally:
            registration.reader = None

    async def aclose(self) -> None:
        """Close the socket; again: do nothing.

        Tasks that wait on it get ClosedResourceError.  What the peer did is never raised.  If
        cancelled, the socket is closed all the same.

        Raises:
            RuntimeError: The socket belongs to an event loop in another thread.
        """
        registration = self._registration
        if registration.fd >= 0:
            self._refuse_other_thread()
            self._close()
        if self._backend.is_current():
            await self._backend.checkpoint_if_cancelled()

    def _close(self) -> None:
        """Close the socket, and end what else goes with it."""
        self._registration.close()

    def __del__(self) -> None:
        registration = getattr(self, "_registration", None)
        if registration is not None and registration.fd >= 0:
            self._close()  # first: the warning may be an error
            warnings.warn(f"Unclosed {self!r}", ResourceWarning, stacklevel=1, source=self)
