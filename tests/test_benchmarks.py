"""The benchmarks run from end to end, and a contender that is wrong is not timed but reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.report import insert

import penstock

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
PENSTOCK = "penstock" if penstock.IMPLEMENTATION == "compiled" else "penstock-pure"


def run(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the least that there is, with ``path`` among those that Python imports from."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--rounds", "1", *arguments],
        capture_output=True,
        cwd=ROOT,
        env=os.environ | ({"PYTHONPATH": str(path)} if path else {}),
        text=True,
        timeout=100,
    )


def test_comparison_prints_tables_and_keeps_results(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    both = [f"--only=memory-buffered/{name}/asyncio" for name in (PENSTOCK, "asyncio")]
    process = run(*both, f"--json={file}")
    assert process.returncode == 0, process.stderr
    assert "[1/2] round 1/1 memory-buffered" in process.stderr
    assert "### memory-buffered" in process.stdout
    report = json.loads(file.read_text())
    assert {"machine", "python", "versions", "command"} <= report.keys()
    own, other = report["results"]
    assert own["implementation"] == penstock.IMPLEMENTATION
    assert (own["loop"], own["contender"], other["contender"]) == ("asyncio", PENSTOCK, "asyncio")
    assert own["cost"] > 0
    assert own["rate"] > 0
    assert "items per s" in process.stdout


@pytest.mark.parametrize(
    ("received", "message"),
    [
        ("item + 100 * (item == 7)", "item 7 is 107, not 7"),
        ("item ^ 1", "item 0 is 1, not 0"),
        ("max(item, 1)", "item 0 is 1, not 0"),
    ],
    ids=["changed", "reordered", "repeated"],
)
def test_wrong_items_fail_the_contender_and_the_run(
    tmp_path: Path, received: str, message: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        f"import asyncio\n"
        f"class Queue(asyncio.Queue):\n"
        f"    async def get(self):\n"
        f"        item = await super().get()\n"
        f"        return {received}\n"
        f"asyncio.Queue = Queue\n"
    )
    process = run("--only=memory-buffered/asyncio/asyncio", path=tmp_path)
    assert process.returncode == 1
    assert (
        f"memory-buffered/asyncio/asyncio: benchmarks.peers.bodies.WrongOutputError: {message}"
        in (process.stdout)
    )
    assert "| asyncio streams and queues |" not in process.stdout


def test_contender_that_loses_an_item_is_given_up_at_once(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import asyncio\n"
        "class Queue(asyncio.Queue):\n"
        "    async def put(self, item):\n"
        "        if item != 7:\n"
        "            await super().put(item)\n"
        "asyncio.Queue = Queue\n"
    )
    process = run("--only=memory-buffered/asyncio/asyncio", "--patience=0.3", path=tmp_path)
    assert process.returncode == 1
    assert "nothing has happened for 0.3 s: an item or a wakeup was lost" in process.stdout


def test_name_that_matches_nothing_is_an_error() -> None:
    process = run("--only=nobody")
    assert process.returncode == 2
    assert "nothing to run" in process.stderr


def test_report_replaces_what_stands_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nof yesterday\n{END}\nafter\n")
    results = ROOT / "benchmarks/results/2026-11-20-1439.json"
    process = run("report", str(results), "--into", str(page))
    assert process.returncode == 0, process.stderr
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n\n")
    assert text.endswith(f"\n\n{END}\nafter\n")
    assert "| at most 1.45x epoll in C (the floor) | 1.50 | 1.18-1.51 | **no** |" in text
    assert "of yesterday" not in text


def test_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="has no"):
        insert("figures", page, "figures")
    assert page.read_text() == "no marks"
