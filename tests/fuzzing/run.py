"""Fuzz one target with atheris: ``python tests/fuzzing/run.py TARGET --seconds 600``.

Exits with a non-zero status when the target fails; libFuzzer then has written the input to the
corpus' directory, and ``--replay FILE`` runs it again.  See README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "tls")]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, metavar="DIR", default=HERE / "corpus")
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE")
    arguments = parser.parse_args()

    import atheris

    with atheris.instrument_imports(include=["penstock"]):
        from choices import Choices
        from targets import TARGETS

        import penstock

    check = TARGETS[arguments.target]
    with asyncio.Runner() as runner:

        def run_once(data: bytes) -> None:
            runner.run(check(Choices(data)))

        if arguments.replay:
            for path in arguments.replay:
                run_once(path.read_bytes())
            return
        corpus = arguments.corpus / arguments.target
        corpus.mkdir(parents=True, exist_ok=True)
        print(f"{arguments.target}, hot path {penstock.IMPLEMENTATION}", flush=True)
        options = (
            f"-max_total_time={arguments.seconds}",
            "-max_len=1024",
            "-timeout=20",
            "-rss_limit_mb=1024",
            "-print_final_stats=1",
            f"-artifact_prefix={corpus}{os.sep}failed-",
        )
        atheris.Setup([sys.argv[0], *options, str(corpus)], run_once)
        atheris.Fuzz()  # ends the process


if __name__ == "__main__":
    main()
