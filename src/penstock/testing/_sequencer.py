"""Forcing an order on what several tasks do.

Lives here: the sequencer alone.  It knows no stream.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from penstock._backends import current_backend
from penstock._synchronization import Event

__all__ = ("Sequencer",)


class Sequencer:
    """Run blocks of several tasks in the order of their numbers.

    ``async with sequencer(n)`` waits until the block with number ``n - 1`` was left; the one with
    number 0 begins at once.  A sequencer serves one event loop, once.
    """

    # I1  _claimed holds every number that was asked for
    # I2  once _broken, every event is set, and no further block begins
    __slots__ = ("_broken", "_claimed", "_turns")

    def __init__(self) -> None:
        self._claimed: set[int] = set()
        self._turns: defaultdict[int, Event] = defaultdict(Event)
        self._broken = False

    @asynccontextmanager
    async def __call__(self, position: int) -> AsyncGenerator[None, None]:
        """Return the context manager of one block.

        If its wait is cancelled, the order can never be kept: the sequence is broken, the
        cancelled task and all others that wait or come later get RuntimeError, so that a test
        fails instead of hanging.  If the block itself is cancelled, the next one begins.

        Args:
            position: The number of the block, from 0 upwards without a gap.

        Raises:
            RuntimeError: The number was used before, or the sequence is broken.
            TypeError: ``position`` is not an integer.
            ValueError: ``position`` is negative: that block would wait for ever.
        """
        if not isinstance(position, int):
            raise TypeError(f"position must be an integer, not {position!r}")
        if position < 0:
            raise ValueError(f"position must be at least 0, not {position}")
        if position in self._claimed:
            raise RuntimeError(f"position {position} of this sequence was used before")
        if self._broken:
            raise RuntimeError("the sequence is broken: a wait in it was cancelled")
        self._claimed.add(position)
        if position:
            try:
                await self._turns[position].wait()
            except current_backend().cancelled_exception as exc:
                self._break()
                raise RuntimeError(
                    f"the sequence is broken: the wait for position {position} was cancelled"
                ) from exc
            if self._broken:
                raise RuntimeError("the sequence is broken: a wait in it was cancelled")
        try:
            yield
        finally:
            self._turns[position + 1].set()

    def _break(self) -> None:
        self._broken = True
        for turn in self._turns.values():
            turn.set()
