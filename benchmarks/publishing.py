"""Put raw results into every page that shows some, and draw the plots that go with them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT
from benchmarks.plots import plot
from benchmarks.report import insert, load, reported, summarised

__all__ = ("publish",)


def joined(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one report of several comparisons on one machine, such as one for each workload."""
    results = [result for report in reports for result in report["results"]]
    failures = {name: why for report in reports for name, why in report["failures"].items()}
    command = "`, `".join(report["command"] for report in reports)
    return {**reports[0], "command": command, "results": results, "failures": failures}


def publish(files: Iterable[Path], root: Path = ROOT) -> list[Path]:
    """Publish the results of comparisons, as if they were one, and of growth.

    Returns:
        What was written.
    """
    written: list[Path] = []

    def put(text: str, page: str, mark: str) -> None:
        insert(text, root / page, mark)
        written.append(root / page)

    def draw(report: dict[str, Any], picture: str) -> None:
        plot(report, root / picture)
        written.append(root / picture)

    reports = {file.name: load(file) for file in files}
    for name, report in reports.items():
        if "growth" in report:
            text = f"{reported(report)}\n\nRaw results: `benchmarks/results/{name}`."
            put(text, "docs/performance.md", "growth")
            draw(report, "docs/growth.svg")
    compared = {name: report for name, report in reports.items() if "growth" not in report}
    if compared:
        report = joined(list(compared.values()))
        names = ", ".join(f"`benchmarks/results/{name}`" for name in compared)
        kept = f"\n\nRaw results: {names}."
        put(reported(report) + kept, "benchmarks/README.md", "figures")
        put(reported(report, brief=True) + kept, "docs/performance.md", "figures")
        put(summarised(report), "README.md", "figures")
        draw(report, "docs/ratios.svg")
    return written
