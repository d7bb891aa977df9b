"""Calling blocking functions in worker threads."""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from penstock._backends import current_backend
from penstock._synchronization import CapacityLimiter
from penstock.lowlevel import RunVar

__all__ = ("current_default_thread_limiter", "run_sync")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: As many as on AnyIO and Trio.
DEFAULT_THREADS = 40

_default_limiter: RunVar[CapacityLimiter] = RunVar("default thread limiter")


async def run_sync(
    func: Callable[[*Ts], T],
    *args: *Ts,
    abandon_on_cancel: bool = False,
    limiter: CapacityLimiter | None = None,
) -> T:
    """Call ``func(*args)`` in a worker thread and return what it returns.

    The thread runs in a copy of the caller's context.  If cancelled before a thread is free,
    ``func`` is not called.  If cancelled while it runs, the call waits for it all the same, and
    the next wait raises the cancellation; a native one of asyncio is raised here.

    Args:
        func: What to call.
        args: Its positional arguments.
        abandon_on_cancel: If cancelled, leave at once and let ``func`` run on by itself, its
            result or exception unseen.
        limiter: What lends each call a token, until ``func`` has ended, abandoned or not; None:
            :func:`current_default_thread_limiter`.  A function that outlives the event loop never
            returns its token.

    Raises:
        RuntimeError: ``func`` raised StopIteration, which is its ``__cause__``.
        TypeError: ``func`` is not callable, or ``limiter`` is not a CapacityLimiter.
    """
    if not callable(func):
        raise TypeError(f"func must be callable, not {func!r}")
    if limiter is None:
        limiter = current_default_thread_limiter()
    elif not isinstance(limiter, CapacityLimiter):
        raise TypeError(f"limiter must be a CapacityLimiter or None, not {limiter!r}")
    return await current_backend().run_sync_in_thread(
        func, args, abandon_on_cancel=abandon_on_cancel, limiter=limiter
    )


def current_default_thread_limiter() -> CapacityLimiter:
    """Return the limiter of the running event loop for calls that bring none: 40 tokens."""
    limiter = _default_limiter.get(None)
    if limiter is None:
        limiter = CapacityLimiter(DEFAULT_THREADS)
        _default_limiter.set(limiter)
    return limiter
