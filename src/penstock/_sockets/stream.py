"""Byte streams over connected sockets.

Lives here: the async facade over a kernel registration, which makes the system calls and knows
whether they are worth making.  How sockets come to be connected lives in ``connecting`` and
``accepting``.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, NoReturn

from penstock._backends import Backend
from penstock._exceptions import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
)
from penstock._hotpath import Registration
from penstock._octets import PLAIN, view_of
from penstock._sockets.queues import receive_queue, send_queue
from penstock._sockets.registered import RegisteredSocket
from penstock._sockets.sending_files import send_file
from penstock.abc import SocketStatistics, SocketStream

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ("ConnectedSocketStream",)


class ConnectedSocketStream(RegisteredSocket, SocketStream):
    """A byte stream over a connected stream socket.

    Args:
        backend: The backend of the event loop that the stream belongs to.
        registration: The socket, with that loop's poller.
    """

    __slots__ = ("_broken", "_eof_sent")

    def __init__(self, backend: Backend, registration: Registration) -> None:
        super().__init__(backend, registration)
        self._eof_sent = False
        self._broken: OSError | None = None  # what broke the connection, for ever

    @property
    def partial_send(self) -> int | None:
        """How many bytes of the last send went out, if it was cut short; None: all of them.

        After it, a send of the rest continues the sequence.
        """
        registration = self._registration
        return None if registration.sent == registration.total else registration.sent

    def statistics(self) -> SocketStatistics:
        registration = self._registration
        sock = self._open_socket()
        return SocketStatistics(
            receive_buffer_used=receive_queue(sock),
            send_buffer_used=send_queue(sock),
            tasks_waiting_receive=int(registration.reader is not None),
            tasks_waiting_send=int(registration.writer is not None and not self._eof_sent),
        )

    # -- receiving -------------------------------------------------------------------------
    #
    # The wait stands in both methods: one coroutine for the two would cost each receive 90 ns.

    async def receive(self, max_bytes: int = 65536) -> bytes:
        registration = self._registration
        try:
            data = registration.recv(max_bytes)
            while data is None:
                wait = registration.park_reader()
                if wait is None:
                    await self._settle_reader("reading from")
                else:
                    try:
                        await wait
                    finally:
                        registration.reader = None
                data = registration.recv(max_bytes)
        except OSError as exc:
            self._failed(exc)
        except (RuntimeError, TypeError):  # what event loops say to a wait of another one
            self._check_loop()
            raise
        if data:
            return data
        self._ended()

    async def receive_into(self, buffer: WriteableBuffer) -> int:
        registration = self._registration
        view = None
        try:
            nbytes = registration.recv_into(buffer)
            while nbytes < 0:
                if type(buffer) not in PLAIN:  # asked at each turn, it could take all that comes
                    buffer = view = memoryview(buffer)
                wait = registration.park_reader()
                if wait is None:
                    await self._settle_reader("reading from")
                else:
                    try:
                        await wait
                    finally:
                        registration.reader = None
                nbytes = registration.recv_into(buffer)
        except OSError as exc:
            self._failed(exc)
        except (RuntimeError, TypeError):  # what event loops say to a wait of another one
            self._check_loop()
            raise
        finally:
            if view is not None:
                view.release()
        if nbytes:
            return nbytes
        self._ended()

    def _ended(self) -> NoReturn:
        if self._broken is not None:
            raise BrokenResourceError from self._broken
        raise EndOfStream

    def _failed(self, exc: OSError) -> NoReturn:
        # The system tells once what broke the connection, to the direction that asks first; from
        # then on it says that the stream has ended, which is not so.  EPIPE alone tells nothing
        # of the peer's end of the stream: it stands for what was told before.
        if exc.errno != errno.EPIPE and self._broken is None:
            self._broken = OSError(*exc.args)  # a copy: no traceback
        raise BrokenResourceError from exc

    # -- sending ---------------------------------------------------------------------------

    async def send(self, item: ReadableBuffer) -> None:
        registration = self._registration
        try:
            if type(item) in PLAIN:
                left = registration.send(item, 0)
                if left:
                    await self._send_rest(item, left)
            else:
                with view_of(item) as memory:  # all the while: what it may send is no part of this
                    await self._send_rest(memory, registration.send(memory, 0))
        except OSError as exc:
            self._failed(exc)
        except (RuntimeError, TypeError):  # what event loops say to a wait of another one
            self._check_loop()
            raise

    async def _send_rest(self, item: ReadableBuffer, left: int) -> None:
        # The wait stands here once more, as in the receives: behind 1 MiB of copying each call is
        # three times as dear.
        registration = self._registration
        view = None
        if type(item) is not bytes:
            item = view = memoryview(item)  # from here on nobody may resize it
        try:
            while left:
                if left < 0:
                    wait = registration.park_writer()
                    if wait is None:
                        await self._settle_writer()
                    else:
                        try:
                            await wait
                        finally:
                            registration.writer = None
                left = registration.send(item, registration.sent)
        finally:
            if view is not None:
                view.release()

    async def send_many(self, buffers: Iterable[ReadableBuffer]) -> None:
        registration = self._registration
        views: list[memoryview] = []  # while they are there, nobody may resize a buffer
        try:
            for buffer in buffers:
                views.append(view_of(buffer))
            if registration.writer is None:
                registration.sent, registration.total = 0, sum(view.nbytes for view in views)
            await self._send_views(views)
        except OSError as exc:
            self._failed(exc)
        except (RuntimeError, TypeError):  # what event loops say to a wait of another one
            self._check_loop()
            raise
        finally:
            for view in views:
                view.release()

    async def _send_views(self, views: list[memoryview]) -> None:
        registration = self._registration
        first = offset = 0
        while first < len(views):
            nbytes = registration.sendmsg(views, first, offset)
            if nbytes < 0:
                await self._wait_writable()
                continue
            registration.sent += nbytes
            offset += nbytes
            while first < len(views) and offset >= views[first].nbytes:
                offset -= views[first].nbytes
                first += 1
        if not views:
            await self._settle_writer()

    async def send_file(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
        return await send_file(self, file, offset, count)

    async def _wait_writable(self) -> None:
        """Wait until a send is worth a try."""
        registration = self._registration
        wait = registration.park_writer()
        if wait is None:
            await self._settle_writer()
        else:
            try:
                await wait
            finally:
                registration.writer = None

    async def _settle_writer(self) -> None:
        """Do what stands before a send that the kernel has declined."""
        registration = self._registration
        self._check_usable()
        if self._eof_sent:
            raise ClosedResourceError
        if registration.writer is not None:
            raise BusyResourceError("writing to")
        registration.writer = self._taken()
        try:
            await self._backend.settle()
        finally:
            registration.writer = None

    async def send_eof(self) -> None:
        self._check_usable()
        await self._backend.checkpoint_if_cancelled()
        if self._eof_sent:
            return
        if self._registration.writer is not None:
            raise BusyResourceError("writing to")
        self._eof_sent = True
        self._registration.writer = self._taken()  # for good: every send comes to _settle_writer
        try:
            self._registration.sock.shutdown(socket.SHUT_WR)
        except OSError as exc:
            raise BrokenResourceError from exc
