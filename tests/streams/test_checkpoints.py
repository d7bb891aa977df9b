"""The checkpoint contract: cancellations are noticed, tasks yield, and both before any effect."""

import asyncio
import math
from contextlib import asynccontextmanager, nullcontext

import anyio
import pytest
import trio
import trio.testing

from penstock import (
    BrokenResourceError,
    CancelScope,
    EndOfStream,
    Event,
    connect_tcp,
    create_memory_object_stream,
    create_task_group,
    create_tcp_listener,
    get_cancelled_exc_class,
    move_on_after,
    wait_all_tasks_blocked,
)
from penstock.abc import SocketAttribute
from penstock.lowlevel import checkpoint, ready_budget, set_ready_budget

KIBIBYTE = 1024


class Memory:
    """A memory stream on which every operation of :data:`MEMORY` is ready."""

    def __init__(self):
        self.send, self.receive = create_memory_object_stream(math.inf)
        for number in range(3):
            self.send.send_nowait(number)

    def facts(self):
        return self.receive.statistics()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.send.close()
        self.receive.close()


MEMORY = {
    "send": lambda streams: streams.send.send("item"),
    "send_many": lambda streams: streams.send.send_many(["item", "item"]),
    "send_many of nothing": lambda streams: streams.send.send_many([]),
    "receive": lambda streams: streams.receive.receive(),
    "receive_many": lambda streams: streams.receive.receive_many(2),
    "iteration": lambda streams: streams.receive.__anext__(),
}


@pytest.fixture(params=MEMORY)
def operate(request):
    return MEMORY[request.param]


@asynccontextmanager
async def tcp_pair():
    async with await create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
        async with (
            await connect_tcp("127.0.0.1", port) as client,
            await listener.listeners[0].accept() as server,
        ):
            yield client, server


@asynccontextmanager
async def cancellation_elsewhere():
    """Have a task that is cancelled, and shielded from that, while the block runs."""
    release = Event()

    async def shielded():
        with CancelScope() as scope:
            scope.cancel()
            with CancelScope(shield=True):
                await release.wait()

    async with create_task_group() as tg:
        tg.start_soon(shielded)
        await wait_all_tasks_blocked()
        try:
            yield
        finally:
            release.set()


# -- a pending cancellation is noticed, and nothing has happened ---------------------------------


def scope_that_was_cancelled():
    scope = CancelScope()
    scope.cancel()
    return scope


def scope_whose_deadline_has_passed():
    return CancelScope(deadline=-math.inf)


def scope_without_time():
    return move_on_after(0)


@pytest.mark.parametrize(
    "make", [scope_that_was_cancelled, scope_whose_deadline_has_passed, scope_without_time]
)
async def test_ready_operation_notices_a_cancellation_before_it(make, operate):
    with Memory() as streams:
        await checkpoint()
        await operate(streams)  # the streams know their event loop by now
        facts = streams.facts()
        with make() as scope:
            await operate(streams)
        assert scope.cancelled_caught
        assert streams.facts() == facts


async def test_ready_operation_notices_a_cancellation_inside_the_scope(operate):
    with Memory() as streams:
        await operate(streams)
        facts = streams.facts()
        with CancelScope() as outer, CancelScope() as scope:
            outer.cancel()
            await operate(streams)
        assert outer.cancelled_caught
        assert not scope.cancelled_caught
        assert streams.facts() == facts


async def test_ready_operation_of_a_child_notices_that_its_group_is_cancelled(operate):
    with Memory() as streams:
        await operate(streams)
        facts = streams.facts()
        outcome = []

        async def child():
            try:
                await operate(streams)
            except get_cancelled_exc_class():
                outcome.append("cancelled")
                raise

        async with create_task_group() as tg:
            tg.cancel_scope.cancel()
            tg.start_soon(child)
        assert outcome in (["cancelled"], [])  # asyncio may cancel it before it has begun
        assert streams.facts() == facts


async def test_every_ready_operation_in_a_cancelled_scope_notices(operate):
    with Memory() as streams, CancelScope() as scope:
        await operate(streams)
        facts = streams.facts()
        scope.cancel()
        for _ in range(5):
            with pytest.raises(get_cancelled_exc_class()):
                await operate(streams)
        assert streams.facts() == facts


async def test_shielded_operation_goes_ahead(operate):
    with Memory() as streams, CancelScope() as outer:
        outer.cancel()
        with CancelScope(shield=True):
            await operate(streams)
            await operate(streams)
        with pytest.raises(get_cancelled_exc_class()):
            await operate(streams)


async def test_operation_that_would_fail_notices_a_cancellation():
    send, receive = create_memory_object_stream(1)
    with receive:
        send.close()
        with pytest.raises(EndOfStream):
            await receive.receive()
        for func in (receive.receive, lambda: receive.receive_many(1), receive.__anext__):
            with CancelScope() as scope:
                scope.cancel()
                await func()
            assert scope.cancelled_caught
    send, receive = create_memory_object_stream(1)
    with send:
        receive.close()
        with pytest.raises(BrokenResourceError):
            await send.send(1)
        for func in (lambda: send.send(1), lambda: send.send_many([1, 2])):
            with CancelScope() as scope:
                scope.cancel()
                await func()
            assert scope.cancelled_caught


@pytest.mark.parametrize("budget", [1, 64])
@pytest.mark.parametrize("held", [True, False])
async def test_operation_after_one_that_failed_notices_a_cancellation(budget, held):
    # The failed one has looked, and may not let the next one go without a look.
    set_ready_budget(budget)
    ended_send, ended = create_memory_object_stream(1)
    ended_send.close()
    broken, broken_receive = create_memory_object_stream(1)
    broken_receive.close()
    with Memory() as streams, ended, broken:
        async with cancellation_elsewhere() if held else nullcontext():
            for fail in (ended.receive, lambda: broken.send(1), lambda: streams.send.send_many([])):
                try:
                    await fail()
                except (EndOfStream, BrokenResourceError):
                    pass
                facts = streams.facts()
                with CancelScope() as scope:
                    scope.cancel()
                    await streams.send.send("item")
                assert scope.cancelled_caught
                assert streams.facts() == facts


async def test_tcp_notices_a_cancellation_before_a_ready_operation():
    async with tcp_pair() as (client, server):
        await server.send(b"first")
        assert await client.receive() == b"first"
        await server.send(b"second")
        for func in (
            client.receive,
            lambda: client.receive_into(bytearray(9)),
            lambda: client.send(b"withdrawn"),
            lambda: client.send_many([b"withdrawn"]),
        ):
            with CancelScope() as scope:
                scope.cancel()
                await func()
            assert scope.cancelled_caught
        assert await client.receive() == b"second"
        await client.send(b"next")
        assert await server.receive() == b"next"


def test_foreign_scope_on_asyncio_acts_at_the_next_wait(operate):
    async def main():
        with Memory() as streams:
            await operate(streams)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await operate(streams)
                while streams.facts().current_buffer_used:
                    streams.receive.receive_nowait()
                await streams.receive.receive()
            assert scope.cancelled_caught
            streams.send.send_nowait("kept")
            assert await streams.receive.receive() == "kept"

    anyio.run(main, backend="asyncio")


def test_foreign_scope_on_trio_is_noticed_at_once(operate):
    async def main():
        with Memory() as streams:
            await operate(streams)
            facts = streams.facts()
            with anyio.CancelScope() as scope:
                scope.cancel()
                await operate(streams)
            assert scope.cancelled_caught
            with trio.CancelScope() as scope:
                scope.cancel()
                await operate(streams)
            assert scope.cancelled_caught
            assert streams.facts() == facts

    anyio.run(main, backend="trio")


# -- yielding, at least once in every ready budget -----------------------------------------------


class Turns:
    """Count the turns of the event loop, in a task."""

    def __init__(self):
        self.count = 0

    async def run(self):
        while True:
            await checkpoint()
            self.count += 1


async def work_between_turns(func, times):
    """Await ``func`` so often; return the most it returned, in sum, between two turns."""
    turns = Turns()
    amounts = {}
    async with create_task_group() as tg:
        tg.start_soon(turns.run)
        await checkpoint()
        for _ in range(times):
            amount = await func()
            amounts[turns.count] = amounts.get(turns.count, 0) + amount
        tg.cancel_scope.cancel()
    return max(amounts.values())


def at_most(backend, amount):
    """Trio shuffles the tasks of a turn: a task may come last in one and first in the next."""
    return 2 * amount if backend.name == "trio" else amount


async def does_yield(backend, func):
    """Whether other tasks had a turn while ``func()`` was awaited."""
    if backend.name == "trio":
        try:
            with trio.testing.assert_checkpoints():
                await func()
        except AssertionError:
            return False
        return True
    event = asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)
    await func()
    return event.is_set()


@pytest.mark.parametrize("budget", [1, 2, 64])
async def test_ready_operations_between_two_turns(backend, budget, operate):
    set_ready_budget(budget)
    with Memory() as streams:
        await streams.send.send_many(range(2_000))

        async def one():
            await operate(streams)
            return 1

        most = await work_between_turns(one, 500)
        assert budget // 2 <= most <= at_most(backend, budget)


async def test_default_budget_lets_most_operations_go_without_a_yield(backend):
    times = 10 * ready_budget()
    with Memory() as streams:
        yields = [await does_yield(backend, lambda: streams.send.send(1)) for _ in range(times)]
    assert 9 <= sum(yields) <= 11


async def test_budget_of_1_makes_every_operation_yield(backend, operate):
    set_ready_budget(1)
    with Memory() as streams:
        await streams.send.send_many(range(100))
        assert all([await does_yield(backend, lambda: operate(streams)) for _ in range(20)])


async def test_budget_of_1_makes_operations_yield_that_fail(backend):
    set_ready_budget(1)
    send, receive = create_memory_object_stream(1)
    send.close()

    async def fail():
        with pytest.raises(EndOfStream):
            await receive.receive()

    with receive:
        assert all([await does_yield(backend, fail) for _ in range(20)])


async def test_failing_operations_yield_like_others(backend):
    send, receive = create_memory_object_stream(1)
    send.close()

    async def fail():
        with pytest.raises(EndOfStream):
            await receive.receive()
        return 1

    with receive:
        most = at_most(backend, ready_budget())
        assert await work_between_turns(fail, 2_000) <= most


async def test_items_of_batches_between_two_turns(backend):
    with Memory() as streams:
        batch = range(1_024)

        async def send_many():
            await streams.send.send_many(batch)
            return len(batch)

        async def receive_many():
            return len(await streams.receive.receive_many(4_096))

        assert await work_between_turns(send_many, 100) <= at_most(backend, 4_096 + 1_024)
        assert await work_between_turns(receive_many, 20) <= at_most(backend, 4_096 + 4_096)


@pytest.mark.parametrize("size", [16 * KIBIBYTE, 64 * KIBIBYTE])
async def test_bytes_between_two_turns(backend, size):
    async with tcp_pair() as (client, server):
        piece = bytes(size)
        buffer = bytearray(size)

        async def send():
            await client.send(piece)
            await server.receive_into(buffer)
            return size

        async def receive():
            return len(await server.receive(size))

        most = at_most(backend, 256 * KIBIBYTE + size)
        assert await work_between_turns(send, 64) <= most
        async with create_task_group() as tg:
            tg.start_soon(client.send, bytes(4 * 1024 * KIBIBYTE))
            assert await work_between_turns(receive, 32) <= most
            tg.cancel_scope.cancel()


@pytest.mark.parametrize("held", [True, False])
async def test_yield_comes_before_the_effect(backend, operate, held):
    # Whoever is cancelled in the yield has done nothing.  On Trio the yield may be over first.
    set_ready_budget(1)
    seen = set()
    for _ in range(60 if backend.name == "trio" else 2):
        with Memory() as streams:
            began = Event()
            scope = CancelScope()

            async def child(began=began, scope=scope, streams=streams):
                with scope:
                    began.set()
                    await operate(streams)

            async def cancel(began=began, scope=scope):
                while not began.is_set():
                    await checkpoint()
                scope.cancel()

            await operate(streams)
            facts = streams.facts()
            elsewhere = cancellation_elsewhere() if held else nullcontext()
            async with elsewhere, create_task_group() as tg:
                tg.start_soon(cancel)
                tg.start_soon(child)
            if scope.cancelled_caught:
                assert streams.facts() == facts
            seen.add(scope.cancelled_caught)
    assert True in seen


def test_native_cancellation_in_the_yield_has_no_effect(asyncio_backend, operate):
    async def main():
        set_ready_budget(1)
        with Memory() as streams:
            await operate(streams)
            facts = streams.facts()
            task = asyncio.create_task(operate(streams))
            if not getattr(asyncio_backend, "id", "").endswith("eager"):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert streams.facts() == facts

    asyncio_backend.run(main)


# -- while a cancellation is pending elsewhere ---------------------------------------------------


@pytest.mark.parametrize("budget", [1, 2, 64])
async def test_others_go_on_while_a_shielded_task_is_cancelled(backend, budget):
    set_ready_budget(budget)
    got = []
    send, receive = create_memory_object_stream(7)

    async def produce():
        with send:
            for number in range(0, 600, 3):
                await send.send(number)
                await send.send_many([number + 1, number + 2])

    async def consume():
        async for item in receive:
            got.append(item)

    with receive:
        async with cancellation_elsewhere(), create_task_group() as tg:
            tg.start_soon(produce)
            await consume()
            with Memory() as streams:
                for operate in MEMORY.values():

                    async def one(operate=operate, streams=streams):
                        await operate(streams)
                        return 1

                    await streams.send.send_many(range(400))
                    assert await work_between_turns(one, 100) <= at_most(backend, budget)
                    facts = streams.facts()
                    with CancelScope() as scope:
                        scope.cancel()
                        await operate(streams)
                    assert scope.cancelled_caught
                    assert streams.facts() == facts
    assert got == list(range(600))


# -- the size of the budget ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, -1, -(10**30)])
async def test_budget_below_1(size):
    before = ready_budget()
    with pytest.raises(ValueError, match=f"must be at least 1, not {size}"):
        set_ready_budget(size)
    assert ready_budget() == before


@pytest.mark.parametrize("size", [1.0, math.inf, "1", None])
async def test_budget_that_is_no_integer(size):
    before = ready_budget()
    with pytest.raises(TypeError, match="must be an integer, not "):
        set_ready_budget(size)
    assert ready_budget() == before


async def test_budget_is_the_event_loops_own(backend):
    set_ready_budget(7)
    assert ready_budget() == 7


async def test_tasks_that_begin_to_wait_do_not_refill_the_budget():
    """An eager task waits within the step of the task that starts it: the loop has not turned."""
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    with Memory() as streams, Memory() as others:
        async with create_task_group() as tg:
            tg.start_soon(count_turns)
            await checkpoint()
            before = turns
            for _ in range(4 * ready_budget()):
                await streams.send.send(1)
                tg.start_soon(others.receive.receive)
            seen = turns - before
            tg.cancel_scope.cancel()
    assert seen >= 3
