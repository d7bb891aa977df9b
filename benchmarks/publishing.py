"""Put raw results into every page that shows some, and draw the plots that go with them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT
from benchmarks.plots import plot
from benchmarks.report import insert, load, reported, summarised

__all__ = ("publish",)


def publish(files: Iterable[Path], root: Path = ROOT) -> list[Path]:
    """Publish the results of a comparison, of growth, or of both; return what was written."""
    written: list[Path] = []

    def put(text: str, page: str, mark: str) -> None:
        insert(text, root / page, mark)
        written.append(root / page)

    for file in files:
        report: dict[str, Any] = load(file)
        kept = f"Raw results: `{file.name}`, in `benchmarks/results`."
        if "growth" in report:
            put(f"{reported(report)}\n\n{kept}", "docs/performance.md", "growth")
            picture = root / "docs/growth.svg"
        else:
            put(f"{reported(report)}\n\n{kept}", "benchmarks/README.md", "figures")
            put(f"{reported(report, brief=True)}\n\n{kept}", "docs/performance.md", "figures")
            put(summarised(report), "README.md", "figures")
            picture = root / "docs/ratios.svg"
        plot(report, picture)
        written.append(picture)
    return written
