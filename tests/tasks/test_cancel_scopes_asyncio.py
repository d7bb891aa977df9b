"""What only asyncio can get wrong: native cancellation, counts, and how often it is sent."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any
from weakref import ref

import pytest

import penstock
from penstock._backends import current_backend
from penstock.lowlevel import checkpoint


@pytest.fixture
def backend(asyncio_backend: Any) -> Any:
    return asyncio_backend


class CountingTask(asyncio.Task[Any]):
    """A task that counts how often it is cancelled."""

    deliveries = 0

    def cancel(self, msg: Any = None) -> bool:
        self.deliveries += 1
        return super().cancel(msg)


def cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def count_deliveries(func: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run ``func`` in a task of its own; return how often that was cancelled."""
    task = CountingTask(func(), loop=asyncio.get_running_loop())
    await task
    return task.deliveries


async def test_scope_gives_back_what_it_sent() -> None:
    assert cancelling() == 0
    for _ in range(3):
        with penstock.move_on_after(0.001) as scope:
            await asyncio.sleep(10)
        assert scope.cancelled_caught
        assert cancelling() == 0


async def test_swallowed_cancellations_are_given_back() -> None:
    with penstock.CancelScope() as scope:
        scope.cancel()
        for _ in range(6):
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(10)
            assert cancelling() == 1
    assert cancelling() == 0


async def test_shielded_block_inside_a_cancelled_scope_counts_no_cancellation() -> None:
    counts = []

    async def child() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            counts.append(cancelling())
            with penstock.CancelScope(shield=True):
                counts.append(cancelling())
                await asyncio.sleep(0.001)
                counts.append(cancelling())

    async with penstock.create_task_group() as tg:
        tg.start_soon(child)
        await penstock.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
    assert counts == [1, 0, 0]


async def test_count_of_an_earlier_native_cancellation_stays() -> None:
    async def cancelled() -> None:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(10)
        assert cancelling() == 1
        with penstock.move_on_after(0.001) as scope:
            await asyncio.sleep(10)
        assert scope.cancelled_caught
        assert cancelling() == 1

    task = asyncio.create_task(cancelled())
    await penstock.wait_all_tasks_blocked()
    task.cancel()
    await task


async def test_native_cancellation_passes_through_a_scope() -> None:
    async def scoped() -> None:
        with penstock.CancelScope():
            await asyncio.sleep(10)

    task = asyncio.create_task(scoped())
    await penstock.wait_all_tasks_blocked()
    task.cancel("native")
    with pytest.raises(asyncio.CancelledError, match="native"):
        await task


@pytest.mark.parametrize("inside", ["scope", "group", "group with a child"])
async def test_native_cancellation_that_comes_just_before_a_scope_passes_through(
    inside: str,
) -> None:
    """As Ctrl-C does: the task is cancelled while it runs, and meets that when it waits."""

    async def victim() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if inside == "scope":
            with penstock.CancelScope() as scope:
                scope.cancel()
                await asyncio.sleep(10)
        else:
            async with penstock.create_task_group() as tg:
                if inside == "group with a child":
                    tg.start_soon(asyncio.sleep, 10)
                else:
                    await asyncio.sleep(10)

    task = asyncio.get_running_loop().create_task(victim())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


@pytest.mark.parametrize("native_first", [True, False])
async def test_native_cancellation_passes_through_a_scope_cancelled_as_well(
    native_first: bool,
) -> None:
    scope = penstock.CancelScope()
    counts = []

    async def scoped() -> None:
        try:
            with scope:
                await asyncio.sleep(10)
        finally:
            counts.append(cancelling())

    task = asyncio.create_task(scoped())
    await penstock.wait_all_tasks_blocked()
    if native_first:
        task.cancel()
        scope.cancel()
    else:
        scope.cancel()
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counts == [1]
    assert not scope.cancelled_caught


async def test_native_timeout_around_a_scope_times_out() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            with penstock.CancelScope() as scope:
                await penstock.sleep_forever()
    assert not scope.cancelled_caught
    assert cancelling() == 0


async def test_native_timeout_inside_a_scope_times_out() -> None:
    with penstock.CancelScope() as scope:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await penstock.sleep_forever()
        await checkpoint()
    assert not scope.cancel_called


async def test_native_timeout_after_the_cancellation_of_a_scope_around_it_gives_way() -> None:
    loop = asyncio.get_running_loop()
    with penstock.CancelScope() as scope:
        async with asyncio.timeout(10) as timeout:
            loop.call_soon(scope.cancel)
            timeout.reschedule(loop.time() - 1)
            await asyncio.sleep(10)
    assert timeout.expired()
    assert scope.cancelled_caught
    assert cancelling() == 0


async def test_scope_cancels_a_native_timeout_inside_without_making_it_fail() -> None:
    with penstock.CancelScope() as scope:
        async with asyncio.timeout(10):
            scope.cancel()
            await asyncio.sleep(10)
    assert scope.cancelled_caught


async def test_native_task_group_inside_a_scope_is_cancelled_with_it() -> None:
    ended = []

    async def child() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            ended.append(1)

    with penstock.move_on_after(0.001) as scope:
        async with asyncio.TaskGroup() as tg:
            tg.create_task(child())
            tg.create_task(child())
    assert scope.cancelled_caught
    assert ended == [1, 1]
    assert cancelling() == 0


async def test_native_task_group_around_a_scope_cancels_its_task() -> None:
    async def fail() -> None:
        raise ValueError

    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as tg:
            tg.create_task(fail())
            with penstock.CancelScope() as scope:
                await penstock.sleep_forever()
    assert not scope.cancelled_caught
    assert cancelling() == 0


async def test_wait_for_inside_a_cancelled_scope_is_cancelled() -> None:
    with penstock.move_on_after(0.001) as scope:
        await asyncio.wait_for(asyncio.sleep(10), 20)
    assert scope.cancelled_caught
    assert cancelling() == 0


async def test_cancellation_is_sent_once_to_a_task_that_obeys() -> None:
    async def obedient() -> None:
        with penstock.move_on_after(0.001):
            await asyncio.sleep(10)

    assert await count_deliveries(obedient) == 1


async def test_cancellation_is_not_sent_while_a_shield_is_up() -> None:
    async def shielded() -> None:
        with penstock.CancelScope() as scope:
            scope.cancel()
            with penstock.CancelScope(shield=True):
                for _ in range(50):
                    await asyncio.sleep(0)
                await asyncio.sleep(0.02)

    assert await count_deliveries(shielded) == 0


async def test_cancellation_is_sent_once_while_a_task_waits_for_one_that_takes_its_time() -> None:
    async def slow() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(0.02)

    async def waits_for_it() -> None:
        with penstock.CancelScope() as scope:
            scope.cancel()
            await asyncio.create_task(slow())
        assert cancelling() == 0

    assert await count_deliveries(waits_for_it) == 1


async def test_task_that_waits_for_a_slow_one_is_cancelled_by_one_scope_alone() -> None:
    async def slow() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            outer.cancel()
            await asyncio.sleep(0.01)

    async def waits_for_it() -> None:
        with outer, penstock.CancelScope() as inner:
            inner.cancel()
            await asyncio.create_task(slow())

    outer = penstock.CancelScope()
    assert await count_deliveries(waits_for_it) == 1


async def test_task_that_swallows_every_cancellation_is_met_with_patience() -> None:
    async def deaf() -> None:
        until = asyncio.get_running_loop().time() + 0.3
        with penstock.CancelScope() as scope:
            scope.cancel()
            while asyncio.get_running_loop().time() < until:
                try:
                    await asyncio.sleep(1)
                except asyncio.CancelledError:
                    pass

    # 64 at once, then after 1, 2, 4, 8 and again and again 10 ms.
    assert 64 < await count_deliveries(deaf) <= 64 + 35


async def test_waiting_for_children_behind_a_shield_takes_no_deliveries() -> None:
    async def shielded() -> None:
        with penstock.CancelScope(shield=True):
            await asyncio.sleep(0.05)

    async def host() -> None:
        with penstock.CancelScope() as scope:
            async with penstock.create_task_group() as tg:
                tg.start_soon(shielded)
                await asyncio.sleep(0)
                scope.cancel()

    assert await count_deliveries(host) <= 1


def test_shielded_second_inside_a_cancelled_scope_takes_few_turns_of_the_loop() -> None:
    turns = 0

    class CountingLoop(asyncio.SelectorEventLoop):
        def _run_once(self) -> None:
            nonlocal turns
            turns += 1
            super()._run_once()  # type: ignore[misc]

    async def shielded() -> None:
        with penstock.CancelScope(shield=True):
            await asyncio.sleep(1)

    async def main() -> int:
        async with penstock.create_task_group() as tg:
            tg.start_soon(shielded)
            await asyncio.sleep(0)
            tg.cancel_scope.cancel()
            before = turns
        return turns - before

    assert penstock.run(main, backend_options={"loop_factory": CountingLoop}) < 12


async def test_deaf_task_hears_again_at_once_when_it_leaves_a_shield() -> None:
    loop = asyncio.get_running_loop()
    with penstock.CancelScope() as scope:
        scope.cancel()
        for _ in range(12):
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(10)
        with penstock.CancelScope(shield=True):
            await asyncio.sleep(0)
        start = loop.time()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(10)
        assert loop.time() - start < 0.05


async def test_native_wait_of_a_child_is_cancelled_again_and_again() -> None:
    caught = 0

    async def child() -> None:
        nonlocal caught
        for _ in range(3):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                caught += 1

    async with penstock.create_task_group() as tg:
        tg.start_soon(child)
        await asyncio.sleep(0)
        tg.cancel_scope.cancel()
    assert caught == 3


async def test_result_of_a_native_wait_that_has_ended_is_seen_first() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    results = []

    async def child() -> None:
        results.append(await future)
        await asyncio.sleep(10)

    async with penstock.create_task_group() as tg:
        tg.start_soon(child)
        await penstock.wait_all_tasks_blocked()
        future.set_result(3)
        tg.cancel_scope.cancel()
    assert results == [3]


async def test_wait_that_ends_before_the_look_at_its_task_is_not_cancelled() -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(None)
    future: asyncio.Future[int] = loop.create_future()
    results = []

    async def child() -> None:
        results.append(await future)
        await asyncio.sleep(10)

    async with penstock.create_task_group() as tg:
        tg.start_soon(child)
        loop.call_soon(future.set_result, 3)  # after the first step of the child
        tg.cancel_scope.cancel()  # has the child looked at after that
    assert results == [3]


async def test_scope_cancelled_before_entry_cancels_a_native_wait() -> None:
    scope = penstock.CancelScope()
    scope.cancel()
    with scope:
        await asyncio.sleep(10)
    assert scope.cancelled_caught


async def test_native_wait_of_a_child_started_in_a_cancelled_group_is_cancelled() -> None:
    async with penstock.create_task_group() as tg:
        tg.cancel_scope.cancel()
        tg.start_soon(asyncio.sleep, 10)
    assert tg.cancel_scope.cancelled_caught


async def test_ready_budget_is_held_only_while_a_scope_is_cancelled() -> None:
    budget = current_backend().budget
    with penstock.CancelScope() as scope:
        assert budget.left > 1
        scope.cancel()
        assert budget.left == 0
    assert budget.left > 1


async def test_scope_exited_before_an_inner_one_is_out_of_the_way() -> None:
    outer, inner = penstock.CancelScope(), penstock.CancelScope()
    outer.__enter__()
    inner.__enter__()
    with pytest.raises(RuntimeError, match="isn't the current tasks's current cancel scope"):
        outer.__exit__(None, None, None)
    outer.cancel()
    await asyncio.sleep(0.001)
    await checkpoint()
    assert not inner.__exit__(None, None, None)


async def test_deadlines_that_were_called_off_are_not_kept() -> None:
    deadlines = current_backend().states.deadlines  # type: ignore[attr-defined]
    for _ in range(1000):
        with penstock.move_on_after(3600):
            pass
    assert len(deadlines._heap) < 200


async def test_scope_of_another_loop_is_refused() -> None:
    scope = penstock.CancelScope()

    def in_thread() -> None:
        async def enter() -> None:
            with pytest.raises(RuntimeError, match="can only be entered"), scope:
                pass

        asyncio.run(enter())

    await asyncio.to_thread(in_thread)


async def test_abandoned_coroutine_is_closed_without_noise() -> None:
    async def suspended() -> None:
        with penstock.CancelScope():
            await asyncio.sleep(10)

    def in_thread() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(suspended())
        loop.run_until_complete(asyncio.sleep(0.001))
        task.get_coro().close()
        loop.run_until_complete(asyncio.sleep(0.001))
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()

    await asyncio.to_thread(in_thread)


async def test_abandoned_coroutine_is_closed_without_noise_while_another_task_runs() -> None:
    async def suspended() -> None:
        with penstock.CancelScope():
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(suspended())
    await asyncio.sleep(0)
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    gone = ref(task)
    del task
    gc.collect()
    assert gone() is None
    await checkpoint()


async def test_scopes_left_in_the_wrong_order_hold_no_budget() -> None:
    outer, inner = penstock.CancelScope(), penstock.CancelScope()
    outer.__enter__()
    inner.__enter__()
    outer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(1)
    with pytest.raises(RuntimeError):
        outer.__exit__(None, None, None)
    inner.__exit__(None, None, None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert cancelling() == 0
    assert current_backend().budget.left > 1


async def test_deadline_seen_before_its_timer_rings_is_forgotten_soon() -> None:
    deadlines = current_backend().states.deadlines  # type: ignore[attr-defined]
    for _ in range(3):
        with penstock.move_on_after(0.001) as scope:
            while not scope.cancel_called:
                pass
    await asyncio.sleep(0.005)
    assert deadlines._heap == []
    assert deadlines._dead == 0
