"""Events."""

import asyncio
from threading import Thread
from typing import Any

import pytest
import trio

import penstock
from penstock.lowlevel import checkpoint, ready_budget, set_ready_budget


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


async def test_pending_cancellation_waits_for_nothing() -> None:
    event = penstock.Event()
    for _ in range(2):
        with penstock.CancelScope() as scope:
            scope.cancel()
            await event.wait()
        assert scope.cancelled_caught
        event.set()


async def test_pending_cancellation_beats_an_event_that_is_set_at_once() -> None:
    event = penstock.Event()
    asked = []

    async def wait() -> None:
        with penstock.CancelScope() as scope:
            scope.cancel()
            asked.append(1)
            await event.wait()
        assert scope.cancelled_caught

    async with penstock.create_task_group() as tg:
        tg.start_soon(wait)
        while not asked:
            await checkpoint()
        event.set()


def in_thread(func: Any, *args: Any) -> Any:
    """Call ``func`` in a new thread; return what it returned or raised."""
    outcome = []

    def call() -> None:
        try:
            outcome.append(func(*args))
        except BaseException as exc:
            outcome.append(exc)

    thread = Thread(target=call)
    thread.start()
    thread.join(10)
    assert outcome, "it hangs"
    return outcome[0]


async def test_event_that_nobody_waits_for_is_set_from_another_thread() -> None:
    event = penstock.Event()
    with penstock.move_on_after(0):
        await event.wait()
    assert in_thread(event.set) is None
    await event.wait()


async def test_event_that_a_task_waits_for_is_not_set_from_another_thread() -> None:
    event = penstock.Event()

    async def set_it() -> None:
        event.set()

    async with penstock.create_task_group() as tg:
        tg.start_soon(event.wait)
        await penstock.wait_all_tasks_blocked()
        for run in (event.set, lambda: asyncio.run(set_it()), lambda: trio.run(set_it)):
            outcome = in_thread(run)
            assert isinstance(outcome, RuntimeError)
            assert str(outcome) == "this Event belongs to another event loop or thread"
        assert not event.is_set()
        assert event.statistics().tasks_waiting == 1
        event.set()


async def test_waiting_for_an_event_of_another_loop_is_refused() -> None:
    event = penstock.Event()
    async with penstock.create_task_group() as tg:
        tg.start_soon(event.wait)
        await penstock.wait_all_tasks_blocked()
        for run in (lambda: asyncio.run(event.wait()), lambda: trio.run(event.wait)):
            assert isinstance(in_thread(run), RuntimeError)
        event.set()
    # Once it is set, it can be waited for anywhere.
    assert in_thread(lambda: asyncio.run(event.wait())) is None
    assert in_thread(trio.run, event.wait) is None


def test_event_in_two_loops_of_one_thread() -> None:
    event = penstock.Event()
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    task = first.create_task(event.wait())
    first.run_until_complete(asyncio.sleep(0))

    async def set_it() -> None:
        event.set()

    for func in (set_it, event.wait):
        with pytest.raises(RuntimeError, match="this Event belongs to another event loop"):
            second.run_until_complete(func())
    event.set()  # between two steps of its own loop
    first.run_until_complete(task)
    for loop in (first, second):
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@pytest.mark.parametrize("shut_down", [True, False])
def test_waits_that_ended_with_their_loop_are_forgotten(shut_down: bool, backend: Any) -> None:
    event = penstock.Event()
    loop = asyncio.new_event_loop()
    task = loop.create_task(event.wait())
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.run_until_complete(asyncio.sleep(0))
    if shut_down:
        loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()

    async def main() -> None:
        async with penstock.create_task_group() as tg:
            tg.start_soon(event.wait)
            await penstock.wait_all_tasks_blocked()
            assert event.statistics().tasks_waiting == 1
            event.set()

    backend.run(main)
    assert not task.done()
