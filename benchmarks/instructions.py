"""Instructions per operation, by callgrind, beside a budget: what CI has in place of timings.

Lives here: how they are counted, kept and compared.  What is counted lives in ``counted``.

Each row runs twice, with few operations and with many, in children of one process, and the
difference is divided: what it takes to start cancels out.  The environment is empty but for what
is given here, which also keeps the C library from choosing code for the newest CPUs, so that equal
files give equal counts.

Two counts are kept: all instructions but those of the C library, which depend on how this Python
was built, and those within penstock's own extension modules, which do not.  Against another build
of the same Python only the latter are judged.  Memory comes from the C library, which is not
counted: what an allocator does depends on all that was allocated before, down to what else is
installed and how long the paths of imported files are.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import BENCHMARKS, ROOT, found_compiler, said
from benchmarks.tables import table

__all__ = ("check", "counts_of", "instructions")

#: Operations of the two runs: multiples of the lines that one chunk holds.
FEW, MANY = 2_048, 6_144
SLACK = 0.03
TIMEOUT = 300.0

#: All instructions, and those within penstock's extension modules, of one operation.
Counts = dict[str, float]


def _options() -> str:
    """Return how this Python was configured, without the places where it lies."""
    options = shlex.split(sysconfig.get_config_var("CONFIG_ARGS") or "")
    return " ".join(option for option in options if "/" not in option) or "without options"


def built() -> str:
    """Describe what the count of all instructions depends on."""
    compiler = found_compiler()
    return "; ".join(
        (
            f"CPython {platform.python_version()}, {platform.machine()}",
            platform.python_compiler(),
            f"configured {_options()}",
            said(compiler, "--version") if compiler else "no compiler",
        )
    )


def counts_of(profile: str) -> tuple[int, int]:
    """Return the instructions of a profile of callgrind, and those within penstock's modules.

    Its lines are positions (``ob=``: which file the code that follows is from), costs, and after
    ``calls=`` one cost that was spent in the callee, and is counted there.
    """
    names: dict[str, str] = {}
    own = library = skip = False
    total = total_own = 0
    for text in profile.splitlines():
        if match := re.match(r"ob=(\(\d+\))(?: (.*))?$", text):
            if match[2]:
                names[match[1]] = match[2]
            own = "/penstock/_compiled/" in names[match[1]]
            library = "/libc.so" in names[match[1]]
        elif match := re.match(r"cob=(\(\d+\)) (.*)$", text):
            names[match[1]] = match[2]
        elif text.startswith("calls="):
            skip = True
        elif re.match(r"[+\-*\d]", text):
            if not skip and not library:
                cost = int(text.split()[1])
                total += cost
                total_own += cost if own else 0
            skip = False
    return total, total_own


def counted() -> dict[str, Counts]:
    """Return the instructions of one operation, for every row.

    Raises:
        RuntimeError: valgrind is missing, or what it runs has failed.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise RuntimeError("valgrind is not installed")
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.run(
            [
                *(valgrind, "--tool=callgrind", f"--callgrind-out-file={directory}/%p"),
                *(sys.executable, "-s", "-m", "benchmarks.counted", str(FEW), str(MANY)),
            ],
            env={
                "PYTHONHASHSEED": "0",
                "PYTHONMALLOC": "malloc",
                "PYTHONUNBUFFERED": "1",
                "PENSTOCK_HOTPATH": "compiled",
                "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-ERMS,-FSRM",
            },
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        if process.returncode:
            raise RuntimeError(process.stderr)
        found: dict[str, list[tuple[int, int]]] = {}
        for text in process.stdout.splitlines():
            row, _, pid = text.split("\t")
            profile = Path(directory, pid).read_text()
            found.setdefault(row, []).append(counts_of(profile))
    rows = {}
    for row, (few, many) in found.items():
        total_, own = ((more - less) / (MANY - FEW) for less, more in zip(few, many, strict=True))
        rows[row] = {"total": round(total_, 1), "own": round(own, 1)}
    return rows


def check(rows: dict[str, Counts], budget: dict[str, Any], build: str) -> list[str]:
    """Return a line for each row that takes more than its budget and the slack."""
    kinds = ("total", "own") if build == budget["built"] else ("own",)
    over = []
    for row, allowed in budget["rows"].items():
        if row not in rows:
            over.append(f"{row}: in the budget, but not counted")
            continue
        for kind in kinds:
            found, limit = rows[row][kind], allowed[kind]
            if found > limit * (1 + SLACK) + 0.5:
                which = "in all" if kind == "total" else "in penstock's modules"
                over.append(
                    f"{row}: {found:,.1f} instructions {which}, {found / limit - 1:+.1%} "
                    f"of its budget of {limit:,.1f}; {SLACK:.0%} are allowed"
                )
    over += [f"{row}: has no budget" for row in rows if row not in budget["rows"]]
    return over


def instructions(options: argparse.Namespace) -> int:
    """Count, print, and check or update the budget; return the exit status."""
    path: Path = BENCHMARKS / "budgets" / f"{sys.version_info[0]}.{sys.version_info[1]}.json"
    build = built()
    rows = counted()
    if options.update:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"built": build, "rows": rows}, indent=1) + "\n")
    budget = json.loads(path.read_text()) if path.exists() else None
    allowed = budget["rows"] if budget else {}
    header = "operation, instructions, budget, in penstock's modules, budget"
    lines = [
        (row, *(f"{n:,.1f}" for kind in ("total", "own") for n in (found[kind], limit[kind])))
        for row, found in rows.items()
        for limit in [allowed.get(row, {"total": 0.0, "own": 0.0})]
    ]
    print("\n".join(table(header, 1, lines)))
    if not options.check:
        return 0
    if budget is None:
        print(f"no budget for this Python: {path} is missing; --update makes it")
        return 1
    if build != budget["built"]:
        print(
            f"\nThe budget is of another build: only penstock's own modules are judged.\n"
            f"budget: {budget['built']}\nhere:   {build}"
        )
    over = check(rows, budget, build)
    print("\n".join(["", *over]) if over else "\nWithin the budget.")
    return 1 if over else 0
