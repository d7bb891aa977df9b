"""A byte stream that does to its bytes whatever a network may, on purpose and again at will.

Lives here: the stream, and the course that its faults take.  What a fault is called, and where it
strikes, follows from the seed and from offsets in the bytes alone; never from how they were cut.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, TypeAlias

from penstock._arguments import positive
from penstock._backends import current_backend
from penstock._exceptions import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
)
from penstock._octets import octets_of
from penstock._synchronization import Event
from penstock.abc import ByteStream
from penstock.testing._resets import connection_reset, reset

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ("ChaosEvent", "ChaosStream")

Direction: TypeAlias = Literal["receive", "send"]
Fault: TypeAlias = Literal["delay", "split", "merge", "dribble", "reset", "stall", "eof"]

#: Faults that every user of a byte stream has to live with: the bytes arrive.
HARMLESS: tuple[Fault, ...] = ("delay", "dribble", "merge", "split")
#: Faults of which one ends the transfer, at most.
FATAL: tuple[Fault, ...] = ("eof", "reset", "stall")

#: Events that a stream remembers.
REMEMBERED = 256
#: The longest piece that nothing happens to, and the longest that is merged, split and dribbled.
PLAIN, MERGED, SPLIT, DRIBBLED = 16_384, 4_096, 64, 32
#: The longest delay, in turns of the event loop.
TURNS = 5


class ChaosEvent(NamedTuple):
    """Something that a :class:`ChaosStream` has done, or will do."""

    direction: Direction
    """Which way the bytes go that it happens to."""
    offset: int
    """How many bytes have gone that way before."""
    fault: Fault
    """What it is."""
    nbytes: int
    """How many bytes it happens to; 0: all that would follow."""


class _Course:
    """What happens to the bytes of one direction, piece by piece.

    Args:
        direction: Which.
        random: What decides.
        faults: The harmless faults that may happen.
    """

    # I1  a piece is at least one byte long; left of it are still to go, at most limit at once
    __slots__ = (
        "_ending",
        "_faults",
        "_left",
        "_random",
        "busy",
        "delay",
        "direction",
        "event",
        "fatal",
        "limit",
        "offset",
    )

    def __init__(self, direction: Direction, random: Random, faults: list[Fault]) -> None:
        self.direction = direction
        self._random = random
        self._faults: list[Fault | None] = [None, *faults]
        self._left = 0
        self.offset = self.limit = self.delay = 0
        self.event: ChaosEvent | None = None
        #: What ends this direction, if anything does.
        self.fatal: ChaosEvent | None = None
        self.busy = False
        self._ending = False

    @property
    def due(self) -> ChaosEvent | None:
        """What ends this direction now."""
        fatal = self.fatal
        return fatal if fatal is not None and fatal.offset <= self.offset else None

    def begin_end(self) -> bool:
        """Decide, once, what happens before the end is told."""
        if self._ending:
            return False
        self._ending = True
        late = self._random.choice(self._faults) in ("delay", "merge")
        self.delay = self._random.randint(1, TURNS) if late else 0
        self.event = ChaosEvent(self.direction, self.offset, "delay", 0) if late else None
        return True

    def begin_piece(self) -> bool:
        """Decide what happens next, unless the last piece still has bytes to go."""
        if self._left:
            return False
        draw = self._random.randint
        fault = self._random.choice(self._faults)
        self.delay = draw(1, TURNS) if fault in ("delay", "merge") else 0
        longest = {"merge": MERGED, "split": SPLIT, "dribble": DRIBBLED}
        self._left = draw(1, longest.get(fault or "", PLAIN))
        self.limit = 1 if fault == "dribble" else self._left
        self.event = fault and ChaosEvent(self.direction, self.offset, fault, self._left)
        return True

    def room(self) -> int:
        """Return how many bytes may go next, while nothing is due."""
        room = min(self.limit, self._left)
        return room if self.fatal is None else min(room, self.fatal.offset - self.offset)

    def pass_on(self, nbytes: int) -> None:
        """Note that bytes have gone."""
        self.offset += nbytes
        self._left -= nbytes


class ChaosStream(ByteStream):
    """Another byte stream, with faults.

    ``delay`` lets other tasks have a few turns first, before the end as well; ``split`` cuts the
    bytes into small pieces, ``dribble`` into single ones; ``merge`` waits a little and then takes
    what has come in one piece; sent buffers are always merged before they are cut.  With these
    alone, every byte arrives.

    Of the other faults at most one happens, in one direction, once.  ``reset`` breaks the
    stream as a reset of the connection does: every use of it is a BrokenResourceError, and the
    wrapped stream is closed forcefully.  Its peer gets a reset as well over TCP and over the
    streams in memory of this package; a UNIX socket's only if it has sent something that was not
    received, and any other's sees what it sees when such a stream is closed forcefully.  ``stall``
    lets no more bytes through: who uses that direction, ``send_eof`` included, waits until the
    stream is closed.  ``eof`` ends it: who
    receives gets EndOfStream; where it was sending, the peer gets it, and sending is a
    BrokenResourceError.

    The same arguments give the same faults at the same offsets of the bytes.  So a failing test
    need only print the stream.

    Args:
        stream: What to wrap.
        seed: What decides; None: a new one, which :attr:`seed` tells.
        faults: What may happen.
        within: The fatal fault strikes after at most so many bytes, more often early than late;
            if fewer go, it does not happen.
    """

    HARMLESS = HARMLESS
    FATAL = FATAL

    def __init__(
        self,
        stream: ByteStream,
        seed: int | None = None,
        *,
        faults: Iterable[Fault] = HARMLESS,
        within: int = 65_536,
    ) -> None:
        #: The wrapped stream.
        self.stream = stream
        #: What decides, together with ``faults`` and ``within``.
        self.seed: int = SystemRandom().getrandbits(32) if seed is None else seed
        #: What may happen, in alphabetical order.
        self.faults: tuple[Fault, ...] = tuple(sorted(set(faults)))
        #: After how many bytes the fatal fault strikes at the latest.
        self.within = within
        unknown = set(self.faults) - {*HARMLESS, *FATAL}
        if unknown:
            raise ValueError(f"no such fault: {', '.join(sorted(map(repr, unknown)))}")
        if within < 0:
            raise ValueError(f"within must be at least 0, not {within}")
        harmless = [fault for fault in self.faults if fault in HARMLESS]
        self._receiving = _Course("receive", Random(f"{self.seed} receive"), harmless)
        self._sending = _Course("send", Random(f"{self.seed} send"), harmless)
        self.fate: ChaosEvent | None = self._draw_fate()
        """The fatal fault that will happen, if enough bytes go that way."""
        self.history: deque[ChaosEvent] = deque(maxlen=REMEMBERED)
        """The last 256 faults that have happened."""
        self.struck: Event = Event()
        """Set when the fatal fault strikes."""
        self._partial: int | None = None
        self._broken = False
        self._closed = False
        self._closing = Event()

    def _draw_fate(self) -> ChaosEvent | None:
        fatal = [fault for fault in self.faults if fault in FATAL]
        if not fatal:
            return None
        random = Random(f"{self.seed} fate")
        course = random.choice([self._receiving, self._sending])
        offset = int((self.within + 2) ** random.random()) - 1
        course.fatal = ChaosEvent(course.direction, offset, random.choice(fatal), 0)
        return course.fatal

    def __repr__(self) -> str:
        done = [f"{it.fault} at {it.direction} {it.offset}" for it in list(self.history)[-8:]]
        return (
            f"<ChaosStream({self.stream!r}, {self.seed}, faults={self.faults}, "
            f"within={self.within}): received {self._receiving.offset} bytes, "
            f"sent {self._sending.offset}; {', '.join(done) or 'no faults'}>"
        )

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self.stream.extra_attributes

    @property
    def partial_send(self) -> int | None:
        """How many bytes of the last send went out, if it was cut short; None: all of them.

        None as well where the wrapped stream does not know.
        """
        return self._partial

    # -- transfer --------------------------------------------------------------------------

    async def receive(self, max_bytes: int = 65536) -> bytes:
        positive("max_bytes", max_bytes)
        course = self._receiving
        with self._alone(course, "reading from"):
            room = await self._prepare(course)
            data = await self.stream.receive(min(max_bytes, room))
            course.pass_on(len(data))
            return data

    async def send(self, item: ReadableBuffer) -> None:
        await self.send_many((item,))

    async def send_many(self, buffers: Iterable[ReadableBuffer]) -> None:
        data = b"".join([octets_of(buffer) for buffer in buffers])
        course = self._sending
        with self._alone(course, "writing to"):
            self._partial = sent = 0
            while sent < len(data) or not data:
                room = await self._prepare(course)
                piece = data[sent : sent + room]
                try:
                    await self.stream.send(piece)
                except BaseException:
                    gone = self.stream.partial_send
                    self._partial = None if gone is None else sent + gone
                    course.pass_on(gone or 0)
                    raise
                course.pass_on(len(piece))
                self._partial = sent = sent + len(piece)
                if not data:
                    break
            self._partial = None

    async def send_eof(self) -> None:
        course = self._sending
        with self._alone(course, "writing to"):
            if course.begin_end() and course.event is not None:
                self.history.append(course.event)
            await self._delay(course)
            due = course.due
            if due is not None and due.fault != "eof":
                await self._strike(due)
            await self.stream.send_eof()

    async def aclose(self) -> None:
        """Close the stream and the wrapped one; if cancelled, they are closed all the same.

        Who waits in a stall gets ClosedResourceError.
        """
        self._closed = True
        self._closing.set()
        await self.stream.aclose()

    # -- faults ----------------------------------------------------------------------------

    @contextmanager
    def _alone(self, course: _Course, action: str) -> Generator[None, None, None]:
        """Keep a second task out of a direction, and say why the wrapped stream was closed."""
        self._check()
        if course.busy:
            raise BusyResourceError(action)
        course.busy = True
        try:
            yield
        except ClosedResourceError:
            if self._broken and not self._closed:
                raise BrokenResourceError from connection_reset()
            raise
        finally:
            course.busy = False

    def _check(self) -> None:
        if self._closed:
            raise ClosedResourceError
        if self._broken:
            raise BrokenResourceError from connection_reset()

    async def _prepare(self, course: _Course) -> int:
        """Do what happens before bytes go, and return how many may; nothing has gone yet."""
        if course.begin_piece() and course.event is not None:
            self.history.append(course.event)
        await self._delay(course)
        due = course.due
        if due is not None:
            await current_backend().checkpoint()
            self._check()
            await self._strike(due)
        return course.room()

    async def _delay(self, course: _Course) -> None:
        while course.delay:
            await current_backend().checkpoint()
            self._check()
            course.delay -= 1

    async def _strike(self, event: ChaosEvent) -> NoReturn:
        if not self.struck.is_set():
            self.history.append(event)
            self.struck.set()
        if event.fault == "stall":
            await self._closing.wait()
            raise ClosedResourceError
        if event.fault == "eof" and event.direction == "receive":
            raise EndOfStream
        if event.fault == "eof":
            await self.stream.send_eof()
            raise BrokenResourceError from OSError(errno.EPIPE, os.strerror(errno.EPIPE))
        self._broken = True
        await reset(self.stream)
        raise BrokenResourceError from connection_reset()
