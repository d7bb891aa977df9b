"""penstock beside its peers: cost, growth and instruction counts.

Run in a checkout, by a Python that has penstock and the peers (``pip install '.[bench]'``).  With
no command, every workload is run by every contender: most of an hour, or three minutes with
``--quick``.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.peers.clocks import PATIENCE
from benchmarks.peers.workloads import WORKLOADS


def add_run_options(
    parser: argparse.ArgumentParser, rounds: str, quick: str, suffix: str = ""
) -> None:
    """Add what the commands that measure have in common."""
    parser.add_argument("--rounds", type=int, help=f"fresh processes per contender ({rounds})")
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME[/NAME...]",
        help="run what matches every name: workload, contender or loop; may be repeated",
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const=f"{datetime.now(UTC):%Y-%m-%d-%H%M}{suffix}.json",
        metavar="FILE",
        help="keep the raw results in benchmarks/results/FILE, by default named by the date",
    )


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"workloads: {', '.join(WORKLOADS)}",
    )
    add_run_options(
        parser,
        "5; quick: 2",
        "an eighth of the work per round, and without --only just memory, lines and echoes",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        metavar="SECONDS",
        help=f"give up a contender that stands still for so long ({PATIENCE:g})",
    )
    parser.set_defaults(only=[])
    commands = parser.add_subparsers(dest="command", title="other commands", metavar="")
    report = commands.add_parser("report", help="raw results as Markdown")
    report.add_argument("file", type=Path, help="the raw results of an earlier run")
    report.add_argument(
        "--into", type=Path, metavar="PAGE", help="put it between the marks of a page"
    )
    report.add_argument("--brief", action="store_true", help="ratios and targets alone")
    plot = commands.add_parser("plot", help="raw results as a plot; needs matplotlib")
    plot.add_argument("file", type=Path, help="the raw results of an earlier run")
    plot.add_argument(
        "-o", "--output", type=Path, required=True, metavar="SVG", help="where to draw"
    )
    publish = commands.add_parser("publish", help="raw results into every page, and its plots")
    publish.add_argument("files", type=Path, nargs="+", help="of a comparison, of growth, or both")
    growth = commands.add_parser(
        "growth",
        help="how costs grow with the size of what there is",
        argument_default=argparse.SUPPRESS,  # what was said before "growth" holds
    )
    add_run_options(growth, "3; quick: 1", "the smaller sizes, less often", "-growth")
    counts = commands.add_parser("instructions", help="instructions per operation, by callgrind")
    what = counts.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="fail where a budget is exceeded")
    what.add_argument("--update", action="store_true", help="make what is counted the budget")
    return parser


def main() -> int:
    options = parser().parse_args()
    if options.command == "report":
        from benchmarks.report import insert, load, reported

        report = load(options.file)
        text = reported(report, brief=options.brief)
        if options.into:
            insert(text, options.into, "growth" if "growth" in report else "figures")
        else:
            print(text)
        return 0
    if options.command == "plot":
        from benchmarks.plots import plot
        from benchmarks.report import load

        plot(load(options.file), options.output)
        return 0
    if options.command == "publish":
        from benchmarks.publishing import publish

        for path in publish(options.files):
            print(path)
        return 0
    if options.command == "growth":
        from benchmarks.growth.command import growth

        if options.rounds is None:
            options.rounds = 1 if options.quick else 3
        return growth(options)
    if options.command == "instructions":
        from benchmarks.instructions import instructions

        return instructions(options)
    from benchmarks.compare import compare

    if options.rounds is None:
        options.rounds = 2 if options.quick else 5
    return compare(options)


if __name__ == "__main__":
    sys.exit(main())
