"""Deadlines behind a timer of asyncio's."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle

from penstock._backends._deadlines import Deadlines

__all__ = ("AsyncioDeadlines",)


class AsyncioDeadlines(Deadlines):
    """What is to be called when, on one event loop of asyncio.

    Args:
        loop: The event loop.
    """

    __slots__ = ("_loop", "_timer")

    def __init__(self, loop: AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._timer: TimerHandle | None = None

    def _now(self) -> float:
        return self._loop.time()

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._timer = None
        super()._ring()
