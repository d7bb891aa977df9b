"""penstock on Trio, thinly wrapped.

``loop`` holds the primitives, ``waits`` how tasks wait and for how long at most, with the timer in
``deadlines``, ``scopes`` cancel scopes, ``groups`` task groups, ``handles`` task handles, ``looks``
how the loop looks at the poller.
"""

from penstock._backends.trio.loop import TrioBackend
from penstock._backends.trio.loop import current as current

__all__ = ("BACKEND", "current")

BACKEND = TrioBackend
