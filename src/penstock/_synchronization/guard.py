"""Finding out that two tasks use one thing at the same time."""

from __future__ import annotations

from types import TracebackType

from penstock._exceptions import BusyResourceError

__all__ = ("ResourceGuard",)


class ResourceGuard:
    """A context manager that nobody may enter while somebody is inside.

    Args:
        action: What is done inside, for the message: "Another task is already {action} this
            resource".
    """

    __slots__ = ("__weakref__", "_guarded", "action")

    def __init__(self, action: str = "using") -> None:
        self.action: str = action
        """What is done inside."""
        self._guarded = False

    def __enter__(self) -> None:
        if self._guarded:
            raise BusyResourceError(self.action)
        self._guarded = True

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self._guarded = False
