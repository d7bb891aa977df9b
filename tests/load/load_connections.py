"""Many connections that are held at once, with traffic on each of them.

Servers and clients are processes of their own, as many pairs as the limit on descriptors asks for.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from backends import BackendUnderTest
from load_clients import Chance, Connection, all_of, half_closed
from load_measuring import KIB, Report, descriptors, progress, raise_descriptor_limit, resident
from load_processes import Boss, Worker
from load_servers import Servers, open_servers
from tls_peers import authority

import penstock
from penstock.abc import ListenerStatistics

__all__ = ("Plan", "hold_connections")

#: Descriptors that a process has open besides its connections, at most.
OTHERS = 100
#: Connections that a client makes at the same time.
CONNECTING = 100
#: The most that a client asks for at once.
LARGEST = 4096
#: Memory that a server may need for each idle connection, in KiB.
MOST_MEMORY = {"tcp": 16, "tls": 128}


@dataclass
class Plan:
    """What is to be held.

    Args:
        kind: ``"tcp"`` or ``"tls"``.
        count: How many connections.
        seconds: How long there is traffic on all of them.
        seed: What chance begins with.
    """

    kind: str = "tcp"
    count: int = 10_000
    seconds: float = 60
    seed: int = 1
    report: Report = field(default_factory=Report)


@dataclass(frozen=True)
class Standing:
    """What a server says of itself."""

    served: int
    descriptors: int
    resident: int
    errors: int
    listener: ListenerStatistics


async def run_server(boss: Boss, kind: str) -> None:
    """Serve, and say how things are whenever so many connections are left, until told to end."""
    report = Report()
    async with open_servers(report, kind) as servers:
        # What the first connection costs is no connection's.
        await half_closed(servers, kind, Chance(1))
        await servers.settle(0)
        boss.say((servers.addresses, authority().cert_pem.bytes().decode()))
        while (left := await boss.listen()) is not None:
            await servers.settle(left)
            memory = resident()
            statistics = servers.listeners[kind].statistics()
            boss.say(
                Standing(servers.open_handlers(), descriptors(), memory, report.errors, statistics)
            )


async def run_client(
    boss: Boss, addresses: dict[str, Any], authority_pem: str, kind: str, count: int, seed: int
) -> None:
    """Connect, have traffic for as long as told, and close when told."""
    report = Report()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority_pem)
    servers = Servers(report, context, addresses=addresses)
    chance = Chance(seed)
    limiter = penstock.CapacityLimiter(CONNECTING)
    connections: list[Connection] = []
    asked: list[int] = []

    async def connect() -> None:
        async with limiter:
            connection = await Connection.begin(servers, kind, chance)
            connections.append(connection)
            await connection.ask(LARGEST)

    async def use(connection: Connection, until: float) -> None:
        times = 0
        try:
            while not times or penstock.current_time() < until:
                await connection.ask(LARGEST)
                times += 1
        finally:
            asked.append(times)

    await all_of(report, "a client", [connect() for _ in range(count)])
    boss.say(len(connections))
    until = await boss.listen() + (begun := penstock.current_time())
    await all_of(report, "a client", [use(connection, until) for connection in connections])
    took = penstock.current_time() - begun
    boss.say((asked, sum(connection.received.passed for connection in connections), took))
    await boss.listen()
    await all_of(report, "a client", [connection.stream.aclose() for connection in connections])
    boss.say(report.errors)


def hold_connections(backend: BackendUnderTest, plan: Plan) -> Report:
    """Run the processes, and return their figures."""
    report = plan.report
    most = raise_descriptor_limit() - OTHERS
    shares = [min(most, plan.count - begun) for begun in range(0, plan.count, most)]
    with ExitStack() as stack:

        def start(*args: Any) -> Worker:
            return stack.enter_context(Worker(backend, *args))

        def standing(left: Sequence[int]) -> list[Standing]:
            return [server.ask(number) for server, number in zip(servers, left, strict=True)]

        servers = [start(run_server, plan.kind) for _ in shares]
        where = [server.listen() for server in servers]
        nobody = [0] * len(shares)
        before = standing(nobody)
        started = perf_counter()
        clients = [
            start(run_client, *address, plan.kind, share, plan.seed + number)
            for number, (address, share) in enumerate(zip(where, shares, strict=True))
        ]
        connected = sum(client.listen() for client in clients)
        took = perf_counter() - started
        progress(f"{connected:,} connected within {took:.1f} s; traffic for {plan.seconds:.0f} s")
        idle = standing(shares)
        for client in clients:
            client.say(plan.seconds)
        traffic = [client.listen() for client in clients]
        used = standing(shares)
        client_errors = sum(client.ask("close") for client in clients)
        after = standing(nobody)
        for server in servers:
            server.say(None)

    asked = [times for times_of_one, _, _ in traffic for times in times_of_one]
    megabytes = sum(received for _, received, _ in traffic) / 1e6
    report.figure("processes, servers and clients", len(servers) + len(clients))
    report.figure("connected within, seconds", took)
    report.figure("requests", sum(asked))
    report.figure("requests per second", sum(asked) / max(lasted for _, _, lasted in traffic))
    report.figure("sent there and back, MB", megabytes)
    report.figure("requests on a connection, least and most", f"{min(asked)} {max(asked)}")
    report.bound("connections without traffic", asked.count(0), 0)
    memory = sum(now.resident - then.resident for now, then in zip(idle, before, strict=True))
    report.bound(
        "memory per idle connection, KiB", memory / connected / KIB, MOST_MEMORY[plan.kind]
    )
    report.exactly("connected", connected, plan.count)
    report.exactly("held after the traffic", sum(one.served for one in used), plan.count)
    report.exactly("served in the end", sum(one.served for one in after), 0)
    left = sum(now.descriptors - then.descriptors for now, then in zip(after, before, strict=True))
    report.exactly("descriptors left open", left, 0)
    refused = sum(
        one.listener.lost_connections
        + one.listener.accept_failures
        + one.listener.turned_away
        + one.listener.failed_handshakes
        for one in after
    )
    report.exactly("connections lost or refused", refused, 0)
    report.exactly("errors", client_errors + sum(one.errors for one in after), 0)
    return report
