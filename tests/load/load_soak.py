"""The mixed soak: streams of every kind for a long time, some of them held, most of them short.

Every ten seconds everybody stops between two exchanges, and descriptors and memory are measured.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from time import perf_counter

from load_clients import PATIENCE, Chance, Connection, exchange, half_closed, one_connection
from load_content import Books, Wrong, check_piece, piece
from load_measuring import KIB, MIB, Report, descriptors, progress, resident
from load_servers import FRAMINGS, KINDS, Header, Servers, open_servers, send_header

import penstock
from penstock import EndOfStream, create_memory_object_stream
from penstock.streams.buffered import BufferedByteStream
from penstock.streams.framed import FramedStream
from penstock.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

__all__ = ("BREAKS", "Soak", "soak")

#: Tasks that make connections of each kind and end them again.
CHURNING = 3
#: Lines, frames or items that are under way at once, at most.
BATCH = 40
#: Sizes of the memory object streams.
BUFFERS = (0, 1, 100)
#: Producers and consumers are cancelled within so many seconds.
SOON = 0.002
#: Memory may grow by so much after the warm-up, a third of the time.
MOST_GROWTH = 1 * MIB
#: So many measurements at either end are taken together, at most.
TOGETHER = 5
#: What can be broken, to see the bounds fail.
BREAKS = ("descriptor", "item", "memory")

#: A producer and the number of its item.
Item = tuple[int, int]
Step = Callable[[], Awaitable[None]]


@dataclass
class Soak:
    """What a soak is to do.

    Args:
        interval: Seconds between two measurements.
        measurements: How many; the first third of them are the warm-up.
        growth: Bytes that memory may grow by.
        seed: What chance begins with.
        broken: One of :data:`BREAKS`, which the bounds have to notice.
    """

    interval: float = 10
    measurements: int = 180
    growth: int = MOST_GROWTH
    seed: int = 1
    broken: str | None = None
    report: Report = field(default_factory=Report)
    counts: Counter[str] = field(default_factory=Counter)


class Gate:
    """Lets tasks through while it is open; closed, it waits until none of them is inside."""

    def __init__(self) -> None:
        self._inside = 0
        self._opened = penstock.Event()
        self._opened.set()
        self._empty = penstock.Event()
        self.ended = False

    async def pass_through(self, step: Step) -> None:
        await self._opened.wait()
        if self.ended:
            return
        self._inside += 1
        try:
            with penstock.fail_after(PATIENCE):
                await step()
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    async def close(self) -> None:
        self._opened = penstock.Event()
        self._empty = penstock.Event()
        if self._inside:
            await self._empty.wait()

    def open(self) -> None:
        self._opened.set()


class Running:
    """A soak that is under way."""

    def __init__(self, plan: Soak, servers: Servers) -> None:
        self.plan = plan
        self.servers = servers
        self.report = plan.report
        self.counts = plan.counts
        self.chance = Chance(plan.seed)
        self.gate = Gate()
        self.books = Books()
        self.held = 0
        self.stack = AsyncExitStack()
        self.left_behind: list[bytes] = []

    async def repeat(self, name: str, step: Step) -> None:
        """Take a step again and again, until the end."""
        while not self.gate.ended:
            try:
                await self.gate.pass_through(step)
                self.counts[name] += 1
            except Exception as exc:
                self.report.error(exc, name)
                await penstock.sleep(0.1)  # what fails for good shall not fill the screen

    async def hold_echo(self, kind: str) -> Step:
        connection = await Connection.begin(self.servers, kind, self.new_chance())
        await self.hold(connection.stream)
        return connection.exchange

    async def hold_lines(self, kind: str, channel: int) -> Step:
        stream = await self.servers.connect(kind)
        await send_header(stream, Header("lines", channel))
        buffered = BufferedByteStream(stream)
        await self.hold(buffered)
        chance = self.new_chance()
        passed = 0

        async def step() -> None:
            nonlocal passed
            count = chance.randrange(1, BATCH)
            pieces = [piece(channel, passed + number) for number in range(count)]

            async def receive(_size: int) -> None:
                nonlocal passed
                for _ in range(count):
                    if chance.random() < 0.5:
                        line = await buffered.receive_line()
                    else:
                        line = await buffered.receive_until(b"\n", 4096)
                    check_piece(line, channel, passed)
                    passed += 1

            await exchange(buffered, b"\n".join([*pieces, b""]), receive)

        return step

    async def hold_frames(self, kind: str, channel: int, framing: int) -> Step:
        stream = await self.servers.connect(kind)
        await send_header(stream, Header(framing, channel))
        framed = FramedStream(stream, FRAMINGS[framing])
        await self.hold(framed)
        chance = self.new_chance()
        passed = 0

        async def step() -> None:
            nonlocal passed
            count = chance.randrange(1, BATCH)
            frames = [piece(channel, passed + number) for number in range(count)]
            async with penstock.create_task_group() as tasks:
                tasks.start_soon(framed.send_many, frames)
                end = passed + count
                while passed < end:
                    for frame in await framed.receive_many(end - passed):
                        check_piece(frame, channel, passed)
                        passed += 1

        return step

    async def hold(self, stream: object) -> None:
        await self.stack.enter_async_context(stream)  # type: ignore[arg-type]
        self.held += 1

    async def produce(self, stream: MemoryObjectSendStream[Item], producer: int) -> None:
        """Send items until the end, each of them in spite of cancellations."""
        chance = self.new_chance()

        async def step() -> None:
            for _ in range(chance.randrange(1, BATCH)):
                number = self.books.sent.get(producer, 0)
                sent = False
                while not sent:
                    with penstock.move_on_after(chance.random() * SOON):
                        await stream.send((producer, number))
                        sent = True
                    self.counts["sends of items, cancelled"] += not sent
                self.books.sent[producer] = number + 1
                self.counts["items"] += 1

        with stream:
            await self.repeat("batches of items", step)

    async def consume(self, stream: MemoryObjectReceiveStream[Item]) -> None:
        """Receive items, in spite of cancellations, until there are no more."""
        chance = self.new_chance()
        with stream:
            while True:
                try:
                    with penstock.move_on_after(chance.random() * SOON):
                        while True:
                            self.take(await stream.receive())
                except EndOfStream:
                    return
                self.counts["receives of items, cancelled"] += 1
                # Producers have to wait meanwhile, and are cancelled in their turn.
                await penstock.sleep(chance.random() * 2 * SOON)

    def take(self, item: Item) -> None:
        if self.plan.broken == "item" and item[1] == 1:
            return
        try:
            self.books.check(item)
        except Wrong as exc:
            self.report.error(exc, "items")

    def new_chance(self) -> Chance:
        return Chance(self.chance.random())

    async def churn(self, kind: str, chance: Chance) -> None:
        await one_connection(self.servers, kind, chance, self.counts)

    def break_something(self) -> None:
        """Leave something behind, if this is to see a bound fail."""
        if self.plan.broken == "descriptor":
            os.dup(0)
        elif self.plan.broken == "memory":
            self.left_behind.append(b"x" * (2 * self.plan.growth))  # some may be given back


async def soak(plan: Soak) -> Report:
    """Run it, and return its figures."""
    async with open_servers(plan.report, *KINDS) as servers:
        for kind in KINDS:
            await half_closed(servers, kind, Chance(plan.seed))
    gc.collect()
    before = descriptors()  # what is opened once and kept is open now
    async with open_servers(plan.report, *KINDS) as servers:
        running = Running(plan, servers)
        async with running.stack, penstock.create_task_group() as tasks:
            for channel, kind in enumerate(KINDS):
                held = {
                    f"echo, {kind}, held": await running.hold_echo(kind),
                    f"lines, {kind}": await running.hold_lines(kind, channel),
                    f"frames, {kind}": await running.hold_frames(kind, channel, channel),
                }
                for name, step in held.items():
                    tasks.start_soon(running.repeat, name, step)
                for _ in range(CHURNING):
                    step = partial(running.churn, kind, running.new_chance())
                    tasks.start_soon(running.repeat, f"connections, {kind}", step)
            for number, size in enumerate(BUFFERS):
                send, receive = create_memory_object_stream[Item](size)
                with send, receive:
                    for producer in (2 * number, 2 * number + 1):
                        tasks.start_soon(running.produce, send.clone(), producer)
                        tasks.start_soon(running.consume, receive.clone())
            samples = await measure(running)
    judge(running, samples[len(samples) // 3 :])
    plan.report.exactly("descriptors left open", descriptors() - before, 0)
    return plan.report


async def measure(running: Running) -> list[tuple[int, int]]:
    """Return descriptors and memory, again and again until the end."""
    plan = running.plan
    started = perf_counter()
    samples: list[tuple[int, int]] = []
    while len(samples) < plan.measurements:
        await penstock.sleep(plan.interval)
        await running.gate.close()
        await running.servers.settle(running.held)
        running.break_something()
        memory = resident()  # first: it collects the garbage
        samples.append((descriptors(), memory))
        progress(
            f"{perf_counter() - started:6.0f} s, {len(samples)} of {plan.measurements}"
            f"  {running.counts.total():12,} steps  {samples[-1][0]} descriptors"
            f"  {memory / MIB:.2f} MiB  {plan.report.errors} errors"
        )
        running.gate.ended = len(samples) == plan.measurements
        running.gate.open()
    return samples


def judge(running: Running, samples: list[tuple[int, int]]) -> None:
    """Compare what was measured after the warm-up with the bounds."""
    report = running.report
    for name, count in sorted(running.counts.items()):
        report.figure(name, count)
    report.figure("sends that were resumed in the middle", running.servers.partial_sends)
    open_now = [sample[0] for sample in samples]
    memory = [sample[1] for sample in samples]
    together = min(TOGETHER, len(samples) // 2)
    growth = median(memory[-together:]) - median(memory[:together])
    report.figure("measurements after the warm-up", len(samples))
    report.figure("resident, first and last, KiB", f"{memory[0] // KIB:,} {memory[-1] // KIB:,}")
    report.figure("resident, least and most, KiB", f"{min(memory) // KIB:,} {max(memory) // KIB:,}")
    report.bound("growth of memory, KiB", growth / KIB, running.plan.growth / KIB)
    report.exactly("descriptors, most less least", max(open_now) - min(open_now), 0)
    report.exactly("items lost or doubled", running.books.difference(), 0)
    report.exactly("errors", report.errors, 0)
