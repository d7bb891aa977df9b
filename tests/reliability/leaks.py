"""Repeat operations, and fail where something grows: ``python tests/reliability/leaks.py``.

    python tests/reliability/leaks.py [--repeats 10000] [--backend ID] [--share K N] [NAME ...]

Each operation of the ``repeated_*`` modules (those whose name contains a NAME; with ``--share``
every N-th of them from the K-th) is first repeated some times, to fill caches, and then so often.
What is there before and after is compared: how many objects of each type, how many blocks of
memory, how many references to all objects, and the memory of the process.  What has grown is
compared again, twice, over as many repeats: what a cache did once is no leak.  Ends with
a non-zero status where something grew all three times.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.extend(f"{Path(__file__).resolve().parents[1]}/{room}" for room in ("", "sockets", "tls"))

import repeated_sockets as repeated_sockets
import repeated_streams as repeated_streams
import repeated_tasks as repeated_tasks
import repeated_tls as repeated_tls
import trio
from backends import BACKENDS, BackendUnderTest
from repeating import OPERATIONS

import penstock

ROUNDS = 3
PAGE = resource.getpagesize()
#: Bytes that allocators keep.  A leak of the smallest object in 10,000 repeats is more.
KEPT = 256 * 1024

Counts = dict[Any, int]


def slack(repeats: int) -> int:
    """Return how much a count may grow in each round though nothing leaks: free lists fill."""
    return 120 + repeats // 100


def count() -> Counts:
    """Count what is there."""
    forget_deadlines()
    gc.collect()
    objects = gc.get_objects()
    counts: Counts = Counter(map(type, objects))
    # A reference that is lost may be one more to an object that is there anyhow.
    total = getattr(sys, "gettotalrefcount", lambda: sum(map(sys.getrefcount, objects)))
    counts["references"] = total()
    counts["blocks"] = sys.getallocatedblocks()
    with open("/proc/self/statm") as file:
        counts["resident"] = int(file.read().split()[1]) * PAGE
    return counts


def forget_deadlines() -> None:
    """Have Trio drop the deadlines of scopes that have ended: it may keep a thousand of them."""
    runner = getattr(trio._core._run.GLOBAL_RUN_CONTEXT, "runner", None)
    if runner is not None:
        runner.deadlines._prune()


def growth(before: Counts, after: Counts, repeats: int) -> Counts:
    """Return by how much each count has grown, of those that have."""
    grown = {what: number - before.get(what, 0) for what, number in after.items()}
    return {
        what: number
        for what, number in grown.items()
        if number > (KEPT if what == "resident" else slack(repeats))
    }


async def leaks_of(name: str, repeats: int) -> dict[Any, list[int]]:
    """Repeat an operation; return what has grown in every round, and by how much in each."""
    found: dict[Any, list[int]] = {}
    async with OPERATIONS[name]() as repeat:
        for _ in range(max(10, repeats // 10)):
            await repeat()
        for turn in range(ROUNDS):
            before = count()
            for _ in range(repeats):
                await repeat()
            new = growth(before, count(), repeats)
            found = {
                what: [*found.get(what, []), new[what]] for what in new if what in found or not turn
            }
            if not found:
                break
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", metavar="NAME", nargs="*", default=[""])
    parser.add_argument("--repeats", type=int, default=10_000)
    parser.add_argument("--share", type=int, nargs=2, metavar=("K", "N"), default=(0, 1))
    ids = [backend.id for backend in BACKENDS]
    parser.add_argument("--backend", choices=ids, action="append")
    arguments = parser.parse_args()
    chosen = [b for b in BACKENDS if b.id in (arguments.backend or ids)]
    first, step = arguments.share
    names = [name for name in OPERATIONS if any(part in name for part in arguments.names)]
    names = names[first::step]

    warnings.simplefilter("error")
    warnings.simplefilter("ignore", ResourceWarning)  # what is dropped unclosed is so on purpose
    failed = sum(leaks(name, backend, arguments.repeats) for backend in chosen for name in names)
    repeated = f"{len(names) * len(chosen)} operations, each {arguments.repeats:,} times"
    print(f"{penstock.IMPLEMENTATION}: {repeated}; {failed} grow")
    sys.exit(failed > 0)


def leaks(name: str, backend: BackendUnderTest, repeats: int) -> bool:
    started = time.monotonic()
    found = backend.run(leaks_of, name, repeats)
    print(f"{backend.id:<15} {time.monotonic() - started:7.2f} s  {name}", flush=True)
    for what, numbers in found.items():
        label = what if isinstance(what, str) else f"{what.__module__}.{what.__qualname__}"
        print(f"    {label} grows by {', '.join(map(str, numbers))}", flush=True)
    return bool(found)


if __name__ == "__main__":
    main()
