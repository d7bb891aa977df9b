"""Finding exceptions that only the garbage collector can free."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable

import penstock

__all__ = ("cancellations_in_cycles",)


async def cancellations_in_cycles(func: Callable[[], Awaitable[object]]) -> list[object]:
    """Call ``func`` and return the cancellations that it has left in reference cycles."""
    cancelled = penstock.get_cancelled_exc_class()
    await func()  # what is left behind by the first call, once for all, is no matter
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await func()
        gc.collect()
        return [item for item in gc.garbage if isinstance(item, cancelled)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
