"""asyncio's own cancellation keeps its exact meaning around and inside penstock's scopes.

Every program here runs twice and leaves the same notes: once with asyncio alone, once with scopes
of penstock in the places that it has for one.  The notes hold ``task.cancelling()`` at each step.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import permutations
from typing import Any, Self

import pytest

import penstock
from penstock.lowlevel import checkpoint


@pytest.fixture
def backend(asyncio_backend: Any) -> Any:
    return asyncio_backend


Scope = Callable[[], AbstractContextManager[Any]]


def this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


class Notes(list[Any]):
    """What happened, in order, with the count of cancellation requests at that time."""

    def add(self, what: str) -> None:
        self.append((what, this_task().cancelling()))

    @contextmanager
    def noting(self, where: str) -> Iterator[None]:
        """Note how a block is left; let nothing out of it."""
        try:
            yield
        except BaseException as exc:
            self.add(f"{where}: {describe(exc)}")
        else:
            self.add(f"{where}: left")


def describe(exc: BaseException) -> str:
    """Tell what an exception is, but for the text that only scopes of penstock's give it."""
    if isinstance(exc, BaseExceptionGroup):
        return f"{type(exc).__name__}({', '.join(map(describe, exc.exceptions))})"
    args = tuple(arg for arg in exc.args if not str(arg).startswith("cancelled by cancel scope"))
    return f"{type(exc).__name__}{args}"


def soon(*calls: Callable[[], object]) -> None:
    """Make all calls between two steps of the current task, in one turn of the event loop."""

    def all_of_them() -> None:
        for call in calls:
            call()

    asyncio.get_running_loop().call_soon(all_of_them)


async def fail(error: type[Exception] = ValueError) -> None:
    raise error


async def long() -> None:
    await asyncio.sleep(60)


# -- programs that cancel natively alone ----------------------------------------------------


async def cancelled_while_waiting(notes: Notes, scope: Scope) -> None:
    soon(partial(this_task().cancel, "why"))
    with notes.noting("outside"):
        with scope():
            with notes.noting("inside"):
                with scope():
                    await long()
            await asyncio.sleep(0)
            soon(this_task().cancel)
            await long()


async def cancelled_before_the_wait(notes: Notes, scope: Scope) -> None:
    with notes.noting("block"):
        this_task().cancel("early")
        with scope():
            notes.add("entered")
            await long()
    await asyncio.sleep(0)


async def cancelled_and_left_without_a_wait(notes: Notes, scope: Scope) -> None:
    with notes.noting("block"), scope():
        this_task().cancel()
    with notes.noting("next wait"), scope():
        await asyncio.sleep(0)


async def cancelled_twice(notes: Notes, scope: Scope) -> None:
    soon(this_task().cancel, this_task().cancel)
    with notes.noting("block"), scope():
        await long()
    with notes.noting("next"), scope():
        await asyncio.sleep(0)


async def taken_back(notes: Notes, scope: Scope) -> None:
    soon(this_task().cancel)
    with scope():
        with notes.noting("block"), scope():
            await long()
        this_task().uncancel()
        notes.add("taken back")
        with notes.noting("timeout"):
            async with asyncio.timeout(0):
                await long()


async def taken_back_before_it_came(notes: Notes, scope: Scope) -> None:
    with notes.noting("block"), scope():
        this_task().cancel()
        this_task().uncancel()
        await asyncio.sleep(0)


async def timeout_around(notes: Notes, scope: Scope) -> None:
    with notes.noting("timeout"):
        async with asyncio.timeout(0):
            with scope(), notes.noting("block"):
                with scope():
                    await long()
            await asyncio.sleep(0)


async def timeout_inside(notes: Notes, scope: Scope) -> None:
    with scope(), notes.noting("timeout"):
        async with asyncio.timeout(0):
            with scope():
                await long()
    await asyncio.sleep(0)


async def timeout_around_a_timeout(notes: Notes, scope: Scope) -> None:
    with notes.noting("outer"):
        async with asyncio.timeout(None) as outer:
            with scope(), notes.noting("inner"):
                async with asyncio.timeout(None) as inner:
                    with scope():
                        now = asyncio.get_running_loop().time()
                        soon(partial(outer.reschedule, now - 1), partial(inner.reschedule, now - 1))
                        await long()


async def timeout_and_cancellation(notes: Notes, scope: Scope) -> None:
    task = this_task()
    with notes.noting("outside"):
        async with asyncio.timeout(0) as timeout:
            with scope(), notes.noting("block"):
                with scope():
                    # The timeout and this come in one turn of the loop, in this order or that.
                    soon(task.cancel)
                    await long()
            notes.add("going on")
    notes.append(timeout.expired())


async def waiting_for(notes: Notes, scope: Scope) -> None:
    with notes.noting("wait_for"), scope():
        await asyncio.wait_for(long(), 0.001)
    soon(this_task().cancel)
    with notes.noting("cancelled"), scope():
        await asyncio.wait_for(long(), 60)


async def shielding(notes: Notes, scope: Scope) -> None:
    inner = asyncio.create_task(asyncio.sleep(0.002, "result"))
    soon(this_task().cancel)
    with notes.noting("shield"), scope():
        await asyncio.shield(inner)
    with scope():
        notes.append(await inner)


async def gathering(notes: Notes, scope: Scope) -> None:
    with notes.noting("failing"), scope():
        await asyncio.gather(asyncio.sleep(0), fail())
    soon(this_task().cancel)
    with notes.noting("cancelled"), scope():
        await asyncio.gather(long(), long())


async def group_around(notes: Notes, scope: Scope) -> None:
    with notes.noting("group"):
        async with asyncio.TaskGroup() as tg:
            with scope(), notes.noting("block"):
                tg.create_task(fail())
                with scope():
                    await long()
            await asyncio.sleep(0)


async def group_inside(notes: Notes, scope: Scope) -> None:
    async def child() -> None:
        with notes.noting("child"), scope():
            await long()

    with scope(), notes.noting("group"):
        async with asyncio.TaskGroup() as tg:
            tg.create_task(child())
            tg.create_task(fail())
    await asyncio.sleep(0)


async def group_cancelled_while_it_fails(notes: Notes, scope: Scope, failing_first: bool) -> None:
    task = this_task()
    release: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def child() -> None:
        await release
        raise ValueError

    with notes.noting("group"), scope():
        async with asyncio.TaskGroup() as tg:
            with scope():
                tg.create_task(child())
                await asyncio.sleep(0)
                calls = (partial(release.set_result, None), partial(soon, task.cancel))
                soon(*(calls if failing_first else calls[::-1]))
                await long()
    with notes.noting("next wait"), scope():
        await asyncio.sleep(0)


async def group_left_by_cancellation(notes: Notes, scope: Scope) -> None:
    async def stubborn() -> None:
        with notes.noting("child"), scope():
            await long()
        await asyncio.sleep(0.002)

    soon(lambda: soon(this.cancel))
    this = this_task()
    with notes.noting("group"), scope():
        async with asyncio.TaskGroup() as tg:
            tg.create_task(stubborn())


async def child_cancelled_at_its_start(notes: Notes, scope: Scope) -> None:
    async def child() -> None:
        with notes.noting("child"), scope():
            notes.add("started")
            await long()

    with scope():
        task = asyncio.create_task(child())
        task.cancel("at once")
        with notes.noting("await"):
            await task


async def child_cancels_itself_in_its_first_step(notes: Notes, scope: Scope) -> None:
    async def child() -> None:
        with scope():
            this_task().cancel("myself")
            with notes.noting("child"), scope():
                await long()
            notes.add("going on")

    with notes.noting("await"), scope():
        await asyncio.create_task(child())


NATIVE = [
    cancelled_while_waiting,
    cancelled_before_the_wait,
    cancelled_and_left_without_a_wait,
    cancelled_twice,
    taken_back,
    taken_back_before_it_came,
    timeout_around,
    timeout_inside,
    timeout_around_a_timeout,
    timeout_and_cancellation,
    waiting_for,
    shielding,
    gathering,
    group_around,
    group_inside,
    partial(group_cancelled_while_it_fails, failing_first=True),
    partial(group_cancelled_while_it_fails, failing_first=False),
    group_left_by_cancellation,
    child_cancelled_at_its_start,
    child_cancels_itself_in_its_first_step,
]

SCOPES: dict[str, Scope] = {
    "scope": lambda: penstock.CancelScope(),
    "deadline": lambda: penstock.move_on_after(60),
    "shield": lambda: penstock.CancelScope(shield=True),
    "fail_after": lambda: penstock.fail_after(60),
}


def name_of(program: Any) -> str:
    if isinstance(program, partial):
        return f"{name_of(program.func)}-{'-'.join(map(str, program.keywords.values()))}"
    name: str = program.__name__
    return name


async def notes_of(program: Callable[..., Awaitable[None]], *args: Any) -> Notes:
    """Run ``program`` in a task of its own; return its notes, and how it ended."""
    notes = Notes()

    async def main() -> None:
        with notes.noting("end"):
            await program(notes, *args)

    await asyncio.create_task(main())
    return notes


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("program", NATIVE, ids=name_of)
async def test_native_cancellation_is_as_it_is_without_scopes(
    program: Callable[..., Awaitable[None]], scope: str
) -> None:
    assert await notes_of(program, SCOPES[scope]) == await notes_of(program, nullcontext)


@pytest.mark.parametrize("program", NATIVE, ids=name_of)
async def test_native_cancellation_is_as_it_is_while_another_scope_is_cancelled(
    program: Callable[..., Awaitable[None]],
) -> None:
    plain = await notes_of(program, nullcontext)
    with penstock.CancelScope() as outer:
        outer.cancel()
        with penstock.CancelScope(shield=True):
            assert await notes_of(program, lambda: penstock.CancelScope()) == plain


# -- programs that cancel a scope as well ---------------------------------------------------


class NativeScope:
    """What a scope is in asyncio's own terms: a timeout that is cancelled by hand.

    A task that obeys its first cancellation cannot tell it from a scope of penstock's.
    """

    def __init__(self) -> None:
        self.called = self.cancelled_caught = False

    def cancel(self) -> None:
        self.called = True
        self._task.cancel()

    def __enter__(self) -> Self:
        self._task = this_task()
        self._base = self._task.cancelling()
        return self

    def __exit__(self, _type: Any, exc: BaseException | None, _tb: Any) -> bool:
        self.cancelled_caught = (
            self.called
            and self._task.uncancel() <= self._base
            and isinstance(exc, asyncio.CancelledError)
        )
        return self.cancelled_caught


AnyScope = Callable[[], Any]

#: The order of two or three things that happen in one turn of the event loop.
Order = tuple[int, ...]


def in_order(order: Order, *calls: Callable[[], object]) -> None:
    soon(*(calls[number] for number in order))


async def scope_and_task(notes: Notes, make: AnyScope, order: Order) -> None:
    task = this_task()
    with notes.noting("outside"):
        with make() as scope:
            in_order(order, scope.cancel, task.cancel)
            await long()
        notes.add("going on")
    notes.append(scope.cancelled_caught)


async def scope_inside_a_timeout(notes: Notes, make: AnyScope, order: Order) -> None:
    with notes.noting("timeout"):
        async with asyncio.timeout(None) as timeout:
            with make() as scope:
                in_order(order, scope.cancel, partial(expire, timeout))
                await long()
            notes.add("going on")
    notes.append((scope.cancelled_caught, timeout.expired()))


async def scope_around_a_timeout(notes: Notes, make: AnyScope, order: Order) -> None:
    with notes.noting("outside"):
        with make() as scope, notes.noting("timeout"):
            async with asyncio.timeout(None) as timeout:
                in_order(order, scope.cancel, partial(expire, timeout))
                await long()
            notes.add("going on")
    notes.append((scope.cancelled_caught, timeout.expired()))


async def timeout_that_gives_way_to_a_scope(notes: Notes, make: AnyScope, order: Order) -> None:
    with make() as scope:
        async with asyncio.timeout(None) as timeout:
            in_order(order, scope.cancel, partial(expire, timeout))
            await long()
    notes.add("going on")
    notes.append((scope.cancelled_caught, timeout.expired()))


async def two_scopes(notes: Notes, make: AnyScope, order: Order) -> None:
    with notes.noting("outside"):
        with make() as outer:
            with make() as inner:
                in_order(order, outer.cancel, inner.cancel)
                await long()
            notes.add("going on inside")
        notes.add("going on outside")
    notes.append((outer.cancelled_caught, inner.cancelled_caught))


async def two_scopes_and_the_task(notes: Notes, make: AnyScope, order: Order) -> None:
    task = this_task()
    with notes.noting("outside"):
        with make() as outer:
            with make() as inner:
                in_order(order, outer.cancel, inner.cancel, task.cancel)
                await long()
    notes.append((outer.cancelled_caught, inner.cancelled_caught))


async def scope_a_timeout_and_the_task(notes: Notes, make: AnyScope, order: Order) -> None:
    task = this_task()
    with notes.noting("outside"):
        async with asyncio.timeout(None) as timeout:
            with make() as scope:
                in_order(order, scope.cancel, partial(expire, timeout), task.cancel)
                await long()
    notes.append((scope.cancelled_caught, timeout.expired()))


async def scope_around_a_native_group(notes: Notes, make: AnyScope, order: Order) -> None:
    async def child() -> None:
        with notes.noting("child"):
            await long()

    task = this_task()
    with notes.noting("outside"):
        with make() as scope:
            async with asyncio.TaskGroup() as tg:
                tg.create_task(child())
                await asyncio.sleep(0)
                in_order(order, scope.cancel, task.cancel)
                await long()
    notes.append(scope.cancelled_caught)


async def scope_in_a_native_group_that_fails(notes: Notes, make: AnyScope, order: Order) -> None:
    release: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def child() -> None:
        await release
        raise ValueError

    with notes.noting("group"):
        async with asyncio.TaskGroup() as tg:
            tg.create_task(child())
            await asyncio.sleep(0)
            with make() as scope:
                in_order(order, scope.cancel, partial(release.set_result, None))
                await long()
            with notes.noting("next"):
                await asyncio.sleep(0)
    notes.append(scope.cancelled_caught)


async def scope_around_a_native_group_that_fails(
    notes: Notes, make: AnyScope, order: Order
) -> None:
    release: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def child() -> None:
        await release
        raise ValueError

    with notes.noting("outside"):
        with make() as scope:
            async with asyncio.TaskGroup() as tg:
                tg.create_task(child())
                await asyncio.sleep(0)
                in_order(order, scope.cancel, partial(release.set_result, None))
                await long()
    notes.append(scope.cancelled_caught)
    with notes.noting("next"):  # 3.13 renews what is left of the cancellations, 3.12 does not
        await asyncio.sleep(0)


async def scope_around_waiting_for(notes: Notes, make: AnyScope, order: Order) -> None:
    task = this_task()
    with notes.noting("outside"):
        with make() as scope:
            in_order(order, scope.cancel, task.cancel)
            await asyncio.wait_for(long(), 60)
    notes.append(scope.cancelled_caught)


async def scope_around_a_shield(notes: Notes, make: AnyScope, order: Order) -> None:
    task, inner = this_task(), asyncio.create_task(asyncio.sleep(0.002, "result"))
    with notes.noting("outside"):
        with make() as scope:
            in_order(order, scope.cancel, task.cancel)
            await asyncio.shield(inner)
    notes.append((scope.cancelled_caught, await inner))


async def scope_around_a_gathering(notes: Notes, make: AnyScope, order: Order) -> None:
    task = this_task()
    with notes.noting("outside"):
        with make() as scope:
            in_order(order, scope.cancel, task.cancel)
            await asyncio.gather(long(), long())
    notes.append(scope.cancelled_caught)


def expire(timeout: asyncio.Timeout) -> None:
    """Let ``timeout`` do now what it does when its time has come."""
    timeout._on_timeout()  # type: ignore[attr-defined]


MIXED = [
    (program, order)
    for program, number in (
        (scope_and_task, 2),
        (scope_inside_a_timeout, 2),
        (scope_around_a_timeout, 2),
        (timeout_that_gives_way_to_a_scope, 2),
        (two_scopes, 2),
        (two_scopes_and_the_task, 3),
        (scope_a_timeout_and_the_task, 3),
        (scope_around_a_native_group, 2),
        (scope_in_a_native_group_that_fails, 2),
        (scope_around_a_native_group_that_fails, 2),
        (scope_around_waiting_for, 2),
        (scope_around_a_shield, 2),
        (scope_around_a_gathering, 2),
    )
    for order in permutations(range(number))
]


@pytest.mark.parametrize(
    ("program", "order"), MIXED, ids=[f"{name_of(program)}-{order}" for program, order in MIXED]
)
async def test_scope_cancelled_in_the_turn_of_a_native_cancellation_is_as_a_native_one(
    program: Callable[..., Awaitable[None]], order: Order
) -> None:
    ours = await notes_of(program, lambda: penstock.CancelScope(), order)
    assert ours == await notes_of(program, NativeScope, order)


# -- the rest -------------------------------------------------------------------------------


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("scope", ["none", "open", "cancelled", "shielded"])
def test_ctrl_c_interrupts_whatever_scope_the_task_is_in(backend: Any, scope: str) -> None:
    counts = []

    async def main() -> None:
        with nullcontext() if scope == "none" else penstock.CancelScope() as outer:
            if scope in ("cancelled", "shielded"):
                outer.cancel()
            with penstock.CancelScope(shield=scope == "shielded"):
                os.kill(os.getpid(), signal.SIGINT)
                try:
                    await long()
                finally:
                    counts.append(this_task().cancelling())
        await long()

    with pytest.raises(KeyboardInterrupt):
        backend.run(main)
    assert counts[0] >= 1


if sys.version_info >= (3, 12):

    def test_eager_child_of_a_cancelled_group_is_cancelled_in_its_first_wait() -> None:
        notes = Notes()

        async def child() -> None:
            with notes.noting("child"):
                notes.add("started")
                await long()

        async def main() -> None:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            async with penstock.create_task_group() as tg:
                tg.cancel_scope.cancel()
                tg.start_soon(child)
                notes.add("host")

        penstock.run(main)
        assert notes == [("started", 0), ("host", 0), ("child: CancelledError()", 1)]


async def test_native_cancellation_that_meets_the_end_of_a_group_leaves_its_scope() -> None:
    with pytest.raises(asyncio.CancelledError):
        async with penstock.create_task_group() as tg:
            this_task().cancel()
    assert not tg.cancel_scope.cancelled_caught
    assert this_task().uncancel() == 0
    tg.cancel_scope.cancel()
    await checkpoint()
    await asyncio.sleep(0.001)


async def test_wait_that_a_scope_has_cancelled_is_not_cancelled_natively_on_top() -> None:
    """A scope that is left gives back all that it has sent, deaf task or not."""
    with penstock.CancelScope() as scope:
        scope.cancel()
        for _ in range(70):
            with pytest.raises(asyncio.CancelledError):
                await long()
            assert this_task().cancelling() == 1
    assert this_task().cancelling() == 0
    await asyncio.sleep(0)
    await checkpoint()
    assert this_task().cancelling() == 0
