"""Plots of stored results, and the pages that they are published in; run by its name.

Needs matplotlib, which no other test does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from shutil import copy
from xml.etree import ElementTree

import pytest
from benchmarks.growth.rows import ROWS, planned
from benchmarks.machine import described
from benchmarks.plots import COLOURS, INK, plot
from benchmarks.publishing import publish
from benchmarks.report import load

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks/results/2026-11-20-1439.json"
PAGES = ("README.md", "benchmarks/README.md", "docs/performance.md")


@pytest.fixture
def growth() -> dict[str, object]:
    """Results of growth, all of the same cost."""
    results = [
        {
            **dict(zip(("row", "contender", "loop"), where, strict=True)),
            "points": [{"size": size, "cost": 700.0} for size in ROWS[where[0]].sizes],
        }
        for where in planned()
    ]
    return {**described(), "rounds": 1, "growth": results}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the pages."""
    for page in PAGES:
        (tmp_path / page).parent.mkdir(exist_ok=True)
        copy(ROOT / page, tmp_path / page)
    return tmp_path


def words(path: Path) -> set[str]:
    """Return the texts in a picture."""
    elements = ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")
    return {"".join(element.itertext()).strip() for element in elements}


def outside(text: str, mark: str) -> tuple[str, str]:
    """Return what stands before and behind what is published."""
    head, _, rest = text.partition(f"<!-- {mark}: begin -->")
    return head, rest.partition(f"<!-- {mark}: end -->")[2]


def test_ratios_name_every_workload_and_peer(tmp_path: Path) -> None:
    path = tmp_path / "ratios.svg"
    plot(load(RESULTS), path)
    assert {"memory-buffered", "tcp-echo", "on uvloop", "AnyIO", "Trio", "Protocol"} <= words(path)
    assert "aiofastnet" not in words(path)  # was not measured


def test_growth_has_a_panel_for_every_row(tmp_path: Path, growth: dict[str, object]) -> None:
    path = tmp_path / "growth.svg"
    plot(growth, path)
    assert {f"{row.name}: {row.size}" for row in ROWS.values()} <= words(path)
    assert {"penstock, compiled, asyncio", "penstock, pure, trio"} <= words(path)


def test_equal_results_make_equal_files(tmp_path: Path) -> None:
    first, second = tmp_path / "1.svg", tmp_path / "2.svg"
    for path in (first, second):
        plot(load(RESULTS), path)
    assert first.read_bytes() == second.read_bytes()


def test_publishing_changes_every_page_between_its_marks_alone(root: Path) -> None:
    for page in PAGES:
        text = (root / page).read_text()
        head, tail = outside(text, "figures")
        (root / page).write_text(
            f"{head}<!-- figures: begin -->\nof yesterday\n<!-- figures: end -->{tail}"
        )
    report = load(RESULTS)
    parts = root / "echo.json", root / "rest.json"
    for part, echo in zip(parts, (True, False), strict=True):
        results = [r for r in report["results"] if (r["workload"] == "tcp-echo") is echo]
        part.write_text(json.dumps({**report, "failures": {}, "results": results}))
    written = publish(parts, root)
    assert {str(path.relative_to(root)) for path in written} == {*PAGES, "docs/ratios.svg"}
    for page in PAGES:
        text = (root / page).read_text()
        assert outside(text, "figures") == outside((ROOT / page).read_text(), "figures")
        assert "of yesterday" not in text
    assert "| TCP echo, a 1 KiB request | 8.78 us |" in (root / "README.md").read_text()
    assert "| `receive_until`, a 64-byte line | 193 ns |" in (root / "README.md").read_text()
    assert "### Targets" in (root / "docs/performance.md").read_text()
    assert "### tcp-echo: " in (root / "benchmarks/README.md").read_text()


def luminance(colour: str) -> float:
    """Return the relative luminance of "#rrggbb", as WCAG 2 defines it."""
    shares = [int(pair, 16) / 255 for pair in re.findall("[0-9a-f]{2}", colour)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrasts(colour: str) -> Iterator[float]:
    """Return the contrast with the ground of a light page and of a dark one."""
    for ground in ("#ffffff", "#131416"):
        dark, light = sorted((luminance(colour), luminance(ground)))
        yield (light + 0.05) / (dark + 0.05)


def test_colours_stand_out_from_light_and_dark_pages() -> None:
    assert min(contrasts(INK)) >= 4
    for colour in COLOURS.values():
        assert min(contrasts(colour)) >= 3
