"""The speeds to reach, as they were set before the library was built.

Ratios between medians of one run: figures from another machine or another day mean nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("BARE_AWAIT", "KIB", "TARGETS", "Target")

#: Stands for the cost of awaiting an empty coroutine in the same process.
BARE_AWAIT = ("bare await", "")
#: Stands for 1,024 bytes: memory, unlike time, is the same on every machine.
KIB = ("KiB", "")


@dataclass(frozen=True)
class Target:
    """One twin of penstock against one peer.

    Reached where ``cost of the peer / cost of penstock`` is at least ``factor``; a ``ceiling`` is
    reached where ``cost of penstock / cost of the peer`` is at most ``factor``.
    """

    workload: str
    loop: str
    twin: str
    peer: tuple[str, str]
    factor: float
    ceiling: bool = False

    def ratio(self, penstock: float, peer: float) -> float:
        """Return the measured ratio, the way the target states it."""
        return penstock / peer if self.ceiling else peer / penstock

    def reached(self, ratio: float) -> bool:
        """Tell whether ``ratio`` is good enough."""
        return ratio <= self.factor if self.ceiling else ratio >= self.factor


def on(loops: str, workload: str, twin: str, peer: str, factor: float) -> list[Target]:
    """State one target on several loops, each against the peer on the same loop."""
    return [Target(workload, loop, twin, (peer, loop), factor) for loop in loops.split()]


ALL = "asyncio uvloop trio"
ASYNCIO = "asyncio uvloop"
TASKS = "asyncio uvloop eager trio"
FLOOR = ("epoll", "C")
BLOCKING = ("blocking", "blocking")
SSLOBJECT = ("sslobject", "asyncio")
BULK = ("tcp-in-64k", "tcp-in-1024k", "tcp-out-64k", "tcp-out-1024k")
#: Has no target of its own but the one that every workload has: the pure twin is never slower.
SMALL = (
    "memory-ready",
    "records-objects",
    "frames-objects",
    "lock-fast",
    "semaphore",
    "limiter",
    "event-set",
)

TARGETS = (
    *on(ALL, "memory-buffered", "penstock", "anyio", 12),
    *on(ASYNCIO, "memory-buffered", "penstock", "asyncio", 1.6),
    *on("trio", "memory-buffered", "penstock", "trio", 10),
    *on(ALL, "memory-buffered", "penstock-pure", "anyio", 4),
    Target("memory-ready", "asyncio", "penstock", BARE_AWAIT, 2.0, ceiling=True),
    Target("memory-ready", "uvloop", "penstock", BARE_AWAIT, 2.0, ceiling=True),
    *on(ALL, "memory-unbuffered", "penstock", "anyio", 3),
    *on(ASYNCIO, "memory-unbuffered", "penstock", "asyncio", 1.5),
    *on(ALL, "memory-unbuffered", "penstock-pure", "anyio", 2),
    *on(ALL, "frames", "penstock", "anyio", 8),
    *on(ALL, "frames", "penstock-pure", "anyio", 1.5),
    *on(TASKS, "scopes", "penstock", "anyio", 1),
    *on(TASKS, "spawn", "penstock", "anyio", 1),
    *on(ALL, "lines", "penstock", "anyio", 2.5),
    *on(ASYNCIO, "lines", "penstock", "asyncio", 5),
    *on(ALL, "lines", "penstock-pure", "anyio", 1),
    *on(ALL, "records", "penstock", "anyio", 5),
    *on(ASYNCIO, "records", "penstock", "asyncio", 3),
    *on(ALL, "records", "penstock-pure", "anyio", 1.5),
    *on(ALL, "lock", "penstock", "anyio", 2),
    *on(ALL, "lock", "penstock-pure", "anyio", 2),
    *on("asyncio", "tcp-echo", "penstock", "anyio", 4.5),
    Target("tcp-echo", "asyncio", "penstock", FLOOR, 1.7, ceiling=True),
    *on("uvloop", "tcp-echo", "penstock", "anyio", 2.2),
    *on("uvloop", "tcp-echo", "penstock", "asyncio", 1.3),
    Target("tcp-echo", "uvloop", "penstock", FLOOR, 1.45, ceiling=True),
    *on("trio", "tcp-echo", "penstock", "trio", 1.8),
    Target("tcp-echo", "trio", "penstock", FLOOR, 2.0, ceiling=True),
    *on(ALL, "tcp-echo", "penstock-pure", "anyio", 1.5),
    *on("asyncio", "tls-echo", "penstock", "anyio", 3),
    *on(ASYNCIO, "tls-echo", "penstock", "asyncio", 1),
    *on("uvloop", "tls-echo", "penstock", "anyio", 1),
    *on("trio", "tls-echo", "penstock", "anyio", 1),
    *on("trio", "tls-echo", "penstock", "trio", 1),
    *on(ALL, "tls-echo", "penstock-pure", "anyio", 1),
    *(Target("tls-bulk", loop, "penstock", SSLOBJECT, 0.85) for loop in ALL.split()),
    *on(ALL, "tls-bulk", "penstock-pure", "anyio", 1),
    *on(ALL, "unix-echo", "penstock", "anyio", 1),
    *on(ASYNCIO, "unix-echo", "penstock", "asyncio", 1),
    *on("trio", "unix-echo", "penstock", "trio", 1),
    *on(ALL, "unix-echo", "penstock-pure", "anyio", 1),
    *on("asyncio", "udp-echo", "penstock", "anyio", 3),
    *on("uvloop", "udp-echo", "penstock", "anyio", 1.7),
    *on("trio", "udp-echo", "penstock", "trio", 2),
    *on(ALL, "udp-echo", "penstock-pure", "anyio", 1.2),
    *(
        target
        for bulk in BULK
        for target in (
            *on(ALL, bulk, "penstock", "anyio", 1),
            *on(ASYNCIO, bulk, "penstock", "asyncio", 1),
            *on("trio", bulk, "penstock", "trio", 1),
            *(Target(bulk, loop, "penstock", BLOCKING, 0.9) for loop in ALL.split()),
            *on(ALL, bulk, "penstock-pure", "anyio", 1),
        )
    ),
    Target("idle-memory", "asyncio", "penstock", KIB, 4.8, ceiling=True),
    Target("idle-memory", "uvloop", "penstock", KIB, 4.5, ceiling=True),
    Target("idle-memory", "trio", "penstock", KIB, 5.0, ceiling=True),
    *on(ALL, "idle-memory", "penstock-pure", "anyio", 1),
    *(target for small in SMALL for target in on(ALL, small, "penstock-pure", "anyio", 1)),
    *on(TASKS, "scopes", "penstock-pure", "anyio", 1),
    *on(TASKS, "spawn", "penstock-pure", "anyio", 1),
)
