"""Memory object streams: making them, passing items, clones, statistics; on every event loop."""

import gc
import math
import sys

import pytest

from penstock import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    WouldBlock,
    create_memory_object_stream,
    create_task_group,
    wait_all_tasks_blocked,
)
from penstock.streams.memory import (
    MemoryObjectReceiveStream,
    MemoryObjectSendStream,
    MemoryObjectStreamStatistics,
)

FALSY = [None, 0, 0.0, False, "", b"", (), [], {}]


# -- making ------------------------------------------------------------------------------------


def test_create_returns_the_two_ends():
    pair = create_memory_object_stream(1)
    send, receive = pair
    with send, receive:
        assert type(pair) is tuple
        assert isinstance(send, MemoryObjectSendStream)
        assert isinstance(receive, MemoryObjectReceiveStream)


def test_create_with_an_item_type():
    send, receive = create_memory_object_stream[int](3)
    with send, receive:
        send.send_nowait(7)
        assert receive.receive_nowait() == 7


@pytest.mark.parametrize("size", [0, 1, 7, 10**30, math.inf])
def test_create_keeps_the_size(size):
    send, receive = create_memory_object_stream(max_buffer_size=size)
    with send, receive:
        assert send.statistics().max_buffer_size == size


@pytest.mark.parametrize("size", [1.0, 0.5, math.nan, -math.inf, "1", None])
def test_create_with_a_size_that_is_no_integer(size):
    with pytest.raises(ValueError, match=r"must be either an integer or math\.inf"):
        create_memory_object_stream(size)


@pytest.mark.parametrize("size", [-1, -(10**30)])
def test_create_with_a_negative_size(size):
    with pytest.raises(ValueError, match=f"max_buffer_size cannot be negative: {size}"):
        create_memory_object_stream(size)


# -- without waiting ---------------------------------------------------------------------------


def test_nowait_without_an_event_loop():
    send, receive = create_memory_object_stream(2)
    with send, receive:
        send.send_nowait("a")
        send.send_nowait("b")
        with pytest.raises(WouldBlock):
            send.send_nowait("c")
        assert receive.receive_nowait() == "a"
        assert receive.receive_nowait() == "b"
        with pytest.raises(WouldBlock):
            receive.receive_nowait()


def test_nowait_through_an_unbounded_buffer():
    send, receive = create_memory_object_stream(math.inf)
    with send, receive:
        for number in range(10_000):
            send.send_nowait(number)
        assert [receive.receive_nowait() for _ in range(10_000)] == list(range(10_000))


def test_nowait_without_a_buffer_would_block():
    send, receive = create_memory_object_stream()
    with send, receive:
        with pytest.raises(WouldBlock):
            send.send_nowait(1)
        with pytest.raises(WouldBlock):
            receive.receive_nowait()
        assert send.statistics().current_buffer_used == 0


@pytest.mark.parametrize("item", FALSY, ids=repr)
async def test_falsy_items_pass(item):
    send, receive = create_memory_object_stream(1)
    with send, receive:
        await send.send(item)
        assert await receive.receive() is item
        send.send_nowait(item)
        assert receive.receive_nowait() is item
        await send.send_many([item])
        assert await receive.receive_many(2) == [item]


@pytest.mark.parametrize("item", FALSY, ids=repr)
async def test_falsy_items_pass_from_task_to_task(item):
    got = []
    send, receive = create_memory_object_stream()

    async def take():
        got.append(await receive.receive())

    async def give():
        await send.send(item)

    with send, receive:
        async with create_task_group() as tg:
            tg.start_soon(take)
            await wait_all_tasks_blocked()
            send.send_nowait(item)
        async with create_task_group() as tg:
            tg.start_soon(give)
            await wait_all_tasks_blocked()
            got.append(receive.receive_nowait())
    assert len(got) == 2
    assert got[0] is item
    assert got[1] is item


async def test_send_nowait_reaches_a_waiting_receiver():
    got = []
    send, receive = create_memory_object_stream()

    async def take():
        got.append(await receive.receive())

    with send, receive:
        async with create_task_group() as tg:
            tg.start_soon(take)
            await wait_all_tasks_blocked()
            send.send_nowait(1)
            with pytest.raises(WouldBlock):
                send.send_nowait(2)
    assert got == [1]


async def test_receive_nowait_takes_the_buffer_before_waiting_senders():
    send, receive = create_memory_object_stream(1)
    with send, receive:
        send.send_nowait(0)
        async with create_task_group() as tg:
            for number in (1, 2, 3):
                tg.start_soon(send.send, number)
                await wait_all_tasks_blocked()
            assert [receive.receive_nowait() for _ in range(4)] == [0, 1, 2, 3]
            with pytest.raises(WouldBlock):
                receive.receive_nowait()


async def test_receive_nowait_does_not_take_what_a_woken_receiver_was_promised():
    got = []
    send, receive = create_memory_object_stream(1)

    async def take():
        got.append(await receive.receive())

    with send, receive:
        async with create_task_group() as tg:
            tg.start_soon(take)
            await wait_all_tasks_blocked()
            send.send_nowait(1)
            with pytest.raises(WouldBlock):
                receive.receive_nowait()
            send.send_nowait(2)
            assert receive.receive_nowait() == 1  # the older; the other receiver gets the next
    assert got == [2]


# -- what goes wrong, in order of precedence -----------------------------------------------------


async def test_send_on_a_closed_stream_whose_receivers_are_closed():
    send, receive = create_memory_object_stream(1)
    send.close()
    receive.close()
    with pytest.raises(ClosedResourceError):
        send.send_nowait(1)
    with pytest.raises(ClosedResourceError):
        await send.send(1)
    with pytest.raises(ClosedResourceError):
        await send.send_many([1])
    with pytest.raises(ClosedResourceError):
        await send.send_many([])
    with pytest.raises(ClosedResourceError):
        send.clone()


@pytest.mark.parametrize("size", [0, 1, math.inf])
async def test_send_to_closed_receivers(size):
    send, receive = create_memory_object_stream(size)
    receive.close()
    with send:
        with pytest.raises(BrokenResourceError):
            send.send_nowait(1)
        with pytest.raises(BrokenResourceError):
            await send.send(1)
        with pytest.raises(BrokenResourceError):
            await send.send_many([1])


async def test_receive_on_a_closed_stream():
    send, receive = create_memory_object_stream(1)
    send.send_nowait(1)
    send.close()
    receive.close()
    with pytest.raises(ClosedResourceError):
        receive.receive_nowait()
    with pytest.raises(ClosedResourceError):
        await receive.receive()
    with pytest.raises(ClosedResourceError):
        await receive.receive_many(1)
    with pytest.raises(ClosedResourceError):
        await anext(receive)
    with pytest.raises(ClosedResourceError):
        receive.clone()


@pytest.mark.parametrize("size", [0, 1])
async def test_receive_after_the_senders_are_closed(size):
    send, receive = create_memory_object_stream(size)
    send.close()
    with receive:
        with pytest.raises(EndOfStream):
            receive.receive_nowait()
        with pytest.raises(EndOfStream):
            await receive.receive()
        with pytest.raises(EndOfStream):
            await receive.receive_many(1)
        with pytest.raises(StopAsyncIteration):
            await anext(receive)


async def test_buffered_items_outlive_the_senders():
    send, receive = create_memory_object_stream(5)
    with send:
        await send.send_many("abcde")
    with receive:
        assert receive.receive_nowait() == "a"
        assert await receive.receive() == "b"
        assert await receive.receive_many(1) == ["c"]
        assert [item async for item in receive] == ["d", "e"]
        with pytest.raises(EndOfStream):
            await receive.receive()


# -- waiting, in order ---------------------------------------------------------------------------


async def test_waiting_receivers_are_served_in_order():
    got = []
    send, receive = create_memory_object_stream()

    async def take(number):
        got.append((number, await receive.receive()))

    with send, receive:
        async with create_task_group() as tg:
            for number in range(5):
                tg.start_soon(take, number)
                await wait_all_tasks_blocked()
            for number in range(5):
                send.send_nowait(number)
                await wait_all_tasks_blocked()
    assert got == [(number, number) for number in range(5)]


async def test_waiting_senders_are_served_in_order():
    send, receive = create_memory_object_stream()
    with send, receive:
        async with create_task_group() as tg:
            for number in range(5):
                tg.start_soon(send.send, number)
                await wait_all_tasks_blocked()
            assert [await receive.receive() for _ in range(5)] == list(range(5))


@pytest.mark.parametrize("size", [0, 1, 3, math.inf])
async def test_one_producer_one_consumer_in_order(size):
    send, receive = create_memory_object_stream(size)

    async def produce():
        async with send:
            for number in range(1_000):
                await send.send(number)

    async with create_task_group() as tg, receive:
        tg.start_soon(produce)
        assert [item async for item in receive] == list(range(1_000))


@pytest.mark.parametrize("size", [0, 1, 3, math.inf])
async def test_every_item_reaches_one_of_many_consumers(size):
    got = []
    send, receive = create_memory_object_stream(size)

    async def produce(stream, number):
        async with stream:
            for serial in range(200):
                await stream.send((number, serial))

    async def consume(stream):
        async with stream:
            mine = [item async for item in stream]
        for number in range(3):
            serials = [serial for producer, serial in mine if producer == number]
            assert serials == sorted(serials)
        got.extend(mine)

    async with create_task_group() as tg:
        with send, receive:
            for number in range(3):
                tg.start_soon(produce, send.clone(), number)
                tg.start_soon(consume, receive.clone())
    assert sorted(got) == [(number, serial) for number in range(3) for serial in range(200)]


async def test_send_without_a_buffer_returns_when_the_item_is_taken():
    events = []
    send, receive = create_memory_object_stream()

    async def produce():
        await send.send(1)
        events.append("sent")

    with send, receive:
        async with create_task_group() as tg:
            tg.start_soon(produce)
            await wait_all_tasks_blocked()
            events.append("receiving")
            await receive.receive()
    assert events == ["receiving", "sent"]


async def test_send_succeeds_when_the_receiver_is_closed_after_taking_the_item():
    sent = []
    send, receive = create_memory_object_stream()

    async def produce():
        await send.send(1)
        sent.append(1)

    with send:
        async with create_task_group() as tg:
            tg.start_soon(produce)
            await wait_all_tasks_blocked()
            assert receive.receive_nowait() == 1
            receive.close()
    assert sent == [1]


# -- context managers, iteration, clones ----------------------------------------------------------


async def test_async_with_closes():
    send, receive = create_memory_object_stream()
    async with send as entered_send, receive as entered_receive:
        assert entered_send is send
        assert entered_receive is receive
    with pytest.raises(ClosedResourceError):
        send.send_nowait(1)
    with pytest.raises(ClosedResourceError):
        receive.receive_nowait()


def test_with_closes_although_the_block_fails():
    send, receive = create_memory_object_stream()
    with receive:
        assert send.__enter__() is send
        assert send.__exit__(ZeroDivisionError, ZeroDivisionError(), None) is None
        with pytest.raises(EndOfStream):
            receive.receive_nowait()


async def test_iteration_ends_with_the_last_sender():
    send, receive = create_memory_object_stream(2)
    with receive:
        with send, send.clone() as other:
            await send.send(1)
            await other.send(2)
        assert [item async for item in receive] == [1, 2]
        assert [item async for item in receive] == []


async def test_clones_share_the_stream_and_close_on_their_own():
    send, receive = create_memory_object_stream(2)
    other_send, other_receive = send.clone(), receive.clone()
    assert type(other_send) is MemoryObjectSendStream
    assert type(other_receive) is MemoryObjectReceiveStream
    send.send_nowait(1)
    send.close()
    other_send.send_nowait(2)
    assert receive.receive_nowait() == 1
    receive.close()
    assert other_receive.receive_nowait() == 2
    with pytest.raises(WouldBlock):
        other_receive.receive_nowait()
    other_send.close()
    with pytest.raises(EndOfStream):
        other_receive.receive_nowait()
    other_receive.close()


async def test_closing_twice_counts_once():
    send, receive = create_memory_object_stream(1)
    with send.clone() as other, receive:
        send.close()
        send.close()
        await send.aclose()
        assert receive.statistics().open_send_streams == 1
        other.send_nowait(1)
        assert receive.receive_nowait() == 1


async def test_the_last_receiver_takes_the_buffer_with_it():
    class Item:
        gone = 0

        def __del__(self):
            Item.gone += 1

    send, receive = create_memory_object_stream(2)
    with send:
        send.send_nowait(Item())
        send.send_nowait(Item())
        receive.close()
        gc.collect()
        assert Item.gone == 2
        assert send.statistics().current_buffer_used == 0


# -- statistics -----------------------------------------------------------------------------------


async def test_statistics_count_items_ends_and_tasks():
    send, receive = create_memory_object_stream(2)
    with send, receive, send.clone(), receive.clone(), receive.clone():
        assert send.statistics() == MemoryObjectStreamStatistics(0, 2, 2, 3, 0, 0, 0)
        async with create_task_group() as tg:
            tg.start_soon(receive.receive)
            tg.start_soon(receive.receive)
            await wait_all_tasks_blocked()
            assert receive.statistics() == MemoryObjectStreamStatistics(0, 2, 2, 3, 0, 2, 0)
            send.send_nowait(1)
            send.send_nowait(2)
            assert receive.statistics() == MemoryObjectStreamStatistics(0, 2, 2, 3, 0, 0, 0)
        async with create_task_group() as tg:
            for number in range(5):
                tg.start_soon(send.send, number)
            await wait_all_tasks_blocked()
            assert send.statistics() == MemoryObjectStreamStatistics(2, 2, 2, 3, 3, 0, 2)
            await receive.receive_many(5)
        assert send.statistics() == MemoryObjectStreamStatistics(0, 2, 2, 3, 0, 0, 2)
    assert send.statistics() == MemoryObjectStreamStatistics(0, 2, 0, 0, 0, 0, 2)


def test_statistics_keep_the_peak():
    send, receive = create_memory_object_stream(math.inf)
    with send, receive:
        for size in (3, 8, 5):
            for number in range(size):
                send.send_nowait(number)
            for _ in range(size):
                receive.receive_nowait()
        assert receive.statistics().peak_buffer_used == 8


# -- streams that nobody closed --------------------------------------------------------------------


@pytest.mark.parametrize("end", [0, 1])
def test_unclosed_stream_warns_once(end):
    streams = list(create_memory_object_stream())
    streams.pop(1 - end).close()
    stream = streams.pop()
    name, address = type(stream).__name__, id(stream)
    with pytest.warns(ResourceWarning) as caught:
        del stream
        gc.collect()
    assert [str(warning.message) for warning in caught] == [f"Unclosed <{name} at {address:x}>"]


def test_unclosed_stream_stays_counted_as_open():
    send, receive = create_memory_object_stream()
    with receive:
        with pytest.warns(ResourceWarning):
            del send
            gc.collect()
        with pytest.raises(WouldBlock):
            receive.receive_nowait()


def test_stream_that_was_never_made_does_not_warn():
    stream = MemoryObjectSendStream.__new__(MemoryObjectSendStream)
    assert sys.getrefcount(stream) <= 2  # 1 from Python 3.14 on
    del stream
    gc.collect()
