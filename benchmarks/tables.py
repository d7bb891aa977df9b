"""Turn raw results into markdown: one table per workload, one of targets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import Any

from benchmarks.peers.contenders import CONTENDERS
from benchmarks.peers.workloads import SCALES, WORKLOADS, Workload
from benchmarks.targets import BARE_AWAIT, KIB, TARGETS, Target

__all__ = (
    "BESIDE",
    "Figures",
    "limit",
    "number",
    "ratio_table",
    "result_table",
    "summary_table",
    "table",
    "target_table",
)

#: The columns of the table of ratios: who stands beside penstock on the same event loop.
BESIDE = {
    "penstock-pure": "pure twin",
    "anyio": "AnyIO",
    "trio": "Trio",
    "asyncio": "asyncio",
    "protocol": "Protocol",
    "aiofastnet": "aiofastnet",
}
#: Who stands in its last column, on whatever it runs on.
LIMITS = (
    ("epoll", "C"),
    ("blocking", "blocking"),
    ("bytesio", "asyncio"),
    ("sslobject", "asyncio"),
)

#: What the shortest table has, in its own words.
SUMMARY = {
    "memory-buffered": "memory stream, an item, buffer of 100",
    "memory-unbuffered": "memory stream, an item, unbuffered",
    "lines": "`receive_until`, a 64-byte line",
    "records": "header and body by `receive_exactly`",
    "tcp-echo": "TCP echo, a 1 KiB request",
    "tls-echo": "TLS echo, a 1 KiB request",
    "unix-echo": "UNIX echo, a 1 KiB request",
    "udp-echo": "UDP echo, a 1 KiB datagram",
}
#: And in which columns.
COLUMNS = {
    "penstock": ("penstock", "asyncio"),
    "on uvloop": ("penstock", "uvloop"),
    "on Trio": ("penstock", "trio"),
    "pure twin": ("penstock-pure", "asyncio"),
    "AnyIO": ("anyio", "asyncio"),
    "asyncio": ("asyncio", "asyncio"),
    "Trio": ("trio", "trio"),
    "C": ("epoll", "C"),
}

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

    def rounds(self, workload: str, contender: str, loop: str, unit: str = "") -> dict[int, float]:
        """Return what each round cost, by its number; in units that it measured by the way."""
        return {
            result["round"]: result["cost"] / (result[unit] if unit else 1)
            for result in self._results[workload, contender, loop]
        }

    def cost(self, workload: str, contender: str, loop: str) -> float | None:
        """Return the ns, or the bytes, per unit."""
        costs = self.costs(workload, contender, loop)
        return median(costs) if costs else None

    def other(self, key: str, workload: str, contender: str, loop: str) -> float | None:
        """Return the median of what was measured beside the cost; None where that was not."""
        values = [
            result[key]
            for result in self._results[workload, contender, loop]
            if result.get(key) is not None
        ]
        return median(values) if values else None

    def has(self, key: str, workload: str) -> bool:
        """Tell whether anybody's results on a workload have ``key``."""
        return any(
            key in result
            for (name, _, _), results in self._results.items()
            for result in results
            if name == workload
        )

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


def number(value: float | None, unit: float = 1.0) -> str:
    """Write three significant digits of ``value`` in units, never in scientific notation."""
    if value is None:
        return "-"
    value /= unit
    return f"{value:,.0f}" if value >= 99.95 else f"{value:#.3g}"


def result_table(workload: Workload, figures: Figures) -> str:
    """Return what one workload cost, contender by contender, and what else was measured."""
    scale = SCALES[workload.scale]
    others = {
        title: (key, factor)
        for title, key, factor in (
            (f"{workload.unit}s per s", "rate", 1.0),
            ("p50 us", "p50_ns", 1000.0),
            ("p99 us", "p99_ns", 1000.0),
        )
        if figures.has(key, workload.name)
    }
    bare = figures.bare_await(workload.name)
    rows = []
    for name in workload.contenders:
        for loop in CONTENDERS[name].loops:
            where = (workload.name, name, loop)
            costs = [cost / scale for cost in figures.costs(*where)]
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
                    *([number(figures.awaits(*where))] if bare else []),
                    *(number(figures.other(key, *where), by) for key, by in others.values()),
                )
            )
    header = f"contender, loop, {workload.scale} per {workload.unit}, spread, x penstock"
    header = ", ".join([header, *(["awaits"] if bare else []), *others])
    lines = [f"### {workload.name}: {workload.title}", "", *table(header, 2, rows)]
    if bare:
        lines += ["", f"One await of an empty coroutine: {number(bare)} ns."]
    return "\n".join(lines)


def ratio(value: float | None) -> str:
    """Write how many times penstock's cost another's is; what is cheaper stands out."""
    if value is None:
        return "-"
    return f"**{number(value)}**" if value < 1 else number(value)


def limit(workload: str, figures: Figures) -> float | None:
    """Return what the cheapest of those that stand for a limit costs."""
    costs = (figures.cost(workload, *where) for where in LIMITS)
    return min((cost for cost in costs if cost is not None), default=None)


def ratio_table(workloads: Iterable[Workload], figures: Figures) -> str:
    """Return one row for each workload and loop, with every peer as a multiple of penstock."""
    rows = []
    for workload in workloads:
        for loop in workload.loops:
            own = figures.cost(workload.name, "penstock", loop)
            if own is None:
                continue
            costs = [figures.cost(workload.name, name, loop) for name in BESIDE]
            costs.append(limit(workload.name, figures))
            rows.append(
                (
                    workload.name,
                    loop,
                    f"{number(own / SCALES[workload.scale])} {workload.scale}/{workload.unit}",
                    *(ratio(cost / own if cost else None) for cost in costs),
                )
            )
    header = ", ".join(["workload, loop, penstock", *BESIDE.values(), "limit"])
    return "\n".join(
        [
            "### Ratios",
            "",
            "What others cost, as a multiple of what compiled penstock costs on the same event",
            "loop; below 1, and bold: they are cheaper. The limit is the cheapest of C with epoll,",
            "blocking sockets, an awaited `BytesIO` and a bare `SSLObject`.",
            "",
            *table(header, 2, rows),
        ]
    )


def summary_table(names: Iterable[str], figures: Figures) -> str:
    """Return a table of costs, each with its unit: the few that a reader sees first."""
    rows = []
    for name in names:
        if name not in SUMMARY:
            continue
        scale = WORKLOADS[name].scale
        costs = (figures.cost(name, *where) for where in COLUMNS.values())
        rows.append(
            (
                SUMMARY[name],
                *(
                    "-" if cost is None else f"{number(cost, SCALES[scale])} {scale}"
                    for cost in costs
                ),
            )
        )
    return "\n".join(table(", ".join(["", *COLUMNS]), 1, rows))


def measured(target: Target, figures: Figures) -> float | None:
    """Return the ratio that a target is about, None where a side of it is missing."""
    if target.peer == BARE_AWAIT:
        return figures.awaits(target.workload, target.twin, target.loop)
    own = figures.cost(target.workload, target.twin, target.loop)
    peer = SCALES["KiB"] if target.peer == KIB else figures.cost(target.workload, *target.peer)
    return target.ratio(own, peer) if own and peer else None


def spread(target: Target, figures: Figures) -> str:
    """Return the least and the greatest ratio of a target within one round."""
    if target.peer == BARE_AWAIT:
        ratios = figures.rounds(target.workload, target.twin, target.loop, "bare_await_ns").values()
    else:
        own = figures.rounds(target.workload, target.twin, target.loop)
        if target.peer == KIB:
            peer = dict.fromkeys(own, SCALES["KiB"])
        else:
            peer = figures.rounds(target.workload, *target.peer)
        ratios = [target.ratio(own[turn], peer[turn]) for turn in own.keys() & peer.keys()]
    return f"{number(min(ratios))}-{number(max(ratios))}" if ratios else "-"


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
                spread(target, figures),
                "yes" if target.reached(ratio) else "**no**",
            )
        )
    header = "workload, penstock, target, measured, rounds, reached"
    return "\n".join(["### Targets", "", *table(header, 3, rows)])
