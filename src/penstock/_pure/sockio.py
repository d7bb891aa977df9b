"""Non-blocking socket calls, and the poller that knows for which sockets they are worth making.

Lives here: one :class:`Poller` per event loop and one :class:`Registration` per socket.  They own
no task and know no event loop: a wait is an opaque object that ``wake(wait)`` ends.

Readiness is edge-triggered.  A flag says "a call may succeed"; a call that would block clears it,
and the next event of the operating system sets it again.  A task that waits is woken with
readiness, never with data, and makes the call itself when it runs: so its cancellation has
nothing to lose.  See epoll(7), "Level-triggered and edge-triggered".
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from penstock._pure.budget import ReadyBudget

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ("Poller", "Registration")

T = TypeVar("T")

#: Bytes that one system call moves at most: some 50 us of copying, so that no task holds the loop.
LARGEST_CALL = 262_144
#: Buffers that one ``sendmsg`` takes (``IOV_MAX`` of Linux).
LARGEST_VECTOR = 1024
#: Events that one look at the poller takes.
BATCH = 256

# The numbers of epoll(7); without epoll they only pass between methods of this module.
EPOLLIN, EPOLLPRI, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP = 0x1, 0x2, 0x4, 0x8, 0x10, 0x2000
EPOLLET = 0x80000000
EVENTS = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET
#: What makes a short read say nothing about what is left.
UNUSUAL = EPOLLPRI | EPOLLERR | EPOLLHUP | EPOLLRDHUP

#: Received descriptors are not inherited by child programs (``MSG_CMSG_CLOEXEC``, recvmsg(2)).
CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def _count(max_bytes: int) -> int:
    """Check a number of bytes asked for, and cut it to what one call may move."""
    if not isinstance(max_bytes, int):
        raise TypeError(f"max_bytes must be an integer, not {max_bytes!r}")
    if max_bytes < 1:
        raise ValueError(f"max_bytes must be at least 1, not {max_bytes}")
    return min(max_bytes, LARGEST_CALL)


def _octets(data: ReadableBuffer) -> memoryview:
    """Look at bytes-like data, which the system wants in one piece, byte by byte."""
    memory = _view(data)
    if memory is None or not memory.c_contiguous:
        raise TypeError(f"expected contiguous bytes-like data, not {data!r}")
    try:
        return memory.cast("B")
    except (TypeError, ValueError):  # cast() knows no structures, and no dimension of length 0
        return memoryview(memory.tobytes())


def _view(data: ReadableBuffer) -> memoryview | None:
    try:
        return memoryview(data)
    except (BufferError, TypeError):
        return None


def _check_range(name: str, value: int, limit: int) -> None:
    if not 0 <= value <= limit:
        raise ValueError(f"{name} must be between 0 and {limit}, not {value}")


class Poller:
    """The readiness of every socket of one event loop.

    Args:
        budget: The ready budget of the loop.
        new_wait: Makes a wait for the current task.
        wake: Ends a wait; returns False where it had been cancelled.
        watch_once: Calls back when a descriptor is next readable (or writable) and returns what
            calls that off.  With it the poller has no descriptor of its own: each wait is a
            watch of the event loop.  For systems without ``epoll``.
    """

    # I1  every open registration is known to its poller, and no closed one is
    # I2  an event of a registration that was closed never changes another one, save that it may
    #     set a flag of readiness, which costs a call that would block
    __slots__ = ("__weakref__", "_budget", "_epoll", "_known", "_new_wait", "_wake", "_watch_once")

    def __init__(
        self,
        budget: ReadyBudget,
        new_wait: Callable[[], Any],
        wake: Callable[[Any], bool],
        watch_once: Callable[[int, bool, Callable[[], Any]], Callable[[], None]] | None = None,
    ) -> None:
        self._budget = budget
        self._new_wait = new_wait
        self._wake = wake
        self._watch_once = watch_once
        self._known: dict[int, Registration] = {}
        self._epoll = select.epoll() if watch_once is None else None

    @property
    def fd(self) -> int:
        """The descriptor to watch: readable while events are due; -1 if there is none."""
        return -1 if self._epoll is None else self._epoll.fileno()

    def __len__(self) -> int:
        """Return how many sockets are registered."""
        return len(self._known)

    def register(self, sock: socket.socket) -> Registration:
        """Watch a non-blocking socket until its registration is closed.

        Raises:
            OSError: The socket is closed, or the system refuses to watch it.
            RuntimeError: The poller is closed.
            ValueError: The socket would block.
        """
        if self._epoll is None and self._watch_once is None:
            raise RuntimeError("this poller is closed")
        if sock.fileno() < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if sock.gettimeout() != 0:
            raise ValueError(f"expected a non-blocking socket, not {sock!r}")
        registration = Registration(self, sock)
        if self._epoll is not None:
            self._epoll.register(registration._fd, EVENTS)
        self._known[registration._fd] = registration
        return registration

    def poll(self) -> int:
        """Take the events that are due and wake who waits for them.

        Returns:
            How many events there were; 256: there may be others.
        """
        self._budget.turn()
        if self._epoll is None:
            return 0
        events = self._epoll.poll(0, BATCH)
        for fd, flags in events:
            registration = self._known.get(fd)
            if registration is not None:
                registration._deliver(flags)
        return len(events)

    def close(self) -> None:
        """End the poller with its event loop, or in a forked child; the sockets stay open."""
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None
        self._watch_once = None

    def _check(self) -> None:
        """Assert the invariants."""
        for fd, registration in self._known.items():
            assert registration._fd == fd, "I1"
            assert registration._poller is self, "I1"


class Registration:
    """One socket of one poller: its readiness, and who waits for it.

    A call is *declined* when the registration is closed, when the flag says that it would block,
    when a task waits in that direction, or when the ready budget says so.
    """

    # I1  a flag that is clear will be set by an event to come: it is cleared by a call that would
    #     have blocked; or by a short read, on TCP alone, and only while no event has told of a
    #     hang-up or urgent data (on any other socket something can lie behind a short read)
    # I2  reader and writer are cleared by the task that set them, and by nobody else
    # I3  closed or released: fd < 0, and both flags are clear
    __slots__ = (
        "_armed",
        "_drains",
        "_fd",
        "_poller",
        "_readable",
        "_sock",
        "_watches",
        "_writable",
        "reader",
        "sent",
        "total",
        "writer",
    )

    def __init__(self, poller: Poller, sock: socket.socket) -> None:
        self._poller = poller
        self._sock = sock
        self._fd = sock.fileno()
        self._readable = self._writable = True
        self._armed = False  # whether events of writability are asked for
        self._watches: list[Callable[[], None] | None] = [None, None]
        # Whether a short read means that there was nothing else.
        self._drains = (
            sock.family in (socket.AF_INET, socket.AF_INET6)
            and sock.type == socket.SOCK_STREAM
            and sock.proto in (0, socket.IPPROTO_TCP)
        )
        #: The wait of the task that receives, or None.
        self.reader: Any = None
        #: The wait of the task that sends, or None.
        self.writer: Any = None
        #: Bytes of the last send that went out, of ``total``.
        self.sent = 0
        self.total = 0

    @property
    def fd(self) -> int:
        """The descriptor; -1 once closed or released."""
        return self._fd

    @property
    def sock(self) -> socket.socket:
        """The socket."""
        return self._sock

    @property
    def budget(self) -> ReadyBudget:
        """The ready budget of the event loop that the socket belongs to."""
        return self._poller._budget

    @property
    def readable(self) -> bool:
        """Whether receiving, or accepting, is worth a try."""
        return self._readable

    @property
    def writable(self) -> bool:
        """Whether sending is worth a try."""
        return self._writable

    # -- receiving -------------------------------------------------------------------------

    def _may_read(self) -> bool:
        return self._readable and self.reader is None and self._poller._budget.spend()

    def _has_read(self, nbytes: int, asked: int) -> None:
        if 0 < nbytes < asked and self._drains:
            self._readable = False
        self._poller._budget.spend_bytes(nbytes)

    def recv(self, max_bytes: int) -> bytes | None:
        """Receive at most ``max_bytes`` bytes, and at most 256 KiB.

        Returns:
            The bytes, ``b""`` at the end of the stream; None: declined, or nothing is there.
        """
        asked = _count(max_bytes)
        if not self._may_read():
            return None
        try:
            data = self._sock.recv(asked)
        except BlockingIOError:
            self._readable = False
            return None
        self._has_read(len(data), asked)
        return data

    def recv_into(self, buffer: WriteableBuffer) -> int:
        """Receive into ``buffer``, at most 256 KiB.

        Returns:
            How many bytes were written, 0 at the end of the stream; -1: declined, or nothing is
            there.
        """
        memory = _view(buffer)
        if memory is None or memory.readonly or not memory.c_contiguous:
            raise TypeError(f"expected contiguous writable memory, not {buffer!r}")
        with memory:
            asked = min(memory.nbytes, LARGEST_CALL)
            if not asked:
                raise ValueError("cannot receive into an empty buffer")
            if not self._may_read():
                return -1
            try:
                nbytes = self._sock.recv_into(memory, asked)
            except BlockingIOError:
                self._readable = False
                return -1
        self._has_read(nbytes, asked)
        return nbytes

    def recvfrom(self, max_bytes: int) -> tuple[bytes, Any] | None:
        """Receive one datagram and the address that it came from; None as in :meth:`recv`."""
        asked = _count(max_bytes)
        if not self._may_read():
            return None
        try:
            data, address = self._sock.recvfrom(asked)
        except BlockingIOError:
            self._readable = False
            return None
        self._has_read(len(data), asked)
        return data, address

    def recvmsg(
        self, max_bytes: int, ancillary_bytes: int
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any] | None:
        """Receive data, control messages, flags and address; None as in :meth:`recv`."""
        asked = _count(max_bytes)
        if not self._may_read():
            return None
        try:
            message = self._sock.recvmsg(asked, ancillary_bytes, CLOEXEC)
        except BlockingIOError:
            self._readable = False
            return None
        self._has_read(len(message[0]), asked)
        return message

    def read_with(self, call: Callable[..., T], *args: Any) -> T | None:
        """Call ``call(*args)``, a method of the socket that takes something from it.

        For what has no method here; the bytes that it moves are not counted.

        Returns:
            What it returned; None as in :meth:`recv`.
        """
        if not self._may_read():
            return None
        try:
            return call(*args)
        except BlockingIOError:
            self._readable = False
            return None

    def accept(self) -> int:
        """Accept one connection.

        Returns:
            Its descriptor, non-blocking and not inherited by child programs; -1: declined, or
            there is none.
        """
        if not self._may_read():
            return -1
        try:
            connection, _ = self._sock.accept()
        except BlockingIOError:
            self._readable = False
            return -1
        connection.setblocking(False)
        return connection.detach()

    # -- sending ---------------------------------------------------------------------------

    def _may_write(self) -> bool:
        return self._writable and self.writer is None and self._poller._budget.spend()

    def send(self, data: ReadableBuffer, offset: int) -> int:
        """Send the bytes of ``data`` from ``offset`` on, at most 256 KiB.

        Returns:
            How many bytes of ``data`` are left to be sent; -1: declined, or there is no room, and
            nothing was sent.
        """
        with _octets(data) as octets:
            total = len(octets)
            _check_range("offset", offset, total)
            if self.writer is not None:
                return -1
            self.sent, self.total = offset, total
            if not self._may_write():
                return -1
            try:
                nbytes = self._sock.send(octets[offset : offset + LARGEST_CALL])
            except BlockingIOError:
                self.clear_writable()
                return -1
        self.sent = offset + nbytes
        self._poller._budget.spend_bytes(nbytes)
        return total - self.sent

    def sendmsg(self, buffers: Sequence[ReadableBuffer], first: int, offset: int) -> int:
        """Send ``buffers[first:]`` in one call, the first of them from byte ``offset`` on.

        At most 1,024 buffers and at most 256 KiB are sent.

        Returns:
            How many bytes went out; -1 as in :meth:`send`.
        """
        _check_range("first", first, len(buffers) - 1)
        if not self._may_write():
            return -1
        vector: list[memoryview] = []
        room = LARGEST_CALL
        try:
            for buffer in buffers[first : first + LARGEST_VECTOR]:
                if room <= 0:
                    break
                with _octets(buffer) as octets:
                    _check_range("offset", offset, len(octets))
                    vector.append(octets[offset : offset + room])
                room -= len(vector[-1])
                offset = 0
            nbytes = self._sock.sendmsg(vector)
        except BlockingIOError:
            self.clear_writable()
            return -1
        finally:
            for view in vector:  # an exception would keep them, and the buffers locked
                view.release()
        self._poller._budget.spend_bytes(nbytes)
        return nbytes

    def sendto(self, data: ReadableBuffer, address: Any) -> int:
        """Send one datagram.

        Returns:
            How many bytes went out; -1 as in :meth:`send`.
        """
        if not self._may_write():
            return -1
        try:
            nbytes = self._sock.sendto(data, address)
        except BlockingIOError:
            self.clear_writable()
            return -1
        self._poller._budget.spend_bytes(nbytes)
        return nbytes

    def write_with(self, call: Callable[..., T], *args: Any) -> T | None:
        """Call ``call(*args)``, a method of the socket that gives something to it.

        For what has no method here; the bytes that it moves are not counted.

        Returns:
            What it returned; None: declined, or there is no room.
        """
        if not self._may_write():
            return None
        try:
            return call(*args)
        except BlockingIOError:
            self.clear_writable()
            return None

    def clear_writable(self) -> None:
        """Note that sending would block, and ask for the event that says otherwise."""
        if self._fd < 0:
            return
        self._writable = False
        if not self._armed and self._poller._epoll is not None:
            self._poller._epoll.modify(self._fd, EVENTS | EPOLLOUT)
            self._armed = True

    # -- waiting ---------------------------------------------------------------------------

    def park_reader(self) -> Any:
        """Start to wait until receiving is worth a try.

        The caller awaits what is returned and then sets :attr:`reader` to None, whatever came.

        Returns:
            The wait.  None: there is nothing to wait for, or it is declined.
        """
        if self._readable or self.reader is not None or not self._may_park():
            return None
        self.reader = self._poller._new_wait()
        self._watch(False)
        return self.reader

    def park_writer(self) -> Any:
        """Start to wait until sending is worth a try; as :meth:`park_reader`."""
        if self._writable or self.writer is not None or not self._may_park():
            return None
        self.writer = self._poller._new_wait()
        self._watch(True)
        return self.writer

    def _may_park(self) -> bool:
        budget = self._poller._budget
        if self._fd < 0 or budget.left <= 0 or budget.foreign:
            return False
        budget.revoke()
        return True

    def _watch(self, writing: bool) -> None:
        """Have the event loop tell of readiness, where there is no epoll to do it."""
        watch_once = self._poller._watch_once
        if watch_once is not None and self._watches[writing] is None:

            def deliver() -> None:
                self._watches[writing] = None
                self._poller._budget.turn()
                self._deliver(EPOLLOUT if writing else EPOLLIN)

            self._watches[writing] = watch_once(self._fd, writing, deliver)

    def _deliver(self, flags: int) -> None:
        wake = self._poller._wake
        if flags & UNUSUAL:
            self._drains = False
        if flags & ~EPOLLOUT:
            self._readable = True
            if self.reader is not None:
                wake(self.reader)
        if flags & (EPOLLOUT | EPOLLHUP | EPOLLERR):
            self._writable = True
            if self.writer is not None:
                wake(self.writer)

    def close(self) -> None:
        """Leave the poller, close the socket, and end the waits on it; again: do nothing."""
        if self._fd >= 0:
            # Before the descriptor is closed: a duplicate of it would go on to have events.
            self.release()
            self._sock.close()

    def release(self) -> None:
        """Leave the poller and end the waits; the socket stays open; again: do nothing."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        self._readable = self._writable = False
        poller = self._poller
        if poller._known.get(fd) is self:
            del poller._known[fd]
        for call_off in self._watches:
            if call_off is not None:
                call_off()
        if poller._epoll is not None and self._sock.fileno() == fd:
            try:
                poller._epoll.unregister(fd)
            except OSError:
                pass  # somebody has closed it behind the socket's back
        for wait in (self.reader, self.writer):
            if wait is not None and not poller._budget.foreign:
                poller._wake(wait)
