"""Plots of raw results, as SVG: the ratios of a comparison, and how costs grow.

The ground is transparent and every colour stands out from white and from black alike, so that a
page may be light or dark.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.growth.rows import ROWS
from benchmarks.growth.tables import medians
from benchmarks.peers.contenders import CONTENDERS
from benchmarks.peers.workloads import WORKLOADS
from benchmarks.report import measured
from benchmarks.tables import BESIDE, Figures, limit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ("COLOURS", "INK", "multiples", "plot")

#: Text and lines.
INK = "#767676"
#: Who stands beside penstock, by the names in the table of ratios, and the loops.
COLOURS = {
    "pure twin": "#b8860b",
    "AnyIO": "#d6455d",
    "Trio": "#c76a00",
    "asyncio": "#2f83cc",
    "Protocol": "#2a9160",
    "aiofastnet": "#a065d0",
    "limit": "#7a7f87",
    "uvloop": "#2a9160",
    "trio": "#c76a00",
}
MARKERS = {
    "pure twin": "s",
    "AnyIO": "o",
    "Trio": "D",
    "asyncio": "^",
    "Protocol": "v",
    "aiofastnet": "P",
    "limit": "|",
}
LOOPS = ("asyncio", "uvloop", "trio")
#: Settings of matplotlib, whose own type of their names is as long as this file.
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "penstock",  # equal figures make equal files
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "grid.color": INK,
    "grid.alpha": 0.3,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}

#: By name of who stands beside penstock: workloads, and multiples of penstock's cost there.
Multiples = dict[str, tuple[list[str], list[float]]]


def multiples(report: dict[str, Any], loop: str) -> Multiples:
    """Return what others cost on one event loop, as multiples of what compiled penstock costs."""
    figures = Figures(report["results"])
    found: Multiples = {}
    for workload in measured(report):
        own = figures.cost(workload, "penstock", loop)
        if own is None:
            continue
        costs = {BESIDE[name]: figures.cost(workload, name, loop) for name in BESIDE}
        for name, cost in {**costs, "limit": limit(workload, figures)}.items():
            if cost is not None:
                workloads, values = found.setdefault(name, ([], []))
                workloads.append(workload)
                values.append(cost / own)
    return found


def plain(axis: Any) -> None:
    """Write the numbers of a logarithmic axis as numbers."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def draw_ratios(figure: Figure, report: dict[str, Any]) -> None:
    """Draw a panel for each event loop, a line for each workload and a mark for each peer."""
    names = [name for name in WORKLOADS if name in measured(report)]
    figure.set_size_inches(9, 1.4 + 0.24 * len(names))
    panels = figure.subplots(1, len(LOOPS), sharey=True, sharex=True)
    handles: dict[str, Any] = {}
    for axes, loop in zip(panels, LOOPS, strict=True):
        axes.set_title(f"on {loop}")
        axes.set_xscale("log")
        axes.axvline(1, color=INK, linewidth=1.5)
        axes.grid(axis="both", linewidth=0.5)
        for name, (workloads, values) in multiples(report, loop).items():
            rows = [len(names) - 1 - names.index(workload) for workload in workloads]
            (handles[name],) = axes.plot(
                values,
                rows,
                linestyle="none",
                marker=MARKERS[name],
                markersize=10 if name == "limit" else 5,
                color=COLOURS[name],
            )
    panels[0].set_yticks(range(len(names)), reversed(names))
    plain(panels[0].xaxis)
    shown = [name for name in MARKERS if name in handles]
    figure.supxlabel(
        "cost, as a multiple of compiled penstock's: left of the line is cheaper", fontsize="medium"
    )
    figure.legend([handles[name] for name in shown], shown, loc="outside upper center", ncols=7)


def draw_row(axes: Axes, name: str, costs: dict[tuple[str, str, str], dict[int, float]]) -> None:
    """Draw how one cost grows, for both twins on every event loop."""
    from matplotlib.ticker import EngFormatter

    axes.set_title(f"{name}: {ROWS[name].size}", loc="left")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(linewidth=0.5)
    shown = []
    for (row, contender, loop), points in costs.items():
        if row != name:
            continue
        values = [cost / 1000 for cost in points.values()]
        shown += values
        axes.plot(
            list(points),
            values,
            color=COLOURS[loop],
            linestyle="-" if contender == "penstock" else ":",
            marker=".",
            label=f"{CONTENDERS[contender].title}, {loop}",
        )
    low = min(shown) / 3
    axes.set_ylim(low, max(3 * max(shown), 1000 * low))  # what hardly grows looks so
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 1, 10, 100, 1k
    axes.yaxis.set_major_formatter("{x:,.7g}")


def draw_growth(figure: Figure, report: dict[str, Any]) -> None:
    """Draw a panel for each row."""
    costs = medians(report["growth"])
    names = [name for name in ROWS if any(where[0] == name for where in costs)]
    rows = (len(names) + 1) // 2
    figure.set_size_inches(9, 1 + 2.2 * rows)
    panels = figure.subplots(rows, 2, squeeze=False).flat
    labels: dict[str, Any] = {}
    for axes, name in zip(panels, names, strict=False):
        draw_row(axes, name, costs)
        labels |= {str(line.get_label()): line for line in axes.lines}
    for axes in [*panels][len(names) :]:
        axes.set_visible(False)
    figure.supylabel("us of CPU for one operation", fontsize="medium")
    figure.legend([*labels.values()], [*labels], loc="outside upper center", ncols=3)


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw raw results, of a comparison or of growth, into an SVG file."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(layout="constrained")
        draw = draw_growth if "growth" in report else draw_ratios
        draw(figure, report)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})
    # Trailing blanks, which matplotlib writes, are none of a repository's.
    path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text().splitlines()))
