"""Blocking functions in worker threads."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextvars import ContextVar
from typing import Any

import pytest
import sniffio

import penstock
from penstock.lowlevel import checkpoint
from penstock.to_thread import run_sync


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


async def test_many_calls_share_the_threads() -> None:
    most = running = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal most, running
        with lock:
            running += 1
            most = max(most, running)
        gate.wait(0.01)
        with lock:
            running -= 1

    gate = threading.Event()
    async with penstock.create_task_group() as tg:
        for _ in range(100):
            tg.start_soon(run_sync, work)
    assert 1 < most <= 40


async def test_call_cancelled_while_all_threads_work_calls_nothing() -> None:
    gate = threading.Event()
    called = []
    async with penstock.create_task_group() as tg:
        for _ in range(40):
            tg.start_soon(run_sync, gate.wait, 10)
        await penstock.wait_all_tasks_blocked()
        with penstock.move_on_after(0.01) as scope:
            await run_sync(called.append, 1)
        assert scope.cancelled_caught
        gate.set()
    assert called == []
    await run_sync(called.append, 2)
    assert called == [2]


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
    go_on = threading.Event()
    threads: list[threading.Thread] = []

    def block() -> None:
        threads.append(threading.current_thread())
        go_on.wait(10)

    async def main() -> None:
        with penstock.move_on_after(0.01):
            await run_sync(block, abandon_on_cancel=True)

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


def test_system_without_threads_costs_no_slot(
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
        assert await penstock.to_thread.run_sync(int) == 0

    asyncio_backend.run(main)
