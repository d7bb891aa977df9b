"""What is particular to conditions: waiting with the lock released, and being notified."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from cycles import cancellations_in_cycles

import penstock
from penstock import Condition, Lock, wait_all_tasks_blocked
from penstock.lowlevel import checkpoint


@pytest.mark.parametrize("lock", [0, False, "lock", Lock])
def test_what_is_no_lock_is_an_error(lock: Any) -> None:
    with pytest.raises(TypeError, match="lock must be a Lock or None, not "):
        Condition(lock)


async def test_condition_uses_the_lock_that_it_is_given() -> None:
    lock = Lock()
    condition = Condition(lock)
    async with condition:
        assert lock.locked()
        assert condition.locked()
        assert condition.statistics() == penstock.ConditionStatistics(0, lock.statistics())
    assert not lock.locked()
    async with lock:
        condition.notify()
    condition.acquire_nowait()
    condition.release()
    await condition.acquire()
    condition.release()


async def test_condition_without_its_lock_is_an_error() -> None:
    condition = Condition()
    message = "The current task is not holding the underlying lock"

    async def use_it() -> None:
        with pytest.raises(RuntimeError, match=message):
            await condition.wait()
        with pytest.raises(RuntimeError, match=message):
            await condition.wait_for(lambda: True)
        with pytest.raises(RuntimeError, match=message):
            condition.notify()
        with pytest.raises(RuntimeError, match=message):
            condition.notify_all()

    await use_it()
    async with condition, penstock.create_task_group() as tg:
        tg.start_soon(use_it)
    assert not condition.locked()


async def start_waiting(tg: Any, condition: Condition, count: int, order: list[int]) -> None:
    async def wait(number: int) -> None:
        async with condition:
            await condition.wait()
            order.append(number)

    for number in range(count):
        tg.start_soon(wait, number)
        await wait_all_tasks_blocked()
    assert condition.statistics().tasks_waiting == count


async def test_notify_wakes_those_who_have_waited_longest() -> None:
    condition = Condition()
    order: list[int] = []
    async with penstock.create_task_group() as tg:
        await start_waiting(tg, condition, 5, order)
        async with condition:
            condition.notify()
            assert condition.statistics().tasks_waiting == 4
        await wait_all_tasks_blocked()
        assert order == [0]
        async with condition:
            condition.notify(2)
        await wait_all_tasks_blocked()
        assert order == [0, 1, 2]
        async with condition:
            condition.notify(0)
        await wait_all_tasks_blocked()
        assert order == [0, 1, 2]
        async with condition:
            condition.notify(9)
    assert order == [0, 1, 2, 3, 4]


async def test_notify_all_wakes_everybody_one_by_one() -> None:
    condition = Condition()
    order: list[int] = []
    async with penstock.create_task_group() as tg:
        await start_waiting(tg, condition, 3, order)
        async with condition:
            condition.notify_all()
            await checkpoint()
            await checkpoint()
            assert order == []
    assert order == [0, 1, 2]
    assert not condition.locked()


async def test_notification_is_not_kept_for_those_who_wait_later() -> None:
    condition = Condition()
    async with condition:
        condition.notify()
        condition.notify_all()
    with penstock.move_on_after(0.001) as scope:
        async with condition:
            await condition.wait()
    assert scope.cancelled_caught
    assert condition.statistics().tasks_waiting == 0
    assert not condition.locked()


async def test_pending_cancellation_does_not_release_the_lock() -> None:
    condition = Condition()
    ran = []

    async def other() -> None:
        async with condition:
            ran.append(1)

    async with penstock.create_task_group() as tg:
        async with condition:
            tg.start_soon(other)
            await wait_all_tasks_blocked()
            for wait in (condition.wait, lambda: condition.wait_for(lambda: True)):
                with penstock.CancelScope() as scope:
                    scope.cancel()
                    await wait()
                assert scope.cancelled_caught
                assert condition.locked()
                assert ran == []
                assert condition.statistics().tasks_waiting == 0


async def test_cancelled_wait_acquires_the_lock_before_it_ends() -> None:
    condition = Condition()
    steps = []

    async def wait() -> None:
        with penstock.CancelScope() as scope:
            scopes.append(scope)
            async with condition:
                try:
                    await condition.wait()
                finally:
                    steps.append("holds")
        assert scope.cancelled_caught

    scopes: list[Any] = []
    async with penstock.create_task_group() as tg:
        tg.start_soon(wait)
        await wait_all_tasks_blocked()
        async with condition:
            scopes[0].cancel()
            await wait_all_tasks_blocked()
            assert steps == []
            assert condition.statistics().lock_statistics.tasks_waiting == 1
        await wait_all_tasks_blocked()
        assert steps == ["holds"]
    assert not condition.locked()


def test_native_cancellations_while_the_lock_is_acquired_again_are_not_lost(
    asyncio_backend: Any,
) -> None:
    async def main() -> None:
        condition = Condition()
        steps: list[Any] = []

        async def wait() -> None:
            async with condition:
                try:
                    await condition.wait()
                except asyncio.CancelledError:
                    owner = condition.statistics().lock_statistics.owner
                    assert owner == penstock.get_current_task()
                    task = asyncio.current_task()
                    assert task is not None
                    steps.append(task.cancelling())
                    raise

        tasks = [asyncio.create_task(wait()) for _ in range(2)]
        await wait_all_tasks_blocked()
        async with condition:
            condition.notify()
            await wait_all_tasks_blocked()  # the first waits for the lock
            for _ in range(3):
                tasks[0].cancel("native")
                await checkpoint()
                await checkpoint()
            assert steps == []
        with pytest.raises(asyncio.CancelledError, match="native"):
            await tasks[0]
        assert steps == [3]
        await wait_all_tasks_blocked()
        # The notification has gone to the other one.
        await tasks[1]
        assert not condition.locked()

    asyncio_backend.run(main)


def test_native_cancellation_after_that_of_a_scope_is_not_lost(asyncio_backend: Any) -> None:
    async def main() -> None:
        condition = Condition()
        scope = penstock.CancelScope()
        steps = []

        async def wait() -> None:
            with scope:
                async with condition:
                    await condition.wait()
            steps.append("too far")

        task = asyncio.create_task(wait())
        await wait_all_tasks_blocked()
        async with condition:
            scope.cancel()
            await wait_all_tasks_blocked()  # the lock is acquired again
            task.cancel()
            await wait_all_tasks_blocked()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not scope.cancelled_caught
        assert steps == []
        assert not condition.locked()

    asyncio_backend.run(main)


def test_notified_and_then_cancelled_natively_it_notifies_the_next(asyncio_backend: Any) -> None:
    async def main() -> None:
        condition = Condition()

        async def wait() -> str:
            async with condition:
                await condition.wait()
                return "notified"

        tasks = [asyncio.create_task(wait()) for _ in range(2)]
        await wait_all_tasks_blocked()
        async with condition:
            condition.notify()
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert await tasks[1] == "notified"

    asyncio_backend.run(main)


async def test_wait_for_waits_until_the_predicate_is_true() -> None:
    condition = Condition()
    items: list[int] = []
    calls = 0

    def predicate() -> list[int]:
        nonlocal calls
        calls += 1
        assert condition.locked()
        return items

    async def consume() -> None:
        async with condition:
            assert await condition.wait_for(predicate) is items
            assert items == [1]

    async with penstock.create_task_group() as tg:
        tg.start_soon(consume)
        await wait_all_tasks_blocked()
        async with condition:
            condition.notify()
        await wait_all_tasks_blocked()
        assert condition.statistics().tasks_waiting == 1
        async with condition:
            items.append(1)
            condition.notify()
    assert calls == 3
    async with condition:
        assert await condition.wait_for(lambda: "at once") == "at once"


def test_condition_is_made_before_a_loop_runs_and_outlives_it(backend: Any) -> None:
    condition = Condition()

    async def main() -> None:
        order: list[int] = []
        async with penstock.create_task_group() as tg:
            await start_waiting(tg, condition, 2, order)
            async with condition:
                condition.notify_all()
        assert order == [0, 1]

    backend.run(main)
    backend.run(main)


def test_waiter_left_behind_by_its_loop_is_forgotten_and_waits_for_nothing_more(
    backend: Any,
) -> None:
    condition = Condition()
    steps = []

    async def wait() -> None:
        await condition.acquire()
        try:
            await condition.wait()
        except GeneratorExit:
            steps.append("destroyed")
            raise

    async def main() -> None:
        async with condition:
            condition.notify()
            gc.collect()
            assert steps == ["destroyed"]
            assert condition.statistics().tasks_waiting == 0

    loop = asyncio.new_event_loop()
    task = loop.create_task(wait())
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.run_until_complete(asyncio.sleep(0))
    assert condition.statistics().tasks_waiting == 1
    loop.close()
    del task
    backend.run(main)


def test_waiter_that_is_destroyed_after_it_was_notified_does_not_hold_the_lock() -> None:
    condition = Condition()

    async def wait() -> None:
        await condition.acquire()
        await condition.wait()

    async def notify() -> None:
        async with condition:
            condition.notify()
        loop.stop()  # before the waiter, which has the lock now, runs

    loop = asyncio.new_event_loop()
    coroutine = wait()
    task = loop.create_task(coroutine)
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.run_until_complete(asyncio.sleep(0))
    notifying = loop.create_task(notify())
    loop.run_forever()
    assert notifying.done()
    assert condition.locked()
    loop.close()
    coroutine.close()
    assert not condition.locked()


@pytest.mark.parametrize("notified", [True, False])
async def test_cancelled_wait_leaves_no_reference_cycle(notified: bool) -> None:
    condition = Condition()

    async def wait() -> None:
        async with condition:
            await condition.wait()

    async def cancel_one_that_waits() -> None:
        async with penstock.create_task_group() as tg:
            tg.start_soon(wait)
            await wait_all_tasks_blocked()
            async with condition:
                if notified:
                    condition.notify()
                tg.cancel_scope.cancel()
        with penstock.CancelScope() as scope:
            async with condition:
                scope.cancel()
                await condition.wait()

    assert await cancellations_in_cycles(cancel_one_that_waits) == []
