"""A socket's event loop: whose the socket is, what its calls wait for, and how it is closed.

Lives here: the ground of the socket objects, which knows no particular call.  The calls live in
``_transfers`` and ``_objects``.
"""

from __future__ import annotations

import socket as stdlib
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from penstock._backends import Backend, current_backend, has_ended
from penstock._exceptions import BusyResourceError, ClosedResourceError
from penstock._hotpath import Registration
from penstock._readiness import poller_of
from penstock.socket._addresses import AF_UNIX

__all__ = ("WaitingSocket",)

T = TypeVar("T")

#: Seconds between two tries where the system does not tell when there is room; they double.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.032


class WaitingSocket:
    """A socket of the standard library, and the event loop whose tasks wait for it.

    Args:
        sock: It is non-blocking from then on.
    """

    # I1  _sock is non-blocking
    # I2  _registration, where there is one, is _sock's with the poller of _backend; it is closed
    #     or released before _sock is
    __slots__ = ("__weakref__", "_backend", "_registration", "_sock")

    def __init__(self, sock: stdlib.socket) -> None:
        self._sock = sock
        self._backend: Backend | None = None
        self._registration: Registration | None = None
        sock.setblocking(False)

    # -- whose it is -----------------------------------------------------------------------

    def _enter(self) -> tuple[Backend, Registration]:
        """Return the running event loop, and the socket's registration with its poller.

        Raises:
            ClosedResourceError: The socket is closed.
            NoEventLoopError: No event loop is running here.
            RuntimeError: The socket belongs to another one.
        """
        if self._sock.fileno() < 0:
            raise ClosedResourceError
        backend, registration = self._backend, self._registration
        if backend is not None and registration is not None:
            if not registration.budget.retired and backend.is_current():
                return backend, registration
            if not has_ended(registration.budget):
                raise RuntimeError("this socket belongs to another event loop or thread")
            registration.release()
        self._backend = backend = current_backend()
        self._registration = registration = poller_of(backend).register(self._sock)
        return backend, registration

    def _leave(self) -> None:
        """Let go of the event loop, and wake who waits."""
        registration = self._registration
        if registration is not None and registration.fd >= 0:
            if registration.budget.foreign and not has_ended(registration.budget):
                raise RuntimeError("this socket belongs to an event loop in another thread")
            registration.release()

    # -- waiting ---------------------------------------------------------------------------

    async def _read(self, step: Callable[[Registration], T | None]) -> T:
        """Take a step that receives, as soon as there is something."""
        while True:
            registration = self._registration
            if registration is not None:
                result = step(registration)
                if result is not None:
                    return result
                wait = registration.park_reader()
                if wait is not None:
                    try:
                        await wait
                    except (RuntimeError, TypeError):  # what loops say to a wait of another one
                        if self._enter()[1] is registration:
                            raise
                    finally:
                        registration.reader = None
                    continue
            backend, registration = self._enter()
            if registration.reader is not None:
                raise BusyResourceError("reading from")
            registration.reader = backend.new_wait()  # which nobody awaits: it is a sign
            try:
                await backend.settle()
            finally:
                registration.reader = None

    async def _write(self, step: Callable[[Registration], T | None]) -> T:
        """Take a step that sends, as soon as there is room."""
        while True:
            registration = self._registration
            if registration is not None:
                result = step(registration)
                if result is not None:
                    return result
                wait = registration.park_writer()
                if wait is not None:
                    try:
                        await wait
                    except (RuntimeError, TypeError):  # what loops say to a wait of another one
                        if self._enter()[1] is registration:
                            raise
                    finally:
                        registration.writer = None
                    continue
            backend, registration = self._enter()
            if registration.writer is not None:
                raise BusyResourceError("writing to")
            registration.writer = backend.new_wait()  # which nobody awaits: it is a sign
            try:
                await backend.settle()
            finally:
                registration.writer = None

    async def _at_once(self, call: Callable[..., T], *args: Any) -> T:
        """Make a call that waits for nothing, in whatever direction others wait.

        Its EAGAIN would tell the kernel's flags nothing: there may be bytes behind urgent data.
        """
        backend, registration = self._enter()
        while not registration.budget.spend():
            await backend.settle()
            backend, registration = self._enter()
        return call(*args)

    async def _insist(self, refusal: int, call: Callable[..., int], *args: Any) -> int:
        """Make a call again and again while a UNIX socket has no room for it.

        The system wakes nobody for the queue of a listening socket, nor for that of a datagram
        socket that one is not connected to: it says "writable" all the time.
        """
        pause = SHORTEST_PAUSE
        while True:
            result = await self._write(lambda registration: registration.write_with(call, *args))
            if result != refusal or self._sock.family != AF_UNIX:
                return result
            backend, registration = self._enter()
            registration.writer = wait = backend.new_wait()  # closing ends it
            deadline = backend.current_time() + pause
            try:
                with backend.create_cancel_scope(deadline=deadline, shield=False):
                    await wait
            finally:
                registration.writer = None
            pause = min(2 * pause, LONGEST_PAUSE)

    # -- the end ---------------------------------------------------------------------------

    def detach(self) -> int:
        """Close this object, leave the descriptor open, and return it.

        Tasks that wait on the socket get ClosedResourceError.

        Raises:
            RuntimeError: The socket belongs to an event loop in another thread.
        """
        self._leave()
        return self._sock.detach()

    def _surrender(self) -> stdlib.socket:
        """Close this object, and return its socket to whoever goes on with it."""
        return stdlib.socket(self._sock.family, self._sock.type, self._sock.proto, self.detach())

    def close(self) -> None:
        """Close the socket; again: do nothing.

        Tasks that wait on it get ClosedResourceError.

        Raises:
            RuntimeError: The socket belongs to an event loop in another thread.
        """
        self._leave()
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        registration = getattr(self, "_registration", None)
        # Unregistered, the standard library's socket warns by itself.
        if registration is not None and registration.fd >= 0:
            warning = f"Unclosed {self!r}"
            registration.close()  # first: the warning may be an error
            warnings.warn(warning, ResourceWarning, stacklevel=1, source=self)
