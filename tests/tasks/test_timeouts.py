"""Timeouts and deadlines: move_on_*, fail_*, and what a task can ask about them."""

from __future__ import annotations

import asyncio
import math
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

import penstock
from penstock import current_effective_deadline, current_time
from penstock.lowlevel import checkpoint

Timeout = Callable[..., AbstractContextManager[penstock.abc.CancelScope]]


@pytest.mark.parametrize("limit", [penstock.move_on_after, penstock.move_on_at])
async def test_move_on_without_a_limit_never_moves_on(limit: Timeout) -> None:
    for none in (None, math.inf):
        with limit(none) as scope:
            await checkpoint()
        assert scope.deadline == math.inf
        assert not scope.cancel_called


@pytest.mark.parametrize("limit", [penstock.fail_after, penstock.fail_at])
async def test_fail_without_a_limit_never_fails(limit: Timeout) -> None:
    for none in (None, math.inf):
        with limit(none) as scope:
            await checkpoint()
        assert scope.deadline == math.inf
        assert not scope.cancel_called


@pytest.mark.parametrize("delay", [0, -1, -math.inf])
async def test_move_on_after_no_time_moves_on_at_the_first_wait(delay: float) -> None:
    with penstock.move_on_after(delay) as scope:
        await checkpoint()
        pytest.fail("its time had passed")
    assert scope.cancelled_caught


@pytest.mark.parametrize("delay", [0, -1, -math.inf])
async def test_fail_after_no_time_fails_at_the_first_wait(delay: float) -> None:
    with pytest.raises(TimeoutError):
        with penstock.fail_after(delay) as scope:
            await checkpoint()
            pytest.fail("its time had passed")
    assert scope.cancelled_caught


@pytest.mark.parametrize("past", [-math.inf, -5.0])
async def test_fail_at_a_time_that_has_passed_fails(past: float) -> None:
    with pytest.raises(TimeoutError, match=r"^late$"):
        with penstock.fail_at(current_time() + past, reason="late"):
            await penstock.sleep_forever()


async def test_fail_after_no_time_without_a_wait_does_not_fail() -> None:
    with penstock.fail_after(0) as scope:
        pass
    assert scope.cancel_called
    assert not scope.cancelled_caught


@pytest.mark.parametrize("limit", [penstock.fail_after, penstock.move_on_after])
async def test_shielded_timeout_is_shielded(limit: Timeout) -> None:
    with penstock.CancelScope() as outer:
        outer.cancel()
        with limit(3600, shield=True) as scope:
            assert scope.shield
            await checkpoint()
            reached = True
        await checkpoint()
    assert reached
    assert outer.cancelled_caught


async def test_deadline_set_by_the_block_of_fail_after_counts() -> None:
    with pytest.raises(TimeoutError), penstock.fail_after(3600) as scope:
        scope.deadline = -math.inf
        await penstock.sleep_forever()


async def test_fail_after_cancelled_by_call_does_not_fail_however_late_it_is_left() -> None:
    with penstock.fail_after(3600) as scope:
        scope.cancel()
        scope.deadline = -math.inf
        await penstock.sleep_forever()
    assert scope.cancelled_caught


async def test_fail_after_cancelled_by_call_after_its_deadline_fails() -> None:
    with pytest.raises(TimeoutError), penstock.fail_after(0) as scope:
        scope.cancel()
        scope.deadline = math.inf
        await penstock.sleep_forever()
    assert scope.cancelled_caught


async def test_fail_after_lets_an_error_through() -> None:
    with pytest.raises(KeyError), penstock.fail_after(0):
        raise KeyError


async def test_fail_after_around_a_group_of_errors_lets_the_errors_through() -> None:
    with pytest.raises(ExceptionGroup) as raised, penstock.fail_after(-1) as scope:
        try:
            await checkpoint()
        except penstock.get_cancelled_exc_class() as exc:
            raise BaseExceptionGroup("all", [exc, KeyError()]) from None
    assert [type(exc) for exc in raised.value.exceptions] == [KeyError]
    assert scope.cancelled_caught


async def test_error_of_fail_after_says_nothing_of_the_cancellation() -> None:
    with pytest.raises(TimeoutError) as raised, penstock.fail_after(-1):
        await penstock.sleep_forever()
    text = "".join(traceback.format_exception(raised.value))
    assert "ancelled" not in text
    assert "During handling" not in text
    assert str(raised.value) == ""


async def test_inner_and_outer_timeout_at_once_is_the_outer_ones() -> None:
    with pytest.raises(TimeoutError, match="outer"):
        with penstock.fail_after(-1, reason="outer"), penstock.fail_after(-1, reason="inner"):
            await penstock.sleep_forever()


def test_fail_after_fails_on_a_loop_whose_timers_are_early_and_sets_no_second_one() -> None:
    timers = 0

    class EarlyLoop(asyncio.SelectorEventLoop):
        """Rings 3 ms early; uvloop does so by up to half of one."""

        def call_at(self, when: float, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
            nonlocal timers
            timers += 1
            return super().call_at(when - 0.003, *args, **kwargs)

    async def main() -> None:
        for _ in range(5):
            with pytest.raises(TimeoutError), penstock.fail_after(0.006):
                await penstock.sleep_forever()

    penstock.run(main, backend_options={"loop_factory": EarlyLoop})
    assert timers <= 5 * 2  # the deadline's, and that of the sleep


# -- the effective deadline -----------------------------------------------------------------


async def test_there_is_no_effective_deadline_outside_of_scopes() -> None:
    assert current_effective_deadline() == math.inf
    with penstock.CancelScope():
        assert current_effective_deadline() == math.inf


@pytest.mark.parametrize(("outer", "inner"), [(100, 200), (200, 100)])
async def test_effective_deadline_is_the_earliest(outer: float, inner: float) -> None:
    now = current_time()
    with penstock.move_on_at(now + outer):
        with penstock.move_on_at(now + inner) as scope:
            assert current_effective_deadline() == now + 100
            scope.deadline = now + 50
            assert current_effective_deadline() == now + 50
        assert current_effective_deadline() == now + outer
    assert current_effective_deadline() == math.inf


async def test_effective_deadline_stops_at_a_shield() -> None:
    now = current_time()
    with penstock.move_on_at(now + 100), penstock.move_on_at(now + 200) as inner:
        assert current_effective_deadline() == now + 100
        inner.shield = True
        assert current_effective_deadline() == now + 200
        inner.shield = False
        assert current_effective_deadline() == now + 100


async def test_effective_deadline_in_a_cancelled_scope_is_minus_infinity() -> None:
    with penstock.CancelScope() as outer:
        outer.cancel()
        assert current_effective_deadline() == -math.inf
        with penstock.move_on_at(current_time() + 100, shield=True) as inner:
            assert current_effective_deadline() == inner.deadline
        assert current_effective_deadline() == -math.inf
    assert current_effective_deadline() == math.inf


async def test_effective_deadline_of_a_child_is_its_groups() -> None:
    deadlines = []

    async def child(extra: float) -> None:
        with penstock.move_on_at(limit.deadline + extra):
            deadlines.append(current_effective_deadline())

    with penstock.move_on_after(100) as limit:
        async with penstock.create_task_group() as tg:
            tg.start_soon(child, 50)
            tg.start_soon(child, -50)
    assert sorted(deadlines) == [limit.deadline - 50, limit.deadline]
