"""Two ends that send to each other at once over streams with faults, and what must be true then.

Lives here: the faults of one transfer, the conversation, and the verdict.  Which streams are put
together is in ``chaos_stacks``, what is tried on them in ``test_chaos_transfers``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from random import Random
from typing import Any

import penstock
from penstock import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    IncompleteRead,
    aclose_forcefully,
)
from penstock.abc import TaskGroup
from penstock.lowlevel import set_ready_budget
from penstock.testing import ChaosStream

#: How a transfer that is cut short may end, for whoever sends or receives.
DOCUMENTED = (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    IncompleteRead,
    UnicodeDecodeError,
)
#: After so many seconds a transfer hangs.
PATIENCE = 10
SIDES = ("near", "far")


@dataclass(frozen=True)
class Case:
    """What is sent, how, and what happens to it."""

    seed: int
    #: How long the pieces are that each side sends.
    pieces: tuple[Sequence[int], Sequence[int]]
    #: How much is asked for at a time.
    reads: Sequence[int]
    many: bool
    into: bool
    faults: frozenset[str]
    fatal: str | None
    within: int
    #: Whether the faults are below what a stack does to streams, above it, or both.
    place: str
    #: The side that the fatal fault strikes.
    victim: str
    #: None: the event loop's own.
    budget: int | None


@dataclass(frozen=True)
class Stack:
    """Streams upon streams."""

    #: Makes two connected ends; puts faults on those that it stacks itself.
    base: Callable[[Weather], Awaitable[tuple[Any, Any]]]
    #: What is done to each end, its side given: a handshake.
    secure: Callable[[Any, str], Awaitable[Any]] | None = None
    #: What is made of each end then.
    shape: Callable[[Any], Any] | None = None
    #: Makes what is sent of bytes.
    item: Callable[[bytes], Any] = bytes
    #: Whether what was received is compared as one whole, and not item by item.
    whole: bool = True
    half_close: bool = True
    #: Whether an end that nobody has announced must not pass for one.
    announced: bool = False
    exactly: bool = False

    def join(self, pieces: list[Any]) -> Any:
        if not self.whole:
            return pieces
        return type(self.item(b"")).join(self.item(b""), pieces)


class Weather:
    """The faults of one transfer, and those who end its stalls."""

    def __init__(self, case: Case, group: TaskGroup) -> None:
        self._case = case
        self._group = group
        self.chaos: list[ChaosStream] = []
        self.closable: list[Any] = []

    def below(self, stream: Any, side: str) -> Any:
        return self._over(stream, side, "below")

    def above(self, stream: Any, side: str) -> Any:
        return self._over(stream, side, "above")

    def _over(self, stream: Any, side: str, level: str) -> Any:
        case = self._case
        self.closable.append(stream)
        if case.place not in (level, "both"):
            return stream
        faults = set(case.faults)
        fated = case.fatal and case.victim == side and level == ("above", "below")[case.seed % 2]
        if case.fatal and case.victim == side and (fated or case.place != "both"):
            faults.add(case.fatal)
        seed = Random(f"{case.seed} {side} {level}").getrandbits(32)
        chaos = ChaosStream(stream, seed, faults=faults, within=case.within)  # type: ignore[arg-type]
        self.chaos.append(chaos)
        self.closable.append(chaos)
        if case.fatal == "stall":
            self._group.start_soon(self._end_stall, chaos)
        return chaos

    async def _end_stall(self, chaos: ChaosStream) -> None:
        await chaos.struck.wait()
        await penstock.wait_all_tasks_blocked()
        for stream in reversed(self.closable):
            await aclose_forcefully(stream)


@dataclass
class Way:
    """What went one way."""

    pieces: list[Any]
    sent: int = 0
    #: How much of the piece went out whose send has failed; None: nobody knows.
    partial: int | None = None
    received: list[Any] = field(default_factory=list)
    send_error: Exception | None = None
    receive_error: Exception | None = None

    @property
    def total(self) -> int:
        return sum(map(len, self.pieces))


class Conversation:
    """Both ends of a stack, each of which sends and receives.

    Args:
        stack: What they do it over.
        case: What they do.
    """

    def __init__(self, stack: Stack, case: Case) -> None:
        self.stack = stack
        self.case = case
        self.ways: dict[str, Way] = {}  # by the side that sends
        for side, lengths in zip(SIDES, case.pieces, strict=True):
            random = Random(f"{case.seed} {side}")
            pieces = [stack.item(random.randbytes(length)) for length in lengths]
            self.ways[side] = Way(pieces)
        self.weather: Weather | None = None

    async def run(self) -> None:
        if self.case.budget is not None:
            set_ready_budget(self.case.budget)
        with penstock.fail_after(PATIENCE):
            async with penstock.create_task_group() as attendants:
                self.weather = Weather(self.case, attendants)
                ends = await self.stack.base(self.weather)
                async with penstock.create_task_group() as group:
                    for side, end in zip(SIDES, ends, strict=True):
                        group.start_soon(self._take_part, side, end)
                attendants.cancel_scope.cancel()

    async def _take_part(self, side: str, end: Any) -> None:
        assert self.weather is not None
        outgoing = self.ways[side]
        incoming = self.ways["near" if side == "far" else "far"]
        try:
            if self.stack.secure is not None:
                end = await self.stack.secure(end, side)
                end = self.weather.above(end, side)
        except DOCUMENTED as exc:
            outgoing.send_error = incoming.receive_error = exc
            await aclose_forcefully(end)
            return
        if self.stack.shape is not None:
            end = self.stack.shape(end)
        self.weather.closable.append(end)
        async with penstock.create_task_group() as group:
            group.start_soon(self._send, outgoing, end)
            group.start_soon(self._receive, incoming, end)
        await end.aclose()

    async def _send(self, way: Way, end: Any) -> None:
        try:
            for piece in way.pieces:
                if self.case.many and self.stack.whole and type(piece) is bytes:
                    await end.send_many([piece[:10], bytearray(piece[10:])])
                else:
                    await end.send(piece)
                way.sent += 1
            if self.stack.half_close:
                await end.send_eof()
        except DOCUMENTED as exc:
            way.send_error = exc
            way.partial = end.partial_send
            await aclose_forcefully(end)

    async def _receive(self, way: Way, end: Any) -> None:
        sizes: Iterator[int] = cycle(self.case.reads)
        try:
            while self.stack.half_close or sum(map(len, way.received)) < way.total:
                way.received.append(await self._receive_some(end, next(sizes)))
        except EndOfStream as exc:
            way.receive_error = exc
            if self.stack.join(way.received) != self.stack.join(way.pieces):
                await aclose_forcefully(end)
        except DOCUMENTED as exc:
            way.receive_error = exc
            await aclose_forcefully(end)

    async def _receive_some(self, end: Any, size: int) -> Any:
        if type(self.stack.item(b"")) is not bytes or not self.stack.whole:
            return await end.receive()
        if self.stack.exactly and size % 2:
            try:
                return await end.receive_exactly(size)
            except IncompleteRead:
                return await end.receive()  # what there is, or the end
        if self.case.into:
            memory = bytearray(size)
            return bytes(memory[: await end.receive_into(memory)])
        return await end.receive(size)

    def judge(self) -> None:
        """Fail unless all that was received was sent, and all was where nothing fatal happened."""
        for side, way in self.ways.items():
            sent, received = self.stack.join(way.pieces), self.stack.join(way.received)
            assert sent[: len(received)] == received, f"{side} has not sent what was received"
            if self.case.fatal is None:
                assert way.send_error is None, way.send_error
                if self.stack.half_close:
                    assert isinstance(way.receive_error, EndOfStream), way.receive_error
                assert len(received) == len(sent), f"{len(received)} came of {len(sent)}"
            if self.stack.announced and self.case.place == "below":
                ended = isinstance(way.receive_error, EndOfStream)
                assert not ended or received == sent, "the end came early, and looked like one"
            if way.partial is not None and type(sent) is bytes:
                told = sum(map(len, way.pieces[: way.sent])) + way.partial
                assert len(received) <= told, f"{len(received)} came, {told} went"
