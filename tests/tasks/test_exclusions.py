"""What locks, semaphores, limiters and conditions have in common: being acquired and released."""

from __future__ import annotations

import asyncio
from threading import Event as ThreadEvent
from threading import Thread
from typing import Any

import pytest
import trio
from cycles import cancellations_in_cycles
from exclusions import EXCLUSIONS, tasks_waiting

import penstock
from penstock import WouldBlock
from penstock.lowlevel import checkpoint, set_ready_budget


@pytest.fixture(params=EXCLUSIONS)
def thing(request: pytest.FixtureRequest) -> Any:
    return EXCLUSIONS[request.param]()


def is_free(thing: Any) -> bool:
    try:
        thing.acquire_nowait()
    except WouldBlock:
        return False
    thing.release()
    return True


def in_thread(func: Any, *args: Any) -> Any:
    """Call ``func`` in a new thread; return what it returned or raised."""
    outcome = []

    def call() -> None:
        try:
            outcome.append(func(*args))
        except BaseException as exc:
            outcome.append(exc)

    thread = Thread(target=call)
    thread.start()
    thread.join(10)
    assert outcome, "it hangs"
    return outcome[0]


async def test_one_task_is_inside_at_a_time(thing: Any) -> None:
    inside = most = 0

    async def work() -> None:
        nonlocal inside, most
        async with thing:
            inside += 1
            most = max(most, inside)
            await checkpoint()
            inside -= 1

    async with penstock.create_task_group() as tg:
        for _ in range(5):
            tg.start_soon(work)
    assert most == 1
    assert is_free(thing)


async def test_tasks_acquire_it_in_the_order_in_which_they_asked(thing: Any) -> None:
    order = []

    async def work(number: int) -> None:
        async with thing:
            order.append(number)
            await checkpoint()

    async with penstock.create_task_group() as tg:
        async with thing:
            for number in range(5):
                tg.start_soon(work, number)
                await penstock.wait_all_tasks_blocked()
            assert tasks_waiting(thing) == 5
    assert order == [0, 1, 2, 3, 4]
    assert tasks_waiting(thing) == 0


async def test_released_it_belongs_to_the_first_in_line_and_nobody_gets_in_between(
    thing: Any,
) -> None:
    async def work() -> None:
        async with thing:
            pass

    async with penstock.create_task_group() as tg:
        async with thing:
            tg.start_soon(work)
            await penstock.wait_all_tasks_blocked()
        with pytest.raises(WouldBlock):
            thing.acquire_nowait()
    assert is_free(thing)


async def test_task_that_releases_and_acquires_in_a_loop_does_not_get_ahead(thing: Any) -> None:
    order = []

    async def greedy() -> None:
        for _ in range(10):
            async with thing:
                order.append("greedy")
                await checkpoint()

    async def other() -> None:
        order.append("asks")
        async with thing:
            order.append("other")

    async with penstock.create_task_group() as tg:
        tg.start_soon(greedy)
        while "greedy" not in order:
            await checkpoint()
        tg.start_soon(other)
    assert order.index("other") == order.index("asks") + 1
    assert len(order) == 12


async def test_released_in_a_block_that_raises(thing: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        async with thing:
            raise ZeroDivisionError
    assert is_free(thing)


async def test_pending_cancellation_acquires_nothing(thing: Any) -> None:
    with penstock.CancelScope() as scope:
        scope.cancel()
        await thing.acquire()
    assert scope.cancelled_caught
    assert is_free(thing)
    thing.acquire_nowait()  # once known to the loop: the fast path
    thing.release()
    with penstock.CancelScope() as scope:
        scope.cancel()
        async with thing:
            pass
    assert scope.cancelled_caught
    assert is_free(thing)


async def test_pending_cancellation_does_not_wait(thing: Any) -> None:
    steps = []

    async def work() -> None:
        with penstock.CancelScope() as scope:
            scope.cancel()
            steps.append("asks")
            await thing.acquire()
        assert scope.cancelled_caught

    async with penstock.create_task_group() as tg:
        async with thing:
            tg.start_soon(work)
            while not steps:
                await checkpoint()
            # Were it in the line, the release would hand it over.
        assert tasks_waiting(thing) == 0
    assert is_free(thing)


async def test_cancelled_waiter_is_forgotten(thing: Any) -> None:
    async def work() -> None:
        with penstock.move_on_after(0.001) as scope:
            await thing.acquire()
        assert scope.cancelled_caught

    async with thing:
        async with penstock.create_task_group() as tg:
            tg.start_soon(work)
        assert tasks_waiting(thing) == 0
    assert is_free(thing)


async def test_release_passes_over_a_waiter_that_was_cancelled(thing: Any) -> None:
    order = []
    scope = penstock.CancelScope()

    async def first() -> None:
        with scope:
            await thing.acquire()
            order.append("first")

    async def second() -> None:
        async with thing:
            order.append("second")

    async with penstock.create_task_group() as tg:
        async with thing:
            tg.start_soon(first)
            await penstock.wait_all_tasks_blocked()
            tg.start_soon(second)
            await penstock.wait_all_tasks_blocked()
            scope.cancel()
    assert order == ["second"]
    assert is_free(thing)


async def test_free_at_once_when_all_who_wait_were_cancelled(thing: Any) -> None:
    async def work() -> None:
        async with thing:
            raise AssertionError

    async with penstock.create_task_group() as tg:
        thing.acquire_nowait()
        tg.start_soon(work)
        await penstock.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
        thing.release()
        thing.acquire_nowait()
    thing.release()


async def test_cancelled_by_a_scope_after_it_was_handed_over_has_acquired_it(thing: Any) -> None:
    scope = penstock.CancelScope()
    steps = []

    async def work() -> None:
        with scope:
            async with thing:
                steps.append("inside")
                await checkpoint()
                steps.append("too far")

    async with penstock.create_task_group() as tg:
        async with thing:
            tg.start_soon(work)
            await penstock.wait_all_tasks_blocked()
        scope.cancel()
    assert steps == ["inside"]
    assert is_free(thing)


def test_cancelled_natively_after_it_was_handed_over_hands_it_on(
    thing: Any, asyncio_backend: Any
) -> None:
    async def work() -> str:
        async with thing:
            return "had it"

    async def main() -> None:
        async with thing:
            first, second = asyncio.create_task(work()), asyncio.create_task(work())
            await penstock.wait_all_tasks_blocked()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second == "had it"
        assert is_free(thing)

    asyncio_backend.run(main)


def test_time_outs_of_asyncio_leave_it_as_it_was(thing: Any, asyncio_backend: Any) -> None:
    async def main() -> None:
        async with thing:

            async def ask() -> None:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.001):
                        await thing.acquire()
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(thing.acquire(), 0.001)

            await asyncio.create_task(ask())
            assert tasks_waiting(thing) == 0
        assert is_free(thing)

    asyncio_backend.run(main)


@pytest.mark.parametrize("name", [name for name in EXCLUSIONS if "fast" not in name])
@pytest.mark.parametrize(("size", "yields"), [(1, 300), (10, 30), (1000, 0)])
async def test_free_it_yields_once_in_a_ready_budget(name: str, size: int, yields: int) -> None:
    thing = EXCLUSIONS[name]()
    set_ready_budget(size)
    async with penstock.create_task_group() as tg:
        turns = 0
        ended = False

        async def count_turns() -> None:
            nonlocal turns
            while not ended:
                turns += 1
                await checkpoint()

        tg.start_soon(count_turns)
        await checkpoint()
        before = turns
        for _ in range(300):
            async with thing:
                pass
        assert abs(turns - before - yields) <= 2
        ended = True


@pytest.mark.parametrize("name", [name for name in EXCLUSIONS if "fast" in name])
async def test_fast_it_never_yields_while_it_is_free(name: str) -> None:
    thing = EXCLUSIONS[name]()
    set_ready_budget(1)
    ran = []

    async def other() -> None:
        ran.append(1)

    async with penstock.create_task_group() as tg:
        async with thing:  # the first one gets to know the event loop
            pass
        tg.start_soon(other)
        before = len(ran)  # an eager task has run already
        for _ in range(600):
            async with thing:
                pass
        assert len(ran) == before


async def test_cancelled_in_the_yield_that_precedes_it_acquires_nothing(thing: Any) -> None:
    set_ready_budget(1)
    scope = penstock.CancelScope()

    async def cancel() -> None:
        scope.cancel()

    async with penstock.create_task_group() as tg:
        await checkpoint()
        with scope:
            tg.start_soon(cancel)
            await thing.acquire()
            thing.release()
            await checkpoint()
    assert is_free(thing)


def test_made_before_a_loop_runs_and_used_in_one_after_the_other(thing: Any, backend: Any) -> None:
    async def main() -> None:
        async def work() -> None:
            async with thing:
                await checkpoint()

        async with penstock.create_task_group() as tg:
            for _ in range(3):
                tg.start_soon(work)
        assert is_free(thing)

    assert tasks_waiting(thing) == 0
    backend.run(main)
    trio.run(main)
    asyncio.run(main())
    backend.run(main)


def other_thread_runs(loop_name: str, func: Any) -> Any:
    run = asyncio.run if loop_name == "asyncio" else lambda coro: trio.run(lambda: coro)
    return in_thread(lambda: run(func()))


@pytest.mark.parametrize("other", ["asyncio", "trio"])
async def test_acquiring_in_another_thread_is_refused(thing: Any, other: str) -> None:
    async with thing:
        pass
    for func in (thing.acquire, thing.__aenter__):
        outcome = other_thread_runs(other, func)
        assert isinstance(outcome, RuntimeError), outcome
        assert "belongs to another event loop or thread" in str(outcome)
    async with thing:
        outcome = other_thread_runs(other, thing.acquire)
        assert isinstance(outcome, RuntimeError), outcome

        async def release() -> None:
            thing.release()

        assert isinstance(other_thread_runs(other, release), RuntimeError)
        assert isinstance(in_thread(thing.release), RuntimeError)
    assert isinstance(in_thread(thing.acquire_nowait), RuntimeError)
    assert is_free(thing)


def test_another_loop_of_the_same_thread_is_refused(thing: Any) -> None:
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()

    async def use() -> None:
        async with thing:
            pass

    async def use_nowait() -> None:
        thing.acquire_nowait()

    first.run_until_complete(use())
    for func in (use, use_nowait):
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            second.run_until_complete(func())
    first.run_until_complete(use())
    first.run_until_complete(first.shutdown_asyncgens())
    first.close()
    second.run_until_complete(use())
    second.run_until_complete(second.shutdown_asyncgens())
    second.close()


async def test_thread_that_waits_in_its_own_loop_does_not_hang_another(thing: Any) -> None:
    """Two threads, each with a loop, share it: the second is told so at once."""
    held, done = ThreadEvent(), ThreadEvent()

    async def hold() -> None:
        async with thing:
            held.set()
            await penstock.to_thread.run_sync(done.wait, 10)

    thread = Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    assert await penstock.to_thread.run_sync(held.wait, 10)
    with pytest.raises(RuntimeError, match="another event loop or thread"):
        await thing.acquire()
    done.set()
    thread.join(10)


async def test_cancelled_waiter_leaves_no_reference_cycle(thing: Any) -> None:
    async def hold() -> None:
        async with thing:
            await penstock.sleep_forever()

    async def cancel_one_that_waits_and_one_that_begins() -> None:
        async with penstock.create_task_group() as tg:
            tg.start_soon(thing.acquire)
            await penstock.wait_all_tasks_blocked()
            tg.cancel_scope.cancel()
        with penstock.CancelScope() as scope:
            scope.cancel()
            await thing.acquire()

    async with penstock.create_task_group() as tg:
        tg.start_soon(hold)
        await penstock.wait_all_tasks_blocked()
        assert await cancellations_in_cycles(cancel_one_that_waits_and_one_that_begins) == []
        tg.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["Event", *EXCLUSIONS])
def test_task_that_waited_has_a_full_ready_budget(kind: str, asyncio_backend: Any) -> None:
    ready = penstock.Event()
    ready.set()

    async def wait_once(tg: Any) -> None:
        if kind == "Event":
            event = penstock.Event()
            asyncio.get_running_loop().call_soon(event.set)
            await event.wait()
            return
        thing = EXCLUSIONS[kind]()

        async def hold() -> None:
            async with thing:
                await checkpoint()
                await checkpoint()

        tg.start_soon(hold)
        await checkpoint()
        async with thing:
            pass

    async def turns_with(budget: int) -> int:
        set_ready_budget(budget)
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with penstock.create_task_group() as tg:
            tg.start_soon(count_turns)
            for _ in range(30):
                await wait_once(tg)
                for _ in range(5):
                    await ready.wait()
            tg.cancel_scope.cancel()
        return turns

    async def main() -> None:
        assert await turns_with(8) == await turns_with(10**6)

    asyncio_backend.run(main)
