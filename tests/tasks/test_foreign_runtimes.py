"""Scopes and groups inside event loops that penstock did not start, and beside AnyIO's."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import anyio
import pytest
import trio

import penstock
from penstock.lowlevel import checkpoint


async def use_everything() -> None:
    with penstock.move_on_after(0.005) as scope:
        await penstock.sleep_forever()
    assert scope.cancelled_caught
    event = penstock.Event()
    async with penstock.create_task_group() as tg:
        tg.start_soon(event.wait)
        tg.start_soon(penstock.sleep_forever)
        sleeper = tg.start_soon(penstock.sleep_forever)
        await penstock.wait_all_tasks_blocked()
        sleeper.cancel()
        await sleeper.wait()
        event.set()
        assert await penstock.to_thread.run_sync(int, "3") == 3
        tg.cancel_scope.cancel()
    assert tg.cancel_scope.cancelled_caught


@pytest.mark.parametrize(
    "run",
    [
        asyncio.run,
        lambda coro: anyio.run(lambda: coro),
        lambda coro: anyio.run(lambda: coro, backend_options={"use_uvloop": True}),
        lambda coro: anyio.run(lambda: coro, backend="trio"),
        lambda coro: trio.run(lambda: coro),
    ],
    ids=["asyncio", "anyio", "anyio+uvloop", "anyio+trio", "trio"],
)
def test_everything_works_under(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    run(use_everything())


def test_loop_run_by_hand_works_again_and_again() -> None:
    loop = asyncio.new_event_loop()
    for _ in range(3):
        loop.run_until_complete(use_everything())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_loop_closed_without_ceremony_is_forgotten() -> None:
    for _ in range(3):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(use_everything())
        loop.close()
        del loop
        gc.collect()


def anyio_test(func: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[str], None]:
    @pytest.mark.parametrize("library", ["asyncio", "asyncio+uvloop", "trio"])
    def test(library: str) -> None:
        name, _, uvloop = library.partition("+")
        anyio.run(func, backend=name, backend_options={"use_uvloop": True} if uvloop else {})

    return test


@anyio_test
async def test_anyio_scope_around_a_scope_catches_its_own() -> None:
    with anyio.CancelScope() as outer:
        with penstock.CancelScope() as inner:
            outer.cancel()
            await penstock.sleep_forever()
    assert outer.cancelled_caught
    assert not inner.cancelled_caught
    await checkpoint()


@anyio_test
async def test_anyio_scope_inside_a_scope_catches_its_own() -> None:
    with penstock.CancelScope() as outer:
        with anyio.CancelScope() as inner:
            inner.cancel()
            await anyio.sleep_forever()
        await checkpoint()
    assert inner.cancelled_caught
    assert not outer.cancelled_caught


@anyio_test
async def test_scope_around_an_anyio_scope_catches_its_own() -> None:
    with penstock.CancelScope() as outer:
        with anyio.CancelScope() as inner:
            outer.cancel()
            await anyio.sleep_forever()
    assert outer.cancelled_caught
    assert not inner.cancelled_caught


@anyio_test
async def test_scope_inside_an_anyio_scope_catches_its_own() -> None:
    with anyio.CancelScope() as outer:
        with penstock.move_on_after(0.001) as inner:
            await anyio.sleep_forever()
        await anyio.sleep(0)
    assert inner.cancelled_caught
    assert not outer.cancelled_caught


@anyio_test
async def test_anyio_scope_around_a_scope_cancelled_as_well_catches() -> None:
    with anyio.CancelScope() as outer:
        with penstock.CancelScope() as inner:
            inner.cancel()
            outer.cancel()
            await penstock.sleep(1)
        await anyio.sleep(1)
    assert outer.cancelled_caught
    if (task := current_native_task()) is not None:
        assert task.cancelling() == 0


@anyio_test
async def test_scope_around_an_anyio_scope_cancelled_as_well_catches() -> None:
    with penstock.CancelScope() as outer:
        with anyio.CancelScope() as inner:
            inner.cancel()
            outer.cancel()
            await anyio.sleep(1)
        await penstock.sleep(1)
    assert outer.cancelled_caught
    if (task := current_native_task()) is not None:
        assert task.cancelling() == 0


@anyio_test
async def test_group_inside_an_anyio_group_that_is_cancelled_ends() -> None:
    ended = []

    async def child() -> None:
        try:
            await penstock.sleep_forever()
        finally:
            ended.append(1)

    async def host() -> None:
        async with penstock.create_task_group() as tg:
            tg.start_soon(child)

    async with anyio.create_task_group() as outer:
        outer.start_soon(host)
        await anyio.wait_all_tasks_blocked()
        outer.cancel_scope.cancel()
    assert ended == [1]


@anyio_test
async def test_anyio_group_inside_a_group_that_is_cancelled_ends() -> None:
    ended = []

    async def child() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(1)

    async def host() -> None:
        async with anyio.create_task_group() as tg:
            tg.start_soon(child)

    async with penstock.create_task_group() as outer:
        outer.start_soon(host)
        await penstock.wait_all_tasks_blocked()
        outer.cancel_scope.cancel()
    assert ended == [1]


@anyio_test
async def test_anyio_fail_after_around_a_group_times_out() -> None:
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.005):
            async with penstock.create_task_group() as tg:
                tg.start_soon(penstock.sleep_forever)


@pytest.mark.parametrize("backend_name", ["asyncio", "trio"])
def test_anyio_shield_keeps_a_scope_out_on_trio_alone(backend_name: str) -> None:
    """Trio keeps the shields of both.  On asyncio each library knows its own."""

    async def main() -> None:
        with penstock.CancelScope() as outer:
            outer.cancel()
            for wait in (anyio.sleep, penstock.sleep):
                interrupted = False
                with anyio.CancelScope(shield=True) as shielded:
                    try:
                        await wait(0.001)
                    except penstock.get_cancelled_exc_class():
                        interrupted = True
                assert interrupted == (backend_name == "asyncio")
                assert not shielded.cancelled_caught
            await checkpoint()
        assert outer.cancelled_caught

    anyio.run(main, backend=backend_name)


@pytest.mark.parametrize("backend_name", ["asyncio", "trio"])
def test_shield_keeps_an_anyio_scope_out_on_trio_alone(backend_name: str) -> None:
    async def main() -> None:
        with anyio.CancelScope() as outer:
            outer.cancel()
            for wait in (anyio.sleep, penstock.sleep):
                interrupted = False
                with penstock.CancelScope(shield=True) as shielded:
                    try:
                        await wait(0.001)
                    except penstock.get_cancelled_exc_class():
                        interrupted = True
                assert interrupted == (backend_name == "asyncio")
                assert not shielded.cancelled_caught
            await anyio.sleep(1)
        assert outer.cancelled_caught

    anyio.run(main, backend=backend_name)


@anyio_test
async def test_shields_of_both_libraries_keep_scopes_of_both_out() -> None:
    with anyio.CancelScope() as outer:
        with penstock.CancelScope() as inner:
            outer.cancel()
            inner.cancel()
            with anyio.CancelScope(shield=True), penstock.CancelScope(shield=True):
                await anyio.sleep(0.001)
                await penstock.sleep(0.001)
                await checkpoint()
                reached = True
            await anyio.sleep(1)
        await anyio.sleep(1)
    assert reached
    assert outer.cancelled_caught


@anyio_test
async def test_timeouts_of_both_libraries_inside_each_other_end_their_own_blocks() -> None:
    for outer, inner in ((anyio, penstock), (penstock, anyio)):
        with outer.move_on_after(1) as outside:
            with inner.move_on_after(0.001) as inside:
                await outer.sleep(1)
            await outer.sleep(0)
        assert inside.cancelled_caught
        assert not outside.cancel_called
        with outer.move_on_after(0.001) as outside:
            with inner.move_on_after(1) as inside:
                await inner.sleep(1)
            pytest.fail("the inner one has caught it")
        assert outside.cancelled_caught
        assert not inside.cancel_called
    if (task := current_native_task()) is not None:
        assert task.cancelling() == 0


@anyio_test
async def test_error_in_a_group_ends_the_tasks_of_the_other_librarys_group_inside_it() -> None:
    for outer, inner in ((anyio, penstock), (penstock, anyio)):
        ended = []

        async def child(ended: list[int]) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(1)

        async def fail() -> None:
            raise KeyError

        with pytest.raises(ExceptionGroup) as raised:
            async with outer.create_task_group() as tg:
                async with inner.create_task_group() as nested:
                    nested.start_soon(child, ended)
                    await anyio.wait_all_tasks_blocked()
                    tg.start_soon(fail)
        assert [type(exc) for exc in raised.value.exceptions] == [KeyError]
        assert ended == [1]
    if (task := current_native_task()) is not None:
        assert task.cancelling() == 0


@anyio_test
async def test_cancellation_of_anyios_is_not_caught_by_a_scope_cancelled_later() -> None:
    with anyio.CancelScope() as outer:
        outer.cancel()
        with penstock.CancelScope() as inner:
            try:
                await anyio.sleep(1)
            finally:
                inner.cancel()
        await anyio.sleep(1)
    assert outer.cancelled_caught
    if (task := current_native_task()) is not None:
        assert task.cancelling() == 0


def current_native_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def test_trio_scope_and_nursery_around_scopes_and_groups_work() -> None:
    async def main() -> None:
        with trio.CancelScope() as outer:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(use_everything)
                async with penstock.create_task_group() as tg:
                    tg.start_soon(penstock.sleep_forever)
                    outer.cancel()
        assert outer.cancelled_caught

    trio.run(main)


def test_trio_cancellation_is_noticed_by_ready_operations() -> None:
    async def main() -> None:
        event = penstock.Event()
        event.set()
        with trio.CancelScope() as scope:
            scope.cancel()
            await event.wait()
            pytest.fail("it was not noticed")
        assert scope.cancelled_caught

    trio.run(main)


def test_async_generator_that_ends_with_its_loop_may_use_penstock() -> None:
    ended = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await penstock.sleep(0)
            send, receive = penstock.create_memory_object_stream[int](1)
            with send, receive:
                await send.send(1)
                ended.append(await receive.receive())

    async def main() -> AsyncIterator[int]:
        await penstock.sleep(0)
        kept = numbers()
        await kept.__anext__()
        return kept

    kept = asyncio.run(main())
    assert ended == [1]
    del kept


def test_stream_of_a_guest_run_is_refused_by_its_host() -> None:
    async def host() -> None:
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        bound, done = asyncio.Event(), trio.Event()
        send, receive = penstock.create_memory_object_stream[int](5)

        async def guest() -> None:
            await send.send(1)
            bound.set()
            await done.wait()

        trio.lowlevel.start_guest_run(
            guest,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=over.set_result,
        )
        await bound.wait()
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            await receive.receive()
        assert receive.receive_nowait() == 1
        done.set()
        (await over).unwrap()
        send.close()
        receive.close()

    asyncio.run(host())
