"""Two operations and a close, in every order: documented errors only, and at once.

For each kind of object: every pair of what can wait on it, in both orders, closed after both wait,
or by a task that begins before, between or after the two.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest
from closing_tables import KINDS, Call, Kind
from socket_peers import open_descriptors

import penstock
from penstock import (
    BusyResourceError,
    ClosedResourceError,
    create_task_group,
    fail_after,
    wait_all_tasks_blocked,
)
from penstock.lowlevel import checkpoint, set_ready_budget

#: When it is closed: by a task that begins at this place among the three, or once both wait.
PLACES = (0, 1, 2, None)
#: What an operation that was begun may end with, if it fails.
DOCUMENTED = (ClosedResourceError, BusyResourceError)
#: Who closes, who is woken, and who waits for that one.
TURNS = 4


async def outcome_of(awaitable: Awaitable[Any]) -> Any:
    try:
        await awaitable
    except Exception as exc:
        return exc.with_traceback(None)
    return None


async def race(kind: Kind, first: Call, second: Call, place: int | None) -> list[Any]:
    """Run two operations on a new object and close it; return what they have ended with."""
    outcomes: dict[int, Any] = {}
    closed = penstock.Event()
    async with kind.make() as it:

        async def operate(number: int, call: Call) -> None:
            outcomes[number] = await outcome_of(call(it))

        async def close() -> None:
            with penstock.CancelScope():  # a forceful close may let its cancellation through
                await kind.close(it)
            closed.set()

        with fail_after(10):
            async with create_task_group() as tg:
                for number, call in enumerate((first, second)):
                    if number == place:
                        tg.start_soon(close)
                    tg.start_soon(operate, number, call)
                if place == 2:
                    tg.start_soon(close)
                elif place is None:
                    await wait_all_tasks_blocked()
                    await close()
                await closed.wait()
                for _ in range(TURNS):
                    await checkpoint()
                assert len(outcomes) == 2, "an operation goes on after the close"
        for call in (first, second):
            assert isinstance(await outcome_of(call(it)), ClosedResourceError)
        with penstock.CancelScope():
            await kind.close(it)
    return [outcomes[0], outcomes[1]]


@pytest.mark.parametrize("budget", [1, 256])
@pytest.mark.parametrize("name", KINDS)
async def test_an_operation_that_meets_a_close_ends_at_once_and_as_documented(
    name: str, budget: int
) -> None:
    kind = KINDS[name]
    set_ready_budget(budget)
    async with kind.make():  # opens what is opened once
        before = open_descriptors()
    before = open_descriptors()
    ended_by_close = 0
    for first_name, first in kind.calls.items():
        for second_name, second in kind.calls.items():
            for place in PLACES:
                try:
                    outcomes = await race(kind, first, second, place)
                    for outcome in outcomes:
                        assert outcome is None or isinstance(outcome, DOCUMENTED), repr(outcome)
                except BaseException as exc:
                    exc.add_note(f"{first_name} and {second_name}, closed at {place}")
                    raise
                ended_by_close += any(isinstance(it, ClosedResourceError) for it in outcomes)
                assert open_descriptors() == before
    assert ended_by_close > 0
