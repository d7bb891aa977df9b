"""Every workload: what it is called, who takes part, and how much of it is done.

What is done within the process lives in ``bodies``; servers are measured from outside, by
``echo``, ``bulk`` and ``idle``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.peers import bulk, echo, idle
from benchmarks.peers.bodies import (
    CHILDREN,
    READY_ITEMS,
    RECEIVERS,
    Body,
    broadcast,
    event_set,
    exclusion,
    frames,
    lines,
    memory,
    memory_ready,
    records,
    scopes,
    spawn,
    tls_bulk,
)
from benchmarks.peers.contenders import Contender

__all__ = ("SCALES", "WORKLOADS", "Workload")

#: ``server(contender, loop, count)`` measures a process of its own, and returns its result.
Server = Callable[[Contender, str, int], dict[str, Any]]

#: What a cost is shown in, and how many of what it was measured in (ns, bytes) make one.
SCALES = {"ns": 1.0, "us": 1000.0, "KiB": 1024.0}


@dataclass(frozen=True)
class Workload:
    """One row of comparison.

    A ``body`` runs in the process that measures; for a server, ``count`` is the length of its
    windows in ms, or the number of its connections.  It is run on those of the ``loops`` that a
    contender offers.
    """

    name: str
    title: str
    unit: str
    contenders: tuple[str, ...]
    count: int
    body: Body | None = None
    loops: tuple[str, ...] = ("asyncio", "uvloop", "trio", "blocking", "C")
    server: Server | None = None
    #: One of SCALES.
    scale: str = "ns"
    #: Whether it takes a program in C, such as the load generator.
    compiles: bool = False

    def scaled(self, quick: bool) -> int:
        """Return how much to do."""
        return self.count // 8 if quick else self.count


PENSTOCK = ("penstock", "penstock-pure")
CHANNELS = (*PENSTOCK, "anyio", "trio", "asyncio")
READERS = (*PENSTOCK, "anyio", "asyncio", "bytesio")
FRAMERS = (*PENSTOCK, "anyio")
SERVERS = ("asyncio", "protocol", "aiofastnet")

#: Where it makes a difference how tasks start.
TASK_LOOPS = ("asyncio", "uvloop", "eager", "trio")

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "memory-buffered",
            "memory stream of 100 items, one producer, one consumer",
            "item",
            CHANNELS,
            80_000,
            partial(memory, 100),
        ),
        Workload(
            "memory-unbuffered",
            "memory stream of size 0, one producer, one consumer (asyncio: Queue(1))",
            "item",
            CHANNELS,
            40_000,
            partial(memory, 0),
        ),
        Workload(
            "memory-ready",
            f"one task fills a memory stream of {READY_ITEMS:,} items and empties it",
            "operation",
            CHANNELS,
            200_000,
            memory_ready,
        ),
        Workload(
            "broadcast",
            f"broadcast stream with buffers of 100 items, one producer, {RECEIVERS} consumers",
            "delivery",
            PENSTOCK,
            160_000,
            partial(broadcast, 100),
        ),
        Workload(
            "scopes",
            "entering and leaving move_on_after(5)",
            "scope",
            (*PENSTOCK, "anyio", "trio"),
            80_000,
            scopes,
            TASK_LOOPS,
        ),
        Workload(
            "spawn",
            f"a task group starts {CHILDREN} tasks that do next to nothing, and waits for them",
            "task",
            CHANNELS,
            40_000,
            spawn,
            TASK_LOOPS,
        ),
        Workload(
            "lines",
            "receive_until, lines of 64 bytes, from chunks of 64 KiB",
            "line",
            READERS,
            100_000,
            lines,
        ),
        Workload(
            "records",
            "receive_exactly, header of 4 bytes and body of 100, from a byte stream",
            "record",
            READERS,
            50_000,
            partial(records, "bytes"),
        ),
        Workload(
            "records-objects",
            "receive_exactly, header of 4 bytes and body of 100, from chunks of 64 KiB",
            "record",
            (*PENSTOCK, "anyio"),
            50_000,
            partial(records, "objects"),
        ),
        Workload(
            "frames",
            "frames of 100 bytes behind 4, from a byte stream (AnyIO: receive_exactly twice)",
            "frame",
            FRAMERS,
            50_000,
            partial(frames, "bytes"),
        ),
        Workload(
            "frames-objects",
            "the same from chunks of 64 KiB",
            "frame",
            FRAMERS,
            50_000,
            partial(frames, "objects"),
        ),
        Workload(
            "lock",
            "`async with lock: pass`, uncontended",
            "block",
            CHANNELS,
            50_000,
            partial(exclusion, "lock"),
        ),
        Workload(
            "lock-fast",
            "the same with `fast_acquire=True`",
            "block",
            (*PENSTOCK, "anyio"),
            50_000,
            partial(exclusion, "fast lock"),
        ),
        Workload(
            "semaphore",
            "`async with semaphore: pass`, uncontended",
            "block",
            CHANNELS,
            50_000,
            partial(exclusion, "semaphore"),
        ),
        Workload(
            "limiter",
            "`async with limiter: pass`, uncontended",
            "block",
            (*PENSTOCK, "anyio", "trio"),
            50_000,
            partial(exclusion, "limiter"),
        ),
        Workload(
            "event-set",
            "`event.wait()` of an event that is set",
            "wait",
            CHANNELS,
            50_000,
            event_set,
        ),
        Workload(
            "tls-bulk",
            "TLS 1.3 in memory, both sides, 64 KiB at a time",
            "piece",
            (*PENSTOCK, "anyio", "sslobject"),
            4_000,
            tls_bulk,
            scale="us",
        ),
        Workload(
            "tcp-echo",
            "TCP echo, 1 KiB, 50 connections: CPU of the server",
            "request",
            (*PENSTOCK, "anyio", "trio", *SERVERS, "blocking", "epoll"),
            3_000,
            server=partial(echo.measure, "tcp"),
            scale="us",
            compiles=True,
        ),
        Workload(
            "tls-echo",
            "TLS 1.3 echo, 1 KiB, 50 connections: CPU of the server",
            "request",
            (*PENSTOCK, "anyio", "trio", *SERVERS, "blocking"),
            3_000,
            server=partial(echo.measure, "tls"),
            scale="us",
            compiles=True,
        ),
        Workload(
            "unix-echo",
            "UNIX echo, 1 KiB, 50 connections: CPU of the server",
            "request",
            (*PENSTOCK, "anyio", "trio", *SERVERS, "blocking", "epoll"),
            3_000,
            server=partial(echo.measure, "unix"),
            scale="us",
            compiles=True,
        ),
        Workload(
            "udp-echo",
            "UDP echo, 1 KiB, one socket and 50 peers: CPU of the server",
            "datagram",
            (*PENSTOCK, "anyio", "trio", "protocol", "aiofastnet"),
            3_000,
            server=partial(echo.measure, "udp"),
            scale="us",
            compiles=True,
        ),
        *(
            Workload(
                f"tcp-{direction}-{piece >> 10}k",
                f"TCP bulk, the server {does} {piece >> 10} KiB at a time: its CPU",
                "MB",
                (*PENSTOCK, "anyio", "trio", *SERVERS, "blocking"),
                1_500,
                server=partial(bulk.measure, direction, piece),
                scale="us",
                compiles=True,
            )
            for direction, does in (("in", "receives"), ("out", "sends"))
            for piece in (1 << 16, 1 << 20)
        ),
        Workload(
            "idle-memory",
            "memory of a TCP server per connection that it holds, its task included",
            "connection",
            (*PENSTOCK, "anyio", "trio", *SERVERS),
            3_000,
            server=idle.measure,
            scale="KiB",
        ),
    )
}
