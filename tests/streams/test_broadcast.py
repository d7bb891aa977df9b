"""Broadcast streams: every item to every receiver, or to none of them."""

import math
import threading

import pytest
from cancelling import Cancellable, ways
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import (
    BrokenResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    WouldBlock,
    create_task_group,
    run,
    wait_all_tasks_blocked,
)
from penstock.lowlevel import checkpoint, set_ready_budget
from penstock.streams.broadcast import BroadcastSendStream
from penstock.streams.merge import MergedReceiveStream


def drain(receiver):
    items = []
    while True:
        try:
            items.append(receiver.receive_nowait())
        except (WouldBlock, EndOfStream, BrokenResourceError):
            return items


@pytest.mark.parametrize("budget", [1, 256])
async def test_every_receiver_gets_every_item(budget):
    set_ready_budget(budget)
    received = {}

    async def receive_all(number, receiver):
        async with receiver:
            received[number] = [item async for item in receiver]

    async with create_task_group() as tasks, BroadcastSendStream() as send:
        for number in range(3):
            tasks.start_soon(receive_all, number, send.subscribe(number + 1))
        for item in range(10):
            await send.send(item)
    assert received == {number: list(range(10)) for number in range(3)}


async def test_receiver_gets_what_is_sent_while_it_is_subscribed():
    async with BroadcastSendStream() as send:
        await send.send("nobody")
        with send.subscribe() as first:
            await send.send("one")
            with send.subscribe() as second:
                await send.send("two")
                assert drain(second) == ["two"]
            await send.send("three")
            assert drain(first) == ["one", "two", "three"]
        await send.send("nobody")
        assert send.statistics().open_receivers == 0


async def test_statistics():
    with BroadcastSendStream() as send, send.subscribe(2) as slow, send.subscribe(9) as fast:
        for item in range(2):
            send.send_nowait(item)
        fast.receive_nowait()
        async with create_task_group() as tasks:
            tasks.start_soon(send.send, 2)
            tasks.start_soon(send.send, 3)
            await wait_all_tasks_blocked()
            assert send.statistics() == (2, 2, 2, 0)
            assert drain(slow)
            assert fast.statistics().current_buffer_used == 1
        assert slow.statistics().max_buffer_size == 2
        assert send.statistics() == (2, 0, 3, 0)


async def test_send_waits_for_the_slowest_and_reaches_all_at_once():
    with BroadcastSendStream() as send, send.subscribe(1) as slow, send.subscribe(9) as fast:
        await send.send(1)
        with pytest.raises(WouldBlock):
            send.send_nowait(2)
        async with create_task_group() as tasks:
            tasks.start_soon(send.send, 2)
            await wait_all_tasks_blocked()
            assert drain(fast) == [1]
            assert await slow.receive() == 1
        assert drain(fast) == drain(slow) == [2]


async def test_senders_that_wait_take_turns():
    with BroadcastSendStream() as send, send.subscribe(1) as receiver:
        await send.send(0)
        async with create_task_group() as tasks:
            for item in range(1, 5):
                tasks.start_soon(send.send, item)
                await wait_all_tasks_blocked()
            received = []
            for _ in range(5):
                with pytest.raises(WouldBlock):
                    if not received or len(received) < 4:
                        send.send_nowait("pushing in")
                    else:
                        raise WouldBlock
                received.append(await receiver.receive())
        assert received == [0, 1, 2, 3, 4]


async def test_cancelled_send_reaches_nobody():
    with BroadcastSendStream() as send, send.subscribe(1) as slow, send.subscribe(9) as fast:
        await send.send(1)
        async with create_task_group() as tasks:
            tasks.start_soon(send.send, 2)
            tasks.start_soon(send.send, 3)
            await wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        with CancelScope() as scope:
            scope.cancel()
            await send.send(4)
        assert scope.cancelled_caught
        assert drain(slow) == drain(fast) == [1]
        assert send.statistics().tasks_waiting_send == 0
        await send.send(5)
        assert drain(slow) == drain(fast) == [5]


async def test_sender_behind_a_cancelled_one_goes_on():
    with BroadcastSendStream() as send, send.subscribe(1) as receiver:
        await send.send(1)
        async with create_task_group() as tasks:
            async with create_task_group() as cancelled:
                cancelled.start_soon(send.send, 2)
                await wait_all_tasks_blocked()
                tasks.start_soon(send.send, 3)
                await wait_all_tasks_blocked()
                assert receiver.receive_nowait() == 1  # wakes the first
                cancelled.cancel_scope.cancel()
            await wait_all_tasks_blocked()
            received = drain(receiver)
            await wait_all_tasks_blocked()
            received += drain(receiver)
        assert received in ([3], [2, 3])  # the first was woken before it was cancelled


async def test_leaving_lets_a_waiting_send_go_on():
    with BroadcastSendStream() as send, send.subscribe(9) as fast:
        slow = send.subscribe(1)
        await send.send(1)
        async with create_task_group() as tasks:
            tasks.start_soon(send.send, 2)
            await wait_all_tasks_blocked()
            slow.close()
        assert drain(fast) == [1, 2]


async def test_drop_oldest_keeps_the_newest():
    with BroadcastSendStream() as send:
        with send.subscribe(2, "drop_oldest") as lossy, send.subscribe(9) as complete:
            for item in range(5):
                await send.send(item)
            assert drain(lossy) == [3, 4]
            assert lossy.dropped == 3
            assert drain(complete) == [0, 1, 2, 3, 4]
            assert complete.dropped == 0


async def test_laggard_is_closed_with_an_error_after_what_it_has():
    with BroadcastSendStream() as send:
        with send.subscribe(2, "close") as laggard, send.subscribe(9) as complete:
            for item in range(3):
                await send.send(item)
            assert send.statistics().laggards_closed == 1
            assert await laggard.receive() == 0
            assert await laggard.__anext__() == 1
            for _ in range(2):
                with pytest.raises(BrokenResourceError, match="its buffer of 2 items was full"):
                    await laggard.receive()
            with pytest.raises(BrokenResourceError):
                await laggard.__anext__()
            with pytest.raises(BrokenResourceError):
                laggard.receive_nowait()
            assert drain(complete) == [0, 1, 2]
            assert send.statistics().open_receivers == 1


async def test_bound_of_one_receiver_is_not_that_of_others():
    with BroadcastSendStream() as send, send.subscribe(math.inf) as boundless:
        with send.subscribe(1, "drop_oldest") as last:
            for item in range(1000):
                await send.send(item)
            assert drain(last) == [999]
            assert len(drain(boundless)) == 1000


async def test_clones_share_the_items():
    with BroadcastSendStream() as send, send.subscribe() as one, one.clone() as other:
        await send.send(1)
        await send.send(2)
        assert await one.receive() == 1
        assert await other.receive() == 2
        one.close()
        with pytest.raises(ClosedResourceError):
            one.clone()
        await send.send(3)
        assert drain(other) == [3]


async def test_close_lets_receivers_finish_and_wakes_senders():
    send = BroadcastSendStream()
    idle, full = send.subscribe(1), send.subscribe(1)
    outcomes = []

    async def note(operation, *args):
        try:
            await operation(*args)
        except (ClosedResourceError, EndOfStream) as exc:
            outcomes.append(type(exc))

    async with create_task_group() as tasks:
        await send.send(1)
        assert idle.receive_nowait() == 1
        tasks.start_soon(note, idle.receive)
        tasks.start_soon(note, send.send, 2)
        tasks.start_soon(note, send.send, 3)
        await wait_all_tasks_blocked()
        await send.aclose()
        await checkpoint()
        await checkpoint()
        assert sorted(map(str, outcomes)) == sorted(
            map(str, [EndOfStream, ClosedResourceError, ClosedResourceError])
        )
    assert [item async for item in full] == [1]
    await send.aclose()
    for operation in (send.send_nowait, send.send):
        with pytest.raises(ClosedResourceError):
            await operation(4)
    with pytest.raises(ClosedResourceError):
        send.subscribe()
    idle.close()
    full.close()


async def test_closing_a_receiver_wakes_its_task():
    with BroadcastSendStream() as send, send.subscribe() as receiver:

        async def fail():
            with pytest.raises(ClosedResourceError):
                await receiver.receive()

        async with create_task_group() as tasks:
            tasks.start_soon(fail)
            await wait_all_tasks_blocked()
            receiver.close()


async def test_broadcasts_can_be_merged():
    with BroadcastSendStream() as news, BroadcastSendStream() as sport:
        async with MergedReceiveStream([news.subscribe(), sport.subscribe()]) as merged:
            await sport.send("goal")
            assert await merged.receive() == "goal"
            await news.send("rain")
            assert await merged.receive() == "rain"


@pytest.mark.parametrize("waiting", [False, True])
async def test_merged_stream_tells_of_a_laggard_and_goes_on(waiting):
    with BroadcastSendStream() as news, BroadcastSendStream() as sport:
        laggard, complete = news.subscribe(1, "close"), sport.subscribe()
        async with MergedReceiveStream([laggard, complete]) as merged:
            await news.send("rain")
            await news.send("snow")
            assert await merged.receive() == "rain"
            with pytest.raises(BrokenResourceError, match="its buffer of 1 items was full"):
                if waiting:
                    await merged.receive()
                else:
                    merged.receive_nowait()
            assert merged.streams == (complete,)
            with pytest.raises(ClosedResourceError):
                laggard.receive_nowait()
            await sport.send("goal")
            assert await merged.receive() == "goal"
            sport.close()
            with pytest.raises(EndOfStream):
                await merged.receive()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0,), "max_buffer_size must be at least 1, not 0"),
        ((-1,), "max_buffer_size must be at least 1, not -1"),
        ((1.5,), "max_buffer_size must be either an integer or math.inf, not 1.5"),
        ((1, "drop"), "there is no such way to treat a laggard: 'drop'"),
    ],
)
def test_bad_subscription_is_refused(arguments, text):
    with BroadcastSendStream() as send, pytest.raises(ValueError, match=text):
        send.subscribe(*arguments)


async def test_use_from_another_loop_is_refused():
    send = BroadcastSendStream()
    receiver = send.subscribe()
    await send.send(1)
    errors = []

    def other():
        async def main():
            for operation in (send.send, send.send_nowait):
                try:
                    await operation(2)
                except RuntimeError as exc:
                    errors.append(str(exc))
            for operation in (send.close, send.subscribe, receiver.receive_nowait):
                try:
                    operation()
                except RuntimeError as exc:
                    errors.append(str(exc))

        run(main)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert len(errors) == 5
    assert drain(receiver) == [1]
    send.close()
    receiver.close()


def test_another_loop_after_the_first_has_ended():
    send = BroadcastSendStream()
    receiver = send.subscribe(1)

    async def main(item):
        await send.send(item)
        assert await receiver.receive() == item

    for item in range(3):
        run(main, item, backend=["asyncio", "trio"][item % 2])
    send.close()
    receiver.close()


def test_all_receivers_see_the_same_whatever_is_cancelled(backend):
    steps = st.lists(
        st.tuples(st.sampled_from(["cancel", "take", "turn"]), st.integers(0, 2)), max_size=25
    )

    @settings(max_examples=50, deadline=None)
    @given(
        plan=steps,
        way=st.sampled_from(ways(backend.name)),
        budget=st.sampled_from([1, 3, 256]),
    )
    def check(plan, way, budget):
        backend.run(program, plan, way, budget)

    check()


async def program(plan, way, budget):
    """Three tasks send and are cancelled; what was sent reached all receivers, in one order."""
    set_ready_budget(budget)
    send = BroadcastSendStream()
    receivers = [send.subscribe(1), send.subscribe(2), send.subscribe(3)]
    received = [[], [], []]
    sent = []
    senders = [Cancellable() for _ in range(3)]
    stop = False

    async def keep_sending(number):
        count = 0

        async def once():
            await send.send((number, count))
            sent.append((number, count))

        while not stop and count < 20:
            await senders[number].run(way, once)
            count += 1

    async with create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(keep_sending, number)
        for step, number in plan:
            match step:
                case "turn":
                    await checkpoint()
                case "cancel":
                    senders[number].cancel()
                case "take":
                    try:
                        received[number].append(receivers[number].receive_nowait())
                    except WouldBlock:
                        pass
        stop = True
        while any(sender.running for sender in senders):
            for items, receiver in zip(received, receivers, strict=True):
                items.extend(drain(receiver))
            await wait_all_tasks_blocked()
    for items, receiver in zip(received, receivers, strict=True):
        items.extend(drain(receiver))
        receiver.close()
    send.close()
    assert received[0] == received[1] == received[2]
    assert sorted(received[0]) == sorted(sent)
    for number in range(3):
        counts = [count for sender, count in received[0] if sender == number]
        assert counts == sorted(counts)
