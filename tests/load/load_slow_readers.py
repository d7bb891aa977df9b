"""Peers that hardly read, beside others that do.

Lives here: whether what is sent to slow readers waits in the system's buffers and nowhere else, and
whether it costs the others anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import quantiles
from time import perf_counter, process_time

from load_clients import PATIENCE, Chance, Connection, all_of
from load_measuring import KIB, MIB, Report, descriptors, progress, resident
from load_servers import open_servers

import penstock
from penstock import EndOfStream

__all__ = ("SlowReaders", "slow_readers")

#: What the system is asked to buffer of a connection, at either end; it doubles that, and more.
BUFFER = 16 * KIB
#: Memory that a slow reader may need, with its connection's both ends.
MOST_MEMORY = 128 * KIB
#: A slow reader receives so many bytes at a time, and one of them so often.
SIP = 1 * KIB
BETWEEN_SIPS = 0.02
#: The CPU time of a request of the others may grow by this factor.
MOST_SLOWED = 1.5
#: The largest request of the others.
LARGEST = 4096


@dataclass
class SlowReaders:
    """What is to be done.

    Args:
        slow: How many connections hardly read, for each of TCP and TLS.
        size: How many bytes each of them is sent.
        others: How many connections have requests answered meanwhile.
        seconds: How long, without slow readers and with them.
        memory: Bytes that a slow reader may need.
        seed: What chance begins with.
    """

    slow: int = 250
    size: int = 2 * MIB
    others: int = 20
    seconds: float = 30
    memory: int = MOST_MEMORY
    seed: int = 1
    report: Report = field(default_factory=Report)


@dataclass(frozen=True)
class Window:
    """What requests have cost within a while, in seconds."""

    per_second: float
    cpu: float
    half_within: float
    nearly_all_within: float

    def figures(self, report: Report, name: str) -> None:
        within = f"{self.half_within * 1000:.2f} {self.nearly_all_within * 1000:.2f}"
        report.figure(f"{name}: requests per second", self.per_second)
        report.figure(f"{name}: CPU per request, us", self.cpu * 1e6)
        report.figure(f"{name}: answered within ms, half and 99 of 100", within)


async def slow_readers(plan: SlowReaders) -> Report:
    """Run it, and return its figures."""
    report = plan.report
    chance = Chance(plan.seed)
    async with open_servers(report, "tcp", "tls", buffer_size=BUFFER) as servers:
        others = [await Connection.begin(servers, "tcp", chance) for _ in range(plan.others)]
        await ask_for(others, plan.seconds / 10)  # the warm-up
        alone = await ask_for(others, plan.seconds)
        before, opened = resident(), descriptors()
        slow = [
            await Connection.begin(servers, kind, chance, plan.size, "flood")
            for kind in ("tcp", "tls")
            for _ in range(plan.slow)
        ]
        # The first sip of TLS decrypts a whole record.
        for connection in slow:
            await sip(connection)
        await until_they_wait()
        stuck, flooded = resident(), servers.flooded
        progress(f"{len(slow)} slow readers, {flooded / len(slow) / KIB:.0f} KiB sent to each")
        async with penstock.create_task_group() as tasks:
            tasks.start_soon(sip_on, slow)
            beside = await ask_for(others, plan.seconds)
            tasks.cancel()
        await until_they_wait()
        later = resident()
        progress("now they read")
        await all_of(report, "a slow reader", [read_on(one, plan.size) for one in slow])
        await servers.settle(len(others))
        left = descriptors() - opened
        for connection in others:
            await connection.stream.aclose()
    alone.figures(report, "without slow readers")
    beside.figures(report, "beside them")
    report.figure("slow readers", len(slow))
    report.figure("MB that they have received in the end", len(slow) * plan.size / 1e6)
    waiting = flooded / len(slow) / KIB
    report.bound("sent to a slow reader before it read, KiB", waiting, plan.size / KIB / 2, 1)
    for name, memory in (("at first", stuck), ("in the end", later)):
        each = (memory - before) / len(slow) / KIB
        report.bound(f"memory per slow reader {name}, KiB", each, plan.memory / KIB)
    slowed = beside.cpu / alone.cpu
    report.bound("CPU per request, beside them and without", slowed, MOST_SLOWED)
    report.exactly("descriptors left open", left, 0)
    report.exactly("errors", report.errors, 0)
    return report


async def ask_for(connections: list[Connection], seconds: float) -> Window:
    """Have requests answered on all connections at once."""
    waits: list[float] = []
    started, cpu = perf_counter(), process_time()

    async def ask(connection: Connection) -> None:
        ended = 0.0
        while ended < started + seconds:
            asked = perf_counter()
            await connection.ask(LARGEST)
            ended = perf_counter()
            waits.append(ended - asked)

    async with penstock.create_task_group() as tasks:
        for connection in connections:
            tasks.start_soon(ask, connection)
    took, cpu = perf_counter() - started, process_time() - cpu
    tail = quantiles(waits, n=100)
    return Window(len(waits) / took, cpu / len(waits), tail[49], tail[98])


async def until_they_wait() -> None:
    """Wait until nothing more can be sent to anybody.

    Raises:
        TimeoutError: Somebody who should wait does something all the time.
    """
    with penstock.fail_after(PATIENCE):
        await penstock.wait_all_tasks_blocked()


async def sip(connection: Connection) -> None:
    """Receive a little."""
    connection.received.check(await connection.stream.receive(SIP))


async def sip_on(connections: list[Connection]) -> None:
    """Receive a little, now of this connection, now of that one, until cancelled."""
    while True:
        for connection in connections:
            await sip(connection)
            await penstock.sleep(BETWEEN_SIPS)


async def read_on(connection: Connection, size: int) -> None:
    """Receive everything, to the end."""
    async with connection.stream as stream:
        with penstock.fail_after(10 * PATIENCE):
            await connection.receive(size - connection.received.passed)
        try:
            await stream.receive()
        except EndOfStream:
            return
        raise AssertionError("no end of the stream")
