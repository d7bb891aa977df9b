"""Task groups, as every event loop has to offer them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

import penstock
from penstock.abc import TaskStatus
from penstock.lowlevel import checkpoint


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


async def test_group_is_not_active_again_after_it_was_left() -> None:
    tg = penstock.create_task_group()
    async with tg:
        pass
    with pytest.raises(RuntimeError, match="cannot be entered more than once"):
        async with tg:
            pytest.fail("entered again")


async def test_cancel_gives_its_reason_to_the_scope() -> None:
    messages = []

    async def child() -> None:
        try:
            await penstock.sleep_forever()
        except penstock.get_cancelled_exc_class() as exc:
            messages.append(str(exc))
            raise

    async with penstock.create_task_group() as tg:
        tg.start_soon(child)
        await penstock.wait_all_tasks_blocked()
        tg.cancel("because")
    assert tg.cancel_scope.cancelled_caught
    assert "because" in messages[0]


async def test_reason_is_kept_until_the_group_is_entered() -> None:
    tg = penstock.create_task_group()
    tg.cancel_scope.cancel("because")
    async with tg:
        with pytest.raises(penstock.get_cancelled_exc_class(), match="because"):
            await penstock.sleep_forever()


async def test_cancellations_inside_an_exception_group_are_left_out() -> None:
    async def child() -> None:
        try:
            await penstock.sleep_forever()
        except penstock.get_cancelled_exc_class() as exc:
            raise BaseExceptionGroup("child", [exc, ValueError()]) from None

    with pytest.RaisesGroup(pytest.RaisesGroup(ValueError)) as raised:
        async with penstock.create_task_group() as tg:
            tg.start_soon(child)
            await penstock.wait_all_tasks_blocked()
            tg.cancel()
    assert raised.value.exceptions[0].message == "child"  # type: ignore[attr-defined]


async def test_cancellations_inside_an_exception_group_of_the_block_are_left_out() -> None:
    with pytest.RaisesGroup(pytest.RaisesGroup(ValueError)):
        async with penstock.create_task_group() as tg:
            tg.cancel()
            try:
                await penstock.sleep_forever()
            except penstock.get_cancelled_exc_class() as exc:
                raise BaseExceptionGroup("block", [exc, ValueError()]) from None


async def test_block_that_raises_a_group_of_cancellations_ends_as_cancelled() -> None:
    kinds = []
    with penstock.CancelScope() as scope:
        try:
            async with penstock.create_task_group():
                scope.cancel()
                try:
                    await penstock.sleep_forever()
                except penstock.get_cancelled_exc_class() as exc:
                    raise BaseExceptionGroup("block", [exc]) from None
        except BaseException as exc:
            kinds.append(type(exc))
            raise
    assert kinds == [penstock.get_cancelled_exc_class()]
    assert scope.cancelled_caught


async def test_nested_groups_wrap_errors_level_by_level() -> None:
    with pytest.RaisesGroup(pytest.RaisesGroup(ValueError), TypeError):
        async with penstock.create_task_group() as outer:
            outer.start_soon(fail_when_cancelled, TypeError())
            async with penstock.create_task_group() as inner:
                await penstock.wait_all_tasks_blocked()
                inner.start_soon(fail, ValueError())


async def fail_when_cancelled(exc: BaseException) -> None:
    try:
        await penstock.sleep_forever()
    except penstock.get_cancelled_exc_class():
        raise exc from None


async def test_inner_group_cancelled_leaves_the_outer_one_alone() -> None:
    event = penstock.Event()
    async with penstock.create_task_group() as outer:
        handle = outer.start_soon(event.wait)
        async with penstock.create_task_group() as inner:
            inner.start_soon(penstock.sleep_forever)
            inner.cancel()
        assert handle.status is penstock.TaskHandle.Status.PENDING
        event.set()
    assert not outer.cancel_scope.cancel_called


async def test_outer_group_cancelled_from_a_child_of_the_inner_one_ends_both() -> None:
    async with penstock.create_task_group() as outer:
        async with penstock.create_task_group() as inner:
            inner.start_soon(penstock.sleep_forever)

            async def cancel_outer() -> None:
                outer.cancel()

            inner.start_soon(cancel_outer)
        pytest.fail("the inner group swallowed it")
    assert outer.cancel_scope.cancelled_caught
    assert not inner.cancel_scope.cancelled_caught


async def test_child_may_start_another_while_the_host_waits() -> None:
    started = []

    async def child(tg: penstock.abc.TaskGroup) -> None:
        await penstock.wait_all_tasks_blocked()
        started.append(tg.start_soon(checkpoint))

    async with penstock.create_task_group() as tg:
        tg.start_soon(child, tg)
    assert started[0].status is penstock.TaskHandle.Status.FINISHED


async def test_group_in_an_async_generator_that_raises_is_left_properly() -> None:
    async def numbers() -> AsyncIterator[int]:
        async with penstock.create_task_group() as tg:
            tg.start_soon(penstock.sleep_forever)
            yield 1
            tg.cancel()

    assert [number async for number in numbers()] == [1]


async def test_return_in_the_block_waits_for_the_children() -> None:
    ended = []

    async def child() -> None:
        await penstock.wait_all_tasks_blocked()
        ended.append(1)

    async def host() -> str:
        async with penstock.create_task_group() as tg:
            tg.start_soon(child)
            return "returned"

    assert await host() == "returned"
    assert ended == [1]


async def test_many_children_end_in_any_order() -> None:
    async with penstock.create_task_group() as tg:
        handles = [tg.start_soon(penstock.sleep_forever) for _ in range(200)]
        await penstock.wait_all_tasks_blocked()
        for handle in handles[::2]:
            handle.cancel()
        for handle in handles[::2]:
            await handle.wait()
        assert {handle.status.name for handle in handles[1::2]} == {"PENDING"}
        tg.cancel()
    assert {handle.status.name for handle in handles} == {"CANCELLED"}


async def test_group_whose_last_child_has_ended_is_not_active() -> None:
    async def child() -> None:
        await penstock.wait_all_tasks_blocked()

    async def come_late(handle: penstock.TaskHandle[None], tg: penstock.abc.TaskGroup) -> None:
        await handle.wait()
        with pytest.raises(RuntimeError, match="This task group is not active"):
            tg.start_soon(checkpoint)
        with pytest.raises(RuntimeError, match="This task group is not active"):
            await tg.start(start_at_once)

    async def start_at_once(*, task_status: TaskStatus[None]) -> None:
        task_status.started()

    for _ in range(20):  # Trio runs what is ready in any order
        async with penstock.create_task_group() as outer, penstock.create_task_group() as tg:
            outer.start_soon(come_late, tg.start_soon(child), tg)
