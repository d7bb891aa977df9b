"""A task that shields, ignores or swallows its cancellation costs no CPU on asyncio.

Each way of doing so takes 0.3 s, and may use a tenth of that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import penstock
from penstock.lowlevel import checkpoint, checkpoint_if_cancelled

SECONDS = 0.3


@pytest.fixture
def backend(asyncio_backend: Any) -> Any:
    return asyncio_backend


async def a_while() -> None:
    await asyncio.sleep(SECONDS)


async def in_a_shielded_scope() -> None:
    with penstock.CancelScope(shield=True):
        await penstock.sleep(SECONDS)


async def in_a_shielded_group() -> None:
    with penstock.CancelScope(shield=True):
        async with penstock.create_task_group() as tg:
            tg.start_soon(penstock.sleep, SECONDS)
            await penstock.sleep(SECONDS)


async def in_a_thread() -> None:
    await penstock.to_thread.run_sync(time.sleep, SECONDS)


async def in_a_task_that_takes_its_time() -> None:
    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await a_while()

    await asyncio.create_task(slow())


async def in_a_gathering_that_takes_its_time() -> None:
    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await a_while()

    await asyncio.gather(slow(), slow())


async def in_a_native_group_that_takes_its_time() -> None:
    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await a_while()

    async with asyncio.TaskGroup() as tg:
        tg.create_task(slow())


async def in_a_native_shield() -> None:
    task = asyncio.create_task(a_while())
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            pass


async def in_a_future_that_refuses() -> None:
    class Stubborn(asyncio.Future[None]):
        def cancel(self, msg: Any = None) -> bool:
            return False

    future = Stubborn()
    asyncio.get_running_loop().call_later(SECONDS, future.set_result, None)
    await future


async def in_futures_that_refuse_and_end_at_once() -> None:
    class Stubborn(asyncio.Future[None]):
        def cancel(self, msg: Any = None) -> bool:
            return False

    async def wait() -> None:
        future = Stubborn()
        asyncio.get_running_loop().call_later(0.01, future.set_result, None)
        await future

    await deafly(wait)


async def deafly(wait: Callable[[], Awaitable[object]]) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        try:
            await wait()
        except asyncio.CancelledError:
            pass


async def swallowing_in_native_waits() -> None:
    await deafly(lambda: asyncio.sleep(60))


async def swallowing_in_waits() -> None:
    await deafly(lambda: penstock.sleep(60))


async def swallowing_in_events() -> None:
    await deafly(penstock.Event().wait)


async def swallowing_in_ready_operations() -> None:
    event = penstock.Event()
    event.set()
    await deafly(event.wait)


async def swallowing_in_checkpoints() -> None:
    await deafly(checkpoint)


async def swallowing_in_questions() -> None:
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(60)
    await deafly(checkpoint_if_cancelled)


async def swallowing_in_gatherings() -> None:
    await deafly(lambda: asyncio.gather(asyncio.sleep(60), asyncio.sleep(60)))


async def swallowing_in_native_timeouts() -> None:
    await deafly(lambda: asyncio.wait_for(asyncio.sleep(60), 60))


async def swallowing_in_tasks_that_swallow() -> None:
    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

    await deafly(lambda: asyncio.create_task(slow()))


async def swallowing_around_scopes() -> None:
    async def wait() -> None:
        with penstock.move_on_after(60):
            await penstock.sleep(60)

    await deafly(wait)


async def swallowing_around_scopes_with_native_waits() -> None:
    async def wait() -> None:
        with penstock.CancelScope(), penstock.move_on_after(60):
            await asyncio.sleep(60)

    await deafly(wait)


async def swallowing_around_groups() -> None:
    async def wait() -> None:
        async with penstock.create_task_group() as tg:
            tg.start_soon(asyncio.sleep, 60)

    await deafly(wait)


WAYS = [
    in_a_shielded_scope,
    in_a_shielded_group,
    in_a_thread,
    in_a_task_that_takes_its_time,
    in_a_gathering_that_takes_its_time,
    in_a_native_group_that_takes_its_time,
    in_a_native_shield,
    in_a_future_that_refuses,
    in_futures_that_refuse_and_end_at_once,
    swallowing_in_native_waits,
    swallowing_in_waits,
    swallowing_in_events,
    swallowing_in_ready_operations,
    swallowing_in_checkpoints,
    swallowing_in_questions,
    swallowing_in_gatherings,
    swallowing_in_native_timeouts,
    swallowing_in_tasks_that_swallow,
    swallowing_around_scopes,
    swallowing_around_scopes_with_native_waits,
    swallowing_around_groups,
]


@pytest.mark.parametrize("way", WAYS)
async def test_cancelled_task_that_waits_all_the_same_costs_no_cpu(
    way: Callable[[], Awaitable[None]],
) -> None:
    loop = asyncio.get_running_loop()
    used, started = time.thread_time(), time.monotonic()
    with penstock.CancelScope() as scope:
        loop.call_later(0.01, scope.cancel)
        await way()
    used, waited = time.thread_time() - used, time.monotonic() - started
    assert waited > SECONDS - 0.01
    assert used < waited / 10
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_cancelled_group_of_tasks_that_wait_all_the_same_costs_no_cpu() -> None:
    used, started = time.thread_time(), time.monotonic()
    async with penstock.create_task_group() as tg:
        for way in WAYS:
            if way.__name__.startswith("in_a_"):
                tg.start_soon(way)
        await penstock.sleep(0.01)
        tg.cancel_scope.cancel()
    used, waited = time.thread_time() - used, time.monotonic() - started
    assert waited > SECONDS - 0.01
    assert used < waited / 10


async def test_deaf_task_lets_the_others_run() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    counting = asyncio.create_task(count())
    with penstock.CancelScope() as scope:
        scope.cancel()
        await deafly(lambda: penstock.sleep(60))
    counting.cancel()
    assert turns > 20


async def test_first_cancellations_of_a_task_come_at_once() -> None:
    """So that a task can close many things that are each cancelled, one after the other."""
    start = time.monotonic()
    with penstock.CancelScope() as scope:
        scope.cancel()
        for wait in (penstock.sleep_forever, checkpoint, lambda: asyncio.sleep(60)):
            for _ in range(20):
                with pytest.raises(asyncio.CancelledError):
                    await wait()
    assert time.monotonic() - start < 0.05


async def test_patience_with_a_task_ends_with_the_scope() -> None:
    with penstock.CancelScope() as scope:
        scope.cancel()
        for _ in range(80):
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(60)
    start = time.monotonic()
    for _ in range(20):
        with penstock.CancelScope() as scope:
            scope.cancel()
            await asyncio.sleep(60)
    assert time.monotonic() - start < 0.05


async def test_deaf_task_whose_shield_goes_up_while_it_is_made_to_wait_goes_on() -> None:
    loop = asyncio.get_running_loop()
    with penstock.CancelScope() as outer, penstock.CancelScope() as inner:
        outer.cancel()
        for _ in range(64):
            with pytest.raises(asyncio.CancelledError):
                await checkpoint_if_cancelled()
        loop.call_soon(setattr, inner, "shield", True)
        await checkpoint_if_cancelled()
        reached = True
    assert reached
