"""Run an operation and cancel it where it awaits: at its first await, its second, its n-th.

Lives here: how the awaits of an operation are counted, the moments at which it is cancelled there,
and what must hold after every run.  What the operations are lives in the ``cancelled_*`` modules.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any
from zlib import crc32

import trio.testing
from backends import BackendUnderTest
from cancelling import Cancellable
from socket_peers import open_descriptors

from penstock import (
    Event,
    create_task_group,
    fail_after,
    get_running_tasks,
    wait_all_tasks_blocked,
)
from penstock._backends import current_backend
from penstock._readiness import poller_of
from penstock.lowlevel import set_ready_budget

#: A run that takes longer hangs.
SECONDS_PER_RUN = 20
#: No operation here awaits more often: one that does spins.
MOST_POINTS = 2_000
READY_BUDGETS = (1, 256)


@dataclass
class Outcome:
    """What became of an operation."""

    ended: bool = False
    result: Any = None
    #: How often it awaited, and how often of these after it was cancelled.
    points: int = 0
    points_after: int = 0
    awaits: bool = True
    #: Whether the await at which it was to be cancelled was reached.
    reached: bool = False


@dataclass
class Case:
    """One operation, ready to be called."""

    #: Calls the operation.
    operate: Callable[[], Awaitable[Any]]
    #: Finishes the transfer, as a program would, and asserts that nothing is lost or doubled.
    finish: Callable[[Outcome], Awaitable[None]]
    #: Runs beside it and does what it waits for; is cancelled when all there is left is to wait.
    meanwhile: Callable[[], Awaitable[None]] | None = None
    #: How often it may await once it was cancelled, the await at which it is told included.
    patience: int = 1
    #: Whether it waits for something, or yields.  If not, it can only find a cancellation pending.
    awaits: bool = True


SetUp = Callable[[], AbstractAsyncContextManager[Case]]

#: Every operation that is cancelled everywhere, by its name.
OPERATIONS: dict[str, SetUp] = {}


def operation(
    name: str, *arguments: Any
) -> Callable[[Callable[..., AsyncIterator[Case]]], Callable[..., AsyncIterator[Case]]]:
    """Enter an async generator function into the table: it sets up, yields a case, tidies up."""

    def enter(func: Callable[..., AsyncIterator[Case]]) -> Callable[..., AsyncIterator[Case]]:
        assert name not in OPERATIONS, name
        OPERATIONS[name] = partial(asynccontextmanager(func), *arguments)
        return func

    return enter


@dataclass
class Tally:
    """How much was run."""

    uncancelled: int = 0
    enumerated: int = 0
    cancelled: int = 0
    kinds: dict[str, int] = field(default_factory=dict)


class Stepped:
    """Awaits what it is given, counts its awaits, and calls ``cancel`` at the ``at``-th.

    Args:
        awaitable: An operation that was not begun.
        at: From 1; at None and 0 nothing is called.
        place: ``"parking"``: as it begins to wait.  ``"woken"``: what it waits for has come about,
            and its task has not run yet.
        cancel: Cancels the task that awaits this object.
        outcome: Where the counts go.
    """

    def __init__(
        self,
        awaitable: Awaitable[Any],
        at: int | None,
        place: str,
        cancel: Callable[[], None],
        outcome: Outcome,
    ) -> None:
        self._awaitable = awaitable
        self._at = at
        self._place = place
        self._cancel = cancel
        self._outcome = outcome

    def __await__(self) -> Generator[Any, Any, Any]:
        steps: Any = self._awaitable.__await__()
        outcome = self._outcome
        resume = partial(steps.send, None)
        while True:
            try:
                parked_on = resume()
            except StopIteration as stop:
                return stop.value
            outcome.points += 1
            outcome.points_after += outcome.reached
            assert outcome.points < MOST_POINTS, "it never comes to an end"
            here = outcome.points == self._at
            if here and self._place == "parking":
                self._reach()
            elif here and isinstance(parked_on, asyncio.Future):
                # Before the callback of the task, which is added when it is given the future.
                parked_on.add_done_callback(lambda _: self._reach())
            elif here and parked_on is None:
                asyncio.get_running_loop().call_soon(self._reach)
            try:
                value = yield parked_on
            except BaseException as exc:
                resume = partial(steps.throw, exc)
            else:
                if here and not outcome.reached:  # Trio tells nobody what a task waits for
                    self._reach()
                resume = partial(steps.send, value)

    def _reach(self) -> None:
        self._outcome.reached = True
        self._cancel()


async def nothing_happens(backend_name: str) -> None:
    """Wait until all other tasks wait, those that wait for just this included."""
    if backend_name == "trio":  # which wakes all that ask for the same cushion at once
        await trio.testing.wait_all_tasks_blocked(1e-6)
    else:  # where they may find so in the same turn as this one
        for _ in range(4):
            await wait_all_tasks_blocked()


async def run_once(set_up: SetUp, way: str, place: str, at: int | None) -> Outcome:
    """Set up, run, cancel at await ``at`` (0: before the call; None: never), finish, tidy up."""
    outcome = Outcome()
    poller = poller_of(current_backend())
    before = open_descriptors(), len(poller), len(get_running_tasks())
    async with set_up() as case:
        outcome.awaits = case.awaits
        canceller = Cancellable()
        over = Event()

        async def operate() -> None:
            if at == 0:
                outcome.reached = True
                canceller.cancel()
            outcome.result = await Stepped(case.operate(), at, place, canceller.cancel, outcome)
            outcome.ended = True

        async def act() -> None:
            try:
                await canceller.run(way, operate)
            finally:
                over.set()

        with fail_after(SECONDS_PER_RUN):
            async with create_task_group() as tg:
                if case.meanwhile is not None:
                    tg.start_soon(case.meanwhile)
                tg.start_soon(act)
                await over.wait()
                await nothing_happens(current_backend().name)
                tg.cancel_scope.cancel()
            await case.finish(outcome)
    assert (open_descriptors(), len(poller), len(get_running_tasks())) == before
    # A checkpoint of Trio's yields first, and is cancelled by yielding again.  A time-out comes
    # with the next turn of the event loop.
    patience = case.patience + (current_backend().name == "trio" or way == "timeout")
    assert outcome.points_after <= patience, (
        f"it went on for {outcome.points_after} awaits after it was cancelled"
    )
    if at == 0:
        assert not outcome.ended, "it took no notice of a cancellation that was pending"
    elif not outcome.reached:
        assert outcome.ended, "it was not cancelled, and did not end"
    return outcome


def kinds(backend: BackendUnderTest) -> Iterator[tuple[str, str]]:
    """Give every way to cancel that is tried on a backend, and every place."""
    if backend.name == "asyncio":
        yield from (("scope", "parking"), ("scope", "woken"))
        yield from (("task.cancel", "parking"), ("task.cancel", "woken"))
        yield from (("timeout", "parking"), ("timeout", "woken"))
    else:
        yield from (("scope", "parking"), ("scope", "woken"))
        yield from (("trio scope", "parking"), ("trio scope", "woken"))


async def cancel_everywhere(name: str, backend: BackendUnderTest, stride: int, cell: int) -> Tally:
    """Run the operation ``name`` uncancelled, and once for each point at which it is cancelled.

    Args:
        name: A key of ``OPERATIONS``.
        backend: What it runs on.
        stride: Every so-many-th point is run; 1: all of them.
        cell: Which points these are; the operation's name comes into it as well.
    """
    set_up = OPERATIONS[name]
    tally = Tally()
    chosen = (crc32(name.encode()) + cell) % stride
    for budget in READY_BUDGETS:
        set_ready_budget(budget)
        await run_once(set_up, "scope", "parking", None)  # opens what is opened once
        whole = await run_once(set_up, "scope", "parking", None)
        assert whole.ended
        if budget == 1:
            assert (whole.points > 0) is whole.awaits, f"it awaited {whole.points} times"
        tally.uncancelled += 2
        for way, place in kinds(backend):
            # A native cancellation that is pending acts at the first await: that is point 1.
            first = 0 if way.endswith("scope") and place == "parking" else 1
            for at in count(first) if stride == 1 else range(first, whole.points + 1):
                tally.enumerated += 1
                if tally.enumerated % stride != chosen:
                    continue
                try:
                    outcome = await run_once(set_up, way, place, at)
                except BaseException as exc:
                    exc.add_note(f"{name}: {way}, {place}, await {at}, ready budget {budget}")
                    raise
                if not outcome.reached:  # this time it has ended before: there is no such point
                    tally.enumerated -= 1
                    break
                tally.cancelled += 1
                tally.kinds[way] = tally.kinds.get(way, 0) + 1
    set_ready_budget(READY_BUDGETS[-1])
    gc.collect()
    return tally
