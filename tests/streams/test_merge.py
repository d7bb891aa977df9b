"""Merged streams: fair, exactly once, whatever is cancelled, added and left behind."""

import threading
from collections import Counter

import pytest
from cancelling import Cancellable, ways
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import (
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    WouldBlock,
    create_memory_object_stream,
    create_task_group,
    run,
    wait_all_tasks_blocked,
)
from penstock.lowlevel import checkpoint, set_ready_budget
from penstock.streams.merge import MergedReceiveStream


def streams(*contents, size=10, ended=False):
    ends = []
    for content in contents:
        send, receive = create_memory_object_stream(size)
        for item in content:
            send.send_nowait(item)
        if ended:
            send.close()
        ends.append((send, receive))
    return [send for send, _ in ends], [receive for _, receive in ends]


def close(*ends):
    for end in ends:
        end.close()


@pytest.mark.parametrize("budget", [1, 256])
async def test_ready_streams_take_turns(budget):
    set_ready_budget(budget)
    _, receives = streams("aaaa", "bb", "cccc", ended=True)
    async with MergedReceiveStream(receives) as merged:
        assert "".join([item async for item in merged]) == "abcabcacac"
        assert merged.streams == ()
        with pytest.raises(EndOfStream):
            await merged.receive()


async def test_stream_that_ended_is_closed():
    _, receives = streams("a", ended=True)
    merged = MergedReceiveStream(receives)
    assert [item async for item in merged] == ["a"]
    with pytest.raises(ClosedResourceError):
        receives[0].receive_nowait()
    await merged.aclose()


@pytest.mark.parametrize("size", [0, 1])
async def test_waiting_takes_what_comes_from_any(size):
    sends, receives = streams("", "", "", size=size)
    received = []

    async def receive_all():
        async with MergedReceiveStream(receives) as merged:
            received.extend([item async for item in merged])

    async with create_task_group() as tasks:
        tasks.start_soon(receive_all)
        for number in (2, 0, 1, 1):
            await wait_all_tasks_blocked()
            assert [send.statistics().tasks_waiting_receive for send in sends] == [1, 1, 1]
            await sends[number].send(number)
        await wait_all_tasks_blocked()
        for send in sends:
            send.close()
    assert received == [2, 0, 1, 1]


async def test_items_that_come_at_once_come_once():
    sends, receives = streams("", "", size=0)
    received = []

    async def receive_all():
        async with MergedReceiveStream(receives) as merged:
            received.extend([item async for item in merged])

    async with create_task_group() as tasks:
        tasks.start_soon(receive_all)
        await wait_all_tasks_blocked()
        sends[0].send_nowait("a")
        with pytest.raises(WouldBlock):  # nobody waits any more
            sends[1].send_nowait("b")
        tasks.start_soon(sends[1].send, "b")
        await wait_all_tasks_blocked()
        close(*sends)
    assert received == ["a", "b"]


async def test_waiting_is_fair_too():
    sends, receives = streams("", "", size=10)
    received = []

    async def receive_some():
        for _ in range(4):
            received.append(await merged.receive())

    async with MergedReceiveStream(receives) as merged:
        async with create_task_group() as tasks:
            tasks.start_soon(receive_some)
            await wait_all_tasks_blocked()
            for item in "aa":
                sends[0].send_nowait(item)
            for item in "bb":
                sends[1].send_nowait(item)
        assert "".join(received) == "abab"
    close(*sends)


async def test_add_while_a_task_waits():
    for size, content in ((10, "b"), (10, ""), (0, "")):
        sends, receives = streams("", size=10)
        more, added = streams(content, size=size)
        received = []
        merged = MergedReceiveStream(receives)

        async def receive(merged=merged, received=received):
            received.append(await merged.receive())

        async with create_task_group() as tasks:
            if not size:
                tasks.start_soon(more[0].send, "b")  # it waits before anybody receives
            tasks.start_soon(receive)
            await wait_all_tasks_blocked()
            merged.add(added[0])
            await wait_all_tasks_blocked()
            if size and not content:
                more[0].send_nowait("b")
        assert received == ["b"]
        await merged.aclose()
        close(*sends, *more)


async def test_add_a_stream_that_has_ended_lets_the_task_wait_on():
    sends, receives = streams("")
    _, ended = streams("", ended=True)
    merged = MergedReceiveStream(receives)
    async with create_task_group() as tasks:
        tasks.start_soon(merged.receive)
        await wait_all_tasks_blocked()
        merged.add(ended[0])
        await wait_all_tasks_blocked()
        assert merged.streams == (receives[0],)
        sends[0].send_nowait("a")
    await merged.aclose()
    close(*sends)


async def test_remove_leaves_the_items_in_the_stream():
    sends, receives = streams("ab", "c")
    merged = MergedReceiveStream(receives)
    assert await merged.receive() == "a"
    merged.remove(receives[0])
    assert await merged.receive() == "c"
    with pytest.raises(WouldBlock):
        merged.receive_nowait()
    assert receives[0].receive_nowait() == "b"
    with pytest.raises(ValueError, match="it is not merged"):
        merged.remove(receives[0])
    await merged.aclose()
    with pytest.raises(WouldBlock):
        receives[0].receive_nowait()  # it was left open
    close(*sends, *receives)


async def test_remove_takes_a_promise_back():
    sends, receives = streams("", "")
    received = []
    merged = MergedReceiveStream(receives)

    async def receive():
        received.append(await merged.receive())

    async with create_task_group() as tasks:
        tasks.start_soon(receive)
        await wait_all_tasks_blocked()
        sends[0].send_nowait("a")  # promised to the task, which has not run yet
        merged.remove(receives[0])
        assert receives[0].receive_nowait() == "a"
        await wait_all_tasks_blocked()
        assert received == []
        sends[1].send_nowait("b")
    assert received == ["b"]
    await merged.aclose()
    close(*sends, *receives)


async def test_remove_of_the_last_ends_the_wait():
    sends, receives = streams("")
    merged = MergedReceiveStream(receives)

    async def receive():
        with pytest.raises(EndOfStream):
            await merged.receive()

    async with create_task_group() as tasks:
        tasks.start_soon(receive)
        await wait_all_tasks_blocked()
        merged.remove(receives[0])
    await merged.aclose()
    close(*sends, *receives)


async def test_stream_closed_by_others_is_left_out():
    sends, receives = streams("", "b")
    merged = MergedReceiveStream(receives)
    assert await merged.receive() == "b"
    async with create_task_group() as tasks:
        tasks.start_soon(merged.receive)
        await wait_all_tasks_blocked()
        receives[0].close()
        await wait_all_tasks_blocked()
        assert merged.streams == (receives[1],)
        sends[1].send_nowait("c")
    await merged.aclose()
    close(*sends)


async def test_close_wakes_who_waits_and_closes_the_streams():
    sends, receives = streams("", "")
    merged = MergedReceiveStream(receives)

    async def fail():
        with pytest.raises(ClosedResourceError):
            await merged.receive()

    async with create_task_group() as tasks:
        tasks.start_soon(fail)
        tasks.start_soon(fail)
        await wait_all_tasks_blocked()
        await merged.aclose()
    await fail()
    await merged.aclose()
    for receive in receives:
        with pytest.raises(ClosedResourceError):
            receive.receive_nowait()
    with pytest.raises(ClosedResourceError):
        merged.receive_nowait()
    with pytest.raises(ClosedResourceError):
        merged.add(receives[0])
    close(*sends)


async def test_cancelled_close_is_done_all_the_same():
    sends, receives = streams("")
    with CancelScope() as scope:
        scope.cancel()
        await MergedReceiveStream(receives).aclose()
    assert scope.cancelled_caught
    assert sends[0].statistics().open_receive_streams == 0
    close(*sends)


async def test_pending_cancellation_takes_nothing():
    sends, receives = streams("a", "b")
    merged = MergedReceiveStream(receives)
    assert await merged.receive() == "a"
    with CancelScope() as scope:
        scope.cancel()
        await merged.receive()
    assert scope.cancelled_caught
    assert merged.receive_nowait() == "b"
    await merged.aclose()
    close(*sends)


def test_bad_streams_are_refused():
    sends, receives = streams("")
    with pytest.raises(TypeError, match="expected a MemoryObjectReceiveStream, not"):
        MergedReceiveStream([sends[0]])
    with pytest.raises(ValueError, match="it is already merged"):
        MergedReceiveStream([receives[0], receives[0]])
    close(*sends, *receives)
    with pytest.raises(ClosedResourceError):
        MergedReceiveStream(receives)


async def test_use_from_another_loop_is_refused():
    sends, receives = streams("ab")
    merged = MergedReceiveStream(receives)
    assert await merged.receive() == "a"
    more, added = streams("c")
    errors = []

    def other():
        async def main():
            for operation in (merged.receive, merged.aclose):
                try:
                    await operation()
                except RuntimeError as exc:
                    errors.append(str(exc))
            for operation, *args in ((merged.receive_nowait,), (merged.remove, receives[0])):
                try:
                    operation(*args)
                except RuntimeError as exc:
                    errors.append(str(exc))

        run(main)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert len(errors) == 4
    assert merged.receive_nowait() == "b"

    async with create_task_group() as tasks:
        tasks.start_soon(merged.receive)
        await wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match="another event loop or thread"):
            elsewhere(merged.add, added[0])
        sends[0].send_nowait("d")
    await merged.aclose()
    close(*sends, *more, *added)


def elsewhere(func, *args):
    raised = []

    def call():
        try:
            func(*args)
        except Exception as exc:
            raised.append(exc)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if raised:
        raise raised.pop()


steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["send", "leave", "turn"]), st.integers(0, 2)),
        st.tuples(st.just("cancel"), st.integers(0, 1)),
    ),
    max_size=25,
)


def test_no_item_is_lost_doubled_or_reordered(backend):
    @settings(max_examples=60, deadline=None)
    @given(
        plan=steps,
        way=st.sampled_from(ways(backend.name)),
        size=st.sampled_from([0, 1, 3]),
        budget=st.sampled_from([1, 3, 256]),
    )
    def check(plan, way, size, budget):
        backend.run(program, plan, way, size, budget)

    check()


async def program(plan, way, size, budget):
    """Two tasks receive; they are cancelled and streams come and go, as ``plan`` says."""
    set_ready_budget(budget)
    sends, receives = streams("", "", "", size=size)
    merged = MergedReceiveStream(receives)
    received = []
    receivers = [Cancellable(), Cancellable()]
    put = Counter()
    outside = []  # what was taken from a stream that had been left behind

    async def keep_receiving(receiver):
        over = False

        async def once():
            nonlocal over
            try:
                received.append(await merged.receive())
            except EndOfStream:
                over = True

        while not over:
            await receiver.run(way, once)

    async with create_task_group() as tasks:
        for receiver in receivers:
            tasks.start_soon(keep_receiving, receiver)
        for step, number in plan:
            match step:
                case "turn":
                    await checkpoint()
                case "cancel":
                    receivers[number].cancel()
                case "send":
                    try:
                        sends[number].send_nowait((number, put[number]))
                    except WouldBlock:
                        pass
                    else:
                        put[number] += 1
                case "leave" if number in {0, 1} and receives[number] in merged.streams:
                    merged.remove(receives[number])
                    try:
                        outside.append(receives[number].receive_nowait())
                    except WouldBlock:
                        pass
                    merged.add(receives[number])
        for _ in range(5):
            await wait_all_tasks_blocked()
        close(*sends)
    await merged.aclose()
    close(*receives)
    assert Counter(received + outside) == Counter(
        (number, count) for number in put for count in range(put[number])
    )


async def test_one_receiver_sees_each_stream_in_order():
    _, receives = streams(range(0, 9, 3), range(1, 9, 3), range(2, 9, 3), ended=True)
    async with MergedReceiveStream(receives) as merged:
        assert [item async for item in merged] == list(range(9))
