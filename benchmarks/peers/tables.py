"""Turn raw results into markdown: one table per workload, one of targets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import Any

from peers.contenders import CONTENDERS
from peers.targets import BARE_AWAIT, KIB, TARGETS, Target
from peers.workloads import SCALES, Workload

__all__ = ("Figures", "result_table", "target_table")

#: What one round of one contender gave, as run_one.py printed it.
Result = dict[str, Any]


class Figures:
    """Results by workload, contender and loop; a figure is the median over the rounds."""

    def __init__(self, results: Iterable[Result]) -> None:
        self._results = defaultdict[tuple[str, str, str], list[Result]](list)
        for result in results:
            key = (result["workload"], result["contender"], result["loop"])
            self._results[key].append(result)

    def costs(self, workload: str, contender: str, loop: str) -> list[float]:
        """Return what each round cost, the cheapest first; empty where nothing was measured."""
        return sorted(result["cost"] for result in self._results[workload, contender, loop])

    def cost(self, workload: str, contender: str, loop: str) -> float | None:
        """Return the ns, or the bytes, per unit."""
        costs = self.costs(workload, contender, loop)
        return median(costs) if costs else None

    def awaits(self, workload: str, contender: str, loop: str) -> float | None:
        """Return the cost per unit in bare awaits of the same process."""
        ratios = [
            result["cost"] / result["bare_await_ns"]
            for result in self._results[workload, contender, loop]
            if "bare_await_ns" in result
        ]
        return median(ratios) if ratios else None

    def bare_await(self, workload: str) -> float | None:
        """Return the ns of one bare await, over all processes of a workload."""
        costs = [
            result["bare_await_ns"]
            for (name, _, _), results in self._results.items()
            for result in results
            if name == workload and "bare_await_ns" in result
        ]
        return median(costs) if costs else None


def table(header: str, text: int, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lay out a markdown table whose first ``text`` columns are not numbers."""
    columns = header.split(", ")
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * text + "--:|" * (len(columns) - text)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def number(value: float | None) -> str:
    """Write three significant digits, never in scientific notation."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 99.95 else f"{value:#.3g}"


def result_table(workload: Workload, figures: Figures) -> str:
    """Return what one workload cost, contender by contender."""
    scale = SCALES[workload.scale]
    rows = []
    for name in workload.contenders:
        for loop in CONTENDERS[name].loops:
            costs = [cost / scale for cost in figures.costs(workload.name, name, loop)]
            if not costs:
                continue
            own = figures.cost(workload.name, "penstock", loop)
            rows.append(
                (
                    CONTENDERS[name].title,
                    loop,
                    number(median(costs)),
                    f"{number(costs[0])}-{number(costs[-1])}",
                    number(median(costs) * scale / own) if own else "-",
                    number(figures.awaits(workload.name, name, loop)),
                )
            )
    header = f"contender, loop, {workload.scale} per {workload.unit}, spread, x penstock, awaits"
    lines = [f"### {workload.name}: {workload.title}", "", *table(header, 2, rows)]
    if bare := figures.bare_await(workload.name):
        lines += ["", f"One await of an empty coroutine: {number(bare)} ns."]
    return "\n".join(lines)


def measured(target: Target, figures: Figures) -> float | None:
    """Return the ratio that a target is about, None where a side of it is missing."""
    if target.peer == BARE_AWAIT:
        return figures.awaits(target.workload, target.twin, target.loop)
    own = figures.cost(target.workload, target.twin, target.loop)
    peer = SCALES["KiB"] if target.peer == KIB else figures.cost(target.workload, *target.peer)
    return target.ratio(own, peer) if own and peer else None


def target_table(names: Iterable[str], figures: Figures) -> str:
    """Return the targets on the workloads in ``names`` of which both sides were measured."""
    rows = []
    for target in TARGETS:
        if target.workload not in names:
            continue
        ratio = measured(target, figures)
        if ratio is None:
            continue
        peer, loop = target.peer
        bound = "at most" if target.ceiling else "at least"
        times = " " if target.peer == KIB else "x "
        rows.append(
            (
                target.workload,
                f"{CONTENDERS[target.twin].title}, {target.loop}",
                f"{bound} {target.factor:g}{times}{CONTENDERS[peer].title if loop else peer}",
                number(ratio),
                "yes" if target.reached(ratio) else "**no**",
            )
        )
    header = "workload, penstock, target, measured, reached"
    return "\n".join(["### Targets", "", *table(header, 3, rows)])
