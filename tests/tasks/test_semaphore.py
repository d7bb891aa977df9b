"""What is particular to semaphores: their value."""

from __future__ import annotations

import asyncio
import gc
from threading import Thread
from typing import Any

import pytest

import penstock
from penstock import Semaphore, WouldBlock


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("1", None), TypeError, "initial_value must be an integer, not '1'"),
        ((1.0, None), TypeError, "initial_value must be an integer, not 1.0"),
        ((-1, None), ValueError, "initial_value must be >= 0, not -1"),
        ((1, "2"), TypeError, "max_value must be an integer or None, not '2'"),
        ((2, 1), ValueError, "max_value must be equal to or higher than initial_value, not 1"),
    ],
)
def test_bad_values_are_errors(
    arguments: tuple[Any, Any], error: type[Exception], message: str
) -> None:
    initial_value, max_value = arguments
    with pytest.raises(error, match=message):
        Semaphore(initial_value, max_value=max_value)


def test_semaphore_is_used_without_a_loop() -> None:
    semaphore = Semaphore(1, max_value=2)
    assert (semaphore.value, semaphore.max_value) == (1, 2)
    semaphore.acquire_nowait()
    with pytest.raises(WouldBlock):
        semaphore.acquire_nowait()
    semaphore.release()
    semaphore.release()
    assert semaphore.value == 2
    with pytest.raises(ValueError, match="semaphore released too many times"):
        semaphore.release()
    assert semaphore.value == 2
    assert Semaphore(0).max_value is None


async def test_entering_a_semaphore_returns_it() -> None:
    semaphore = Semaphore(2)
    async with semaphore as entered:
        assert entered is semaphore
        assert semaphore.value == 1
    assert semaphore.value == 2


async def test_semaphore_lets_as_many_in_as_its_value() -> None:
    semaphore = Semaphore(3)
    inside = most = 0

    async def work() -> None:
        nonlocal inside, most
        async with semaphore:
            inside += 1
            most = max(most, inside)
            await penstock.lowlevel.checkpoint()
            inside -= 1

    async with penstock.create_task_group() as tg:
        for _ in range(10):
            tg.start_soon(work)
    assert most == 3
    assert semaphore.value == 3


async def test_any_task_may_release_a_semaphore() -> None:
    semaphore = Semaphore(0)
    async with penstock.create_task_group() as tg:
        for _ in range(2):
            tg.start_soon(semaphore.acquire)
        await penstock.wait_all_tasks_blocked()
        assert semaphore.statistics() == penstock.SemaphoreStatistics(2)
        semaphore.release()
        semaphore.release()
        assert semaphore.statistics() == penstock.SemaphoreStatistics(0)
        assert semaphore.value == 0


async def test_release_beyond_max_value_is_an_error_when_nobody_waits() -> None:
    semaphore = Semaphore(1, max_value=1)
    async with semaphore:
        async with penstock.create_task_group() as tg:
            tg.start_soon(semaphore.acquire)
            await penstock.wait_all_tasks_blocked()
            semaphore.release()
    with pytest.raises(ValueError, match="released too many times"):
        semaphore.release()


def abandoned_loop(semaphore: Semaphore) -> tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]:
    """Return a loop that is not closed, and a task of it that waits for ``semaphore``."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(semaphore.acquire())
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.run_until_complete(asyncio.sleep(0))
    assert semaphore.statistics().tasks_waiting == 1
    return loop, task


def test_release_between_two_steps_of_its_loop_wakes_a_waiter() -> None:
    semaphore = Semaphore(0)
    loop, task = abandoned_loop(semaphore)
    semaphore.release()
    loop.run_until_complete(task)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_release_from_another_thread_is_refused_and_changes_nothing() -> None:
    semaphore = Semaphore(0)
    loop, task = abandoned_loop(semaphore)
    errors = []

    def release() -> None:
        try:
            semaphore.release()
        except RuntimeError as exc:
            errors.append(str(exc))

    thread = Thread(target=release)
    thread.start()
    thread.join()
    assert errors == ["this Semaphore belongs to another event loop or thread"]
    assert semaphore.value == 0
    semaphore.release()
    loop.run_until_complete(task)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.mark.parametrize("shut_down", [True, False])
def test_waiter_of_a_loop_that_has_ended_is_passed_over(shut_down: bool, backend: Any) -> None:
    semaphore = Semaphore(0)
    loop, task = abandoned_loop(semaphore)
    if shut_down:
        loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()

    async def main() -> None:
        semaphore.release()
        assert semaphore.value == 1
        await semaphore.acquire()
        semaphore.release()

    backend.run(main)
    assert not task.done()
    del task
    gc.collect()  # which ends the wait of the task
    assert semaphore.value == 1


def test_waiter_that_is_destroyed_after_its_turn_has_come_hands_it_on() -> None:
    semaphore = Semaphore(0)
    loop, task = abandoned_loop(semaphore)
    semaphore.release()
    loop.close()
    assert semaphore.value == 0
    del task
    gc.collect()
    assert semaphore.value == 1
