"""``python -m penstock info``: which hot path runs and why, and what it runs on."""

from __future__ import annotations

import json
import platform
import sys
from argparse import Namespace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from textwrap import fill
from typing import Any

import penstock
from penstock import _hotpath
from penstock._backends.runtimes import RUNTIMES

__all__ = ("main",)

PACKAGES = ("sniffio", "idna", "trio", "uvloop")


def main(options: Namespace) -> int:
    """Print what there is to know, for people or as JSON."""
    facts = _facts()
    if options.json:
        print(json.dumps(facts, indent=2))
    else:
        print(_for_people(facts))
    return 0


def _facts() -> dict[str, Any]:
    return {
        "penstock": _version("penstock"),
        "location": str(Path(penstock.__file__).parent),
        "implementation": penstock.IMPLEMENTATION,
        "reason": _hotpath.REASON,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "executable": sys.executable,
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "runtimes": [runtime.name for runtime in RUNTIMES if runtime.installed],
    }


def _version(package: str) -> str | None:
    """Return the installed version of ``package``, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _for_people(facts: dict[str, Any]) -> str:
    packages = (f"{name} {found or '(none)'}" for name, found in facts["packages"].items())
    rows = {
        "penstock": facts["penstock"] or "not installed, run from its source",
        "location": facts["location"],
        "hot path": f"{facts['implementation']}: {facts['reason']}",
        "Python": facts["python"],
        "executable": facts["executable"],
        "platform": facts["platform"],
        "packages": ", ".join(packages),
        "runtimes": ", ".join(facts["runtimes"]),
    }
    return "\n".join(
        fill(
            text,
            width=80,
            initial_indent=f"{label:<12}",
            subsequent_indent=" " * 12,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for label, text in rows.items()
    )
