"""Run contenders in turn, each in a fresh process, round after round, and keep what came out."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, described, saved
from benchmarks.peers.contenders import CONTENDERS, missing
from benchmarks.peers.workloads import WORKLOADS
from benchmarks.progress import Progress
from benchmarks.report import reported

__all__ = ("QUICK", "compare", "in_turn", "run_module")

#: What takes longer than this, in seconds, is in an endless loop: nothing takes a tenth of it.
TIMEOUT = 100.0

#: What ``--quick`` runs, unless told otherwise: within three minutes.
QUICK = ("memory-buffered", "memory-unbuffered", "lines", "tcp-echo", "tls-echo")

#: Workload, contender, loop: the arguments of run_one.py but for their order.
Run = tuple[str, str, str]


def asked_for(run: Run, only: str) -> bool:
    """Tell whether a run has every name; three of them are one run alone.

    "asyncio" is a contender and a loop, and so names more than "tcp-echo/asyncio/asyncio".
    """
    names = tuple(only.split("/"))
    return names == run if len(names) == len(run) else {*names} <= {*run}


def planned(workloads: Sequence[str], only: Sequence[str]) -> list[Run]:
    """List what one round runs, the contenders of a workload one after the other."""
    runs = [
        (workload, contender, loop)
        for workload in workloads
        for contender in WORKLOADS[workload].contenders
        for loop in CONTENDERS[contender].loops
        if loop in WORKLOADS[workload].loops
    ]
    return [run for run in runs if not only or any(asked_for(run, names) for names in only)]


def possible(runs: Sequence[Run]) -> list[Run]:
    """Leave out the runs for which something is not installed, and say so."""
    left: list[Run] = []
    out: dict[str, list[str]] = {}
    for run in runs:
        workload, contender, loop = run
        if what := missing(contender, loop, WORKLOADS[workload].compiles):
            out.setdefault(what, []).append("/".join(run))
        else:
            left.append(run)
    for what, names in out.items():
        print(f"left out, for want of {what}: {', '.join(names)}", file=sys.stderr)
    return left


def run_module(module: str, *arguments: str) -> dict[str, Any]:
    """Run a module of the benchmarks in a process of its own; return the JSON that it prints.

    Raises:
        RuntimeError: it failed, gave a wrong output, or took more than ``TIMEOUT``.
    """
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    try:
        process = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{module}", *arguments],
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


def in_turn(
    runs: list[Run], options: argparse.Namespace, module: str, kind: str, *how: str
) -> dict[str, Any]:
    """Measure what is to run, round after round, print the tables, and keep what came out.

    Args:
        runs: What is to run.
        options: ``rounds``, ``quick``, and ``json``, the file to keep it in, if any.
        module: What measures one of them.
        kind: Under which name the report has the results.
        how: Further arguments of ``module``.

    Returns:
        The report.
    """
    about = described()
    results: list[dict[str, Any]] = []
    failures: dict[Run, str] = {}
    progress = Progress(runs * options.rounds)
    quick = ["--quick"] if options.quick else []
    for number, run in product(range(1, options.rounds + 1), runs):
        if run in failures:
            continue
        what, contender, loop = run
        try:
            with progress.step(f" round {number}/{options.rounds}"):
                result = run_module(module, contender, what, loop, *how, *quick)
        except RuntimeError as exc:
            failures[run] = str(exc)
            progress.drop(run)
        else:
            results.append({"round": number, **result})
    report = {
        **about,
        "rounds": options.rounds,
        "quick": options.quick,
        "failures": {"/".join(run): why for run, why in failures.items()},
        kind: results,
    }
    print(reported(report))
    if options.json:
        path: Path = saved(json.dumps(report, indent=1), options.json)
        print(f"\nraw results: {path}", file=sys.stderr)
    return report


def compare(options: argparse.Namespace) -> int:
    """Compare, print the tables, and return the exit status.

    1 says that a contender failed or delivered something wrong, 2 that there was nothing to run.
    """
    names = QUICK if options.quick and not options.only else tuple(WORKLOADS)
    runs = possible(planned(names, options.only))
    if not runs or options.rounds < 1:
        print("nothing to run", file=sys.stderr)
        return 2
    report = in_turn(runs, options, "peers.run_one", "results", f"--patience={options.patience}")
    return 1 if report["failures"] else 0
