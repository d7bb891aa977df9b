"""Measure growth round after round, each row in a fresh process, and judge it."""

from __future__ import annotations

import argparse
import sys

from benchmarks.compare import Run, asked_for, in_turn
from benchmarks.growth.rows import ROWS, planned
from benchmarks.growth.tables import medians, too_fast
from benchmarks.peers.contenders import missing

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
    report = in_turn(runs, options, "growth.run_one", "growth")
    return 1 if report["failures"] or too_fast(medians(report["growth"])) else 0
