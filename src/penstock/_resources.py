"""What can be done with any resource."""

import math

from penstock._backends import current_backend
from penstock.abc import AsyncResource

__all__ = ("aclose_forcefully",)


async def aclose_forcefully(resource: AsyncResource) -> None:
    """Close a resource without waiting for anything, as if cancelled before.

    What the resource would still do with its peer is left out.  If cancelled, the resource is
    closed all the same.

    Args:
        resource: Anything with ``aclose``.
    """
    backend = current_backend()
    with backend.create_cancel_scope(deadline=math.inf, shield=False) as scope:
        scope.cancel()
        await resource.aclose()
