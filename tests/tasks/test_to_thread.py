"""Blocking functions in worker threads."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest
import sniffio
from cancelling import put_forward

import penstock
from penstock import CapacityLimiter
from penstock.lowlevel import checkpoint
from penstock.to_thread import current_default_thread_limiter, run_sync


async def test_function_runs_in_another_thread() -> None:
    assert await run_sync(threading.get_ident) != threading.get_ident()


async def test_arguments_go_in_and_the_result_comes_out() -> None:
    assert await run_sync(divmod, 7, 2) == (3, 1)


async def test_exception_comes_out() -> None:
    with pytest.raises(ZeroDivisionError):
        await run_sync(divmod, 1, 0)


async def test_stop_iteration_comes_out_as_a_runtime_error() -> None:
    with pytest.raises(RuntimeError, match="StopIteration") as raised:
        await run_sync(next, iter([]))
    assert isinstance(raised.value.__cause__, StopIteration)


async def test_context_is_copied_into_the_thread() -> None:
    variable: ContextVar[int] = ContextVar("variable", default=0)

    def read_and_change() -> int:
        value = variable.get()
        variable.set(2)
        return value

    variable.set(1)
    assert await run_sync(read_and_change) == 1
    assert variable.get() == 1


async def test_thread_is_in_no_event_loop() -> None:
    def library() -> str:
        try:
            return sniffio.current_async_library()
        except sniffio.AsyncLibraryNotFoundError:
            return "none"

    token = sniffio.current_async_library_cvar.set(sniffio.current_async_library())
    assert await run_sync(library) == "none"
    sniffio.current_async_library_cvar.reset(token)


async def test_event_loop_runs_inside_a_thread() -> None:
    async def inner() -> int:
        await checkpoint()
        return 5

    assert await run_sync(penstock.run, inner) == 5


async def test_pending_cancellation_calls_nothing() -> None:
    called = []
    with penstock.CancelScope() as scope:
        scope.cancel()
        await run_sync(called.append, 1)
    assert scope.cancelled_caught
    assert called == []


async def test_cancelled_call_waits_for_the_function() -> None:
    started, go_on = threading.Event(), threading.Event()
    steps = []

    def block() -> str:
        started.set()
        go_on.wait(10)
        return "result"

    async def let_go() -> None:
        await run_sync(started.wait, 10)
        scope.cancel()
        await checkpoint()
        go_on.set()

    async with penstock.create_task_group() as tg:
        tg.start_soon(let_go)
        with penstock.CancelScope() as scope:
            steps.append(await run_sync(block))
            await checkpoint()
            steps.append("too far")
    assert steps == ["result"]
    assert scope.cancelled_caught


async def test_abandoned_call_leaves_the_function_alone() -> None:
    go_on, ended = threading.Event(), threading.Event()

    def block() -> None:
        go_on.wait(10)
        ended.set()

    with penstock.move_on_after(0.01) as scope:
        await run_sync(block, abandon_on_cancel=True)
    assert scope.cancelled_caught
    assert not ended.is_set()
    go_on.set()
    assert await run_sync(ended.wait, 10)


async def test_abandoned_exception_is_not_seen() -> None:
    go_on = threading.Event()

    def block() -> None:
        go_on.wait(10)
        raise ValueError

    with penstock.move_on_after(0.01):
        await run_sync(block, abandon_on_cancel=True)
    go_on.set()
    await run_sync(int)


@pytest.mark.parametrize("func", [None, 5, "func"])
async def test_what_cannot_be_called_is_an_error_before_anything_happens(func: Any) -> None:
    with penstock.CancelScope() as scope:
        scope.cancel()
        with pytest.raises(TypeError, match="func must be callable, not "):
            await run_sync(func)
    assert not scope.cancelled_caught


@pytest.mark.parametrize("limiter", [0, 5, penstock.Semaphore(1), CapacityLimiter])
async def test_what_is_no_limiter_is_an_error_before_anything_happens(limiter: Any) -> None:
    called: list[int] = []
    with pytest.raises(TypeError, match="limiter must be a CapacityLimiter or None, not "):
        await run_sync(called.append, 1, limiter=limiter)
    assert called == []


async def most_at_once(calls: int, limiter: CapacityLimiter | None) -> int:
    """Return how many of ``calls`` calls are at work at the same time."""
    most = running = 0
    lock = threading.Lock()
    gate = threading.Event()

    def work() -> None:
        nonlocal most, running
        with lock:
            running += 1
            most = max(most, running)
        gate.wait(0.01)
        with lock:
            running -= 1

    async with penstock.create_task_group() as tg:
        for _ in range(calls):
            tg.start_soon(partial(run_sync, work, limiter=limiter))
    return most


async def test_many_calls_share_the_threads() -> None:
    assert 1 < await most_at_once(100, None) <= 40


@pytest.mark.parametrize("total", [1, 3])
async def test_calls_share_the_tokens_of_their_limiter(total: int) -> None:
    limiter = CapacityLimiter(total)
    assert await most_at_once(10, limiter) <= total
    assert limiter.borrowed_tokens == 0
    assert limiter.statistics().tasks_waiting == 0


async def test_limiter_may_allow_more_than_the_default() -> None:
    gate = threading.Barrier(60, timeout=10)
    limiter = CapacityLimiter(math.inf)
    async with penstock.create_task_group() as tg:
        for _ in range(60):
            tg.start_soon(partial(run_sync, gate.wait, limiter=limiter))


async def test_default_limiter_has_forty_tokens_and_can_be_changed() -> None:
    limiter = current_default_thread_limiter()
    assert limiter is current_default_thread_limiter()
    assert limiter.total_tokens == 40
    limiter.total_tokens = 2
    assert await most_at_once(10, None) <= 2


def test_each_event_loop_has_its_default_limiter(backend: Any) -> None:
    async def main() -> CapacityLimiter:
        return current_default_thread_limiter()

    assert backend.run(main) is not backend.run(main)
    with pytest.raises(penstock.NoEventLoopError):
        current_default_thread_limiter()


async def test_each_call_is_a_borrower_of_its_own() -> None:
    limiter = CapacityLimiter(3)
    gate = threading.Event()
    async with limiter:  # which makes the task a borrower
        assert await run_sync(int, limiter=limiter) == 0
        async with penstock.create_task_group() as tg:
            for _ in range(2):
                tg.start_soon(partial(run_sync, gate.wait, 10, limiter=limiter))
            await penstock.wait_all_tasks_blocked()
            assert len(set(limiter.statistics().borrowers)) == 3
            gate.set()
    assert limiter.borrowed_tokens == 0


async def test_abandoned_call_holds_its_token_until_the_function_has_ended() -> None:
    limiter = CapacityLimiter(1)
    started, go_on = threading.Event(), threading.Event()

    def block() -> None:
        started.set()
        go_on.wait(10)

    async with penstock.create_task_group() as tg:
        tg.start_soon(partial(run_sync, block, abandon_on_cancel=True, limiter=limiter))
        await run_sync(started.wait, 10)
        tg.cancel_scope.cancel()
    assert limiter.borrowed_tokens == 1
    with pytest.raises(penstock.WouldBlock):
        limiter.acquire_nowait()
    go_on.set()
    await limiter.acquire()
    limiter.release()
    assert limiter.borrowed_tokens == 0


async def test_function_that_raises_returns_its_token() -> None:
    limiter = CapacityLimiter(1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await run_sync(divmod, 1, 0, limiter=limiter)
    assert limiter.borrowed_tokens == 0


async def test_call_cancelled_before_it_has_a_token_calls_nothing() -> None:
    called: list[int] = []
    limiter = CapacityLimiter(1)
    async with limiter:
        with penstock.move_on_after(0.01) as scope:
            await run_sync(called.append, 1, limiter=limiter)
        assert scope.cancelled_caught
        assert limiter.statistics().tasks_waiting == 0
    assert called == []
    await run_sync(called.append, 2, limiter=limiter)
    assert called == [2]


def test_threads_that_are_idle_for_long_are_let_go() -> None:
    async def main() -> None:
        gate = threading.Barrier(3, timeout=10)

        def work() -> threading.Thread:
            gate.wait()
            return threading.current_thread()

        threads = await asyncio.gather(*[run_sync(work) for _ in range(3)])
        put_forward(asyncio.get_running_loop(), 20)
        last = await run_sync(threading.current_thread)
        for thread in threads:
            if thread is not last:
                thread.join(10)
        assert [thread for thread in threads if thread.is_alive()] == [last]

    penstock.run(main)


def test_natively_cancelled_call_waits_for_the_function_and_raises(asyncio_backend: Any) -> None:
    started, go_on = threading.Event(), threading.Event()
    steps = []

    def block() -> None:
        started.set()
        go_on.wait(10)
        steps.append("function")

    async def call() -> None:
        try:
            await run_sync(block)
        finally:
            steps.append("call")

    async def main() -> None:
        task = asyncio.create_task(call())
        await run_sync(started.wait, 10)
        task.cancel("native")
        await checkpoint()
        task.cancel("native")
        await checkpoint()
        go_on.set()
        with pytest.raises(asyncio.CancelledError, match="native"):
            await task

    asyncio_backend.run(main)
    assert steps == ["function", "call"]


def test_threads_end_with_their_loop(asyncio_backend: Any) -> None:
    threads: list[threading.Thread] = []

    async def main() -> None:
        threads.append(await run_sync(threading.current_thread))

    asyncio_backend.run(main)
    threads[0].join(10)
    assert not threads[0].is_alive()


def test_function_abandoned_beyond_the_end_of_its_loop_does_no_harm(asyncio_backend: Any) -> None:
    started, go_on = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def block() -> None:
        threads.append(threading.current_thread())
        started.set()
        go_on.wait(10)

    async def main() -> None:
        async with penstock.create_task_group() as tg:
            tg.start_soon(partial(run_sync, block, abandon_on_cancel=True))
            await run_sync(started.wait, 10)
            tg.cancel_scope.cancel()

    asyncio_backend.run(main)
    go_on.set()
    threads[0].join(10)
    assert not threads[0].is_alive()


def test_exception_leaves_no_reference_cycle(asyncio_backend: Any) -> None:
    class Mine(Exception):
        pass

    def throw() -> None:
        raise Mine

    async def main() -> list[object]:
        await run_sync(int)
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            try:
                await run_sync(throw)
            except Mine:
                pass
            gc.collect()
            return [exc for exc in gc.garbage if isinstance(exc, Mine)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()

    assert asyncio_backend.run(main) == []


def test_system_without_threads_costs_no_token(
    asyncio_backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoThread:
        def __init__(self, **_: Any) -> None: ...

        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr("penstock._backends.asyncio.threads.Thread", NoThread)
            for _ in range(100):
                with pytest.raises(RuntimeError, match="can't start new thread"):
                    await penstock.to_thread.run_sync(int)
        assert current_default_thread_limiter().borrowed_tokens == 0
        assert await penstock.to_thread.run_sync(int) == 0

    asyncio_backend.run(main)
