"""What figures were taken on, and what of it is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ("BENCHMARKS", "ROOT", "described", "found_compiler", "introduced", "saved", "versions")

BENCHMARKS = Path(__file__).parent
ROOT = BENCHMARKS.parent

LIBRARIES = ("penstock", "anyio", "trio", "uvloop", "aiofastnet", "Cython")


def versions() -> dict[str, str]:
    """Return the versions of the libraries that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return found


def found_compiler() -> str | None:
    """Return the path of the C compiler, None where there is none."""
    return shutil.which(os.environ.get("CC", "cc"))


def said(*command: str) -> str:
    """Return the first line of what a program says, or no text if it cannot be asked."""
    try:
        output = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return output.stdout.partition("\n")[0]


def processor() -> str:
    """Return what the system calls its CPU."""
    try:
        names = re.findall(
            r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE
        )
    except OSError:
        names = []
    return names[0] if names else platform.processor()


def described() -> dict[str, Any]:
    """Describe the machine, the versions and the command."""
    compiler = found_compiler()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.release()}, {platform.machine()}, "
        f"{os.cpu_count()} CPUs, {processor()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": said(compiler, "--version") if compiler else "none",
        "commit": said("git", "describe", "--always", "--dirty"),
        "versions": versions(),
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
    }


def introduced(about: dict[str, Any]) -> str:
    """Return the paragraph that stands above figures."""
    libraries = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    sentences = [
        f"Machine: {about['machine']}.",
        f"Versions: {about['python']}, {libraries}.",
        f"Taken on {about['date'][:10]} by `{about['command']}`.",
    ]
    if about.get("commit"):
        sentences.insert(2, f"Commit: {about['commit']}.")
    if about.get("compiler"):
        sentences.insert(2, f"C compiler: {about['compiler']}.")
    return "\n".join(sentences)


def saved(report: str, name: str) -> Path:
    """Write raw results, as JSON text, to a file in ``benchmarks/results``."""
    path = BENCHMARKS / "results" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report + "\n")
    return path
