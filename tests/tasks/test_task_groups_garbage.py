"""What task groups leave behind: no reference cycles, no growing tracebacks."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any

import pytest

import penstock
from penstock import TaskFailed, TaskHandle
from penstock.abc import CancelScope, TaskGroup, TaskStatus
from penstock.lowlevel import cancel_shielded_checkpoint, checkpoint


class Mine(Exception):
    pass


async def throw_later() -> None:
    await checkpoint()
    raise Mine


async def throw_at_the_end() -> None:
    try:
        await penstock.sleep_forever()
    finally:
        raise Mine


async def throw_before_it_is_up(*, task_status: TaskStatus[None]) -> None:
    await checkpoint()
    raise Mine


async def throw_when_it_is_up(*, task_status: TaskStatus[None]) -> None:
    await checkpoint()
    task_status.started()
    await checkpoint()
    raise Mine


async def sleep_before_it_is_up(*, task_status: TaskStatus[None]) -> None:
    await penstock.sleep_forever()


async def nothing() -> None:
    async with penstock.create_task_group() as tg:
        tg.start_soon(checkpoint)


async def child_fails() -> None:
    try:
        async with penstock.create_task_group() as tg:
            tg.start_soon(throw_later)
            await penstock.sleep_forever()
    except* Mine:
        pass


async def children_fail() -> None:
    try:
        async with penstock.create_task_group() as tg:
            handles = [tg.start_soon(throw_at_the_end) for _ in range(3)]
            await penstock.wait_all_tasks_blocked()
            handles[0].cancel()
    except* Mine:
        pass


async def block_fails() -> None:
    try:
        async with penstock.create_task_group() as tg:
            handle = tg.start_soon(checkpoint)
            if not handle.name:
                return
            raise Mine
    except* Mine:
        pass


async def block_and_child_fail() -> None:
    try:
        async with penstock.create_task_group() as tg:
            tg.start_soon(throw_at_the_end)
            await penstock.wait_all_tasks_blocked()
            raise Mine
    except* Mine:
        pass


async def nested_groups_fail() -> None:
    try:
        async with penstock.create_task_group(), penstock.create_task_group():
            async with penstock.create_task_group() as tg:
                tg.start_soon(throw_later)
                await penstock.sleep_forever()
    except* Mine:
        pass


async def group_cancelled() -> None:
    with penstock.move_on_after(0.001):
        async with penstock.create_task_group() as tg:
            tg.start_soon(penstock.sleep_forever)


async def block_cancelled() -> None:
    async with penstock.create_task_group() as tg:
        tg.start_soon(penstock.sleep_forever)
        tg.cancel()
        await penstock.sleep_forever()


async def nested_groups_cancelled() -> None:
    with penstock.move_on_after(0.001):
        async with penstock.create_task_group() as outer:
            outer.start_soon(penstock.sleep_forever)
            async with penstock.create_task_group() as tg:
                tg.start_soon(penstock.sleep_forever)
                await penstock.sleep_forever()


async def group_cancelled_with_errors() -> None:
    with penstock.move_on_after(0.001):
        try:
            async with penstock.create_task_group() as tg:
                tg.start_soon(throw_at_the_end)
                tg.start_soon(penstock.sleep_forever)
                await penstock.sleep_forever()
        except* Mine:
            pass


async def group_of_cancellations() -> None:
    async with penstock.create_task_group() as tg:
        tg.cancel()
        try:
            await penstock.sleep_forever()
        except penstock.get_cancelled_exc_class() as exc:
            raise BaseExceptionGroup("mine", [exc]) from None


async def child_cancelled_at_entry() -> None:
    async with penstock.create_task_group() as tg:
        tg.cancel_scope.cancel()
        tg.start_soon(wait_late)


async def wait_late() -> None:
    await cancel_shielded_checkpoint()  # in the first step of an eager task CPython makes one
    await penstock.sleep_forever()


async def child_cancelled_alone() -> None:
    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(penstock.sleep_forever)
        await penstock.wait_all_tasks_blocked()
        handle.cancel()
        with pytest.raises(TaskFailed):
            await handle


async def failed_handle_awaited() -> None:
    try:
        async with penstock.create_task_group() as tg:
            handle = tg.start_soon(throw_later)
            with penstock.CancelScope(shield=True):
                try:
                    await handle
                except TaskFailed:
                    pass
    except* Mine:
        pass


async def task_failed_leaves() -> None:
    try:
        async with penstock.create_task_group() as tg:
            handle = tg.start_soon(throw_later)
            with penstock.CancelScope(shield=True):
                await handle
    except* (Mine, TaskFailed):
        pass


async def wait_cancelled() -> None:
    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(penstock.sleep_forever)
        with penstock.move_on_after(0.001):
            await handle
        tg.cancel()


async def start_fails() -> None:
    async with penstock.create_task_group() as tg:
        try:
            await tg.start(throw_before_it_is_up)
        except Mine:
            pass


async def start_fails_and_the_group() -> None:
    try:
        async with penstock.create_task_group() as tg:
            await tg.start(throw_before_it_is_up)
    except* Mine:
        pass


async def started_child_fails() -> None:
    try:
        async with penstock.create_task_group() as tg:
            handle = await tg.start(throw_when_it_is_up, return_handle=True)
            await handle.wait()
    except* Mine:
        pass


async def start_ends_early() -> None:
    async def child(*, task_status: TaskStatus[None]) -> None:
        pass

    async with penstock.create_task_group() as tg:
        try:
            await tg.start(child)
        except RuntimeError:
            pass


async def start_of_no_coroutine() -> None:
    def child(*, task_status: TaskStatus[None]) -> Any:
        pass

    async with penstock.create_task_group() as tg:
        try:
            await tg.start(child)
        except TypeError:
            pass


async def start_cancelled() -> None:
    async with penstock.create_task_group() as tg:
        with penstock.move_on_after(0.001):
            await tg.start(sleep_before_it_is_up)


async def start_cancelled_with_an_error() -> None:
    async def child(*, task_status: TaskStatus[None]) -> None:
        await throw_at_the_end()

    async with penstock.create_task_group() as tg:
        try:
            with penstock.move_on_after(0.001):
                await tg.start(child)
        except Mine:
            pass


async def inactive() -> None:
    tg = penstock.create_task_group()
    try:
        tg.create_task(checkpoint())
    except RuntimeError:
        pass


SCENARIOS = [
    nothing,
    child_fails,
    children_fail,
    block_fails,
    block_and_child_fail,
    nested_groups_fail,
    group_cancelled,
    block_cancelled,
    nested_groups_cancelled,
    group_cancelled_with_errors,
    group_of_cancellations,
    child_cancelled_at_entry,
    child_cancelled_alone,
    failed_handle_awaited,
    task_failed_leaves,
    wait_cancelled,
    start_fails,
    start_fails_and_the_group,
    started_child_fails,
    start_ends_early,
    start_of_no_coroutine,
    start_cancelled,
    start_cancelled_with_an_error,
    inactive,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_no_reference_cycle_is_left(scenario: Callable[[], Awaitable[None]]) -> None:
    await scenario()  # once for what is made on first use
    await checkpoint()
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await scenario()
        await checkpoint()
        gc.collect()
        ours = (BaseException, TaskGroup, TaskHandle, CancelScope)
        found = [item for item in gc.garbage if isinstance(item, ours)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert found == []


def traceback(exc: BaseException) -> Iterator[TracebackType]:
    tb = exc.__traceback__
    while tb is not None:
        yield tb
        tb = tb.tb_next


def tree(exc: BaseException) -> Iterator[BaseException]:
    yield exc
    if isinstance(exc, BaseExceptionGroup):
        for member in exc.exceptions:
            yield from tree(member)


def contexts(exc: BaseException) -> int:
    count = 0
    context = exc.__context__
    while context is not None:
        count += 1
        context = context.__context__
    return count


async def nest(depth: int, innermost: Callable[[], Awaitable[None]]) -> None:
    """Run ``innermost`` in the block of groups that lie ``depth`` deep in each other."""
    if depth == 0:
        await innermost()
        return
    async with penstock.create_task_group():
        await nest(depth - 1, innermost)


async def nest_children(depth: int, innermost: Callable[[], Awaitable[None]]) -> None:
    """Run ``innermost`` in the child of a child of a child."""
    if depth == 0:
        await innermost()
        return
    async with penstock.create_task_group() as tg:
        tg.start_soon(nest_children, depth - 1, innermost)


@pytest.mark.parametrize("nesting", [nest, nest_children])
@pytest.mark.parametrize("depth", [1, 10, 50])
async def test_tracebacks_of_errors_do_not_grow_with_nesting(nesting: Any, depth: int) -> None:
    with pytest.raises(BaseExceptionGroup) as raised:
        await nesting(depth, throw_later)
    levels = list(tree(raised.value))
    assert len(levels) == depth + 1
    assert isinstance(levels[-1], Mine)
    # At each level: the frames of this library and of the block.
    assert max(len(list(traceback(level))) for level in levels[1:]) <= 5
    assert [contexts(level) for level in levels] == [0] * len(levels)


@pytest.mark.parametrize("nesting", [nest, nest_children])
@pytest.mark.parametrize("depth", [1, 10, 50])
async def test_cancellation_grows_by_a_few_frames_at_each_level(nesting: Any, depth: int) -> None:
    seen = []

    async def see() -> None:
        try:
            await nesting(depth, penstock.sleep_forever)
        except BaseException as exc:
            seen.append((type(exc), contexts(exc), len(list(traceback(exc)))))
            raise

    with penstock.CancelScope() as scope:
        async with penstock.create_task_group() as tg:
            tg.start_soon(see)
            await penstock.wait_all_tasks_blocked()
            scope.cancel()
    [(kind, chain, frames)] = seen
    assert kind is penstock.get_cancelled_exc_class()
    assert chain == 0
    assert frames <= 7 * (depth + 1)


async def test_error_keeps_the_context_that_it_was_raised_in() -> None:
    with pytest.RaisesGroup(Mine) as raised:
        try:
            raise KeyError
        except KeyError:
            async with penstock.create_task_group() as tg:
                tg.start_soon(throw_later)
    assert isinstance(raised.value.__context__, KeyError)
    assert raised.value.exceptions[0].__context__ is None
