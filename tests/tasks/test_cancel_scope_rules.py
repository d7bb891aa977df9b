"""What a scope catches, what may be changed when, and misuse; the same on every event loop."""

from __future__ import annotations

import gc
import math
import traceback
import weakref
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

import penstock
from penstock.lowlevel import cancel_shielded_checkpoint, checkpoint


async def cancelled() -> BaseException:
    """Return a cancellation that the scopes around the caller have caused."""
    try:
        await checkpoint()
    except penstock.get_cancelled_exc_class() as exc:
        return exc
    raise AssertionError("there was no cancellation")


# -- changes, before, inside and after the block --------------------------------------------


async def test_deadline_and_shield_set_before_entry_hold_inside() -> None:
    scope = penstock.CancelScope()
    scope.deadline = -math.inf
    scope.shield = True
    assert scope.shield
    with penstock.CancelScope() as outer:
        outer.cancel()
        with scope:
            await penstock.sleep_forever()
        assert scope.cancelled_caught
        await checkpoint()
    assert outer.cancelled_caught


@pytest.mark.parametrize("deadline", [-math.inf, 0, -1.5])
async def test_deadline_that_has_passed_cancels_at_entry(deadline: float) -> None:
    with penstock.CancelScope(deadline=deadline) as scope:
        assert scope.cancel_called
        await penstock.sleep_forever()
    assert scope.cancelled_caught
    assert scope.deadline == deadline


async def test_deadline_set_to_minus_infinity_inside_cancels() -> None:
    with penstock.CancelScope() as scope:
        scope.deadline = -math.inf
        await penstock.sleep_forever()
    assert scope.cancelled_caught
    assert scope.deadline == -math.inf


async def test_deadline_far_beyond_any_timer_is_none() -> None:
    with penstock.move_on_after(1e300) as scope:
        await checkpoint()
    assert not scope.cancel_called


async def test_deadline_moved_after_the_cancellation_revokes_nothing() -> None:
    with penstock.CancelScope(deadline=-math.inf) as scope:
        assert isinstance(await cancelled(), penstock.get_cancelled_exc_class())
        scope.deadline = math.inf
        await penstock.sleep_forever()
    assert scope.cancelled_caught


async def test_changes_after_the_block_have_no_effect() -> None:
    with penstock.CancelScope() as outer:
        with penstock.CancelScope(shield=True) as scope:
            pass
        scope.deadline = -math.inf
        scope.shield = False
        await checkpoint()
        scope.cancel()
        await checkpoint()
    assert scope.cancel_called
    assert not scope.cancelled_caught
    assert not outer.cancel_called


async def test_passed_deadline_is_seen_without_a_wait() -> None:
    with penstock.CancelScope(deadline=penstock.current_time() + 0.005) as scope:
        while not scope.cancel_called:
            pass
        await penstock.sleep_forever()
    assert scope.cancelled_caught


async def test_deadline_that_passes_after_the_block_cancels_nothing() -> None:
    with penstock.CancelScope(deadline=penstock.current_time() + 0.005) as scope:
        pass
    await penstock.sleep_until(scope.deadline + 0.005)
    assert not scope.cancel_called


async def test_shield_raised_between_cancellation_and_wait_keeps_it_out() -> None:
    with penstock.CancelScope() as outer, penstock.CancelScope() as inner:
        outer.cancel()
        inner.shield = True
        await penstock.sleep(0.002)
        reached = True
        inner.shield = False
        await penstock.sleep_forever()
    assert reached
    assert outer.cancelled_caught
    assert not inner.cancelled_caught


async def test_shield_of_the_cancelled_scope_itself_does_not_protect_from_it() -> None:
    with penstock.CancelScope(shield=True) as scope:
        scope.cancel()
        await penstock.sleep_forever()
    assert scope.cancelled_caught


@pytest.mark.parametrize("deadline", ["soon", None, 1j, []])
async def test_deadline_of_another_type_is_refused_before_anything_happens(deadline: Any) -> None:
    with pytest.raises(TypeError):
        penstock.CancelScope(deadline=deadline)
    with penstock.CancelScope(deadline=math.inf) as scope:
        with pytest.raises((TypeError, ValueError)):
            scope.deadline = deadline
        await checkpoint()
    assert scope.deadline == math.inf


async def test_nan_is_refused_before_anything_happens() -> None:
    for make in (
        lambda: penstock.CancelScope(deadline=math.nan),
        lambda: penstock.move_on_at(math.nan),
        lambda: penstock.move_on_after(math.nan),
        lambda: penstock.fail_at(math.nan),
    ):
        with pytest.raises(ValueError, match=r"^deadline must not be NaN"):
            make()
    with penstock.move_on_after(3600) as scope:
        before = scope.deadline
        with pytest.raises(ValueError, match=r"^deadline must not be NaN"):
            scope.deadline = math.nan
        assert scope.deadline == before
        await checkpoint()


# -- what is caught -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outer_cancelled", "inner_cancelled", "inner_shielded"), [*product([False, True], repeat=3)]
)
async def test_scope_catches_what_no_cancelled_scope_around_it_wants(
    outer_cancelled: bool, inner_cancelled: bool, inner_shielded: bool
) -> None:
    interrupted = went_on = False
    with penstock.CancelScope() as outer:
        with penstock.CancelScope(shield=inner_shielded) as inner:
            if outer_cancelled:
                outer.cancel()
            if inner_cancelled:
                inner.cancel()
            try:
                await penstock.sleep(0.001)
            except penstock.get_cancelled_exc_class():
                interrupted = True
                raise
        went_on = True
        await checkpoint()
    visible = outer_cancelled and not inner_shielded
    assert interrupted == (inner_cancelled or visible)
    assert inner.cancelled_caught == (inner_cancelled and not visible)
    assert went_on == (not visible)
    assert outer.cancelled_caught == outer_cancelled


async def test_shield_lowered_before_the_exit_leaves_the_cancellation_to_the_outer_scope() -> None:
    with penstock.CancelScope() as outer:
        with penstock.CancelScope(shield=True) as inner:
            outer.cancel()
            inner.cancel()
            try:
                await penstock.sleep_forever()
            finally:
                inner.shield = False
    assert outer.cancelled_caught
    assert not inner.cancelled_caught


async def test_outer_scope_cancelled_while_the_inner_one_unwinds_catches() -> None:
    with penstock.CancelScope() as outer:
        with penstock.CancelScope() as inner:
            inner.cancel()
            try:
                await penstock.sleep_forever()
            finally:
                outer.cancel()
        pytest.fail("the inner scope has caught it")
    assert outer.cancelled_caught
    assert not inner.cancelled_caught


async def test_scope_cancelled_while_an_error_leaves_it_catches_nothing() -> None:
    with pytest.raises(KeyError), penstock.CancelScope() as scope:
        try:
            raise KeyError
        finally:
            scope.cancel()
    assert not scope.cancelled_caught
    await checkpoint()


async def test_error_that_follows_a_cancellation_is_let_through_with_it_as_context() -> None:
    with pytest.raises(KeyError) as raised, penstock.CancelScope() as scope:
        scope.cancel()
        try:
            await checkpoint()
        finally:
            raise KeyError
    assert isinstance(raised.value.__context__, penstock.get_cancelled_exc_class())
    assert not scope.cancelled_caught


async def test_cancellations_are_taken_out_of_a_group_and_the_rest_is_raised() -> None:
    error, other = ValueError("mine"), KeyError("mine too")
    with pytest.raises(BaseExceptionGroup) as raised:
        with penstock.CancelScope() as scope:
            scope.cancel()
            inner = BaseExceptionGroup("inner", [other, await cancelled()])
            raise BaseExceptionGroup("outer", [await cancelled(), error, inner])
    assert scope.cancelled_caught
    assert raised.value.message == "outer"
    assert raised.value.exceptions[0] is error
    rest = raised.value.exceptions[1]
    assert isinstance(rest, ExceptionGroup)
    assert rest.message == "inner"
    assert rest.exceptions == (other,)


@pytest.mark.parametrize("cause", [None, OSError("cause")])
async def test_rest_of_a_group_keeps_its_cause_its_context_and_its_notes(
    backend: Any, cause: OSError | None
) -> None:
    context = LookupError("context")
    with pytest.raises(ExceptionGroup) as raised, penstock.CancelScope() as scope:
        scope.cancel()
        group = BaseExceptionGroup("all", [await cancelled(), ValueError()])
        group.add_note("noted")
        try:
            raise context
        except LookupError:
            if cause is None:
                raise group  # noqa: B904
            raise group from cause
    assert raised.value.__cause__ is cause
    assert raised.value.__context__ is context
    if backend.name == "asyncio":  # Trio hides the context
        assert raised.value.__suppress_context__ == (cause is not None)
    assert raised.value.__notes__ == ["noted"]


async def test_group_without_cancellations_is_let_through() -> None:
    error = ValueError()
    with pytest.raises(ExceptionGroup) as raised, penstock.CancelScope() as scope:
        scope.cancel()
        raise ExceptionGroup("errors", [error])
    assert raised.value.exceptions == (error,)
    assert not scope.cancelled_caught


async def test_group_is_not_split_by_a_scope_that_catches_nothing() -> None:
    with penstock.CancelScope() as outer:
        outer.cancel()
        group = BaseExceptionGroup("all", [await cancelled(), ValueError()])
        with penstock.CancelScope(shield=True) as shielded:
            with pytest.raises(BaseExceptionGroup) as raised, penstock.CancelScope() as inner:
                raise group
            assert raised.value is group
        with pytest.raises(BaseExceptionGroup) as raised, penstock.CancelScope() as both:
            both.cancel()
            raise group
        assert raised.value is group
    assert not any(scope.cancelled_caught for scope in (outer, shielded, inner, both))


async def test_group_is_split_where_it_leaves_the_outermost_cancelled_scope() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        with penstock.CancelScope() as outer:
            with penstock.CancelScope() as inner:
                inner.cancel()
                outer.cancel()
                raise BaseExceptionGroup("all", [await cancelled(), ValueError()])
    assert [type(exc) for exc in raised.value.exceptions] == [ValueError]
    assert outer.cancelled_caught
    assert not inner.cancelled_caught


async def test_group_of_a_child_loses_its_cancellations_in_its_task_group() -> None:
    async def child() -> None:
        try:
            await penstock.sleep_forever()
        except penstock.get_cancelled_exc_class() as exc:
            raise BaseExceptionGroup("child", [exc, ValueError()]) from None

    with pytest.raises(ExceptionGroup) as raised:
        async with penstock.create_task_group() as tg:
            tg.start_soon(child)
            await penstock.wait_all_tasks_blocked()
            tg.cancel_scope.cancel()
    (group,) = raised.value.exceptions
    assert isinstance(group, ExceptionGroup)
    assert [type(exc) for exc in group.exceptions] == [ValueError]


async def test_cancellation_names_the_reason_of_a_deadline() -> None:
    with penstock.move_on_after(-1) as scope:
        assert "deadline" in str(await cancelled())
    assert scope.cancel_called


async def test_first_reason_stays() -> None:
    with penstock.CancelScope() as scope:
        scope.cancel("first")
        scope.cancel("second")
        assert "first" in str(await cancelled())


# -- misuse ---------------------------------------------------------------------------------


async def test_scope_left_without_having_been_entered_is_an_error(backend: Any) -> None:
    text = "not active" if backend.name == "asyncio" else "already been exited"
    with pytest.raises(RuntimeError, match=text):
        penstock.CancelScope().__exit__(None, None, None)
    await checkpoint()


async def test_scope_entered_inside_itself_is_an_error() -> None:
    with penstock.CancelScope() as scope:
        with pytest.raises(RuntimeError, match="may only be used for a single 'with' block"):
            scope.__enter__()
        scope.cancel()
        await penstock.sleep_forever()
    assert scope.cancelled_caught


async def test_scopes_left_in_the_wrong_order_do_not_trouble_what_comes_after() -> None:
    outer, inner = penstock.CancelScope(), penstock.CancelScope()
    outer.__enter__()
    inner.__enter__()
    with pytest.raises(RuntimeError, match=r"ancel scope"):
        outer.__exit__(None, None, None)
    inner.__exit__(None, None, None)
    with penstock.move_on_after(0) as scope:
        await penstock.sleep_forever()
    assert scope.cancelled_caught
    await checkpoint()


async def test_scope_needs_no_reference_to_be_watched_from_afar() -> None:
    scope = penstock.CancelScope()
    assert weakref.ref(scope)() is scope


# -- what is left behind --------------------------------------------------------------------


async def leave_quietly() -> None:
    with penstock.move_on_after(5), penstock.CancelScope(shield=True):
        pass


async def leave_cancelled() -> None:
    with penstock.CancelScope() as outer, penstock.CancelScope():
        outer.cancel()
        await penstock.sleep_forever()


async def leave_by_deadline() -> None:
    with penstock.move_on_after(0.001):
        await penstock.sleep_forever()


async def leave_by_timeout() -> None:
    try:
        with penstock.fail_after(0.001):
            await penstock.sleep_forever()
    except TimeoutError:
        pass


async def leave_with_an_error() -> None:
    try:
        with penstock.CancelScope() as scope:
            scope.cancel()
            raise ValueError
    except ValueError:
        pass


async def leave_with_a_group() -> None:
    try:
        with penstock.CancelScope() as scope:
            scope.cancel()
            try:
                await checkpoint()
            except penstock.get_cancelled_exc_class() as exc:
                raise BaseExceptionGroup("all", [exc, ValueError()]) from None
    except ExceptionGroup:
        pass


async def leave_a_task_with_a_group() -> None:
    async def child() -> None:
        await checkpoint()  # the frames that start an eager task refer to it: asyncio's own cycle
        with penstock.CancelScope() as scope:
            scope.cancel()
            raise BaseExceptionGroup("all", [await cancelled(), ValueError()])

    try:
        async with penstock.create_task_group() as tg:
            tg.start_soon(child)
    except ExceptionGroup:
        pass


async def leave_deaf() -> None:
    with penstock.CancelScope() as scope:
        scope.cancel()
        for _ in range(70):
            try:
                await penstock.sleep_forever()
            except penstock.get_cancelled_exc_class():
                pass


@pytest.mark.parametrize(
    "leave",
    [
        leave_quietly,
        leave_cancelled,
        leave_by_deadline,
        leave_by_timeout,
        leave_with_an_error,
        leave_with_a_group,
        leave_a_task_with_a_group,
        leave_deaf,
    ],
)
def test_no_way_of_leaving_a_scope_leaves_a_reference_cycle(
    backend: Any, leave: Callable[[], Any]
) -> None:
    async def main() -> list[object]:
        await leave()  # imports and caches what it needs
        for _ in range(3):
            await cancel_shielded_checkpoint()
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await leave()
            for _ in range(3):
                await cancel_shielded_checkpoint()
            gc.collect()
            return [thing for thing in gc.garbage if is_ours(thing)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

    assert backend.run(main) == []


def is_ours(thing: object) -> bool:
    """Whether a scope or an exception was found in a cycle: the rest is the event loop's."""
    return isinstance(thing, BaseException) or type(thing).__module__.startswith("penstock")


async def test_tracebacks_do_not_grow_with_the_nesting_of_scopes() -> None:
    async def fail(depth: int) -> None:
        if depth == 0:
            raise KeyError
        with penstock.CancelScope(), penstock.move_on_after(5), penstock.fail_after(5):
            await fail(depth - 1)

    with pytest.raises(KeyError) as raised:
        await fail(7)
    frames = traceback.extract_tb(raised.value.__traceback__)
    assert len(frames) == 1 + 8
    assert {frame.name for frame in frames[1:]} == {"fail"}


async def test_traceback_of_a_split_group_grows_once() -> None:
    lengths = []
    for depth in (1, 9):

        async def fail(depth: int) -> None:
            with penstock.CancelScope() as scope:
                scope.cancel()
                if depth == 0:
                    raise BaseExceptionGroup("all", [await cancelled(), KeyError()])
                await fail(depth - 1)

        with pytest.raises(ExceptionGroup) as raised:
            await fail(depth)
        lengths.append(len(traceback.extract_tb(raised.value.__traceback__)) - depth)
    assert lengths[0] == lengths[1]
