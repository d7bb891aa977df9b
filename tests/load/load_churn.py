"""Connections that begin and end as fast as they can, in every way, at any moment.

Lives here: how many at once, for how long, and what may be left of them.  What one of them does
lives in ``load_clients``.
"""

from __future__ import annotations

import gc
from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter, process_time

from load_clients import Chance, half_closed, one_connection
from load_measuring import KIB, MIB, Report, descriptors, progress, resident
from load_servers import KINDS, Servers, open_servers

import penstock

__all__ = ("Churn", "churn")

#: Memory may grow by so much from a tenth of the time on.
MOST_GROWTH = 2 * MIB
#: How often it is said how far this is.
OFTEN = 5.0


class Brief(Chance):
    """Leaves little time to anything, for that many more connections."""

    largest = 1000
    soon = 0.001


@dataclass
class Churn:
    """What is to be done.

    Args:
        seconds: How long.
        tasks: How many tasks make connections over TCP, and how many over UNIX sockets; over TLS,
            where a handshake costs more than all the rest, a tenth of that.
        growth: Bytes that memory may grow by.
        seed: What chance begins with.
    """

    seconds: float = 60
    tasks: int = 20
    kinds: tuple[str, ...] = KINDS
    growth: int = MOST_GROWTH
    seed: int = 1
    report: Report = field(default_factory=Report)


async def churn(plan: Churn) -> Report:
    """Run it, and return its figures."""
    report = plan.report
    chance = Brief(plan.seed)
    async with open_servers(report, *plan.kinds) as servers:
        for kind in plan.kinds:
            await half_closed(servers, kind, chance)
    gc.collect()
    before = descriptors()  # what is opened once and kept is open now
    async with open_servers(report, *plan.kinds) as servers:
        await run(plan, servers, chance, plan.seconds / 10)
        warm = resident()
        cpu = process_time()
        counts, took = await run(plan, servers, chance, plan.seconds)
        cpu = process_time() - cpu
        grown = resident() - warm
        listeners = [listener.statistics() for listener in servers.listeners.values()]
    for name, count in sorted(counts.items()):
        report.figure(name, count)
    ends = counts.total() / 2  # each is counted by its kind and by its way
    report.figure("connections", int(ends))
    report.figure("connections per second", ends / took)
    report.figure("CPU per connection, both ends, us", cpu / ends * 1e6)
    report.figure("accepted, with the warm-up", sum(one.accepted for one in listeners))
    report.figure("cut short, seen by the server", sum(one.lost_connections for one in listeners))
    report.figure("handshakes cut short", sum(one.failed_handshakes for one in listeners))
    report.figure("sends that were resumed in the middle", servers.partial_sends)
    report.bound("growth of memory, KiB", grown / KIB, plan.growth / KIB)
    report.exactly("accepting failed", sum(one.accept_failures for one in listeners), 0)
    report.exactly("descriptors left open", descriptors() - before, 0)
    report.exactly("errors", report.errors, 0)
    return report


async def run(
    plan: Churn, servers: Servers, chance: Chance, seconds: float
) -> tuple[Counter[str], float]:
    """Make connections for so long; return how many of each kind and way, and the time taken."""
    started = perf_counter()
    until = started + seconds
    counts: Counter[str] = Counter()

    async def connect_again_and_again(kind: str) -> None:
        while perf_counter() < until:
            try:
                await one_connection(servers, kind, chance, counts)
                counts[kind] += 1
            except Exception as exc:
                plan.report.error(exc, kind)

    async with penstock.create_task_group() as tasks:
        for kind in plan.kinds:
            number = plan.tasks if kind != "tls" else max(plan.tasks // 10, 1)
            for _ in range(number):
                tasks.start_soon(connect_again_and_again, kind)
        while perf_counter() < until:
            await penstock.sleep(min(OFTEN, max(until - perf_counter(), 0)))
            progress(f"{perf_counter() - started:6.0f} of {seconds:.0f} s  {counts.total() // 2:,}")
    took = perf_counter() - started
    await servers.settle(0)
    return counts, took
