"""Measure one row at all its sizes, on one loop; print one line of JSON.

``python -m benchmarks.growth.run_one CONTENDER ROW LOOP [--quick]`` in a checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from benchmarks.growth.rows import CONTENDERS, LOOPS, ROWS, Row
from benchmarks.machine import versions
from benchmarks.peers import echo
from benchmarks.peers.clocks import PATIENCE, Spent, progressing
from benchmarks.peers.contenders import CONTENDERS as PEERS
from benchmarks.peers.contenders import Contender
from benchmarks.peers.processes import allow_descriptors
from benchmarks.peers.run_one import implementation

PASSES = 3
#: Operations, of those that work on all of their bytes at least 8 and at most these bytes.
OPERATIONS, BYTES = 20_000, 1 << 24
#: ms of all windows of one server.
LENGTH = 900


def served(row: Row, contender: Contender, loop: str, size: int, length: int) -> float:
    """Return the CPU that a request costs a server, in ns.

    It is that of all windows: where a request is large, one window holds few.
    """
    allow_descriptors()
    connections, request = (size, 64) if row.name == "connections" else (4, size)
    windows = echo.measure("tcp", contender, loop, length, connections, request)["windows"]
    cost: float = sum(w["cpu_ns"] for w in windows) / sum(w["requests"] for w in windows)
    return cost


def done(row: Row, contender: Contender, loop: str, size: int, quick: bool) -> float:
    """Return the CPU that an operation costs this process, in ns."""
    from benchmarks.growth.bodies import BODIES  # imports penstock, of which a twin was chosen

    count = OPERATIONS
    if row.bound:
        count = max(8, min(count, BYTES // size))
    if quick:
        count = max(4, count // 8)
    passes: list[Spent] = []

    async def main() -> int:
        await BODIES[row.name](size, max(1, count // 8))
        passes.extend([await BODIES[row.name](size, count) for _ in range(PASSES)])
        return 0

    with progressing(PATIENCE):
        contender.load().run(main, loop)
    return min(passes).cpu / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("loop", choices=LOOPS)
    parser.add_argument("--quick", action="store_true", help="the smaller sizes, less often")
    options = parser.parse_args()
    contender, row = PEERS[options.contender], ROWS[options.row]
    os.environ["PENSTOCK_HOTPATH"] = str(contender.hotpath)
    costs = {}
    for size in row.measured(options.quick):
        if row.server:
            length = LENGTH // 3 if options.quick else LENGTH
            costs[size] = served(row, contender, options.loop, size, length)
        else:
            costs[size] = done(row, contender, options.loop, size, options.quick)
    result = {
        "row": row.name,
        "contender": contender.name,
        "loop": options.loop,
        "points": [{"size": size, "cost": cost} for size, cost in costs.items()],
        "implementation": implementation(contender),
        "versions": versions(),
    }
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
