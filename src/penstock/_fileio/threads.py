"""How a file is opened and closed in a worker thread, whatever is cancelled meanwhile.

Nothing here knows what is done with the file in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, TypeVar

from penstock._backends import current_backend
from penstock._synchronization import CapacityLimiter
from penstock.to_thread import run_sync

__all__ = ("check_limiter", "finish_in_thread", "open_in_thread")


class Closable(Protocol):
    def close(self) -> object: ...


C = TypeVar("C", bound=Closable)


def check_limiter(limiter: CapacityLimiter | None) -> None:
    if limiter is not None and not isinstance(limiter, CapacityLimiter):
        raise TypeError(f"limiter must be a CapacityLimiter or None, not {limiter!r}")


async def open_in_thread(opener: Callable[[], C], limiter: CapacityLimiter | None = None) -> C:
    """Return what ``opener()`` returns.

    If cancelled before a thread is free, nothing is opened.  If cancelled later, the thread is
    waited for, and what it has opened is closed.
    """
    opened: list[C] = []

    def call() -> None:
        opened.append(opener())

    try:
        await run_sync(call, limiter=limiter)
        await current_backend().checkpoint_if_cancelled()
    except BaseException:
        while opened:
            await finish_in_thread(opened.pop().close, limiter)
        raise
    return opened.pop()


async def finish_in_thread(
    func: Callable[[], object], limiter: CapacityLimiter | None = None
) -> None:
    """Call ``func()`` once, and wait for it; a cancellation is raised afterwards."""
    backend = current_backend()
    called = False

    def call() -> None:
        nonlocal called
        called = True
        func()

    cancellation: BaseException | None = None
    try:
        with backend.create_cancel_scope(deadline=math.inf, shield=True):
            while not called:
                try:
                    await run_sync(call, limiter=limiter)
                except backend.cancelled_exception as exc:
                    cancellation = exc  # native, perhaps while the limiter had no token
        if cancellation is not None:
            raise cancellation
        await backend.checkpoint_if_cancelled()
    finally:
        del cancellation  # its traceback leads back to this frame
