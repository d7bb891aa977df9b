"""Closing a memory object stream wakes everybody whom it concerns, within a turn of the loop."""

import pytest
from raised import public_type

from penstock import (
    BrokenResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    create_memory_object_stream,
    create_task_group,
    wait_all_tasks_blocked,
)
from penstock.lowlevel import checkpoint


async def one_turn(backend):
    """Let every task that is ready run once."""
    await checkpoint()
    if backend.name == "trio":  # which shuffles the tasks of a turn, this one among them
        await checkpoint()


class Outcomes(dict):
    """How calls have ended: the result, or the type of the exception."""

    async def note(self, name, func, *args):
        try:
            self[name] = await func(*args)
        except Exception as exc:
            self[name] = public_type(exc)


SENDS = {
    "send": lambda stream: (stream.send, 0),
    "send_many": lambda stream: (stream.send_many, [0, 1]),
}
RECEIVES = {
    "receive": lambda stream: (stream.receive,),
    "receive_many": lambda stream: (stream.receive_many, 2),
    "iteration": lambda stream: (stream.__anext__,),
}
DOORS = {
    "close": lambda stream: stream.close(),
    "with": lambda stream: stream.__exit__(None, None, None),
}


@pytest.fixture(params=DOORS, ids=str)
def door(request):
    return DOORS[request.param]


@pytest.mark.parametrize("call", SENDS)
async def test_closing_a_sender_wakes_its_own_tasks(backend, call, door):
    send, receive = create_memory_object_stream()
    outcomes = Outcomes()
    with receive, send.clone() as other:
        async with create_task_group() as tg:
            for name in "ab":
                tg.start_soon(outcomes.note, name, *SENDS[call](send))
            tg.start_soon(outcomes.note, "other", other.send, "item")
            await wait_all_tasks_blocked()
            door(send)
            await one_turn(backend)
            assert outcomes == {"a": ClosedResourceError, "b": ClosedResourceError}
            assert await receive.receive() == "item"
    assert outcomes["other"] is None


@pytest.mark.parametrize("call", RECEIVES)
async def test_closing_a_receiver_wakes_its_own_tasks(backend, call, door):
    send, receive = create_memory_object_stream()
    outcomes = Outcomes()
    with send, receive.clone() as other:
        async with create_task_group() as tg:
            for name in "ab":
                tg.start_soon(outcomes.note, name, *RECEIVES[call](receive))
            tg.start_soon(outcomes.note, "other", other.receive)
            await wait_all_tasks_blocked()
            door(receive)
            await one_turn(backend)
            assert outcomes == {"a": ClosedResourceError, "b": ClosedResourceError}
            await send.send("item")
    assert outcomes["other"] == "item"


@pytest.mark.parametrize("call", RECEIVES)
async def test_closing_the_last_sender_ends_the_stream(backend, call, door):
    send, receive = create_memory_object_stream()
    other = send.clone()
    outcomes = Outcomes()
    with receive:
        async with create_task_group() as tg:
            for name in "ab":
                tg.start_soon(outcomes.note, name, *RECEIVES[call](receive))
            await wait_all_tasks_blocked()
            door(send)
            await one_turn(backend)
            assert outcomes == {}
            door(other)
            await one_turn(backend)
            end = StopAsyncIteration if call == "iteration" else EndOfStream
            assert outcomes == {"a": end, "b": end}


@pytest.mark.parametrize("call", SENDS)
async def test_closing_the_last_receiver_breaks_the_stream(backend, call, door):
    send, receive = create_memory_object_stream()
    other = receive.clone()
    outcomes = Outcomes()
    with send:
        async with create_task_group() as tg:
            for name in "ab":
                tg.start_soon(outcomes.note, name, *SENDS[call](send))
            await wait_all_tasks_blocked()
            door(receive)
            await one_turn(backend)
            assert outcomes == {}
            door(other)
            await one_turn(backend)
            assert outcomes == {"a": BrokenResourceError, "b": BrokenResourceError}


async def test_aclose_wakes_waiting_tasks(backend):
    send, receive = create_memory_object_stream()
    outcomes = Outcomes()
    async with create_task_group() as tg:
        tg.start_soon(outcomes.note, "receive", receive.receive)
        await wait_all_tasks_blocked()
        await receive.aclose()
        await one_turn(backend)
        assert outcomes == {"receive": ClosedResourceError}
        tg.start_soon(outcomes.note, "send", send.send, 1)
        await one_turn(backend)
        assert outcomes["send"] is BrokenResourceError
    send.close()


async def test_closing_in_a_cancelled_scope_closes():
    send, receive = create_memory_object_stream()
    with CancelScope() as scope:
        scope.cancel()
        async with send, receive:
            pass
    with pytest.raises(ClosedResourceError):
        send.send_nowait(1)
    with pytest.raises(ClosedResourceError):
        receive.receive_nowait()


async def test_receiver_that_was_woken_gets_its_item_although_its_stream_closes():
    send, receive = create_memory_object_stream()
    outcomes = Outcomes()
    with send:
        async with create_task_group() as tg:
            tg.start_soon(outcomes.note, "receive", receive.receive)
            await wait_all_tasks_blocked()
            send.send_nowait("item")
            receive.close()
    assert outcomes == {"receive": "item"}


async def test_receivers_wait_for_a_promise_that_may_come_back():
    # The first is woken for the item and cancelled: the second gets it, not the end of the stream.
    send, receive = create_memory_object_stream()
    outcomes = Outcomes()
    scope = CancelScope()

    async def cancelled():
        with scope:
            await outcomes.note("first", receive.receive)

    with receive:
        async with create_task_group() as tg:
            tg.start_soon(cancelled)
            await wait_all_tasks_blocked()
            tg.start_soon(outcomes.note, "second", receive.receive)
            await wait_all_tasks_blocked()
            scope.cancel()
            send.send_nowait("item")
            send.close()
    assert outcomes == {"second": "item"}


async def test_send_many_puts_nothing_in_after_its_stream_was_closed(backend):
    send, receive = create_memory_object_stream(2)
    outcomes = Outcomes()
    with receive:
        send.send_nowait(0)
        send.send_nowait(0)
        async with create_task_group() as tg:
            tg.start_soon(outcomes.note, "send", send.send_many, [1, 2, 3])
            await wait_all_tasks_blocked()
            taken = [receive.receive_nowait() for _ in range(3)]
            send.close()
        assert taken == [0, 0, 1]
        assert outcomes == {"send": ClosedResourceError}
        assert send.partial_send == 1
        with pytest.raises(EndOfStream):
            receive.receive_nowait()


async def test_destructors_of_dropped_items_may_use_the_stream():
    seen = []

    class Item:
        def __del__(self):
            try:
                send.send_nowait("again")
            except BrokenResourceError:
                seen.append(send.statistics().current_buffer_used)

    send, receive = create_memory_object_stream(3)
    with send:
        for _ in range(3):
            send.send_nowait(Item())
        receive.close()
        assert seen == [0, 0, 0]


@pytest.mark.parametrize("end", [0, 1], ids=["send", "receive"])
async def test_aclose_in_a_cancelled_scope_closes_and_raises(end):
    streams = create_memory_object_stream(1)
    with CancelScope() as scope:
        scope.cancel()
        await streams[end].aclose()
    assert scope.cancelled_caught
    with pytest.raises(ClosedResourceError):
        streams[end].clone()
    streams[1 - end].close()
