"""penstock on Trio, thinly wrapped.

``loop`` holds the primitives, ``scopes`` cancel scopes, ``groups`` task groups, ``handles`` task
handles.
"""

from penstock._backends.trio.loop import TrioBackend
from penstock._backends.trio.loop import current as current

__all__ = ("BACKEND", "current")

BACKEND = TrioBackend
