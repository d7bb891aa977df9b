"""Task groups, as every event loop has to offer them."""

from __future__ import annotations

import gc
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

import penstock
from penstock import TASK_STATUS_IGNORED
from penstock.abc import TaskStatus
from penstock.lowlevel import cancel_shielded_checkpoint, checkpoint


async def fail(exc: BaseException) -> None:
    raise exc


async def test_group_waits_for_its_children() -> None:
    ended = []

    async def child(number: int) -> None:
        await checkpoint()
        ended.append(number)

    async with penstock.create_task_group() as tg:
        for number in range(5):
            tg.start_soon(child, number)
    assert sorted(ended) == [0, 1, 2, 3, 4]


async def test_group_waits_for_children_started_by_children() -> None:
    ended = []

    async def child(tg: penstock.abc.TaskGroup, depth: int) -> None:
        await checkpoint()
        if depth:
            tg.start_soon(child, tg, depth - 1)
        ended.append(depth)

    async with penstock.create_task_group() as tg:
        tg.start_soon(child, tg, 3)
    assert ended == [3, 2, 1, 0]


async def test_group_without_children_yields() -> None:
    ran = []

    async def other() -> None:
        ran.append(1)

    async with penstock.create_task_group() as outer:
        outer.start_soon(other)
        for _ in range(20):  # Trio runs what is ready in any order
            async with penstock.create_task_group():
                pass
        assert ran == [1]


async def test_group_entered_twice_raises() -> None:
    tg = penstock.create_task_group()
    async with tg:
        pass
    with pytest.raises(RuntimeError, match="TaskGroup cannot be entered more than once"):
        await tg.__aenter__()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_inactive_group_starts_nothing(when: str) -> None:
    tg = penstock.create_task_group()
    if when == "after":
        async with tg:
            pass
    with pytest.raises(RuntimeError, match="This task group is not active"):
        tg.start_soon(checkpoint)
    with pytest.raises(RuntimeError, match="This task group is not active"):
        await tg.start(checkpoint)


async def test_function_that_returns_no_coroutine_is_a_type_error() -> None:
    def ordinary() -> Any:
        return 5

    async with penstock.create_task_group() as tg:
        with pytest.raises(TypeError, match="ordinary"):
            tg.start_soon(ordinary)


async def test_child_error_cancels_the_others_and_leaves_in_a_group() -> None:
    cancelled = []

    async def other() -> None:
        try:
            await penstock.sleep_forever()
        except penstock.get_cancelled_exc_class():
            cancelled.append(1)
            raise

    with pytest.RaisesGroup(ValueError) as raised:
        async with penstock.create_task_group() as tg:
            tg.start_soon(other)
            tg.start_soon(other)
            await penstock.wait_all_tasks_blocked()
            tg.start_soon(fail, ValueError(1))
    assert raised.value.message == "unhandled errors in a TaskGroup"
    assert cancelled == [1, 1]
    assert tg.cancel_scope.cancel_called


async def test_child_error_cancels_the_block() -> None:
    with pytest.RaisesGroup(ValueError):
        async with penstock.create_task_group() as tg:
            tg.start_soon(fail, ValueError(1))
            await penstock.sleep_forever()
            pytest.fail("the block was not cancelled")


async def test_block_error_cancels_the_children_and_leaves_in_a_group() -> None:
    with pytest.RaisesGroup(ValueError):
        async with penstock.create_task_group() as tg:
            tg.start_soon(penstock.sleep_forever)
            raise ValueError


async def test_all_errors_leave_together() -> None:
    async def fail_late() -> None:
        try:
            await penstock.sleep_forever()
        finally:
            raise TypeError

    with pytest.RaisesGroup(ValueError, TypeError, KeyError):
        async with penstock.create_task_group() as tg:
            tg.start_soon(fail_late)
            await penstock.wait_all_tasks_blocked()
            tg.start_soon(fail, KeyError())
            raise ValueError


async def test_base_exceptions_leave_in_a_base_exception_group() -> None:
    class Stop(BaseException):
        pass

    with pytest.RaisesGroup(Stop) as raised:
        async with penstock.create_task_group() as tg:
            tg.start_soon(fail, Stop())
            await penstock.sleep_forever()
    assert type(raised.value) is BaseExceptionGroup


async def test_errors_beside_cancellations_leave_without_them() -> None:
    with penstock.CancelScope() as scope, pytest.RaisesGroup(ValueError):
        async with penstock.create_task_group() as tg:
            tg.start_soon(penstock.sleep_forever)
            await penstock.wait_all_tasks_blocked()
            scope.cancel()
            tg.start_soon(fail, ValueError())
    assert not scope.cancelled_caught


async def test_cancelled_group_catches_its_cancellation() -> None:
    async with penstock.create_task_group() as tg:
        tg.start_soon(penstock.sleep_forever)
        tg.start_soon(penstock.sleep_forever)
        await penstock.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
    assert tg.cancel_scope.cancelled_caught


async def test_group_cancelled_before_entry_cancels_its_children() -> None:
    tg = penstock.create_task_group()
    tg.cancel_scope.cancel()
    async with tg:
        tg.start_soon(penstock.sleep_forever)
    assert tg.cancel_scope.cancel_called


async def test_only_cancellations_collapse_to_one() -> None:
    with penstock.CancelScope() as scope:
        try:
            async with penstock.create_task_group() as tg:
                tg.start_soon(penstock.sleep_forever)
                tg.start_soon(penstock.sleep_forever)
                await penstock.wait_all_tasks_blocked()
                scope.cancel()
        except BaseException as exc:
            raised = type(exc)
            raise
    assert raised is penstock.get_cancelled_exc_class()
    assert scope.cancelled_caught


async def test_cancelled_children_that_end_normally_let_the_block_go_on() -> None:
    async def graceful() -> None:
        try:
            await penstock.sleep_forever()
        except penstock.get_cancelled_exc_class():
            pass

    with penstock.CancelScope() as scope:
        async with penstock.create_task_group() as tg:
            tg.start_soon(graceful)
            await penstock.wait_all_tasks_blocked()
            scope.cancel()
        reached = True
    assert reached
    assert not scope.cancelled_caught


async def test_child_started_in_a_cancelled_group_runs_until_its_first_wait() -> None:
    steps = []

    async def child() -> None:
        steps.append("started")
        await checkpoint()
        steps.append("too far")

    async with penstock.create_task_group() as tg:
        tg.cancel_scope.cancel()
        tg.start_soon(child)
    assert steps == ["started"]


async def test_child_is_not_in_the_scopes_of_who_starts_it() -> None:
    async with penstock.create_task_group() as tg:
        event = penstock.Event()
        with penstock.CancelScope() as scope:
            tg.start_soon(event.wait)
            scope.cancel()
            await penstock.sleep_forever()
        await penstock.wait_all_tasks_blocked()
        assert event.statistics().tasks_waiting == 1
        event.set()


async def test_timeout_around_a_group_cancels_its_children() -> None:
    with penstock.move_on_after(0.01) as scope:
        async with penstock.create_task_group() as tg:
            tg.start_soon(penstock.sleep_forever)
    assert scope.cancelled_caught


async def test_shielded_child_is_waited_for() -> None:
    ended = []

    async def shielded() -> None:
        with penstock.CancelScope(shield=True):
            await penstock.sleep(0.02)
            ended.append(1)

    with penstock.move_on_after(0.001):
        async with penstock.create_task_group() as tg:
            tg.start_soon(shielded)
    assert ended == [1]


async def test_child_runs_in_a_copy_of_the_context() -> None:
    variable: ContextVar[int] = ContextVar("variable", default=0)
    seen = []

    async def child() -> None:
        seen.append(variable.get())
        variable.set(2)

    variable.set(1)
    async with penstock.create_task_group() as tg:
        tg.start_soon(child)
    assert seen == [1]
    assert variable.get() == 1


async def test_group_in_an_async_generator_context_manager_works() -> None:
    @asynccontextmanager
    async def manager() -> AsyncIterator[penstock.abc.TaskGroup]:
        async with penstock.create_task_group() as tg:
            yield tg

    with pytest.RaisesGroup(StopIteration):
        async with manager() as tg:
            tg.start_soon(penstock.sleep_forever)
            await checkpoint()
            raise StopIteration


async def test_start_returns_what_the_child_gives() -> None:
    event = penstock.Event()

    async def child(value: int, *, task_status: TaskStatus) -> None:
        await checkpoint()
        task_status.started(value)
        await event.wait()

    async with penstock.create_task_group() as tg:
        assert await tg.start(child, 7) == 7
        event.set()


async def test_start_of_a_child_that_fails_first_raises_only_there() -> None:
    async def child(*, task_status: TaskStatus) -> None:
        await checkpoint()
        raise ValueError("not up")

    async with penstock.create_task_group() as tg:
        with pytest.raises(ValueError, match="not up"):
            await tg.start(child)
        await checkpoint()
    assert not tg.cancel_scope.cancel_called


async def test_start_of_a_child_that_ends_first_raises() -> None:
    async def child(*, task_status: TaskStatus) -> None:
        pass

    async with penstock.create_task_group() as tg:
        with pytest.raises(
            RuntimeError, match="Child exited without calling task_status.started()"
        ):
            await tg.start(child)


async def test_child_that_fails_after_it_is_up_fails_the_group() -> None:
    async def child(*, task_status: TaskStatus) -> None:
        task_status.started()
        await checkpoint()
        raise ValueError

    with pytest.RaisesGroup(ValueError):
        async with penstock.create_task_group() as tg:
            await tg.start(child)
            await penstock.sleep_forever()


async def test_start_cancelled_ends_the_child_first() -> None:
    steps = []

    async def child(*, task_status: TaskStatus) -> None:
        try:
            await penstock.sleep_forever()
        finally:
            with penstock.CancelScope(shield=True):
                await penstock.sleep(0.01)
            steps.append("child")

    async with penstock.create_task_group() as tg:
        with penstock.move_on_after(0.01) as scope:
            await tg.start(child)
        steps.append("start")
        assert scope.cancelled_caught
        await checkpoint()
    assert steps == ["child", "start"]
    assert not tg.cancel_scope.cancel_called


async def test_start_cancelled_reaches_each_wait_of_the_child() -> None:
    caught = 0

    async def child(*, task_status: TaskStatus) -> None:
        nonlocal caught
        for _ in range(3):
            try:
                await penstock.sleep_forever()
            except penstock.get_cancelled_exc_class():
                caught += 1
        await penstock.sleep_forever()

    async with penstock.create_task_group() as tg:
        with penstock.move_on_after(0.01):
            await tg.start(child)
    assert caught == 3


async def test_start_in_a_cancelled_group_is_cancelled() -> None:
    async def child(*, task_status: TaskStatus) -> None:
        await penstock.sleep_forever()

    async with penstock.create_task_group() as tg:
        tg.cancel_scope.cancel()
        await tg.start(child)
        pytest.fail("started in a cancelled group")
    assert tg.cancel_scope.cancelled_caught


async def test_started_child_outlives_the_scope_of_its_start() -> None:
    event = penstock.Event()

    async def child(*, task_status: TaskStatus) -> None:
        task_status.started()
        await event.wait()

    async with penstock.create_task_group() as tg:
        with penstock.CancelScope() as scope:
            await tg.start(child)
            scope.cancel()
        await penstock.wait_all_tasks_blocked()
        assert event.statistics().tasks_waiting == 1
        event.set()


async def test_started_called_twice_raises() -> None:
    async def child(*, task_status: TaskStatus) -> None:
        task_status.started()
        with pytest.raises(RuntimeError, match="called 'started' twice"):
            task_status.started()

    async with penstock.create_task_group() as tg:
        await tg.start(child)


async def test_ignored_task_status_ignores() -> None:
    TASK_STATUS_IGNORED.started()
    TASK_STATUS_IGNORED.started(math.pi)


async def test_errors_leave_no_reference_cycle() -> None:
    class Mine(Exception):
        pass

    async def not_up(*, task_status: TaskStatus) -> None:
        await checkpoint()
        raise Mine

    async def group_fails() -> None:
        try:
            async with penstock.create_task_group() as tg:
                tg.start_soon(throw_later)
                await penstock.sleep_forever()
        except* Mine:
            pass

    async def block_fails() -> None:
        try:
            async with penstock.create_task_group() as tg:
                tg.start_soon(checkpoint)  # the frame in the traceback holds the group
                raise Mine
        except* Mine:
            pass

    async def start_fails() -> None:
        async with penstock.create_task_group() as tg:
            try:
                await tg.start(not_up)
            except Mine:
                pass

    async def throw_later() -> None:
        await checkpoint()
        raise Mine

    async def group_cancelled() -> None:
        with penstock.move_on_after(0.001):
            async with penstock.create_task_group() as tg:
                tg.start_soon(penstock.sleep_forever)

    async def child_cancelled_at_entry() -> None:
        async with penstock.create_task_group() as tg:
            tg.cancel_scope.cancel()
            tg.start_soon(wait_late)

    async def wait_late() -> None:
        await cancel_shielded_checkpoint()  # in the first step of an eager task CPython makes one
        await penstock.sleep_forever()

    async def start_cancelled() -> None:
        async def child(*, task_status: TaskStatus) -> None:
            await penstock.sleep_forever()

        async with penstock.create_task_group() as tg:
            with penstock.move_on_after(0.001):
                await tg.start(child)

    async def scope_cancelled() -> None:
        with penstock.CancelScope() as scope:
            scope.cancel()
            await penstock.sleep_forever()

    for scenario in (
        group_fails,
        block_fails,
        start_fails,
        group_cancelled,
        child_cancelled_at_entry,
        start_cancelled,
        scope_cancelled,
    ):
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await scenario()
            await checkpoint()
            gc.collect()
            found = [exc for exc in gc.garbage if isinstance(exc, BaseException)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        assert found == [], scenario.__name__
