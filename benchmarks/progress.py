"""Say on stderr what runs, how many of how many it is, and how long the rest will take."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import fmean
from time import monotonic

__all__ = ("Progress",)

#: Names of what runs: workload, contender and loop.
Names = Sequence[str]


class Progress:
    """What lies ahead and what it took before: another round, a like run, or the mean of all."""

    def __init__(self, planned: Sequence[Names]) -> None:
        self._planned = list(planned)
        self._total = len(planned)
        self._taken: dict[Names, float] = {}

    @contextmanager
    def step(self, round_: str = "") -> Iterator[None]:
        """Take the next of what is planned, and measure how long it takes."""
        names = self._planned.pop(0)
        number = self._total - len(self._planned)
        width = len(str(self._total))
        print(
            f"[{number:{width}}/{self._total}]{round_} {'/'.join(names)}{self._left(names)}",
            file=sys.stderr,
            flush=True,
        )
        start = monotonic()
        try:
            yield
        finally:
            self._taken[names] = monotonic() - start

    def drop(self, names: Names) -> None:
        """Forget what would have come of ``names``: it has failed."""
        left = [other for other in self._planned if other != names]
        self._total -= len(self._planned) - len(left)
        self._planned = left

    def _left(self, names: Names) -> str:
        if not self._taken:
            return ""
        seconds = sum(map(self._expected, [names, *self._planned]))
        return f", {seconds / 60:.1f} min left" if seconds >= 60 else f", {seconds:.0f} s left"

    def _expected(self, names: Names) -> float:
        if names in self._taken:
            return self._taken[names]
        like = [taken for other, taken in self._taken.items() if other[0] == names[0]]
        return fmean(like or self._taken.values())
