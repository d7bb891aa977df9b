"""send_many and receive_many: many items at the cost of few operations."""

import math

import pytest

from penstock import (
    EndOfStream,
    create_memory_object_stream,
    create_task_group,
    wait_all_tasks_blocked,
)


async def test_batches_keep_the_order():
    send, receive = create_memory_object_stream(math.inf)
    with send, receive:
        await send.send_many(range(5))
        await send.send(5)
        send.send_nowait(6)
        await send.send_many(number for number in (7, 8))
        assert await receive.receive_many(3) == [0, 1, 2]
        assert await receive.receive() == 3
        assert await receive.receive_many(100) == [4, 5, 6, 7, 8]


@pytest.mark.parametrize("size", [0, 1, 3])
async def test_send_many_waits_for_room(size):
    send, receive = create_memory_object_stream(size)
    with receive:

        async def produce():
            with send:
                await send.send_many(range(20))

        async with create_task_group() as tg:
            tg.start_soon(produce)
            await wait_all_tasks_blocked()
            assert send.statistics().current_buffer_used == size
            assert [item async for item in receive] == list(range(20))


async def test_send_many_serves_waiting_receivers_first():
    got = []
    send, receive = create_memory_object_stream(1)

    async def take():
        got.append(await receive.receive())

    with send, receive:
        async with create_task_group() as tg:
            tg.start_soon(take)
            tg.start_soon(take)
            await wait_all_tasks_blocked()
            await send.send_many([1, 2, 3])
            await wait_all_tasks_blocked()
            assert sorted(got) == [1, 2]
            assert receive.receive_nowait() == 3


async def test_receive_many_waits_for_the_first_item():
    got = []
    send, receive = create_memory_object_stream(5)

    async def take():
        got.append(await receive.receive_many(5))

    with send, receive:
        async with create_task_group() as tg:
            tg.start_soon(take)
            await wait_all_tasks_blocked()
            assert got == []
            send.send_nowait(1)
    assert got == [[1]]


async def test_receive_many_after_waiting_takes_what_has_come():
    got = []
    send, receive = create_memory_object_stream(5)

    async def take():
        got.append(await receive.receive_many(3))

    with send, receive:
        async with create_task_group() as tg:
            tg.start_soon(take)
            await wait_all_tasks_blocked()
            for number in range(4):
                send.send_nowait(number)
        assert got == [[0, 1, 2]]
        assert await receive.receive_many(3) == [3]


@pytest.mark.parametrize("size", [0, 2])
async def test_receive_many_takes_from_waiting_senders(size):
    send, receive = create_memory_object_stream(size)
    with send, receive:
        async with create_task_group() as tg:
            for number in range(6):
                tg.start_soon(send.send, number)
                await wait_all_tasks_blocked()
            assert await receive.receive_many(4) == [0, 1, 2, 3]
            assert await receive.receive_many(4) == [4, 5]


async def test_receive_many_at_the_end_of_the_stream():
    send, receive = create_memory_object_stream(5)
    with receive:
        with send:
            await send.send_many("ab")
        assert await receive.receive_many(5) == ["a", "b"]
        with pytest.raises(EndOfStream):
            await receive.receive_many(5)


@pytest.mark.parametrize("ready", [True, False])
async def test_receive_many_returns_no_more_than_4096_items(ready):
    got = []
    send, receive = create_memory_object_stream(math.inf)

    async def take():
        got.append(await receive.receive_many(10**30))

    with send, receive:
        async with create_task_group() as tg:
            if not ready:
                tg.start_soon(take)
                await wait_all_tasks_blocked()
            for number in range(5_000):
                send.send_nowait(number)
            if ready:
                tg.start_soon(take)
        assert got == [list(range(4_096))]
        assert await receive.receive_many(5_000) == list(range(4_096, 5_000))


@pytest.mark.parametrize("max_items", [0, -1, -(10**30)])
async def test_receive_many_with_a_bad_limit(max_items):
    send, receive = create_memory_object_stream(1)
    with send, receive:
        send.send_nowait("kept")
        with pytest.raises(
            ValueError, match=f"max_items must be a positive integer, not {max_items}"
        ):
            await receive.receive_many(max_items)
        assert receive.receive_nowait() == "kept"


@pytest.mark.parametrize("max_items", [1.0, math.inf, "1", None])
async def test_receive_many_with_a_limit_that_is_no_integer(max_items):
    send, receive = create_memory_object_stream(1)
    with send, receive:
        send.send_nowait("kept")
        with pytest.raises(TypeError, match="max_items must be an integer, not "):
            await receive.receive_many(max_items)
        assert receive.receive_nowait() == "kept"


async def test_send_many_of_something_that_is_not_iterable():
    send, receive = create_memory_object_stream(1)
    with send, receive:
        with pytest.raises(TypeError):
            await send.send_many(7)
        assert receive.statistics().current_buffer_used == 0


async def test_send_many_of_an_iterable_that_fails_sends_nothing():
    def items():
        yield 1
        raise ZeroDivisionError

    send, receive = create_memory_object_stream(5)
    with send, receive:
        with pytest.raises(ZeroDivisionError):
            await send.send_many(items())
        assert receive.statistics().current_buffer_used == 0


async def test_send_many_of_nothing_needs_no_room():
    send, receive = create_memory_object_stream()
    with send, receive:
        await send.send_many([])
        assert send.partial_send is None


async def test_send_many_of_more_than_one_operation_moves():
    send, receive = create_memory_object_stream(math.inf)
    with send, receive:
        await send.send_many(range(10_000))
        got = []
        while len(got) < 10_000:
            got += await receive.receive_many(10_000)
        assert got == list(range(10_000))
        assert receive.statistics().peak_buffer_used == 10_000
