"""What can be asked about tasks: whose they are, their names, whether they are cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
import trio

import penstock
from penstock import TaskInfo
from penstock.abc import TaskGroup, TaskStatus
from penstock.lowlevel import cancel_shielded_checkpoint, checkpoint


async def describe() -> TaskInfo:
    await checkpoint()  # until then CPython has not given an eager task its name
    return penstock.get_current_task()


async def test_current_task_is_described() -> None:
    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(describe, name="the child")
        info = await handle
    assert info.name == "the child"
    assert repr(info) == f"TaskInfo(id={info.id!r}, name='the child')"


async def test_parent_is_the_task_that_hosts_the_group() -> None:
    me = penstock.get_current_task()
    async with penstock.create_task_group() as tg:
        info = await tg.start_soon(describe)
        assert info.parent_id == me.id
        assert info.id != me.id


async def test_parent_is_the_host_whoever_starts_the_child() -> None:
    async def start(tg: TaskGroup) -> TaskInfo:
        return await tg.start_soon(describe)

    me = penstock.get_current_task()
    async with penstock.create_task_group() as tg, penstock.create_task_group() as inner:
        info = await inner.start_soon(start, tg)
        assert info.parent_id == me.id


async def test_parent_of_a_child_in_scopes_and_groups_of_its_own_is_the_host() -> None:
    async def child() -> TaskInfo:
        with penstock.CancelScope():
            async with penstock.create_task_group():
                return await describe()

    me = penstock.get_current_task()
    async with penstock.create_task_group() as tg:
        with penstock.CancelScope():
            info = await tg.start_soon(child)
        assert info.parent_id == me.id


async def test_parent_of_a_child_that_its_handle_cancelled_is_the_host() -> None:
    seen = []

    async def child() -> None:
        try:
            await penstock.sleep_forever()
        finally:
            seen.append(penstock.get_current_task().parent_id)

    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(child)
        await penstock.wait_all_tasks_blocked()
        handle.cancel()
    assert seen == [penstock.get_current_task().id]


async def test_parent_of_a_starting_child_is_the_caller_and_then_the_host() -> None:
    seen = []

    async def child(*, task_status: TaskStatus[None]) -> None:
        await checkpoint()
        seen.append(penstock.get_current_task().parent_id)
        task_status.started()
        await checkpoint()
        seen.append(penstock.get_current_task().parent_id)

    async def caller(tg: TaskGroup) -> None:
        seen.append(penstock.get_current_task().id)
        await tg.start(child)

    async with penstock.create_task_group() as outside, penstock.create_task_group() as tg:
        await outside.start_soon(caller, tg)
    me, parent_before, parent_after = seen
    assert parent_before == me
    assert parent_after == penstock.get_current_task().id


async def test_running_tasks_are_those_that_have_not_ended() -> None:
    event = penstock.Event()
    async with penstock.create_task_group() as tg:
        for number in range(3):
            tg.start_soon(event.wait, name=f"waiter {number}")
        ended = tg.start_soon(checkpoint, name="ended")
        await ended
        await penstock.wait_all_tasks_blocked()
        names = {info.name for info in penstock.get_running_tasks()}
        assert {"waiter 0", "waiter 1", "waiter 2"} <= names
        assert "ended" not in names
        assert penstock.get_current_task() in penstock.get_running_tasks()
        event.set()


async def test_descriptions_of_one_task_are_equal() -> None:
    async with penstock.create_task_group() as tg:
        other = await tg.start_soon(describe)
        mine, again = penstock.get_current_task(), penstock.get_current_task()
        assert mine == again
        assert hash(mine) == hash(again)
        assert mine != other
        assert mine != object()


async def test_task_in_a_cancelled_scope_has_a_pending_cancellation() -> None:
    me = penstock.get_current_task()
    assert not me.has_pending_cancellation()
    with penstock.CancelScope() as scope:
        scope.cancel()
        assert me.has_pending_cancellation()
        with penstock.CancelScope(shield=True):
            assert not me.has_pending_cancellation()
    assert not me.has_pending_cancellation()


async def test_child_of_a_cancelled_group_has_a_pending_cancellation() -> None:
    async def child() -> TaskInfo:
        await cancel_shielded_checkpoint()
        info = penstock.get_current_task()
        assert info.has_pending_cancellation()
        return info

    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(child)
        tg.cancel()
    assert handle.status is penstock.TaskHandle.Status.FINISHED
    assert not handle.return_value.has_pending_cancellation()


async def test_child_that_its_handle_cancelled_has_a_pending_cancellation() -> None:
    async def child() -> TaskInfo:
        with penstock.CancelScope(shield=True):
            await event.wait()
        return penstock.get_current_task()

    def pending() -> dict[str, bool]:
        tasks = penstock.get_running_tasks()
        return {
            info.name: info.has_pending_cancellation()
            for info in tasks
            if info.name in ("cancelled", "sibling")
        }

    event = penstock.Event()
    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(penstock.sleep_forever, name="cancelled")
        sibling = tg.start_soon(event.wait, name="sibling")
        await penstock.wait_all_tasks_blocked()
        assert pending() == {"cancelled": False, "sibling": False}
        handle.cancel()
        assert pending() == {"cancelled": True, "sibling": False}
        event.set()
    assert sibling.return_value is None


def test_child_of_asyncios_task_group_has_no_parent(asyncio_backend: Any) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            info = await group.create_task(describe())
        assert info.parent_id is None

    asyncio_backend.run(main)


@pytest.mark.parametrize("use_uvloop", [False, True])
def test_child_of_anyios_task_group_has_no_parent_on_asyncio(use_uvloop: bool) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as group:
            handle = group.start_soon(describe)
            assert (await handle).parent_id is None

    anyio.run(main, backend_options={"use_uvloop": use_uvloop})


def test_child_of_a_nursery_has_the_task_of_the_nursery_as_its_parent() -> None:
    async def main() -> None:
        async def child() -> None:
            seen.append(await describe())

        seen: list[TaskInfo] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
        assert seen[0].parent_id == penstock.get_current_task().id

    trio.run(main)


def test_a_callback_of_the_event_loop_is_no_task(asyncio_backend: Any) -> None:
    async def main() -> None:
        penstock.current_time()  # a loop that penstock has not met is none, for callbacks
        ended = asyncio.get_running_loop().create_future()

        def callback() -> None:
            try:
                penstock.get_current_task()
            except RuntimeError as exc:
                ended.set_result(str(exc))

        asyncio.get_running_loop().call_soon(callback)
        assert await ended == "a callback of the event loop is no task"

    asyncio_backend.run(main)
