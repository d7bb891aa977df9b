"""Cancel scopes and timeouts, as every event loop has to offer them."""

import math
from typing import Any

import pytest

import penstock
from penstock.lowlevel import cancel_shielded_checkpoint, checkpoint, checkpoint_if_cancelled


async def wait_and_note(notes: list[str], note: str) -> None:
    try:
        await penstock.sleep_forever()
    except penstock.get_cancelled_exc_class():
        notes.append(note)
        raise


async def test_scope_cancelled_ends_its_wait_and_catches() -> None:
    with penstock.CancelScope() as scope:
        scope.cancel()
        await penstock.sleep_forever()
    assert scope.cancel_called
    assert scope.cancelled_caught


async def test_scope_not_cancelled_catches_nothing() -> None:
    with penstock.CancelScope() as scope:
        await checkpoint()
    assert not scope.cancel_called
    assert not scope.cancelled_caught


async def test_scope_cancelled_without_a_wait_catches_nothing() -> None:
    with penstock.CancelScope() as scope:
        scope.cancel()
    assert scope.cancel_called
    assert not scope.cancelled_caught


async def test_scope_cancelled_before_entry_cancels_the_first_wait() -> None:
    scope = penstock.CancelScope()
    scope.cancel()
    with scope:
        await penstock.sleep_forever()
    assert scope.cancelled_caught


async def test_scope_lets_other_exceptions_through() -> None:
    with pytest.raises(ValueError, match="mine"), penstock.CancelScope() as scope:
        scope.cancel()
        raise ValueError("mine")
    assert not scope.cancelled_caught


async def test_scope_cancelled_twice_is_cancelled_once() -> None:
    with penstock.CancelScope() as scope:
        scope.cancel()
        scope.cancel("again")
        await penstock.sleep_forever()
    await checkpoint()


async def test_scope_used_twice_raises() -> None:
    scope = penstock.CancelScope()
    with scope:
        pass
    with pytest.raises(RuntimeError), scope:
        pass
    await checkpoint()


async def test_scope_is_an_instance_of_the_public_class() -> None:
    scope = penstock.CancelScope()
    assert isinstance(scope, penstock.CancelScope)
    assert isinstance(scope, penstock.abc.CancelScope)


async def test_scope_exited_before_an_inner_one_raises() -> None:
    outer, inner = penstock.CancelScope(), penstock.CancelScope()
    outer.__enter__()
    inner.__enter__()
    with pytest.raises(RuntimeError):
        outer.__exit__(None, None, None)
    with pytest.raises(RuntimeError):
        outer.__exit__(None, None, None)


async def test_scope_exited_in_another_task_raises() -> None:
    scope = penstock.CancelScope()

    async def enter() -> None:
        scope.__enter__()

    async def leave() -> None:
        with pytest.raises(RuntimeError):
            scope.__exit__(None, None, None)

    try:
        async with penstock.create_task_group() as tg:
            tg.start_soon(enter)
            await penstock.wait_all_tasks_blocked()
            with penstock.CancelScope(shield=True):
                await tg.start_soon(leave)
    except* RuntimeError:
        pass  # Trio notices the end of the task that has entered, too


async def test_cancellation_is_level_triggered() -> None:
    caught = 0
    with penstock.CancelScope() as scope:
        scope.cancel()
        for _ in range(3):
            try:
                await penstock.sleep_forever()
            except penstock.get_cancelled_exc_class():
                caught += 1
        await penstock.sleep_forever()
    assert caught == 3
    assert scope.cancelled_caught


async def test_cancellation_swallowed_in_a_loop_comes_back() -> None:
    caught = 0
    event = penstock.Event()
    with penstock.CancelScope() as scope:
        while caught < 12:
            try:
                scope.cancel()
                await event.wait()
            except penstock.get_cancelled_exc_class():
                caught += 1
    assert not scope.cancelled_caught
    await checkpoint()


@pytest.mark.parametrize("operation", ["checkpoint", "checkpoint_if_cancelled", "event", "sleep"])
async def test_pending_cancellation_is_noticed_at_entry(operation: str) -> None:
    event = penstock.Event()
    event.set()
    operations = {
        "checkpoint": checkpoint,
        "checkpoint_if_cancelled": checkpoint_if_cancelled,
        "event": event.wait,
        "sleep": lambda: penstock.sleep(0),
    }
    with penstock.CancelScope() as scope:
        scope.cancel()
        await operations[operation]()
        pytest.fail("the cancellation was not noticed")
    assert scope.cancelled_caught


async def test_pending_cancellation_is_not_noticed_by_a_shielded_checkpoint() -> None:
    with penstock.CancelScope() as scope:
        scope.cancel()
        await cancel_shielded_checkpoint()
        reached = True
        await checkpoint()
    assert reached
    assert scope.cancelled_caught


async def test_passed_deadline_is_noticed_by_a_ready_operation() -> None:
    event = penstock.Event()
    event.set()
    with penstock.move_on_after(0) as scope:
        await event.wait()
        pytest.fail("the deadline was not noticed")
    assert scope.cancelled_caught


async def test_outermost_cancelled_scope_catches() -> None:
    with penstock.CancelScope() as outer:
        with penstock.CancelScope() as inner:
            inner.cancel()
            outer.cancel()
            await penstock.sleep_forever()
        pytest.fail("the inner scope has caught it")
    assert outer.cancelled_caught
    assert not inner.cancelled_caught


async def test_inner_cancelled_scope_catches_while_the_outer_is_not_cancelled() -> None:
    with penstock.CancelScope() as outer:
        with penstock.CancelScope() as inner:
            inner.cancel()
            await penstock.sleep_forever()
        await checkpoint()
    assert inner.cancelled_caught
    assert not outer.cancelled_caught


async def test_inner_cancelled_and_shielded_scope_catches_its_own() -> None:
    with penstock.CancelScope() as outer:
        outer.cancel()
        with penstock.CancelScope(shield=True) as inner:
            inner.cancel()
            await penstock.sleep_forever()
        reached = True
        await penstock.sleep_forever()
    assert inner.cancelled_caught
    assert reached
    assert outer.cancelled_caught


async def test_shield_keeps_the_outer_cancellation_out() -> None:
    with penstock.CancelScope() as outer:
        outer.cancel()
        with penstock.CancelScope(shield=True) as inner:
            await penstock.sleep(0.01)
            await checkpoint()
            reached = True
        await penstock.sleep_forever()
    assert reached
    assert not inner.cancelled_caught
    assert outer.cancelled_caught


async def test_shield_lowered_lets_the_cancellation_in() -> None:
    with penstock.CancelScope() as outer, penstock.CancelScope(shield=True) as inner:
        outer.cancel()
        await checkpoint()
        was_shielded = inner.shield
        inner.shield = False
        await penstock.sleep_forever()
    assert was_shielded
    assert outer.cancelled_caught


async def test_shield_lowered_by_another_task_lets_the_cancellation_in() -> None:
    shield = penstock.CancelScope(shield=True)
    notes: list[str] = []

    async def shielded() -> None:
        with shield:
            await wait_and_note(notes, "inside")

    async with penstock.create_task_group() as tg:
        tg.start_soon(shielded)
        await penstock.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
        with penstock.CancelScope(shield=True):
            await penstock.wait_all_tasks_blocked()
            assert notes == []
            shield.shield = False
            await penstock.wait_all_tasks_blocked()
        assert notes == ["inside"]


async def test_shield_raised_keeps_the_cancellation_out() -> None:
    with penstock.CancelScope() as outer:
        outer.cancel()
        with penstock.CancelScope() as inner:
            inner.shield = True
            await penstock.sleep(0.001)
            reached = True
            inner.shield = False
            await penstock.sleep_forever()
    assert reached
    assert outer.cancelled_caught


async def test_deadline_cancels_the_scope() -> None:
    start = penstock.current_time()
    with penstock.CancelScope(deadline=start + 0.02) as scope:
        assert scope.deadline == start + 0.02
        await penstock.sleep_forever()
    assert scope.cancelled_caught
    assert 0.018 < penstock.current_time() - start < 5


async def test_deadline_moved_forward_cancels_earlier() -> None:
    with penstock.CancelScope(deadline=penstock.current_time() + 3600) as scope:
        scope.deadline = penstock.current_time() + 0.01
        await penstock.sleep_forever()
    assert scope.cancelled_caught


async def test_deadline_moved_back_cancels_later() -> None:
    with penstock.CancelScope(deadline=penstock.current_time() + 0.01) as scope:
        scope.deadline = math.inf
        await penstock.sleep(0.03)
    assert not scope.cancel_called


async def test_deadline_set_into_the_past_cancels() -> None:
    with penstock.CancelScope() as scope:
        scope.deadline = penstock.current_time() - 1
        await penstock.sleep_forever()
    assert scope.cancelled_caught


async def test_deadline_of_a_left_scope_cancels_nothing() -> None:
    with penstock.move_on_after(0.01) as scope:
        pass
    await penstock.sleep(0.03)
    assert not scope.cancelled_caught


async def test_many_deadlines_pass_in_their_order() -> None:
    order: list[int] = []

    async def timed(number: int) -> None:
        with penstock.move_on_after(number / 25):
            await penstock.sleep_forever()
        order.append(number)

    async with penstock.create_task_group() as tg:
        for number in (3, 5, 1, 4, 2):
            tg.start_soon(timed, number)
    assert order == [1, 2, 3, 4, 5]


async def test_move_on_after_none_never_moves_on() -> None:
    with penstock.move_on_after(None) as scope:
        await checkpoint()
    assert scope.deadline == math.inf
    assert not scope.shield


async def test_move_on_after_counts_from_the_call() -> None:
    scope = penstock.move_on_after(0.01)
    await penstock.sleep(0.02)
    with scope:
        await checkpoint()
        pytest.fail("its time had passed")
    assert scope.cancelled_caught


async def test_move_on_at_moves_on() -> None:
    with penstock.move_on_at(penstock.current_time() + 0.01) as scope:
        await penstock.sleep_forever()
    assert scope.cancelled_caught


async def test_fail_after_raises_when_its_time_has_passed() -> None:
    with pytest.raises(TimeoutError, match="too slow"):
        with penstock.fail_after(0.01, reason="too slow") as scope:
            await penstock.sleep_forever()
    assert scope.cancelled_caught


async def test_fail_after_counts_from_the_entry() -> None:
    timeout = penstock.fail_after(0.05)
    await penstock.sleep(0.06)
    with timeout:
        await checkpoint()


async def test_fail_after_cancelled_by_call_does_not_raise() -> None:
    with penstock.fail_after(60) as scope:
        scope.cancel()
        await penstock.sleep_forever()
    assert scope.cancelled_caught


async def test_fail_at_raises_when_its_time_has_passed() -> None:
    with pytest.raises(TimeoutError), penstock.fail_at(penstock.current_time() + 0.01):
        await penstock.sleep_forever()


async def test_fail_after_inside_a_cancelled_scope_lets_the_outer_one_catch() -> None:
    with penstock.CancelScope() as outer:
        outer.cancel()
        with penstock.fail_after(0):
            await penstock.sleep_forever()
    assert outer.cancelled_caught


async def test_cancellation_reaches_only_the_tasks_inside() -> None:
    notes: list[str] = []

    async def scoped(scope: penstock.abc.CancelScope, note: str) -> None:
        with scope:
            await wait_and_note(notes, note)

    first, second = penstock.CancelScope(), penstock.CancelScope()
    async with penstock.create_task_group() as tg:
        tg.start_soon(scoped, first, "first")
        tg.start_soon(scoped, second, "second")
        await penstock.wait_all_tasks_blocked()
        first.cancel()
        await penstock.wait_all_tasks_blocked()
        assert notes == ["first"]
        second.cancel()


async def test_cancellation_reaches_nested_groups_but_not_behind_a_shield() -> None:
    notes: list[str] = []
    shield = penstock.CancelScope(shield=True)

    async def nested(depth: int) -> None:
        async with penstock.create_task_group() as tg:
            if depth:
                tg.start_soon(nested, depth - 1)
            await wait_and_note(notes, "open")

    async def behind() -> None:
        with shield:
            async with penstock.create_task_group() as tg:
                tg.start_soon(wait_and_note, notes, "shielded child")
                await wait_and_note(notes, "shielded host")

    async with penstock.create_task_group() as tg:
        tg.start_soon(nested, 3)
        tg.start_soon(behind)
        await penstock.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
        with penstock.CancelScope(shield=True):
            await penstock.wait_all_tasks_blocked()
            assert notes == ["open"] * 4
            shield.cancel()
    assert sorted(notes[4:]) == ["shielded child", "shielded host"]


async def test_finished_wait_is_not_cancelled() -> None:
    event = penstock.Event()
    seen = False

    async def waiter(scope: penstock.abc.CancelScope) -> None:
        nonlocal seen
        with scope:
            await event.wait()
            seen = True
            await checkpoint()

    scope = penstock.CancelScope()
    async with penstock.create_task_group() as tg:
        tg.start_soon(waiter, scope)
        await penstock.wait_all_tasks_blocked()
        event.set()
        scope.cancel()
    assert seen
    assert scope.cancelled_caught


async def test_wait_cancelled_before_its_end_is_cancelled() -> None:
    event = penstock.Event()

    async def waiter(scope: penstock.abc.CancelScope) -> None:
        with scope:
            await event.wait()
            pytest.fail("the cancellation came first")

    scope = penstock.CancelScope()
    async with penstock.create_task_group() as tg:
        tg.start_soon(waiter, scope)
        await penstock.wait_all_tasks_blocked()
        scope.cancel()
        event.set()
    assert scope.cancelled_caught


async def test_cancelled_exception_names_the_reason() -> None:
    with penstock.CancelScope() as scope:
        scope.cancel("lunch")
        with pytest.raises(penstock.get_cancelled_exc_class(), match="lunch"):
            await checkpoint()


async def test_group_of_cancellations_is_caught() -> None:
    with penstock.CancelScope() as scope:
        scope.cancel()
        try:
            await checkpoint()
        except penstock.get_cancelled_exc_class() as exc:
            raise BaseExceptionGroup("all", [exc]) from None
    assert scope.cancelled_caught


async def test_ready_operations_go_ahead_after_a_cancelled_scope_was_left() -> None:
    event = penstock.Event()
    event.set()
    with penstock.CancelScope() as scope:
        scope.cancel()
        await penstock.sleep_forever()
    for _ in range(200):
        await event.wait()


async def test_deadline_that_is_no_time_is_refused(backend: Any) -> None:
    with pytest.raises(ValueError, match="NaN"):
        penstock.CancelScope(deadline=math.nan)
    scope = penstock.CancelScope()
    with pytest.raises(ValueError, match="NaN"):
        scope.deadline = math.nan


async def test_deadline_of_another_type_leaves_no_scope_behind(backend: Any) -> None:
    with pytest.raises((TypeError, ValueError)), penstock.CancelScope(deadline="soon"):  # type: ignore[arg-type]
        pass
    with penstock.move_on_after(0.01) as scope:
        await penstock.sleep_forever()
    assert scope.cancelled_caught


async def test_only_scopes_are_instances_of_the_classes_of_scopes() -> None:
    scope = penstock.CancelScope()
    for cls in (penstock.CancelScope, penstock.abc.CancelScope):
        assert isinstance(scope, cls)
        assert not isinstance(object(), cls)
