"""Every kind of object, used from another thread, from another living loop, and after its own.

What is refused is a RuntimeError, and nothing comes of it: whoever waits goes on waiting, nothing
is closed, and the right event loop goes on.  ``tests/tasks`` does the same with locks and events.
"""

from __future__ import annotations

import asyncio
import math
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop
from backends import BackendUnderTest
from closing_tables import KINDS, Call, Kind
from raised import public_type
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import BusyResourceError, ClosedResourceError
from penstock.lowlevel import set_ready_budget
from penstock.streams.file import FileReadStream

OTHERS = ("asyncio", "trio")
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
#: Those that no descriptor ties to an event loop: free when theirs has ended.
UNTIED = [KINDS[name] for name in ("memory, sending", "memory, receiving", "merged", "broadcast")]


def close(it: Any) -> Any:
    return getattr(it, "sock", it).aclose()


async def outcome_of(call: Call, it: Any) -> Any:
    """Make a call, until it waits; return the class of what it raised, or None."""
    outcome = None

    async def operate() -> None:
        nonlocal outcome
        try:
            await call(it)
        except Exception as exc:
            outcome = public_type(exc)

    async with penstock.create_task_group() as tg:
        tg.start_soon(operate)
        await penstock.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
    return outcome


def first_of(kind: Kind) -> Call:
    return next(iter(kind.calls.values()))


async def check_that_it_goes_on(kind: Kind, it: Any) -> None:
    """Make each call in the object's own loop: it is as if nothing had happened."""
    eof_sent = False
    for name, call in kind.calls.items():
        outcome = await outcome_of(call, it)
        assert outcome is (ClosedResourceError if eof_sent and "send" in name else None), name
        eof_sent = eof_sent or name == "send_eof"


async def check_that_it_refuses(
    kind: Kind, it: Any, closing: bool = False, busy: bool = False
) -> None:
    """Make each call in another loop; ``busy``: a task of its own loop is waiting."""
    calls = kind.calls | ({"aclose": close} if closing else {})
    for name, call in calls.items():
        outcome = await outcome_of(call, it)
        assert outcome is RuntimeError or (busy and outcome is BusyResourceError), (name, outcome)


@every_kind
async def test_another_thread_is_refused_and_nothing_comes_of_it(kind: Kind) -> None:
    async def refused_in_threads(busy: bool) -> None:
        for other in OTHERS:
            run = BackendUnderTest(other, other).run
            await penstock.to_thread.run_sync(run, check_that_it_refuses, kind, it, True, busy)

    async with kind.make() as it:
        assert await outcome_of(first_of(kind), it) is None
        await refused_in_threads(busy=False)
        ended = False

        async def wait() -> None:
            nonlocal ended
            try:
                await first_of(kind)(it)
            except Exception as exc:
                assert exc is None, exc
            ended = True

        async with penstock.create_task_group() as tg:
            tg.start_soon(wait)
            await penstock.wait_all_tasks_blocked()
            await refused_in_threads(busy=True)
            await penstock.wait_all_tasks_blocked()
            assert not ended
            tg.cancel_scope.cancel()
        await check_that_it_goes_on(kind, it)


@every_kind
def test_another_loop_is_refused_while_the_first_one_rests(
    kind: Kind, asyncio_backend: BackendUnderTest
) -> None:
    making = kind.make()

    async def make() -> Any:
        set_ready_budget(1)  # or what is ready would go ahead
        it = await making.__aenter__()
        assert await outcome_of(first_of(kind), it) is None
        return it

    async def end(it: Any) -> None:
        await check_that_it_goes_on(kind, it)
        await making.__aexit__(None, None, None)

    factory = asyncio_backend.options.get("loop_factory")
    if "use_uvloop" in asyncio_backend.options:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        it = runner.run(make())
        for other in OTHERS:
            BackendUnderTest(other, other).run(check_that_it_refuses, kind, it)
        runner.run(end(it))


@every_kind
@pytest.mark.parametrize("other", OTHERS)
def test_object_of_a_loop_that_has_ended_is_free_or_only_to_be_closed(
    kind: Kind, backend: BackendUnderTest, other: str
) -> None:
    making = kind.make()

    async def make() -> Any:
        await penstock.lowlevel.checkpoint()
        # Or the loop would close the generator in the end, and the object with it.
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            it = await making.__aenter__()
        finally:
            sys.set_asyncgen_hooks(*hooks)
        assert await outcome_of(first_of(kind), it) is None
        return it

    async def use(it: Any) -> None:
        if kind in UNTIED:
            assert await outcome_of(first_of(kind), it) is None
        else:
            await check_that_it_refuses(kind, it)
        await close(it)
        await close(it)
        await making.__aexit__(None, None, None)

    BackendUnderTest(other, other).run(use, backend.run(make))


# -- what is no stream ---------------------------------------------------------------------


async def child() -> None:
    raise AssertionError("it was started")


async def test_another_thread_starts_no_task_in_a_group() -> None:
    async def use() -> None:
        with pytest.raises(RuntimeError, match="another thread"):
            tg.start_soon(child)
        with pytest.raises(RuntimeError, match="another thread"):
            tg.create_task(child())
        with pytest.raises(RuntimeError, match="another thread"):
            await tg.start(child)

    done: list[int] = []
    async with penstock.create_task_group() as tg:
        for other in OTHERS:
            await penstock.to_thread.run_sync(BackendUnderTest(other, other).run, use)
        tg.start_soon(penstock.sleep, 0)
        tg.start_soon(partial(asyncify, done.append), 1)
    assert done == [1]


async def asyncify(func: Any, *args: Any) -> None:
    func(*args)


async def test_another_thread_enters_no_scope() -> None:
    scope = penstock.CancelScope()

    async def use() -> None:
        with pytest.raises(RuntimeError), scope:
            raise AssertionError("it was entered")

    other = "trio" if penstock.get_cancelled_exc_class() is asyncio.CancelledError else "asyncio"
    await penstock.to_thread.run_sync(BackendUnderTest(other, other).run, use)
    with scope:
        scope.cancel()
        await penstock.sleep(60)
    assert scope.cancelled_caught


async def test_another_thread_cancels_no_scope_and_no_task() -> None:
    refused: list[str] = []

    def use() -> None:
        for action in (
            scope.cancel,
            tg.cancel,
            handle.cancel,
            partial(setattr, scope, "deadline", 0),
            partial(setattr, scope, "shield", True),
        ):
            with pytest.raises(RuntimeError, match="belongs to an event loop in another thread"):
                action()
            refused.append("it")

    async def use_in_a_loop() -> None:
        use()

    async with penstock.create_task_group() as tg:
        handle = tg.start_soon(penstock.sleep_forever)
        with penstock.CancelScope() as scope:
            await penstock.to_thread.run_sync(use)
            for other in OTHERS:
                run = BackendUnderTest(other, other).run
                await penstock.to_thread.run_sync(run, use_in_a_loop)
            assert len(refused) == 15
            await penstock.sleep(0)
        assert not scope.cancel_called
        assert scope.deadline == math.inf
        assert not scope.shield
        assert handle.status is handle.Status.PENDING
        handle.cancel()
        with penstock.CancelScope() as scope:
            scope.cancel()
            await penstock.sleep_forever()
        assert scope.cancelled_caught


def test_another_thread_that_looks_at_a_passed_deadline_cancels_nothing(
    asyncio_backend: BackendUnderTest,
) -> None:
    seen: list[bool] = []

    async def look() -> None:
        with penstock.CancelScope(deadline=penstock.current_time() + 0.001) as scope:
            while penstock.current_time() < scope.deadline:
                pass
            thread = threading.Thread(target=lambda: seen.append(scope.cancel_called))
            thread.start()
            thread.join()
            seen.append(scope.cancel_called)
            await penstock.sleep_forever()
        assert scope.cancelled_caught

    asyncio_backend.run(look)
    assert seen == [False, True]


async def test_another_thread_receives_no_signal() -> None:
    async def use() -> None:
        with pytest.raises(RuntimeError, match="another event loop or thread"):
            await anext(signals)

    with penstock.open_signal_receiver(signal.SIGUSR1) as signals:
        for other in OTHERS:
            await penstock.to_thread.run_sync(BackendUnderTest(other, other).run, use)
        signal.raise_signal(signal.SIGUSR1)
        assert await anext(signals) is signal.SIGUSR1


async def test_files_may_be_used_in_any_loop(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))

    async def use(file: Any, stream: Any) -> tuple[bytes, bytes]:
        return await file.read(10), await stream.receive(10)

    async with (
        await penstock.open_file(path, "rb", buffering=0) as file,
        await FileReadStream.from_path(path) as stream,
    ):
        came = [
            await penstock.to_thread.run_sync(BackendUnderTest(other, other).run, use, file, stream)
            for other in OTHERS
        ]
        came.append(await use(file, stream))
    assert came == [(bytes(range(n, n + 10)),) * 2 for n in (0, 10, 20)]
