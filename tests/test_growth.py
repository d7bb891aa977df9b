"""The check of growth finds what grows too fast, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.growth.fitting import exponent, within
from benchmarks.growth.rows import ROWS
from benchmarks.growth.tables import medians, too_fast

import penstock

ROOT = Path(__file__).parents[1]
TWIN = "penstock" if penstock.IMPLEMENTATION == "compiled" else "penstock-pure"
SIZES = (1, 10, 100, 1_000, 10_000, 100_000)


def growth(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Measure one row, with ``path`` among those that Python imports from."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks", "growth", "--quick"),
            *(f"--only=queue-length/{TWIN}/asyncio", *arguments),
        ],
        capture_output=True,
        cwd=ROOT,
        env=os.environ | ({"PYTHONPATH": str(path)} if path else {}),
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("power", [0, 0.5, 1, 2])
def test_power_is_found_whatever_is_fixed_and_in_what_unit(power: float) -> None:
    for unit, fixed in ((1.0, 0.0), (3e-7, 0.0), (250.0, 100.0)):
        costs = {size: unit * size**power + fixed for size in SIZES}
        assert exponent(costs) == pytest.approx(power, abs=0.01)


@pytest.mark.parametrize(
    ("cost", "bound", "passes"),
    [
        (lambda size: 300.0, 0, True),
        (lambda size: 300.0 + 10 * size, 0, False),
        (lambda size: 300.0 + size, 1, True),
        (lambda size: 300.0 + size * len(str(size)), 1, True),  # n log n, within the slack
        (lambda size: 300.0 + size**1.5, 1, False),
        (lambda size: 3e5 + size + 0.01 * size**2, 1, False),
        (lambda size: size**2.0, 1, False),
    ],
)
def test_growth_faster_than_its_bound_is_found(cost: object, bound: int, passes: bool) -> None:
    assert callable(cost)
    assert within({size: cost(size) for size in SIZES}, bound) is passes


def test_a_round_that_was_disturbed_does_not_decide() -> None:
    where = {"row": "buffered-scan", "contender": "penstock", "loop": "trio"}

    def result(power: float) -> dict[str, object]:
        return {**where, "points": [{"size": n, "cost": 100.0 + n**power} for n in SIZES]}

    assert too_fast(medians([result(1), result(2), result(1)])) == []
    (line,) = too_fast(medians([result(2), result(1), result(2)]))
    assert line.startswith("buffered-scan/penstock/trio: grows as the size to the power of 2.00")


def test_every_row_goes_far_enough_to_judge() -> None:
    for row in ROWS.values():
        assert row.sizes == tuple(sorted(row.sizes))
        assert row.sizes[-1] >= 50 * row.sizes[-3]


def test_growth_prints_a_table_and_keeps_results(tmp_path: Path) -> None:
    file = tmp_path / "growth.json"
    process = growth(f"--json={file}")
    assert process.returncode == 0, process.stdout + process.stderr
    assert "[1/1] round 1/1 queue-length" in process.stderr
    assert "| contender | loop | 1 | 10 | 100 | 1 000 | power |" in process.stdout
    report = json.loads(file.read_text())
    (result,) = report["growth"]
    assert result["implementation"] == penstock.IMPLEMENTATION
    assert [point["size"] for point in result["points"]] == [1, 10, 100, 1_000]
    assert all(point["cost"] > 0 for point in result["points"])


def test_operation_that_looks_at_all_that_is_queued_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from penstock.streams.memory import MemoryObjectReceiveStream as Stream\n"
        "receive = Stream.receive\n"
        "async def look(self):\n"
        "    sum(range(2 * self.statistics().current_buffer_used))\n"
        "    return await receive(self)\n"
        "Stream.receive = look\n"
    )
    process = growth(path=tmp_path)
    assert process.returncode == 1, process.stderr
    assert f"- queue-length/{TWIN}/asyncio: grows as the size to the power of" in process.stdout
