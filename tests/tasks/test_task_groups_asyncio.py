"""Task groups and native cancellation."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

import penstock
from penstock._backends import current_backend
from penstock.abc import TaskStatus
from penstock.lowlevel import checkpoint


@pytest.fixture
def backend(asyncio_backend: Any) -> Any:
    return asyncio_backend


async def test_host_cancelled_natively_while_it_waits_ends_its_children_first() -> None:
    steps = []

    async def child() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            with penstock.CancelScope(shield=True):
                await asyncio.sleep(0.01)
            steps.append("child")

    async def host() -> None:
        try:
            async with penstock.create_task_group() as tg:
                tg.start_soon(child)
        finally:
            steps.append("host")

    task = asyncio.create_task(host())
    await penstock.wait_all_tasks_blocked()
    task.cancel("native")
    await asyncio.sleep(0)
    task.cancel("native, again")
    with pytest.raises(asyncio.CancelledError, match="native"):
        await task
    assert steps == ["child", "host"]
    assert task.cancelling() == 2


async def test_host_cancelled_natively_in_its_block_ends_its_children_first() -> None:
    steps = []

    async def child() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            steps.append("child")

    async def host() -> None:
        try:
            async with penstock.create_task_group() as tg:
                tg.start_soon(child)
                await asyncio.sleep(10)
        finally:
            steps.append("host")

    task = asyncio.create_task(host())
    await penstock.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["child", "host"]


async def test_native_cancellation_of_the_host_survives_errors_of_its_children() -> None:
    async def child() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            raise ValueError

    async def host() -> None:
        with pytest.RaisesGroup(ValueError):
            async with penstock.create_task_group() as tg:
                tg.start_soon(child)
        await asyncio.sleep(10)

    task = asyncio.create_task(host())
    await penstock.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelling() == 1


async def test_child_cancelled_natively_does_not_fail_the_group() -> None:
    tasks = []

    async def child() -> None:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(10)

    async with penstock.create_task_group() as tg:
        tg.start_soon(child)
        await penstock.wait_all_tasks_blocked()
        tasks[0].cancel()
    assert not tg.cancel_scope.cancel_called


async def test_child_cancelled_natively_before_its_first_step_never_runs() -> None:
    async def child() -> None:
        pytest.fail("it ran")

    loop = asyncio.get_running_loop()
    loop.set_task_factory(None)
    async with penstock.create_task_group() as tg:
        tg.start_soon(child, name="mine")
        (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "mine"]
        task.cancel()


async def test_start_cancelled_natively_ends_the_child_first() -> None:
    steps = []

    async def child(*, task_status: TaskStatus) -> None:
        try:
            await asyncio.sleep(10)
        finally:
            with penstock.CancelScope(shield=True):
                await asyncio.sleep(0.01)
            steps.append("child")

    async def starter(tg: penstock.abc.TaskGroup) -> None:
        try:
            await tg.start(child)
        finally:
            steps.append("start")

    async with penstock.create_task_group() as tg:
        task = asyncio.create_task(starter(tg))
        await penstock.wait_all_tasks_blocked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert steps == ["child", "start"]


async def test_host_cancelled_natively_without_children_leaves_its_scope() -> None:
    async def host() -> None:
        async with penstock.create_task_group():
            asyncio.get_running_loop().call_soon(task.cancel, "native")

    loop = asyncio.get_running_loop()
    loop.set_task_factory(None)
    task = asyncio.create_task(host())
    with pytest.raises(asyncio.CancelledError, match="native"):
        await task
    assert current_backend().budget.left > 1  # no scope is cancelled any more


async def test_block_error_survives_a_native_cancellation_without_children() -> None:
    async def host() -> None:
        with pytest.RaisesGroup(ValueError):
            async with penstock.create_task_group():
                asyncio.get_running_loop().call_soon(task.cancel)
                raise ValueError
        await asyncio.sleep(10)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(None)
    task = asyncio.create_task(host())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelling() == 1


async def test_child_cancelled_natively_is_cancelled_to_its_handle() -> None:
    tasks = []

    async def child() -> None:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(10)

    event = penstock.Event()
    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(child)
        sibling = tg.start_soon(event.wait)
        await penstock.wait_all_tasks_blocked()
        tasks[0].cancel("native")
        await handle.wait()
        with pytest.raises(penstock.TaskCancelled) as raised:
            await handle
        assert str(raised.value.__cause__) == "native"
        assert sibling.status is penstock.TaskHandle.Status.PENDING
        event.set()


async def test_wait_for_a_handle_cancelled_natively_cancels_nothing_else() -> None:
    event = penstock.Event()
    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(event.wait)
        waiting = asyncio.create_task(handle.wait())
        await penstock.wait_all_tasks_blocked()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(handle.wait(), 0.001)
        assert handle.status is penstock.TaskHandle.Status.PENDING
        event.set()


async def test_cancellation_by_the_handle_keeps_the_counts_of_the_task() -> None:
    counts = []

    async def child() -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            with penstock.CancelScope(shield=True):
                await asyncio.sleep(0)
            counts.append(task.cancelling())
            raise

    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(child)
        await penstock.wait_all_tasks_blocked()
        handle.cancel()
    assert counts == [0]
    assert current_backend().budget.left > 1  # no scope is cancelled any more


async def test_handle_that_cancels_after_the_end_holds_no_budget() -> None:
    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(checkpoint)
        await handle.wait()
        handle.cancel()
        assert current_backend().budget.left > 1  # no scope is cancelled


async def test_start_cancelled_natively_after_the_child_was_up_ends_it_first() -> None:
    steps = []

    async def child(*, task_status: TaskStatus[None]) -> None:
        try:
            task_status.started()
            starters[0].cancel()  # which has not run since
            await asyncio.sleep(10)
        finally:
            with penstock.CancelScope(shield=True):
                await asyncio.sleep(0)
            steps.append("child")

    async def starter(tg: penstock.abc.TaskGroup) -> None:
        try:
            await tg.start(child)
        finally:
            steps.append("start")

    asyncio.get_running_loop().set_task_factory(None)
    async with penstock.create_task_group() as tg:
        starters = [asyncio.create_task(starter(tg))]
        with pytest.raises(asyncio.CancelledError):
            await starters[0]
        assert not tg.cancel_scope.cancel_called
    assert steps == ["child", "start"]


async def test_start_cancelled_natively_raises_what_the_child_raises_and_then_the_rest() -> None:
    async def child(*, task_status: TaskStatus[None]) -> None:
        try:
            await asyncio.sleep(10)
        finally:
            raise ValueError("cleanup")

    async def starter(tg: penstock.abc.TaskGroup) -> None:
        with pytest.raises(ValueError, match="cleanup"):
            await tg.start(child)
        await asyncio.sleep(10)

    async with penstock.create_task_group() as tg:
        task = asyncio.create_task(starter(tg))
        await penstock.wait_all_tasks_blocked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelling() == 1
    assert current_backend().budget.left > 1  # no scope is cancelled any more


async def test_host_cancelled_natively_waits_for_a_start_from_outside() -> None:
    go_on = penstock.Event()
    steps = []

    async def child(*, task_status: TaskStatus[None]) -> None:
        await go_on.wait()
        task_status.started()
        try:
            await asyncio.sleep(10)
        finally:
            steps.append("child")

    async def host() -> None:
        try:
            async with penstock.create_task_group() as tg:
                outside.start_soon(tg.start, child)
                await penstock.wait_all_tasks_blocked()
        finally:
            steps.append("host")

    async with penstock.create_task_group() as outside:
        task = asyncio.create_task(host())
        await penstock.wait_all_tasks_blocked()
        task.cancel()
        await penstock.wait_all_tasks_blocked()
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert steps == ["child", "host"]


async def test_caller_of_start_may_be_a_task_without_scopes() -> None:
    event = penstock.Event()

    async def child(*, task_status: TaskStatus[int]) -> None:
        await asyncio.sleep(0)
        task_status.started(2)
        await event.wait()

    async with penstock.create_task_group() as tg:
        assert await asyncio.create_task(tg.start(child)) == 2
        event.set()


async def test_exception_group_of_a_child_that_holds_no_cancellation_stays_itself() -> None:
    class MyGroup(ExceptionGroup[Exception]):
        pass

    async def child() -> None:
        raise error

    error = MyGroup("mine", [ValueError()])
    with pytest.RaisesGroup(pytest.RaisesGroup(ValueError)) as raised:
        async with penstock.create_task_group() as tg:
            tg.start_soon(child)
    assert raised.value.exceptions[0] is error


async def test_task_factory_that_fails_leaves_no_coroutine_behind() -> None:
    def factory(loop: Any, coro: Any, **kwargs: Any) -> Any:
        raise OSError("no task today")

    loop = asyncio.get_running_loop()
    async with penstock.create_task_group() as tg:
        before = loop.get_task_factory()
        loop.set_task_factory(factory)
        try:
            with pytest.raises(OSError, match="no task today"):
                tg.start_soon(checkpoint)
        finally:
            loop.set_task_factory(before)
    assert not tg.cancel_scope.cancel_called


async def test_child_behind_a_wrapping_task_factory_is_cancelled_by_its_handle() -> None:
    def factory(loop: Any, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
        async def wrapped() -> Any:
            return await coro

        return asyncio.Task(wrapped(), loop=loop, **kwargs)

    asyncio.get_running_loop().set_task_factory(factory)
    async with penstock.create_task_group() as tg:
        coro = penstock.sleep_forever()
        handle = tg.create_task(coro)
        assert handle.coro is coro
        await penstock.wait_all_tasks_blocked()
        handle.cancel()
    assert handle.status is penstock.TaskHandle.Status.CANCELLED


async def test_child_is_the_coroutine_itself_under_its_own_name() -> None:
    event = penstock.Event()

    async def child() -> None:
        await event.wait()

    async with penstock.create_task_group() as tg:
        tg.start_soon(child)
        tg.start_soon(child, name="given")
        await penstock.wait_all_tasks_blocked()
        names = {task.get_name() for task in asyncio.all_tasks()}
        coroutines = [task.get_coro() for task in asyncio.all_tasks()]
        assert {f"{__name__}.{child.__qualname__}", "given"} <= names
        assert sum(getattr(coro, "cr_code", None) is child.__code__ for coro in coroutines) == 2
        event.set()


async def test_deaf_child_keeps_nobody_busy() -> None:
    cancelled = 0

    class CountingTask(asyncio.Task[Any]):
        def cancel(self, msg: Any = None) -> bool:
            nonlocal cancelled
            cancelled += 1
            return super().cancel(msg)

    async def deaf() -> None:
        until = loop.time() + 0.3
        while loop.time() < until:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                pass

    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro, **kwargs: CountingTask(coro, loop=loop, **kwargs))
    async with penstock.create_task_group() as tg:
        tg.start_soon(deaf)
        await asyncio.sleep(0)
        tg.cancel_scope.cancel()
    assert 4 < cancelled < 100


if sys.version_info >= (3, 12):

    def eager_loop() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        return loop

    def run_eager(func: Any) -> None:
        penstock.run(func, backend_options={"loop_factory": eager_loop})

    def test_eager_child_is_in_the_scope_of_its_group_from_its_first_step() -> None:
        steps = []
        event = penstock.Event()
        event.set()

        async def child() -> None:
            steps.append("started")
            await event.wait()
            steps.append("too far")

        async def main() -> None:
            async with penstock.create_task_group() as tg:
                tg.cancel_scope.cancel()
                tg.start_soon(child)
                assert steps == ["started"]
            assert steps == ["started"]

        run_eager(main)

    def test_eager_child_that_starts_others_first_is_in_the_scope_of_its_group() -> None:
        async def stranger() -> None:
            await checkpoint()

        async def child(depth: int) -> None:
            native = asyncio.create_task(stranger())
            if depth:
                async with penstock.create_task_group() as tg:
                    tg.start_soon(child, depth - 1)
                    with penstock.CancelScope():
                        await penstock.sleep_forever()
            else:
                await penstock.sleep_forever()
            await native

        async def main() -> None:
            async with penstock.create_task_group() as tg:
                tg.start_soon(child, 3)
                await penstock.wait_all_tasks_blocked()
                tg.cancel_scope.cancel()
            assert tg.cancel_scope.cancelled_caught

        run_eager(main)

    def test_eager_child_behind_a_wrapping_task_factory_is_cancelled_with_its_group() -> None:
        def factory(loop: Any, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
            async def wrapped() -> Any:
                return await coro

            return asyncio.eager_task_factory(loop, wrapped(), **kwargs)

        async def child() -> None:
            with penstock.CancelScope() as scope:
                await penstock.sleep_forever()
            pytest.fail(f"{scope} caught it")

        async def main() -> None:
            asyncio.get_running_loop().set_task_factory(factory)
            async with penstock.create_task_group() as tg:
                tg.start_soon(child)
                tg.cancel_scope.cancel()
            assert tg.cancel_scope.cancelled_caught

        run_eager(main)

    def test_eager_child_that_fails_in_its_first_step_fails_the_group() -> None:
        async def child() -> None:
            raise ValueError

        async def main() -> None:
            with pytest.RaisesGroup(ValueError):
                async with penstock.create_task_group() as tg:
                    tg.start_soon(child)
                    assert tg.cancel_scope.cancel_called

        run_eager(main)
