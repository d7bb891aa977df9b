"""For those who write their own primitives: checkpoints and the ready budget."""

from penstock._backends import current_backend

__all__ = (
    "cancel_shielded_checkpoint",
    "checkpoint",
    "checkpoint_if_cancelled",
    "ready_budget",
    "set_ready_budget",
)


async def checkpoint() -> None:
    """Let other tasks run, and raise a pending cancellation."""
    await current_backend().checkpoint()


async def checkpoint_if_cancelled() -> None:
    """Raise a pending cancellation; let other tasks run only in order to do so."""
    await current_backend().checkpoint_if_cancelled()


async def cancel_shielded_checkpoint() -> None:
    """Let other tasks run, and leave a pending cancellation for later."""
    await current_backend().cancel_shielded_checkpoint()


def ready_budget() -> int:
    """Return how many ready operations the running event loop does between two yields."""
    return current_backend().budget.size


def set_ready_budget(operations: int) -> None:
    """Change how many ready operations the running event loop does between two yields.

    Args:
        operations: At least 1, which makes every operation yield, as Trio's and AnyIO's do.

    Raises:
        TypeError: ``operations`` is not an integer.
        ValueError: ``operations`` is below 1.
    """
    current_backend().budget.resize(operations)
