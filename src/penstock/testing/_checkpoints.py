"""Assertions about checkpoints: whether a task yields, and looks for a pending cancellation."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from penstock._backends import current_backend

__all__ = ("assert_checkpoints", "assert_no_checkpoints")


@contextmanager
def assert_checkpoints() -> Generator[None, None, None]:
    """Assert that a block yields to the event loop, and looks for a pending cancellation.

    What a block of several operations does is taken together.  penstock's own operations yield
    when they must wait or the ready budget is used up: so
    ``penstock.lowlevel.set_ready_budget(1)`` comes first where each of them is to be seen doing
    so.  A block that raises is not judged.

    Raises:
        AssertionError: It has not done both.
    """
    backend = current_backend()
    end = backend.watch_checkpoints()
    try:
        yield
    finally:
        both, _either = end()
    if not both:
        raise AssertionError(
            "the block did not both yield and look for a cancellation; the ready budget is "
            f"{backend.budget.size}, and only one of 1 makes every operation do so"
        )


@contextmanager
def assert_no_checkpoints() -> Generator[None, None, None]:
    """Assert that a block neither yields to the event loop nor looks for a cancellation.

    With a ready budget above 1, penstock's ready operations pass as well, most of the time.  A
    block that raises is not judged.

    Raises:
        AssertionError: It has done one or the other.
    """
    end = current_backend().watch_checkpoints()
    try:
        yield
    finally:
        _both, either = end()
    if either:
        raise AssertionError("the block has yielded, or looked for a cancellation")
