"""Raw results as Markdown, printed or put into a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.growth.tables import growth_tables
from benchmarks.machine import introduced
from benchmarks.peers.workloads import WORKLOADS
from benchmarks.tables import Figures, ratio_table, result_table, summary_table, target_table

__all__ = ("insert", "load", "measured", "reported", "summarised")


def load(path: Path) -> dict[str, Any]:
    """Read a file of raw results."""
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def measured(report: dict[str, Any]) -> list[str]:
    """Return the workloads that were measured, in their order."""
    found = {result["workload"] for result in report["results"]}
    return [name for name in WORKLOADS if name in found]


def failed(report: dict[str, Any]) -> list[str]:
    """Return a list of what failed, if anything did."""
    failures = report.get("failures", {})
    rows = [f"- {name}: {why}" for name, why in failures.items()]
    return ["\n".join(["### Failed", "", *rows])] if rows else []


def reported(report: dict[str, Any], *, brief: bool = False) -> str:
    """Return the tables; ``brief`` leaves out those of each workload."""
    if "growth" in report:
        return "\n\n".join([introduced(report), growth_tables(report), *failed(report)])
    figures = Figures(report["results"])
    names = measured(report)
    each = [] if brief else [result_table(WORKLOADS[name], figures) for name in names]
    sections: Sequence[str] = (
        introduced(report),
        ratio_table([WORKLOADS[name] for name in names], figures),
        *each,
        target_table(names, figures),
        *failed(report),
    )
    return "\n\n".join(sections)


def summarised(report: dict[str, Any]) -> str:
    """Return the table that a reader sees first."""
    figures = Figures(report["results"])
    libraries = ", ".join(
        f"{title} {report['versions'][name]}"
        for name, title in (("anyio", "AnyIO"), ("trio", "Trio"), ("uvloop", "uvloop"))
        if name in report["versions"]
    )
    about = f"{report['python']}, {libraries}, on {report['date'][:10]}; {report['machine']}."
    return f"{about}\n\n{summary_table(measured(report), figures)}"


def insert(text: str, page: Path, mark: str) -> None:
    """Replace what stands in a page between the comments "MARK: begin" and "MARK: end".

    Raises:
        ValueError: they are not there.
    """
    opening, closing = (f"<!-- {mark}: {side} -->" for side in ("begin", "end"))
    head, begin, rest = page.read_text().partition(opening)
    _, end, tail = rest.partition(closing)
    if not end:
        raise ValueError(f"{page} has no {opening} with {closing} behind it")
    page.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}")
