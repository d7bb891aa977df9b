"""What public calls ask of the numbers that they are given, in AnyIO's words.

Lives here: the checks that several modules make.  The kernels have their own.
"""

from __future__ import annotations

__all__ = ("not_negative", "positive")


def positive(name: str, number: int) -> int:
    """Return ``number``, of which there must be one at least.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is below 1.
    """
    if not isinstance(number, int):
        raise TypeError(f"{name} must be an integer, not {number!r}")
    if number < 1:
        raise ValueError(f"{name} must be a positive integer, not {number}")
    return number


def not_negative(name: str, number: int) -> int:
    """Return ``number``, of which there may be none.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is negative.
    """
    if not isinstance(number, int):
        raise TypeError(f"{name} must be an integer, not {number!r}")
    if number < 0:
        raise ValueError(f"{name} must be a non-negative integer, not {number}")
    return number
