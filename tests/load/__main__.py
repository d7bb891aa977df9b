"""Put penstock under load for as long as you wish: ``python tests/load SUBJECT``.

Exits with status 1 if a bound was broken.  See README.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tls")]

from backends import BACKENDS, BackendUnderTest  # noqa: E402 - found by the line above
from load_churn import Churn, churn  # noqa: E402
from load_connections import Plan, hold_connections  # noqa: E402
from load_measuring import Report  # noqa: E402
from load_slow_readers import SlowReaders, slow_readers  # noqa: E402
from load_soak import BREAKS, Soak, soak  # noqa: E402

import penstock  # noqa: E402

LOOPS = {backend.id.removeprefix("asyncio+"): backend for backend in BACKENDS}


def run_connections(backend: BackendUnderTest, options: argparse.Namespace) -> Report:
    count = options.count or {"tcp": 10_000, "tls": 2_000}[options.kind]
    return hold_connections(backend, Plan(options.kind, count, options.seconds, seed=options.seed))


def run_churn(backend: BackendUnderTest, options: argparse.Namespace) -> Report:
    return backend.run(churn, Churn(options.seconds, options.tasks, seed=options.seed))


def run_slow_readers(backend: BackendUnderTest, options: argparse.Namespace) -> Report:
    plan = SlowReaders(options.count, seconds=options.seconds, seed=options.seed)
    return backend.run(slow_readers, plan)


def run_soak(backend: BackendUnderTest, options: argparse.Namespace) -> Report:
    measurements = max(round(60 * options.minutes / options.interval), 2)
    plan = Soak(options.interval, measurements, seed=options.seed, broken=options.broken)
    return backend.run(soak, plan)


def parse() -> argparse.Namespace:
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser("python tests/load", description=summary)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--backend", choices=LOOPS, default="asyncio")
    common.add_argument("--seed", type=int, default=1)
    subjects = parser.add_subparsers(dest="subject", required=True)

    def subject(
        name: str, run: object, summary: str, **defaults: object
    ) -> argparse.ArgumentParser:
        added = subjects.add_parser(name, parents=[common], help=summary, description=summary)
        added.set_defaults(run=run, **defaults)
        return added

    for name, kind in (("connections", "tcp"), ("tls", "tls")):
        one = subject(name, run_connections, f"{kind} connections, all held at once", kind=kind)
        one.add_argument("--count", type=int)
        one.add_argument("--seconds", type=float, default=60)
    one = subject("churn", run_churn, "connections that begin and end, in every way")
    one.add_argument("--tasks", type=int, default=20)
    one.add_argument("--seconds", type=float, default=60)
    one = subject("slow-readers", run_slow_readers, "peers that hardly read, beside others")
    one.add_argument("--count", type=int, default=250)
    one.add_argument("--seconds", type=float, default=30)
    one = subject("soak", run_soak, "everything, for a long time")
    one.add_argument("--minutes", type=float, default=30)
    one.add_argument("--interval", type=float, default=10)
    one.add_argument("--break", dest="broken", choices=BREAKS)
    return parser.parse_args()


def main() -> int:
    options = parse()
    print(options.subject, options.backend, penstock.IMPLEMENTATION, flush=True)
    run: Callable[[BackendUnderTest, argparse.Namespace], Report] = options.run
    report = run(LOOPS[options.backend], options)
    print(report)
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
