"""Run contenders in turn, each in a fresh process, round after round, and print what came out."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from peers.contenders import CONTENDERS, versions
from peers.tables import Figures, result_table, target_table
from peers.workloads import WORKLOADS

__all__ = ("main",)

BENCHMARKS = Path(__file__).parents[1]
TIMEOUT = 300.0

#: Workload, contender, loop: the arguments of run_one.py but for their order.
Run = tuple[str, str, str]


def planned(workloads: Sequence[str], only: Sequence[str]) -> list[Run]:
    """List what one round runs, the contenders of a workload one after the other."""
    runs = [
        (workload, contender, loop)
        for workload in workloads
        for contender in WORKLOADS[workload].contenders
        for loop in CONTENDERS[contender].loops
        if loop in WORKLOADS[workload].loops
    ]
    return [run for run in runs if not only or any(set(o.split("/")) <= {*run} for o in only)]


def run_one(run: Run, quick: bool) -> dict[str, Any]:
    """Measure in a process of its own.

    Raises:
        RuntimeError: it failed, gave a wrong output, or took more than five minutes.
    """
    workload, contender, loop = run
    command = [sys.executable, "-m", "peers.run_one", contender, workload, loop]
    path = os.pathsep.join(filter(None, (str(BENCHMARKS), os.environ.get("PYTHONPATH"))))
    try:
        process = subprocess.run(
            [*command, "--quick"] if quick else command,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired as exc:
        raise RuntimeError(f"not done after {TIMEOUT:.0f} s") from exc
    if process.returncode:
        said = process.stderr.strip().splitlines() or [f"exit status {process.returncode}"]
        raise RuntimeError(said[-1])
    result: dict[str, Any] = json.loads(process.stdout)
    return result


def machine() -> dict[str, Any]:
    """Describe what the figures were taken on."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.release()}, {platform.machine()}, "
        f"{os.cpu_count()} CPUs",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions(),
        "command": " ".join(["python", *sys.argv]),
    }


def save(name: str, report: dict[str, Any]) -> Path:
    """Write the raw results to a file in ``benchmarks/results``."""
    path = BENCHMARKS / "results" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path


def parse(workloads: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=f"Compare on: {', '.join(workloads)}.")
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes per contender")
    parser.add_argument("--quick", action="store_true", help="an eighth of the work per round")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME[/NAME...]",
        help="run what matches every name: workload, contender or loop; may be repeated",
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const=f"{datetime.now(UTC):%Y-%m-%d-%H%M}.json",
        metavar="FILE",
        help="keep the raw results in benchmarks/results/FILE, by default named by the date",
    )
    return parser.parse_args()


def main(*workloads: str) -> int:
    """Compare on ``workloads``; return the exit status."""
    options = parse(workloads)
    runs = planned(workloads, options.only)
    if not runs or options.rounds < 1:
        print("nothing to run", file=sys.stderr)
        return 2
    about = machine()
    results: list[dict[str, Any]] = []
    failures: dict[Run, str] = {}
    for number, run in product(range(1, options.rounds + 1), runs):
        if run in failures:
            continue
        print(f"round {number}/{options.rounds} {'/'.join(run)}", file=sys.stderr, flush=True)
        try:
            results.append({"round": number, **run_one(run, options.quick)})
        except RuntimeError as exc:
            failures[run] = str(exc)
    for key, value in about.items():
        print(f"{key}: {value if isinstance(value, str) else json.dumps(value)}")
    print(f"rounds: {options.rounds}{', quick' if options.quick else ''}")
    figures = Figures(results)
    names = [name for name in workloads if any(run[0] == name for run in runs)]
    for name in names:
        print(f"\n{result_table(WORKLOADS[name], figures)}")
    print(f"\n{target_table(names, figures)}")
    if options.json:
        path = save(options.json, {**about, "results": results})
        print(f"\nraw results: {path}", file=sys.stderr)
    for run, why in failures.items():
        print(f"\nfailed: {'/'.join(run)}: {why}")
    return 1 if failures else 0
