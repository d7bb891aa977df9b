"""Measure one contender on one workload and one loop, in this process; print one line of JSON.

``python -m benchmarks.peers.run_one CONTENDER WORKLOAD LOOP [--quick]`` in a checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from benchmarks.machine import versions
from benchmarks.peers.bodies import bare_await
from benchmarks.peers.clocks import PATIENCE, Spent, progressing
from benchmarks.peers.contenders import CONTENDERS, Contender
from benchmarks.peers.workloads import WORKLOADS, Workload

PASSES = 3


def implementation(contender: Contender) -> str | None:
    """Return which twin of penstock runs here, having made sure that it is the one asked for."""
    if contender.hotpath is None:
        return None
    import penstock

    running: str = penstock.IMPLEMENTATION
    if running != contender.hotpath:
        raise RuntimeError(f"penstock runs {running}, not {contender.hotpath}")
    return running


def measure(
    contender: Contender, workload: Workload, loop: str, quick: bool, patience: float
) -> dict[str, Any]:
    """Verify, then time: the pass that was disturbed least counts."""
    count = workload.scaled(quick)
    if workload.server is not None:
        return workload.server(contender, loop, count)
    assert workload.body is not None
    peer, body = contender.load(), workload.body
    bare = 0.0
    passes: list[Spent] = []

    async def main() -> int:
        nonlocal bare
        await body(peer, count // 8, True)
        bare = await bare_await()
        passes.extend([await body(peer, count, False) for _ in range(PASSES)])
        return 0

    with progressing(patience):
        peer.run(main, loop)
    least = min(passes)
    return {
        "cost": least.cpu / count,
        "rate": count / least.elapsed * 1e9,
        "bare_await_ns": bare,
        "count": count,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("loop", choices=("asyncio", "uvloop", "eager", "trio", "blocking", "C"))
    parser.add_argument("--quick", action="store_true", help="an eighth of the work")
    parser.add_argument("--patience", type=float, default=PATIENCE)
    options = parser.parse_args()
    contender = CONTENDERS[options.contender]
    if contender.hotpath:
        os.environ["PENSTOCK_HOTPATH"] = contender.hotpath
    result = measure(
        contender, WORKLOADS[options.workload], options.loop, options.quick, options.patience
    )
    json.dump(
        {
            "contender": contender.name,
            "workload": options.workload,
            "loop": options.loop,
            **result,
            "implementation": implementation(contender),
            "versions": versions(),
        },
        sys.stdout,
    )
    print()


if __name__ == "__main__":
    main()
