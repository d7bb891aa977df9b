"""What is particular to capacity limiters: borrowers, and a number of tokens that changes."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
import trio
from cycles import cancellations_in_cycles

import penstock
from penstock import CapacityLimiter, WouldBlock, wait_all_tasks_blocked


@pytest.mark.parametrize("total", [1.5, math.nan, "1", None, 1j])
def test_number_of_tokens_that_is_no_integer_is_an_error(total: Any) -> None:
    with pytest.raises(TypeError, match=r"total_tokens must be an int or math\.inf, not "):
        CapacityLimiter(total)
    limiter = CapacityLimiter(3)
    with pytest.raises(TypeError, match=r"total_tokens must be an int or math\.inf, not "):
        limiter.total_tokens = total
    assert limiter.total_tokens == 3


@pytest.mark.parametrize("total", [-1, -math.inf])
def test_number_of_tokens_below_zero_is_an_error(total: float) -> None:
    with pytest.raises(ValueError, match=f"total_tokens must be >= 0, not {total}"):
        CapacityLimiter(total)
    limiter = CapacityLimiter(3)
    with pytest.raises(ValueError, match=f"total_tokens must be >= 0, not {total}"):
        limiter.total_tokens = total
    assert limiter.total_tokens == 3


def test_limiter_is_used_without_a_loop() -> None:
    limiter = CapacityLimiter(1)
    limiter.acquire_on_behalf_of_nowait("a")
    with pytest.raises(WouldBlock):
        limiter.acquire_on_behalf_of_nowait("b")
    limiter.total_tokens = 2
    limiter.acquire_on_behalf_of_nowait("b")
    limiter.release_on_behalf_of("a")
    assert (limiter.borrowed_tokens, limiter.available_tokens) == (1, 1)
    assert limiter.statistics() == penstock.CapacityLimiterStatistics(1, 2, ("b",), 0)
    for call in (limiter.acquire_nowait, limiter.release):
        with pytest.raises(penstock.NoEventLoopError):
            call()


async def test_borrower_holds_one_token_at_most() -> None:
    limiter = CapacityLimiter(5)
    message = "this borrower is already holding one of this CapacityLimiter's tokens"
    async with limiter:
        for _ in range(2):
            with pytest.raises(RuntimeError, match=message):
                await limiter.acquire()
        with pytest.raises(RuntimeError, match=message):
            limiter.acquire_nowait()
        await limiter.acquire_on_behalf_of("other")
        with pytest.raises(RuntimeError, match=message):
            await limiter.acquire_on_behalf_of("other")
        with pytest.raises(RuntimeError, match=message):
            limiter.acquire_on_behalf_of_nowait("other")
        assert limiter.borrowed_tokens == 2
    limiter.release_on_behalf_of("other")
    assert limiter.borrowed_tokens == 0


async def test_borrower_waits_for_one_token_at_most() -> None:
    limiter = CapacityLimiter(0)
    message = "this borrower is already waiting for one of this CapacityLimiter's tokens"
    async with penstock.create_task_group() as tg:
        tg.start_soon(limiter.acquire_on_behalf_of, "a")
        await wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match=message):
            await limiter.acquire_on_behalf_of("a")
        with pytest.raises(RuntimeError, match=message):
            limiter.acquire_on_behalf_of_nowait("a")
        limiter.total_tokens = 1
    assert limiter.statistics().borrowers == ("a",)


async def test_releasing_what_was_not_borrowed_is_an_error() -> None:
    limiter = CapacityLimiter(1)
    message = "this borrower isn't holding any of this CapacityLimiter's tokens"
    for _ in range(2):
        with pytest.raises(RuntimeError, match=message):
            limiter.release()
        with pytest.raises(RuntimeError, match=message):
            limiter.release_on_behalf_of("nobody")
        async with limiter:
            pass


async def test_any_task_may_release_on_behalf_of_a_borrower() -> None:
    limiter = CapacityLimiter(1)

    async def borrow() -> None:
        await limiter.acquire_on_behalf_of("a")

    async with penstock.create_task_group() as tg:
        tg.start_soon(borrow)
    limiter.release_on_behalf_of("a")
    assert limiter.borrowed_tokens == 0


async def test_more_tokens_wake_as_many_as_they_are() -> None:
    limiter = CapacityLimiter(0)
    order = []

    async def borrow(number: int) -> None:
        await limiter.acquire_on_behalf_of(number)
        order.append(number)

    async with penstock.create_task_group() as tg:
        for number in range(5):
            tg.start_soon(borrow, number)
            await wait_all_tasks_blocked()
        limiter.total_tokens = 2
        assert limiter.statistics().tasks_waiting == 3
        assert limiter.available_tokens == 0
        await wait_all_tasks_blocked()
        assert sorted(order) == [0, 1]
        limiter.release_on_behalf_of(0)
        await wait_all_tasks_blocked()
        assert order[2:] == [2]
        limiter.total_tokens = math.inf
        await wait_all_tasks_blocked()
        assert sorted(order[3:]) == [3, 4]
    assert limiter.borrowed_tokens == 4
    assert limiter.available_tokens == math.inf


async def test_fewer_tokens_wait_until_they_come_back() -> None:
    limiter = CapacityLimiter(3)
    for borrower in range(3):
        await limiter.acquire_on_behalf_of(borrower)
    limiter.total_tokens = 1
    assert limiter.available_tokens == -2
    async with penstock.create_task_group() as tg:
        tg.start_soon(limiter.acquire_on_behalf_of, "last")
        await wait_all_tasks_blocked()
        for borrower in range(3):
            assert limiter.statistics().tasks_waiting == 1
            limiter.release_on_behalf_of(borrower)
        assert limiter.statistics().tasks_waiting == 0
    assert limiter.statistics().borrowers == ("last",)


async def test_none_and_equal_objects_are_borrowers_like_others() -> None:
    limiter = CapacityLimiter(1)
    await limiter.acquire_on_behalf_of(None)
    async with penstock.create_task_group() as tg:
        tg.start_soon(limiter.acquire_on_behalf_of, (1,))
        await wait_all_tasks_blocked()
        limiter.release_on_behalf_of(None)
        limiter.release_on_behalf_of((1,))
    assert limiter.borrowed_tokens == 0


def test_borrower_that_asks_again_after_its_wait_was_cancelled_keeps_its_place(
    asyncio_backend: Any,
) -> None:
    async def main() -> None:
        limiter = CapacityLimiter(0)
        first = asyncio.create_task(limiter.acquire_on_behalf_of("a"))
        await wait_all_tasks_blocked()
        first.cancel()
        limiter.total_tokens = 1  # passes over the cancelled wait, before its task has run
        limiter.total_tokens = 0
        coroutine = limiter.acquire_on_behalf_of("a")
        second = asyncio.ensure_future(coroutine)
        with pytest.raises(asyncio.CancelledError):
            await first
        await wait_all_tasks_blocked()
        assert limiter.statistics().tasks_waiting == 1
        limiter.total_tokens = 1
        await second
        assert limiter.statistics().borrowers == ("a",)

    asyncio_backend.run(main)


async def test_tokens_are_not_touched_from_another_thread() -> None:
    limiter = CapacityLimiter(0)

    def change() -> None:
        limiter.total_tokens = 1

    async with penstock.create_task_group() as tg:
        tg.start_soon(limiter.acquire_on_behalf_of, "a")
        await wait_all_tasks_blocked()
        calls = (
            change,
            lambda: limiter.acquire_on_behalf_of_nowait("b"),
            lambda: limiter.release_on_behalf_of("b"),
        )
        for call in calls:
            with pytest.raises(RuntimeError, match="this CapacityLimiter belongs to another"):
                await penstock.to_thread.run_sync(call)
        assert limiter.total_tokens == 0
        limiter.total_tokens = 1


async def test_cancelled_task_that_borrows_for_itself_leaves_no_reference_cycle(
    backend: Any,
) -> None:
    limiter = CapacityLimiter(0)

    async def borrow() -> None:
        current_task = (
            asyncio.current_task if backend.name == "asyncio" else trio.lowlevel.current_task
        )
        await limiter.acquire_on_behalf_of(current_task())

    async def cancel_one_that_waits() -> None:
        async with penstock.create_task_group() as tg:
            tg.start_soon(borrow)
            await wait_all_tasks_blocked()
            tg.cancel_scope.cancel()

    assert await cancellations_in_cycles(cancel_one_that_waits) == []
