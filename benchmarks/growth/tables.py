"""Turn what was measured of growth into Markdown, and judge it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from benchmarks.growth.fitting import POINTS, SLACK, exponent, within
from benchmarks.growth.rows import ROWS, Row, planned
from benchmarks.peers.contenders import CONTENDERS
from benchmarks.tables import number, table

__all__ = ("Costs", "growth_tables", "medians", "too_fast")

#: What an operation cost at each size, by row, contender and loop: medians over the rounds.
Costs = dict[tuple[str, str, str], dict[int, float]]


def medians(results: Iterable[dict[str, Any]]) -> Costs:
    """Return the cost of an operation, in ns, by what was measured and by its size."""
    rounds: dict[tuple[str, str, str], dict[int, list[float]]] = {}
    for result in results:
        where = (result["row"], result["contender"], result["loop"])
        sizes = rounds.setdefault(where, defaultdict(list))
        for point in result["points"]:
            sizes[point["size"]].append(point["cost"])
    return {
        where: {size: median(costs) for size, costs in rounds[where].items()}
        for where in planned()
        if where in rounds
    }


def too_fast(costs: Costs) -> list[str]:
    """Return a line for each of ``costs`` that grows faster than it may."""
    return [
        f"{'/'.join(where)}: grows as the size to the power of {exponent(points):.2f}; "
        f"{ROWS[where[0]].bound} and {SLACK} are allowed"
        for where, points in costs.items()
        if not within(points, ROWS[where[0]].bound)
    ]


def shown(nanoseconds: float) -> str:
    """Write a cost with its unit."""
    if nanoseconds < 1000:
        return f"{number(nanoseconds)} ns"
    if nanoseconds < 1e6:
        return f"{number(nanoseconds / 1e3)} us"
    return f"{number(nanoseconds / 1e6)} ms"


def row_table(row: Row, costs: Costs) -> str:
    """Return what one row cost at each size."""
    here = {where: points for where, points in costs.items() if where[0] == row.name}
    sizes = sorted(set().union(*here.values()))
    lines: list[Sequence[str]] = []
    for (_, contender, loop), points in here.items():
        power = f"{exponent(points):.2f}"
        lines.append(
            (
                CONTENDERS[contender].title,
                loop,
                *(shown(points[size]) for size in sizes),
                power if within(points, row.bound) else f"**{power}**",
            )
        )
    columns = ["contender", "loop", *(f"{size:_}".replace("_", " ") for size in sizes), "power"]
    title = f"### {row.name}: {row.title}"
    about = f"By the number of {row.size}; the power may be {row.bound}, and {SLACK} more."
    return "\n".join([title, "", about, "", *table(", ".join(columns), 2, lines)])


def growth_tables(report: dict[str, Any]) -> str:
    """Return the tables of a run."""
    costs = medians(report["growth"])
    about = (
        "What an operation costs in CPU time of the process: medians over the rounds, of which "
        f"there were {report['rounds']}.\nThe power is that of the size with which the cost "
        f"grows over the {POINTS} largest sizes."
    )
    names = [name for name in ROWS if any(where[0] == name for where in costs)]
    fast = too_fast(costs)
    sections = [about, *(row_table(ROWS[name], costs) for name in names)]
    if fast:
        sections.append("\n".join(["### Too fast", "", *(f"- {line}" for line in fast)]))
    return "\n\n".join(sections)
