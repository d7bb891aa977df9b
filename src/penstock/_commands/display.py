"""How the demo looks: a bar that moves where there is a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import TextIO

import penstock

__all__ = ("Display",)

BAR = 30  # columns
NAME = 14  # columns


class Display:
    """What the demo prints, in 80 columns.

    Args:
        out: Where to.
        seconds: How long each runtime runs.
    """

    def __init__(self, out: TextIO, seconds: float) -> None:
        self._out = out
        self._seconds = seconds
        self._moving = out.isatty()
        # A pipe or an old console may take ASCII alone.
        unicode = (out.encoding or "").lower().replace("-", "") == "utf8"
        self._full, self._empty = "█░" if unicode else "#."
        self._name = ""

    def introduce(self, text: str) -> None:
        """Print what is about to happen."""
        self._print(fill(text, 78), f"The hot path is {penstock.IMPLEMENTATION}.", "")

    def start(self, name: str) -> None:
        """Begin with the runtime called ``name``."""
        self._name = name
        if self._moving:
            self.progress(0, 0.0)
        else:
            self._print(f"  {name:<{NAME}} runs for {self._seconds:.1f} s")

    def progress(self, lines: int, elapsed: float) -> None:
        """Show that ``lines`` were answered in ``elapsed`` seconds."""
        if self._moving:
            done = min(1.0, elapsed / self._seconds)
            full = round(BAR * done)
            bar = self._full * full + self._empty * (BAR - full)
            self._out.write(f"\r  {self._name:<{NAME}} {bar} {done:4.0%} {lines:>11,} lines")
            self._out.flush()

    def finish(self, lines: int) -> None:
        """End with the runtime that was started last."""
        if self._moving:
            self.progress(lines, self._seconds)
            self._print("")
        else:
            self._print(f"  {self._name:<{NAME}} answered {lines:,} lines")

    def table(self, results: Mapping[str, tuple[int, float, float]]) -> None:
        """Print lines, wall and CPU seconds of each runtime as rates."""
        rows = [f"  {'runtime':<{NAME}} {'lines/s':>12} {'CPU per line':>16}"]
        rows.append(f"  {'-' * NAME} {'-' * 12} {'-' * 16}")
        for name, (lines, wall, cpu) in results.items():
            rows.append(f"  {name:<{NAME}} {lines / wall:>12,.0f} {cpu / lines * 1e6:>13.1f} us")
        total = sum(lines for lines, _, _ in results.values())
        self._print("", *rows, "", f"All {total:,} answers were right.")
        self.note("The CPU time is that of both ends: server and clients share this process.")

    def note(self, text: str) -> None:
        """Print a remark."""
        self._print(fill(text, 78))

    def _print(self, *lines: str) -> None:
        self._out.write("\n".join(lines) + "\n")
        self._out.flush()
