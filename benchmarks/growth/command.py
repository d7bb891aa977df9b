"""Measure growth round after round, each row in a fresh process, and judge it."""

from __future__ import annotations

import argparse
import json
import sys
from itertools import product
from typing import Any

from benchmarks.compare import Run, asked_for, run_module
from benchmarks.growth.rows import ROWS, planned
from benchmarks.growth.tables import medians, too_fast
from benchmarks.machine import described, saved
from benchmarks.peers.contenders import missing
from benchmarks.progress import Progress
from benchmarks.report import reported

__all__ = ("growth",)


def possible(only: list[str]) -> list[Run]:
    """Return what was asked for and can run, and name what cannot."""
    runs = []
    for run in planned():
        row, contender, loop = run
        if only and not any(asked_for(run, names) for names in only):
            continue
        if what := missing(contender, loop, ROWS[row].server):
            print(f"left out, for want of {what}: {'/'.join(run)}", file=sys.stderr)
        else:
            runs.append(run)
    return runs


def growth(options: argparse.Namespace) -> int:
    """Measure, print the tables, and return the exit status.

    1 says that something grows faster than it may, or failed; 2 that there was nothing to run.
    """
    runs = possible(options.only)
    if not runs or options.rounds < 1:
        print("nothing to run", file=sys.stderr)
        return 2
    about = described()
    results: list[dict[str, Any]] = []
    failures: dict[Run, str] = {}
    progress = Progress(runs * options.rounds)
    quick = ["--quick"] if options.quick else []
    for number, run in product(range(1, options.rounds + 1), runs):
        if run in failures:
            continue
        row, contender, loop = run
        try:
            with progress.step(f" round {number}/{options.rounds}"):
                result = run_module("growth.run_one", contender, row, loop, *quick)
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
        "growth": results,
    }
    print(reported(report))
    if options.json:
        path = saved(json.dumps(report, indent=1), options.json)
        print(f"\nraw results: {path}", file=sys.stderr)
    return 1 if failures or too_fast(medians(results)) else 0
