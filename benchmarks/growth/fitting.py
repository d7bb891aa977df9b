"""How fast a cost grows, from a few measurements of it; no more than arithmetic.

Where what is fixed is most of a cost, its growth does not show; so it is the largest sizes that
count.  What shows at the very largest alone is not found.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from statistics import linear_regression

__all__ = ("POINTS", "SLACK", "exponent", "within")

#: Of how many of the largest sizes an exponent is taken.
POINTS = 3
#: How much more than its bound an exponent may be: caches that no longer suffice, and noise.
SLACK = 0.25


def exponent(costs: Mapping[int, float]) -> float:
    """Return x where the costs of the largest sizes grow as the size to the power of x.

    It is the slope of the line through them, logarithm over logarithm, with the least squares.

    Args:
        costs: What an operation costs at each size.
    """
    largest = sorted(costs.items())[-POINTS:]
    sizes, values = zip(*largest, strict=True)
    return linear_regression(list(map(log, sizes)), list(map(log, values))).slope


def within(costs: Mapping[int, float], bound: float) -> bool:
    """Tell whether costs grow no faster than the size to the power of ``bound``, and the slack."""
    return exponent(costs) <= bound + SLACK
