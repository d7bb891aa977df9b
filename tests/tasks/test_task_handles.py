"""The handles of tasks: results, waiting, cancelling one task of a group alone."""

from __future__ import annotations

import gc
import pickle
import weakref
from collections.abc import AsyncIterator
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any

import pytest

import penstock
from penstock import TaskCancelled, TaskFailed, TaskHandle, TaskNotFinished
from penstock.lowlevel import checkpoint

Status = TaskHandle.Status


async def give(value: Any) -> Any:
    await checkpoint()
    return value


async def fail(exc: BaseException) -> None:
    await checkpoint()
    raise exc


def test_exceptions_have_anyios_hierarchy() -> None:
    assert not issubclass(TaskFailed, TaskNotFinished)
    assert not issubclass(TaskNotFinished, TaskFailed)
    assert issubclass(TaskCancelled, TaskFailed)
    assert isinstance(pickle.loads(pickle.dumps(TaskCancelled("text"))), TaskCancelled)


async def test_handle_awaited_gives_the_return_value_each_time() -> None:
    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(give, 3)
        assert await handle == 3
        assert await handle == 3
    assert await handle == 3
    assert handle.return_value == 3
    assert handle.exception is None
    assert handle.status is Status.FINISHED


async def test_handle_of_a_task_that_has_not_ended_knows_no_outcome() -> None:
    event = penstock.Event()
    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(event.wait)
        assert handle.status is Status.PENDING
        with pytest.raises(TaskNotFinished, match="the task has not finished yet"):
            _ = handle.exception
        with pytest.raises(TaskNotFinished, match="the task has not finished yet"):
            _ = handle.return_value
        event.set()


async def test_handle_of_a_failed_task_raises_task_failed_from_its_exception() -> None:
    error = ValueError()
    with pytest.RaisesGroup(ValueError):
        async with penstock.create_task_group() as tg:
            handle = tg.start_soon(fail, error)
    assert handle.status is Status.FAILED
    assert handle.exception is error
    for _ in range(2):
        with pytest.raises(TaskFailed, match="the task raised an exception") as raised:
            await handle
        assert not isinstance(raised.value, TaskCancelled)
        assert raised.value.__cause__ is error
    with pytest.raises(TaskFailed):
        _ = handle.return_value


async def test_handle_of_a_cancelled_task_raises_task_cancelled() -> None:
    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(penstock.sleep_forever)
        await penstock.wait_all_tasks_blocked()
        handle.cancel()
        assert handle.status is Status.CANCELLING
        with pytest.raises(TaskCancelled, match="the task was cancelled"):
            _ = handle.exception
        with pytest.raises(TaskCancelled, match="the task was cancelled"):
            _ = handle.return_value
    assert handle.status is Status.CANCELLED
    for _ in range(2):
        with pytest.raises(TaskCancelled, match="the task was cancelled") as raised:
            await handle
        assert isinstance(raised.value.__cause__, penstock.get_cancelled_exc_class())
    with pytest.raises(TaskCancelled):
        _ = handle.exception


async def test_cancelling_one_task_leaves_the_group_alone() -> None:
    event = penstock.Event()
    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(penstock.sleep_forever)
        sibling = tg.start_soon(event.wait)
        await penstock.wait_all_tasks_blocked()
        handle.cancel()
        await handle.wait()
        await penstock.wait_all_tasks_blocked()
        assert sibling.status is Status.PENDING
        event.set()
    assert not tg.cancel_scope.cancel_called
    assert not tg.cancel_scope.cancelled_caught
    assert sibling.status is Status.FINISHED


async def test_cancelled_before_it_runs_a_task_runs_until_its_first_wait() -> None:
    steps = []

    async def child() -> None:
        steps.append("ran")
        await checkpoint()
        steps.append("too far")

    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(child)
        handle.cancel()
    assert steps == ["ran"]
    assert handle.status is Status.CANCELLED


async def test_task_is_cancelled_before_it_runs_by_a_handle_that_nobody_keeps() -> None:
    ended = []

    async def child() -> None:
        try:
            await penstock.sleep_forever()
        finally:
            ended.append(1)

    with penstock.fail_after(5):
        async with penstock.create_task_group() as tg:
            tg.start_soon(child).cancel()
            gc.collect()
    assert ended == [1]


async def test_handle_of_a_task_that_was_cancelled_before_it_ran_is_not_kept() -> None:
    gc.collect()
    gc.disable()
    try:
        async with penstock.create_task_group() as tg:
            handle = tg.start_soon(penstock.sleep_forever)
            handle.cancel()
            seen = weakref.ref(handle)
        del handle
        assert seen() is None
    finally:
        gc.enable()


async def test_each_wait_of_a_cancelled_task_is_cancelled() -> None:
    caught = 0

    async def child() -> None:
        nonlocal caught
        while True:
            try:
                await penstock.sleep_forever()
            except penstock.get_cancelled_exc_class():
                caught += 1
                if caught == 3:
                    raise

    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(child)
        await penstock.wait_all_tasks_blocked()
        handle.cancel()
        handle.cancel()
    assert caught == 3


async def test_cancelled_task_in_scopes_of_its_own_leaves_them_all() -> None:
    scopes = []

    async def child() -> None:
        with penstock.CancelScope() as outer, penstock.CancelScope() as inner:
            scopes.extend([outer, inner])
            await penstock.sleep_forever()

    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(child)
        await penstock.wait_all_tasks_blocked()
        handle.cancel()
    assert [scope.cancelled_caught for scope in scopes] == [False, False]
    assert handle.status is Status.CANCELLED


async def test_shield_of_the_task_keeps_its_cancellation_out() -> None:
    event = penstock.Event()
    steps = []

    async def child() -> None:
        with penstock.CancelScope(shield=True):
            await event.wait()
            steps.append("shielded")
        await checkpoint()
        steps.append("too far")

    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(child)
        await penstock.wait_all_tasks_blocked()
        handle.cancel()
        await penstock.wait_all_tasks_blocked()
        assert handle.status is Status.CANCELLING
        event.set()
    assert steps == ["shielded"]


async def test_task_group_of_a_cancelled_task_ends_with_it() -> None:
    ended = []

    async def grandchild() -> None:
        try:
            await penstock.sleep_forever()
        finally:
            ended.append(1)

    async def child() -> None:
        async with penstock.create_task_group() as inner:
            for _ in range(3):
                inner.start_soon(grandchild)

    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(child)
        await penstock.wait_all_tasks_blocked()
        handle.cancel()
    assert ended == [1, 1, 1]
    assert handle.status is Status.CANCELLED


async def test_task_that_swallows_its_cancellation_finishes() -> None:
    async def child() -> str:
        try:
            await penstock.sleep_forever()
        except penstock.get_cancelled_exc_class():
            pass
        return "on purpose"

    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(child)
        await penstock.wait_all_tasks_blocked()
        handle.cancel()
    assert handle.status is Status.FINISHED
    assert await handle == "on purpose"


async def test_task_that_fails_while_it_is_cancelled_fails_the_group() -> None:
    async def child() -> None:
        try:
            await penstock.sleep_forever()
        finally:
            raise ValueError

    with pytest.RaisesGroup(ValueError):
        async with penstock.create_task_group() as tg:
            handle = tg.start_soon(child)
            await penstock.wait_all_tasks_blocked()
            handle.cancel()
            await penstock.sleep_forever()
    assert handle.status is Status.FAILED


async def test_group_of_nothing_but_cancellations_counts_as_cancelled() -> None:
    async def child() -> None:
        try:
            await penstock.sleep_forever()
        except penstock.get_cancelled_exc_class() as exc:
            raise BaseExceptionGroup("both", [exc]) from None

    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(child)
        await penstock.wait_all_tasks_blocked()
        handle.cancel()
    assert handle.status is Status.CANCELLED
    assert not tg.cancel_scope.cancel_called


async def test_cancelling_after_the_end_has_no_effect() -> None:
    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(give, 1)
        await handle.wait()
        handle.cancel()
        assert handle.status is Status.FINISHED
        await checkpoint()
    handle.cancel()
    assert handle.return_value == 1


async def test_task_cancelled_by_its_handle_and_by_its_group_ends_once() -> None:
    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(penstock.sleep_forever)
        await penstock.wait_all_tasks_blocked()
        handle.cancel()
        tg.cancel("both")
    assert handle.status is Status.CANCELLED
    assert tg.cancel_scope.cancel_called


async def test_task_cancelled_in_a_cancelled_scope_lets_the_scope_catch_it() -> None:
    with penstock.CancelScope() as scope:
        async with penstock.create_task_group() as tg:
            handle = tg.start_soon(penstock.sleep_forever)
            await penstock.wait_all_tasks_blocked()
            scope.cancel()
            handle.cancel()
        pytest.fail("the scope was not seen")
    assert scope.cancelled_caught


async def test_task_cancelled_before_the_scope_around_is_lets_the_block_go_on() -> None:
    with penstock.CancelScope() as scope:
        async with penstock.create_task_group() as tg:
            handle = tg.start_soon(penstock.sleep_forever)
            await penstock.wait_all_tasks_blocked()
            handle.cancel()
            await handle.wait()
            scope.cancel()
        reached = True
    assert reached
    assert not scope.cancelled_caught


async def test_handle_is_waited_for_by_several_tasks_also_of_other_groups() -> None:
    event = penstock.Event()
    results = []

    async def child() -> int:
        await event.wait()
        return 5

    async def ask(handle: TaskHandle[int]) -> None:
        results.append(await handle)

    async with penstock.create_task_group() as other:
        async with penstock.create_task_group() as tg:
            handle = tg.start_soon(child)
            for group in (tg, other, other):
                group.start_soon(ask, handle)
            await penstock.wait_all_tasks_blocked()
            event.set()
    assert results == [5, 5, 5]


async def test_wait_cancelled_cancels_nothing_else() -> None:
    event = penstock.Event()
    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(event.wait)
        for _ in range(2):
            with penstock.move_on_after(0.001) as scope:
                await handle.wait()
            assert scope.cancelled_caught
        with penstock.move_on_after(0.001):
            await handle
        assert handle.status is Status.PENDING
        event.set()


async def test_wait_in_a_cancelled_scope_is_cancelled_also_after_the_end() -> None:
    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(give, 1)
    with penstock.CancelScope() as scope:
        scope.cancel()
        await handle.wait()
        pytest.fail("the cancellation was not noticed")
    assert scope.cancelled_caught


async def test_wait_returns_however_the_task_ends() -> None:
    with pytest.RaisesGroup(ValueError):
        async with penstock.create_task_group() as tg:
            handle = tg.start_soon(fail, ValueError())
            with penstock.CancelScope(shield=True):
                await handle.wait()
            assert handle.status is Status.FAILED


async def test_waiting_for_an_ended_task_yields() -> None:
    ran = []

    async def other() -> None:
        ran.append(1)

    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(give, 1)
        await handle.wait()
        tg.start_soon(other)
        for _ in range(20):  # Trio runs what is ready in any order
            await handle.wait()
        assert ran == [1]


async def test_error_of_an_awaited_task_is_raised_in_both_places() -> None:
    with pytest.RaisesGroup(ValueError, TaskFailed):
        async with penstock.create_task_group() as tg:
            handle = tg.start_soon(fail, ValueError())
            with penstock.CancelScope(shield=True):
                await handle


async def test_start_value_without_start_is_an_error() -> None:
    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(give, 1)
        with pytest.raises(RuntimeError, match="the task was not started with TaskGroup"):
            _ = handle.start_value


async def test_names() -> None:
    async with penstock.create_task_group() as tg:
        assert tg.start_soon(give, 1).name == f"{__name__}.give"
        assert tg.start_soon(partial(partial(give), 1)).name == f"{__name__}.give"
        assert tg.start_soon(give, 1, name="given").name == "given"
        assert tg.start_soon(give, 1, name=5).name == "5"
        assert tg.create_task(give(1)).name == f"{__name__}.give"
        assert tg.create_task(give(1), name="given").name == "given"


async def test_callable_object_is_named_after_its_repr() -> None:
    class Callable:
        async def __call__(self) -> None:
            pass

        def __repr__(self) -> str:
            return "an object"

    async with penstock.create_task_group() as tg:
        assert tg.start_soon(Callable()).name == "an object"


async def test_coro_is_the_one_that_was_given() -> None:
    async with penstock.create_task_group() as tg:
        coro = give(1)
        handle = tg.create_task(coro)
        assert handle.coro is coro
    assert handle.coro is coro


async def test_repr_tells_status_name_and_coroutine() -> None:
    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(penstock.sleep_forever, name="sleeper")
        assert repr(handle) == f"<TaskHandle pending name='sleeper' coro={handle.coro!r}>"
        handle.cancel()
        assert repr(handle).startswith("<TaskHandle cancelling ")
    assert repr(handle).startswith("<TaskHandle cancelled ")


async def test_handle_is_a_task_handle() -> None:
    async with penstock.create_task_group() as tg:
        handle: TaskHandle[int] = tg.start_soon(give, 1)
    assert isinstance(handle, penstock.TaskHandle)
    assert penstock.abc.TaskHandle[int]


async def test_created_task_runs_its_coroutine() -> None:
    async with penstock.create_task_group() as tg:
        assert await tg.create_task(give("result")) == "result"


@pytest.mark.parametrize("given", [None, 3, give])
async def test_creating_a_task_from_anything_else_is_a_type_error(given: Any) -> None:
    async with penstock.create_task_group() as tg:
        with pytest.raises(TypeError, match="expected a coroutine, got"):
            tg.create_task(given)


async def test_step_of_an_async_generator_may_be_a_task() -> None:
    async def numbers() -> AsyncIterator[int]:
        await checkpoint()
        yield 7

    async with penstock.create_task_group() as tg:
        generator = numbers()
        handle = tg.create_task(anext(generator))  # type: ignore[arg-type]
        assert await handle == 7
        await generator.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_coroutine_given_to_an_inactive_group_is_closed(when: str) -> None:
    tg = penstock.create_task_group()
    if when == "after":
        async with tg:
            pass
    coro = give(1)
    with pytest.raises(RuntimeError, match="This task group is not active; no new tasks can be"):
        tg.create_task(coro)
    assert coro.cr_frame is None  # a coroutine that was not closed warns, and fails the test
    called = []
    with pytest.raises(RuntimeError, match="This task group is not active; no new tasks can be"):
        tg.start_soon(called.append, 1)  # type: ignore[arg-type]
    assert called == []


async def test_context_is_copied() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")

    async def child() -> str:
        seen = variable.get()
        variable.set("by the child")
        await checkpoint()
        assert variable.get() == "by the child"
        return seen

    context = copy_context()
    context.run(variable.set, "given")
    async with penstock.create_task_group() as tg:
        assert await tg.create_task(child(), context=context) == "given"
        assert await tg.create_task(child()) == "unset"
    assert context[variable] == "given"
    assert variable.get() == "unset"


async def test_context_that_is_entered_may_be_given() -> None:
    variable: ContextVar[str] = ContextVar("variable")
    context = copy_context()

    def create(tg: penstock.abc.TaskGroup) -> TaskHandle[str]:
        variable.set("inside")
        return tg.create_task(child(), context=context)

    async def child() -> str:
        return variable.get()

    async with penstock.create_task_group() as tg:
        assert await context.run(create, tg) == "inside"
