"""Measure one contender on one workload and one loop, in this process; print one line of JSON.

``python -m peers.run_one CONTENDER WORKLOAD LOOP [--quick]`` with ``benchmarks`` on the path.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from peers import tcp
from peers.contenders import CONTENDERS, Contender, versions
from peers.workloads import WORKLOADS, Workload, bare_await

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


def measure(contender: Contender, workload: Workload, loop: str, quick: bool) -> dict[str, Any]:
    """Verify, then time: the pass that was disturbed least counts."""
    if workload.body is None:
        seconds = workload.scaled(quick) / 1000
        return tcp.measure(contender, loop, seconds, tls=workload.name == "tls-echo")
    peer, body = contender.load(), workload.body
    count = workload.scaled(quick)
    bare = 0.0

    async def main() -> int:
        nonlocal bare
        await body(peer, count // 8, True)
        bare = await bare_await()
        return min([await body(peer, count, False) for _ in range(PASSES)])

    return {"ns": peer.run(main, loop) / count, "bare_await_ns": bare, "count": count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("loop", choices=("asyncio", "uvloop", "eager", "trio", "C"))
    parser.add_argument("--quick", action="store_true", help="an eighth of the work")
    options = parser.parse_args()
    contender = CONTENDERS[options.contender]
    if contender.hotpath:
        os.environ["PENSTOCK_HOTPATH"] = contender.hotpath
    result = measure(contender, WORKLOADS[options.workload], options.loop, options.quick)
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
