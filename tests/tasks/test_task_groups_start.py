"""How a task group starts a task that says when it is up."""

from __future__ import annotations

import math
from typing import Any

import pytest

import penstock
from penstock import TASK_STATUS_IGNORED
from penstock.abc import TaskGroup, TaskStatus
from penstock.lowlevel import checkpoint


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
        with pytest.raises(RuntimeError, match="Child exited without calling task_status"):
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


async def test_start_calls_nothing_in_a_cancelled_scope() -> None:
    async def child(*, task_status: TaskStatus[None]) -> None:
        pytest.fail("it was called")

    async with penstock.create_task_group() as tg:
        with penstock.CancelScope() as scope:
            scope.cancel()
            await tg.start(child)
    assert scope.cancelled_caught


async def test_start_of_what_returns_no_coroutine_is_a_type_error() -> None:
    def ordinary(*, task_status: TaskStatus[None]) -> Any:
        return 5

    async with penstock.create_task_group() as tg:
        with pytest.raises(TypeError, match=r"to return a coroutine.*\b5\b"):
            await tg.start(ordinary)
        await checkpoint()
    assert not tg.cancel_scope.cancel_called


async def test_started_before_the_coroutine_is_made_counts() -> None:
    event = penstock.Event()

    def child(*, task_status: TaskStatus[int]) -> Any:
        task_status.started(3)
        return event.wait()

    async with penstock.create_task_group() as tg:
        assert await tg.start(child) == 3
        event.set()


async def test_started_may_be_called_by_another_task() -> None:
    event = penstock.Event()

    async def helper(task_status: TaskStatus[int]) -> None:
        await checkpoint()
        task_status.started(5)

    async def child(*, task_status: TaskStatus[int]) -> None:
        async with penstock.create_task_group() as inner:
            inner.start_soon(helper, task_status)
        await event.wait()

    async with penstock.create_task_group() as tg:
        assert await tg.start(child) == 5
        event.set()


async def test_starting_child_does_not_feel_its_group() -> None:
    up, go_on = penstock.Event(), penstock.Event()
    steps = []

    async def child(*, task_status: TaskStatus[None]) -> None:
        await go_on.wait()
        steps.append("not felt")
        task_status.started()
        up.set()
        await penstock.sleep_forever()

    async def starter(tg: TaskGroup) -> None:
        await tg.start(child)
        steps.append("started")

    async with penstock.create_task_group() as outside:
        async with penstock.create_task_group() as tg:
            outside.start_soon(starter, tg)
            await penstock.wait_all_tasks_blocked()
            tg.cancel()
            with penstock.CancelScope(shield=True):
                await penstock.wait_all_tasks_blocked()
                go_on.set()
                await up.wait()
    assert steps == ["not felt", "started"]
    assert tg.cancel_scope.cancelled_caught


async def test_waiting_child_that_comes_up_in_a_cancelled_group_is_cancelled() -> None:
    statuses: list[TaskStatus[None]] = []

    async def child(*, task_status: TaskStatus[None]) -> None:
        statuses.append(task_status)
        with penstock.CancelScope():
            await penstock.sleep_forever()

    async def starter(tg: TaskGroup) -> None:
        await tg.start(child)

    async with penstock.create_task_group() as outside:
        async with penstock.create_task_group() as tg:
            outside.start_soon(starter, tg)
            await penstock.wait_all_tasks_blocked()
            tg.cancel()
            with penstock.CancelScope(shield=True):
                await penstock.wait_all_tasks_blocked()
            statuses[0].started()
    assert tg.cancel_scope.cancelled_caught


async def test_group_is_not_left_before_a_start_from_outside_is_over() -> None:
    go_on = penstock.Event()
    steps = []

    async def child(*, task_status: TaskStatus[None]) -> None:
        await go_on.wait()
        steps.append("up")
        task_status.started()
        await checkpoint()
        steps.append("ended")

    async def starter(tg: TaskGroup) -> None:
        await tg.start(child)

    async def let_go_on() -> None:
        await penstock.wait_all_tasks_blocked()
        steps.append("the host waits")
        go_on.set()

    async with penstock.create_task_group() as outside:
        async with penstock.create_task_group() as tg:
            outside.start_soon(starter, tg)
            await penstock.wait_all_tasks_blocked()
            outside.start_soon(let_go_on)
        steps.append("left")
    assert steps == ["the host waits", "up", "ended", "left"]


async def test_deadline_of_the_caller_reaches_the_starting_child_alone() -> None:
    ended = []

    async def child(*, task_status: TaskStatus[None]) -> None:
        try:
            await penstock.sleep_forever()
        finally:
            ended.append(1)

    async with penstock.create_task_group() as tg:
        sibling = tg.start_soon(penstock.sleep_forever)
        with penstock.move_on_after(0.01) as scope:
            await tg.start(child)
        assert scope.cancelled_caught
        assert ended == [1]
        assert sibling.status is penstock.TaskHandle.Status.PENDING
        tg.cancel()


async def test_effective_deadline_of_a_child_is_the_callers_until_it_is_up() -> None:
    seen = []

    async def child(*, task_status: TaskStatus[None]) -> None:
        seen.append(penstock.current_effective_deadline())
        await checkpoint()
        task_status.started()
        await checkpoint()
        seen.append(penstock.current_effective_deadline())

    async with penstock.create_task_group() as tg:
        tg.cancel_scope.deadline = penstock.current_time() + 200
        with penstock.move_on_after(100) as scope:
            await tg.start(child)
    assert seen == [scope.deadline, tg.cancel_scope.deadline]


async def test_scopes_of_the_child_move_with_it() -> None:
    caught = []

    async def child(*, task_status: TaskStatus[None]) -> None:
        with penstock.CancelScope() as outer:
            with penstock.CancelScope() as inner:
                await checkpoint()
                task_status.started()
                await penstock.sleep_forever()
        caught.extend([inner.cancelled_caught, outer.cancelled_caught])

    with penstock.CancelScope() as callers:
        async with penstock.create_task_group() as tg:
            with penstock.CancelScope() as scope:
                await tg.start(child)
                scope.cancel()
            await penstock.wait_all_tasks_blocked()
            tg.cancel()
    assert caught == []
    assert tg.cancel_scope.cancelled_caught
    assert not callers.cancel_called


async def test_children_of_the_starting_child_move_with_it() -> None:
    async def child(*, task_status: TaskStatus[None]) -> None:
        async with penstock.create_task_group() as inner:
            inner.start_soon(penstock.sleep_forever)
            await checkpoint()
            task_status.started()

    async with penstock.create_task_group() as tg:
        with penstock.CancelScope() as scope:
            handle = await tg.start(child, return_handle=True)
            scope.cancel()
        await penstock.wait_all_tasks_blocked()
        assert handle.status is penstock.TaskHandle.Status.PENDING
        tg.cancel()
    assert handle.status is penstock.TaskHandle.Status.CANCELLED


async def test_started_of_a_cancelled_start_does_not_save_the_child() -> None:
    steps = []

    async def child(*, task_status: TaskStatus[None]) -> None:
        try:
            await penstock.sleep_forever()
        except penstock.get_cancelled_exc_class():
            task_status.started()
            with pytest.raises(RuntimeError, match="called 'started' twice"):
                task_status.started()
        steps.append("late")
        await penstock.sleep_forever()

    async with penstock.create_task_group() as tg:
        with penstock.CancelScope() as scope:
            tg.start_soon(cancel_when_blocked, scope)
            await tg.start(child)
            steps.append("too far")
        assert scope.cancelled_caught
        assert steps == ["late"]
        await checkpoint()


async def cancel_when_blocked(scope: penstock.abc.CancelScope) -> None:
    await penstock.wait_all_tasks_blocked()
    scope.cancel()


async def test_start_cancelled_goes_on_where_the_child_swallows_it() -> None:
    async def child(*, task_status: TaskStatus[None]) -> None:
        try:
            await penstock.sleep_forever()
        except penstock.get_cancelled_exc_class():
            pass

    async with penstock.create_task_group() as tg:
        with penstock.CancelScope() as scope:
            tg.start_soon(cancel_when_blocked, scope)
            await tg.start(child)
            pytest.fail("no cancellation was raised")
    assert scope.cancelled_caught


async def test_start_cancelled_raises_what_the_child_raises_meanwhile() -> None:
    async def child(*, task_status: TaskStatus[None]) -> None:
        try:
            await penstock.sleep_forever()
        finally:
            raise ValueError("cleanup")

    async with penstock.create_task_group() as tg:
        with pytest.raises(ValueError, match="cleanup"), penstock.CancelScope() as scope:
            tg.start_soon(cancel_when_blocked, scope)
            await tg.start(child)
        await checkpoint()
    assert not tg.cancel_scope.cancel_called


async def test_start_cancelled_just_after_the_child_was_up_has_started_it() -> None:
    event = penstock.Event()

    async def child(scope: penstock.abc.CancelScope, *, task_status: TaskStatus[int]) -> None:
        await checkpoint()
        task_status.started(1)
        scope.cancel()
        await event.wait()

    async with penstock.create_task_group() as tg:
        with penstock.CancelScope() as scope:
            handle = await tg.start(child, scope, return_handle=True)
            with pytest.raises(penstock.get_cancelled_exc_class()):
                await checkpoint()
        await penstock.wait_all_tasks_blocked()
        assert handle.status is penstock.TaskHandle.Status.PENDING
        event.set()


async def test_child_that_is_up_and_fails_at_once_fails_the_group_alone() -> None:
    async def child(*, task_status: TaskStatus[int]) -> None:
        task_status.started(1)
        raise ValueError

    with pytest.RaisesGroup(ValueError):
        async with penstock.create_task_group() as tg:
            handle = await tg.start(child, return_handle=True)
            assert handle.start_value == 1
            with pytest.raises(penstock.get_cancelled_exc_class()):
                await checkpoint()


async def test_error_before_the_child_is_up_keeps_its_context_and_cause() -> None:
    async def child(*, task_status: TaskStatus[None]) -> None:
        try:
            raise KeyError
        except KeyError as exc:
            raise ValueError from exc

    async with penstock.create_task_group() as tg:
        with pytest.raises(ValueError) as raised:  # noqa: PT011
            await tg.start(child)
    assert isinstance(raised.value.__cause__, KeyError)
    assert raised.value.__context__ is raised.value.__cause__


async def test_exception_group_before_the_child_is_up_leaves_as_it_is() -> None:
    async def child(*, task_status: TaskStatus[None]) -> None:
        raise ExceptionGroup("mine", [ValueError(), TypeError()])

    async with penstock.create_task_group() as tg:
        with pytest.RaisesGroup(ValueError, TypeError) as raised:
            await tg.start(child)
    assert raised.value.message == "mine"


async def test_start_gives_a_handle_if_asked() -> None:
    async def child(value: int, *, task_status: TaskStatus[int]) -> str:
        task_status.started(value)
        await checkpoint()
        return "returned"

    async with penstock.create_task_group() as tg:
        handle = await tg.start(child, 4, name="the child", return_handle=True)
        assert handle.start_value == 4
        assert handle.name == "the child"
        assert await handle == "returned"


async def test_handle_of_a_started_child_cancels_it_alone() -> None:
    async def child(*, task_status: TaskStatus[None]) -> None:
        task_status.started()
        await penstock.sleep_forever()

    async with penstock.create_task_group() as tg:
        handle = await tg.start(child, return_handle=True)
        assert handle.start_value is None
        handle.cancel()
    assert handle.status is penstock.TaskHandle.Status.CANCELLED
    assert not tg.cancel_scope.cancel_called


async def test_start_may_nest() -> None:
    async def inner(*, task_status: TaskStatus[str]) -> None:
        await checkpoint()
        task_status.started("inner")
        await penstock.sleep_forever()

    async def outer(tg: TaskGroup, *, task_status: TaskStatus[str]) -> None:
        task_status.started(await tg.start(inner) + " and outer")
        await penstock.sleep_forever()

    async with penstock.create_task_group() as tg:
        assert await tg.start(outer, tg) == "inner and outer"
        tg.cancel()


async def test_name_is_the_functions_or_the_given_one() -> None:
    async def child(*, task_status: TaskStatus[str]) -> None:
        await checkpoint()  # until then CPython has not given an eager task its name
        task_status.started(penstock.get_current_task().name)

    async with penstock.create_task_group() as tg:
        assert await tg.start(child) == f"{__name__}.{child.__qualname__}"
        assert await tg.start(child, name=7) == "7"
