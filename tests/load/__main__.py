"""Put penstock under load for as long as you wish: ``python tests/load SUBJECT``.

Exits with status 1 if a bound was broken.  See README.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tls")]

from backends import BACKENDS  # noqa: E402 - found by the line above
from load_measuring import Report  # noqa: E402
from load_soak import BREAKS, Soak, soak  # noqa: E402

import penstock  # noqa: E402

LOOPS = {backend.id.removeprefix("asyncio+"): backend for backend in BACKENDS}


def main() -> int:
    parser = argparse.ArgumentParser(
        "python tests/load", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--backend", choices=LOOPS, default="asyncio")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("subject", choices=["soak"])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--interval", type=float, default=10)
    parser.add_argument("--break", dest="broken", choices=BREAKS)
    arguments = parser.parse_args()
    print(arguments.subject, arguments.backend, penstock.IMPLEMENTATION, flush=True)
    plan = Soak(
        arguments.interval,
        round(60 * arguments.minutes / arguments.interval),
        seed=arguments.seed,
        broken=arguments.broken,
    )
    report: Report = LOOPS[arguments.backend].run(soak, plan)
    print(report)
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
