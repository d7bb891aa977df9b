"""Deadlines behind a single timer, which Trio does not have: a task that sleeps."""

from __future__ import annotations

import trio

from penstock._backends._deadlines import Deadlines

__all__ = ("TrioDeadlines",)


class TrioDeadlines(Deadlines):
    """What is to be called when, in one run of Trio."""

    # I3  _sleep is None until there was a deadline; then it is the scope that a system task
    #     sleeps in, or is about to, and its end is when that task rings
    __slots__ = ("_sleep",)

    def __init__(self) -> None:
        super().__init__()
        self._sleep: trio.CancelScope | None = None

    def _now(self) -> float:
        return trio.current_time()

    def _set_timer(self, deadline: float) -> None:
        if self._sleep is None:
            self._sleep = trio.CancelScope()
            trio.lowlevel.spawn_system_task(self._keep_time, self._sleep, name="penstock deadlines")
        self._sleep.deadline = deadline

    async def _keep_time(self, sleep: trio.CancelScope) -> None:
        while True:
            with sleep:
                await trio.sleep_forever()
            self._sleep = sleep = trio.CancelScope()
            self._ring()
