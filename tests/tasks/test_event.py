"""Events."""

import asyncio
from typing import Any

import pytest

import penstock
from penstock.lowlevel import ready_budget, set_ready_budget


def test_event_is_made_and_set_without_an_event_loop() -> None:
    event = penstock.Event()
    assert not event.is_set()
    event.set()
    event.set()
    assert event.is_set()


def test_event_made_without_an_event_loop_is_waited_for(backend: Any) -> None:
    event = penstock.Event()

    async def main() -> None:
        async with penstock.create_task_group() as tg:
            tg.start_soon(event.wait)
            await penstock.wait_all_tasks_blocked()
            event.set()

    backend.run(main)
    backend.run(event.wait)


async def test_event_wakes_every_waiter() -> None:
    event = penstock.Event()
    async with penstock.create_task_group() as tg:
        for _ in range(3):
            tg.start_soon(event.wait)
        await penstock.wait_all_tasks_blocked()
        assert event.statistics().tasks_waiting == 3
        event.set()
        assert event.statistics().tasks_waiting == 0


async def test_event_forgets_a_cancelled_waiter() -> None:
    event = penstock.Event()
    with penstock.move_on_after(0.001):
        await event.wait()
    assert event.statistics().tasks_waiting == 0
    event.set()
    await event.wait()


async def test_event_that_is_set_yields_once_in_a_ready_budget() -> None:
    event = penstock.Event()
    event.set()
    ran = []

    async def other() -> None:
        ran.append(1)

    set_ready_budget(10)
    async with penstock.create_task_group() as tg:
        tg.start_soon(other)
        for _ in range(300):
            await event.wait()
        assert ran == [1]


async def test_waiter_cancelled_after_it_was_woken_has_seen_the_event() -> None:
    event = penstock.Event()
    scope = penstock.CancelScope()
    seen = []

    async def waiter() -> None:
        with scope:
            await event.wait()
            seen.append(1)

    async with penstock.create_task_group() as tg:
        tg.start_soon(waiter)
        await penstock.wait_all_tasks_blocked()
        event.set()
        scope.cancel()
    assert seen == [1]
    assert not scope.cancelled_caught


def test_waiter_cancelled_natively_after_it_was_woken_leaves_the_event_set(
    asyncio_backend: Any,
) -> None:
    async def main() -> None:
        event = penstock.Event()
        first, second = asyncio.create_task(event.wait()), asyncio.create_task(event.wait())
        await penstock.wait_all_tasks_blocked()
        event.set()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await second
        assert event.statistics().tasks_waiting == 0

    asyncio_backend.run(main)


def test_ready_operations_take_one_turn_of_the_loop_in_a_ready_budget(asyncio_backend: Any) -> None:
    async def main() -> None:
        event = penstock.Event()
        event.set()
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(count_turns())
        for _ in range(10 * ready_budget()):
            await event.wait()
        task.cancel()
        assert 8 <= turns <= 12

    asyncio_backend.run(main)
