"""penstock on asyncio, with any event loop that implements its interface.

``loop`` holds the primitives, ``scopes`` level-triggered cancel scopes, ``groups`` task groups,
``threads`` worker threads.
"""

from penstock._backends.asyncio.loop import AsyncioBackend
from penstock._backends.asyncio.loop import current as current

__all__ = ("BACKEND", "current")

BACKEND = AsyncioBackend
