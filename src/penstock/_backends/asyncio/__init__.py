"""penstock on asyncio, with any event loop that implements its interface.

``loop`` holds the primitives, ``scopes``, ``states`` and ``deadlines`` level-triggered cancel
scopes, ``limits`` what is lighter than those, ``groups`` task groups, ``handles`` task handles,
``threads`` worker threads, ``signals`` what wakes the loop on a signal.
"""

from penstock._backends.asyncio.loop import AsyncioBackend
from penstock._backends.asyncio.loop import current as current
from penstock._backends.asyncio.loop import find as find

__all__ = ("BACKEND", "current", "find")

BACKEND = AsyncioBackend
