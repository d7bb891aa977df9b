"""Calling blocking functions in worker threads."""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from penstock._backends import current_backend

__all__ = ("run_sync",)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def run_sync(func: Callable[[*Ts], T], /, *args: *Ts, abandon_on_cancel: bool = False) -> T:
    """Call ``func(*args)`` in a worker thread and return what it returns.

    The thread runs in a copy of the caller's context.  If cancelled before a thread is free,
    ``func`` is not called.  If cancelled while it runs, the call waits for it all the same, and
    the next wait raises the cancellation; a native one of asyncio is raised here.

    Args:
        func: What to call.
        args: Its positional arguments.
        abandon_on_cancel: If cancelled, leave at once and let ``func`` run on by itself, its
            result or exception unseen.

    Raises:
        RuntimeError: ``func`` raised StopIteration, which is its ``__cause__``.
    """
    return await current_backend().run_sync_in_thread(
        func, args, abandon_on_cancel=abandon_on_cancel
    )
