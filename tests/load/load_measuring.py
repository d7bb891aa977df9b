"""What the load programs measure of their own process, and the bounds that it has to keep.

Lives here: descriptors, memory, and the report of figures and bounds.  Linux only.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys
import traceback

__all__ = ("KIB", "MIB", "Report", "descriptors", "progress", "raise_descriptor_limit", "resident")

KIB = 1024
MIB = 1024 * KIB
#: Tracebacks of unexpected exceptions that are printed; all are counted.
MOST_TRACEBACKS = 5

_malloc_trim = ctypes.CDLL(None).malloc_trim
_malloc_trim.argtypes = [ctypes.c_size_t]
_page = resource.getpagesize()


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd")) - 1  # less the one that listed them


def resident() -> int:
    """Return the bytes that this process has in memory, without garbage.

    What was freed and kept by the C library for later is given back first: how much that is says
    what was done last, and nothing about what was left behind.
    """
    gc.collect()
    _malloc_trim(0)
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _page


def raise_descriptor_limit() -> int:
    """Have as many descriptors as this user may have; return how many that is."""
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
    return allowed


def progress(text: str) -> None:
    """Say on standard error how far a program is."""
    print(text, file=sys.stderr, flush=True)


class Report:
    """The figures of a run, and which of its bounds were broken."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.broken: list[str] = []
        self.errors = 0

    def error(self, exc: BaseException, where: str = "") -> None:
        """Count an exception that nothing in the program explains."""
        self.errors += 1
        if self.errors <= MOST_TRACEBACKS:
            text = "".join(traceback.format_exception(exc))
            progress(f"unexpected{where and f' in {where}'}:\n{text}")

    def figure(self, name: str, value: object) -> None:
        """Take down a figure that has no bound."""
        self.lines.append(f"{name}: {_shown(value)}")

    def bound(self, name: str, value: float, most: float, least: float = -float("inf")) -> None:
        """Take down a figure, which must be at most ``most`` and at least ``least``."""
        kept = least <= value <= most
        if most == least:
            wanted = _shown(most)
        else:
            sides = [f"at least {_shown(least)}"] * (least > -float("inf"))
            sides += [f"at most {_shown(most)}"] * (most < float("inf"))
            wanted = ", ".join(sides)
        line = f"{name}: {_shown(value)} ({wanted})"
        self.lines.append(line if kept else f"{line} BROKEN")
        if not kept:
            self.broken.append(name)

    def exactly(self, name: str, value: float, wanted: float) -> None:
        """Take down a figure that must be ``wanted``."""
        self.bound(name, value, wanted, wanted)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        verdict = f"BROKEN: {', '.join(self.broken)}" if self.broken else "all bounds kept"
        return "\n".join([*self.lines, verdict])


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
