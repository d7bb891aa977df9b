"""What is particular to locks: their owner."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import penstock
from penstock import Lock, get_current_task
from penstock.lowlevel import checkpoint


async def test_task_cannot_acquire_a_lock_that_it_holds() -> None:
    lock = Lock()
    async with lock:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="Attempted to acquire an already held Lock"):
                await lock.acquire()
            with pytest.raises(RuntimeError, match="Attempted to acquire an already held Lock"):
                lock.acquire_nowait()
    assert not lock.locked()


async def test_only_its_owner_can_release_a_lock() -> None:
    lock = Lock()
    with pytest.raises(RuntimeError, match="The current task is not holding this lock"):
        lock.release()

    async def release() -> None:
        with pytest.raises(RuntimeError, match="The current task is not holding this lock"):
            lock.release()

    async with lock, penstock.create_task_group() as tg:
        tg.start_soon(release)
    assert not lock.locked()
    with pytest.raises(RuntimeError, match="The current task is not holding this lock"):
        lock.release()


async def test_statistics_tell_the_owner_and_how_many_wait() -> None:
    lock = Lock()
    assert lock.statistics() == penstock.LockStatistics(False, None, 0)
    owners = []

    async def work() -> None:
        async with lock:
            owners.append((lock.statistics().owner, get_current_task()))

    async with penstock.create_task_group() as tg:
        async with lock:
            tg.start_soon(work)
            await penstock.wait_all_tasks_blocked()
            assert lock.locked()
            assert lock.statistics() == penstock.LockStatistics(True, get_current_task(), 1)
    assert owners[0][0] == owners[0][1]
    assert lock.statistics() == penstock.LockStatistics(False, None, 0)


async def test_new_owner_is_known_before_it_runs() -> None:
    lock = Lock()
    names = []

    async def work() -> None:
        names.append(get_current_task().id)
        async with lock:
            pass

    async with penstock.create_task_group() as tg:
        async with lock:
            tg.start_soon(work)
            await penstock.wait_all_tasks_blocked()
        owner = lock.statistics().owner
        assert owner is not None
        assert [owner.id] == names


async def test_task_that_ends_leaves_its_lock_locked() -> None:
    lock = Lock()

    async with penstock.create_task_group() as tg:
        tg.start_soon(lock.acquire, name="forgetful")
    assert lock.locked()
    owner = lock.statistics().owner
    assert owner is not None
    assert "forgetful" in owner.name
    with penstock.move_on_after(0.001) as scope:
        await lock.acquire()
    assert scope.cancelled_caught
    with pytest.raises(penstock.WouldBlock):
        lock.acquire_nowait()
    with pytest.raises(RuntimeError, match="not holding"):
        lock.release()


def test_lock_whose_owner_ended_with_its_loop_is_an_error_and_no_hang(backend: Any) -> None:
    lock = Lock()

    async def again() -> None:
        with pytest.raises(RuntimeError, match="ended with its event loop"):
            await lock.acquire()
        with pytest.raises(RuntimeError, match="ended with its event loop"):
            lock.acquire_nowait()
        assert lock.statistics().owner is not None

    backend.run(lock.acquire)
    backend.run(again)
    asyncio.run(again())


def test_lock_is_not_acquired_without_a_loop() -> None:
    lock = Lock()
    with pytest.raises(penstock.NoEventLoopError):
        lock.acquire_nowait()
    with pytest.raises(RuntimeError, match="not holding"):
        lock.release()
    assert not lock.locked()


def test_lock_is_not_acquired_by_a_callback(asyncio_backend: Any) -> None:
    async def main() -> None:
        lock = Lock()
        async with lock:
            pass
        outcome: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

        def callback() -> None:
            try:
                lock.acquire_nowait()
            except BaseException as exc:
                outcome.set_result(exc)

        asyncio.get_running_loop().call_soon(callback)
        with pytest.raises(RuntimeError, match="only a task can acquire a lock"):
            raise await outcome
        assert not lock.locked()

    asyncio_backend.run(main)


async def test_acquire_nowait_counts_as_acquiring() -> None:
    lock = Lock()
    lock.acquire_nowait()
    assert lock.locked()
    assert lock.statistics().owner == get_current_task()
    lock.release()
    await checkpoint()
    assert not lock.locked()
