"""The contract of everything that is closed with ``await``."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

__all__ = ("AsyncResource",)


class AsyncResource(ABC):
    """Something to be closed after use; leaving its ``async with`` block closes it."""

    __slots__ = ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.aclose()

    @abstractmethod
    async def aclose(self) -> None:
        """Close the resource.

        Closing twice is silent, and what the peer did is never raised.  If cancelled, the
        resource is closed all the same.

        Raises:
            RuntimeError: It belongs to an event loop in another thread.
        """
