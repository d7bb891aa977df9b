"""Byte streams in memory: with all the room there is, and in lockstep; hooks and the pump."""

import gc
import threading

import pytest

import penstock
from penstock import (
    BrokenResourceError,
    BusyResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    Event,
    WouldBlock,
    aclose_forcefully,
    create_task_group,
    wait_all_tasks_blocked,
)
from penstock.lowlevel import checkpoint, set_ready_budget
from penstock.testing import (
    MemoryReceiveStream,
    MemorySendStream,
    lockstep_stream_one_way_pair,
    lockstep_stream_pair,
    memory_stream_one_way_pair,
    memory_stream_pair,
    memory_stream_pump,
)


@pytest.fixture(params=[memory_stream_one_way_pair, lockstep_stream_one_way_pair])
def one_way(request):
    return request.param()


@pytest.fixture(params=[memory_stream_pair, lockstep_stream_pair])
def pair(request):
    return request.param()


async def receive_all(stream, max_bytes=65536):
    return b"".join([chunk async for chunk in Chunks(stream, max_bytes)])


class Chunks:
    def __init__(self, stream, max_bytes):
        self.stream, self.max_bytes = stream, max_bytes

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return await self.stream.receive(self.max_bytes)
        except EndOfStream:
            raise StopAsyncIteration from None


# -- what both kinds do --------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [1, 256])
@pytest.mark.parametrize("max_bytes", [1, 1000, 65536])
async def test_bytes_arrive_in_order_both_ways(pair, budget, max_bytes):
    set_ready_budget(budget)
    left, right = pair
    there, back = bytes(range(256)) * 20, bytes(reversed(range(256))) * 20

    async def send(stream, data):
        for start in range(0, len(data), 777):
            await stream.send(data[start : start + 777])
            assert stream.partial_send is None
        await stream.send_eof()

    async def receive(stream, data):
        assert await receive_all(stream, max_bytes) == data
        with pytest.raises(EndOfStream):
            await stream.receive()

    async with create_task_group() as tg:
        tg.start_soon(send, left, there)
        tg.start_soon(send, right, back)
        tg.start_soon(receive, right, there)
        tg.start_soon(receive, left, back)


async def test_send_many_and_receive_into_take_any_format(one_way):
    send, receive = one_way
    buffer = memoryview(bytearray(24)).cast("I")
    async with create_task_group() as tg:
        tg.start_soon(send.send_many, [b"ab", bytearray(b"c"), memoryview(b"defg").cast("I"), b""])
        received = 0
        while received < 7:
            received += await receive.receive_into(buffer.cast("B")[received:])
    assert bytes(buffer.cast("B")[:7]) == b"abcdefg"


@pytest.mark.parametrize("data", ["text", None, memoryview(b"abcd")[::2], [b"x", 1]])
async def test_what_is_not_bytes_is_refused_and_nothing_goes_out(one_way, data):
    send, receive = one_way
    with pytest.raises(TypeError):
        await (send.send_many(data) if isinstance(data, list) else send.send(data))
    send.close()
    with pytest.raises(EndOfStream):
        await receive.receive()


@pytest.mark.parametrize(
    ("max_bytes", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)]
)
async def test_size_that_is_none(one_way, max_bytes, error):
    with pytest.raises(error, match="max_bytes must be"):
        await one_way[1].receive(max_bytes)


async def test_buffers_are_free_again_after_a_send(one_way):
    send, receive = one_way
    data = bytearray(b"abc")
    async with create_task_group() as tg:
        tg.start_soon(send.send, data)
        assert await receive.receive() == b"abc"
    data.append(1)


async def test_buffers_are_free_again_after_a_send_that_fails(one_way):
    send, receive = one_way
    receive.close()
    data = bytearray(b"abc")
    with pytest.raises(BrokenResourceError) as caught:
        await send.send(data)
    data.append(1)
    assert caught.value.__traceback__ is not None  # whose frames looked at the buffer


async def test_nothing_sent_is_nothing_received(one_way):
    send, receive = one_way
    await send.send(b"")
    await send.send_many([])
    async with create_task_group() as tg:
        tg.start_soon(send.send, b"x")
        assert await receive.receive() == b"x"


async def test_second_receiver_is_busy_and_disturbs_nobody(one_way):
    send, receive = one_way
    got = []

    async def first():
        got.append(await receive.receive())

    async with create_task_group() as tg:
        tg.start_soon(first)
        await wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError, match="reading from"):
            await receive.receive()
        await send.send(b"x")
    assert got == [b"x"]


@pytest.mark.parametrize("who", ["receive", "send"])
async def test_closing_an_end_twice_is_silent_and_ends_its_use(one_way, who):
    send, receive = one_way
    end = receive if who == "receive" else send
    await end.aclose()
    await end.aclose()
    end.close()
    with pytest.raises(ClosedResourceError):
        await (receive.receive() if end is receive else send.send(b"x"))
    with pytest.raises(ClosedResourceError):
        await (receive.receive() if end is receive else send.send(b""))


async def test_closing_wakes_who_receives(one_way):
    send, receive = one_way
    async with create_task_group() as tg:

        async def reader():
            with pytest.raises(ClosedResourceError):
                await receive.receive()

        tg.start_soon(reader)
        await wait_all_tasks_blocked()
        await receive.aclose()
    with pytest.raises(BrokenResourceError):
        await send.send(b"x")


async def test_end_wakes_who_receives(one_way):
    send, receive = one_way
    async with create_task_group() as tg:

        async def reader():
            with pytest.raises(EndOfStream):
                await receive.receive()

        tg.start_soon(reader)
        await wait_all_tasks_blocked()
        send.close()


async def test_closing_is_done_though_cancelled(pair):
    left, right = pair
    await aclose_forcefully(left)
    with pytest.raises(ClosedResourceError):
        await left.send(b"x")
    with pytest.raises(ClosedResourceError):
        await left.receive()
    with pytest.raises(EndOfStream):
        await right.receive()
    with pytest.raises(BrokenResourceError):
        await right.send(b"x")
    await right.aclose()


async def test_send_eof_ends_one_direction_alone(pair):
    left, right = pair
    await left.send_eof()
    await left.send_eof()
    with pytest.raises(ClosedResourceError):
        await left.send(b"x")
    with pytest.raises(EndOfStream):
        await right.receive()
    async with create_task_group() as tg:
        tg.start_soon(right.send, b"still there")
        assert await left.receive() == b"still there"
    await left.aclose()
    with pytest.raises(ClosedResourceError):
        await left.send_eof()


async def test_cancelled_send_eof_tells_nobody(pair):
    left, right = pair
    with CancelScope() as scope:
        scope.cancel()
        await left.send_eof()
    assert scope.cancelled_caught
    async with create_task_group() as tg:
        tg.start_soon(left.send, b"x")
        assert await right.receive() == b"x"


async def test_cancelled_operations_have_no_effect(one_way):
    send, receive = one_way
    with CancelScope() as scope:
        scope.cancel()
        await send.send(b"never")
    assert scope.cancelled_caught
    assert send.partial_send == 0
    async with create_task_group() as tg:
        tg.start_soon(send.send, b"x")
        await wait_all_tasks_blocked()
        with CancelScope() as scope:
            scope.cancel()
            await receive.receive()
        assert scope.cancelled_caught
        assert await receive.receive() == b"x"


async def test_receive_that_is_cancelled_after_bytes_came_loses_none(one_way):
    send, receive = one_way
    scope = CancelScope()
    got = []

    async def reader():
        with scope:
            got.append(await receive.receive())

    async with create_task_group() as tg:
        tg.start_soon(reader)
        await wait_all_tasks_blocked()
        tg.start_soon(send.send, b"x")
        await checkpoint()
        scope.cancel()
        await wait_all_tasks_blocked()
        if not got:
            got.append(await receive.receive())
    assert got == [b"x"]


@pytest.mark.parametrize("operation", ["send", "receive"])
async def test_budget_of_1_makes_every_operation_yield(one_way, operation):
    set_ready_budget(1)
    send, receive = one_way
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async def reader():
        while True:
            await receive.receive(1)

    async with create_task_group() as tg:
        tg.start_soon(count)
        await checkpoint()
        if operation == "send":
            tg.start_soon(reader)
            for _ in range(20):
                await send.send(b"x")
        else:
            tg.start_soon(send.send, bytes(20))
            await checkpoint()
            for _ in range(20):
                await receive.receive(1)
        seen = turns
        tg.cancel_scope.cancel()
    assert seen >= 10  # Trio shuffles the tasks of a turn


async def test_default_budget_lets_most_operations_go_without_a_yield():
    send, receive = memory_stream_one_way_pair()
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with create_task_group() as tg:
        tg.start_soon(count)
        await checkpoint()
        before = turns
        for _ in range(1_000):
            await send.send(b"x")
            await receive.receive()
        seen = turns - before
        tg.cancel_scope.cancel()
    assert 3 <= seen <= 40


@pytest.mark.parametrize("operation", ["send", "receive"])
async def test_bytes_count_on_the_budget(operation):
    send, receive = memory_stream_one_way_pair()
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    piece = bytes(262_144)
    if operation == "receive":
        for _ in range(10):
            await send.send(piece)
    async with create_task_group() as tg:
        tg.start_soon(count)
        await checkpoint()
        before = turns
        for _ in range(10):
            await (send.send(piece) if operation == "send" else receive.receive(len(piece)))
        seen = turns - before
        tg.cancel_scope.cancel()
    assert seen >= 4  # Trio shuffles the tasks of a turn


@pytest.mark.parametrize("make", [memory_stream_pair, lockstep_stream_pair])
async def test_closing_while_send_eof_yields(make, backend):
    # On Trio the yield may be over before the other task has its turn.
    set_ready_budget(1)
    outcomes = set()
    for _ in range(60 if backend.name == "trio" else 2):
        stream, _peer = make()
        began = Event()

        async def send_eof(stream=stream, began=began):
            began.set()
            try:
                await stream.send_eof()
            except ClosedResourceError:
                outcomes.add("closed")

        async def close(stream=stream, began=began):
            while not began.is_set():
                await checkpoint()
            stream.send_stream.close()

        async with create_task_group() as tg:
            tg.start_soon(close)
            tg.start_soon(send_eof)
    assert outcomes == {"closed"}


# -- use from elsewhere --------------------------------------------------------------------------


def test_use_from_another_thread(one_way, backend):
    send, receive = one_way
    errors = []

    async def other_loop():
        with pytest.raises(RuntimeError):
            await receive.receive()
        with pytest.raises(RuntimeError):
            await send.send(b"x")
        with pytest.raises(RuntimeError):
            await send.aclose()
        with pytest.raises(RuntimeError):
            await receive.aclose()

    def elsewhere():
        try:
            with pytest.raises(RuntimeError):
                receive.close()
            with pytest.raises(RuntimeError):
                send.close()
            backend.run(other_loop)
        except BaseException as exc:  # to be seen by the test
            errors.append(exc)

    async def main():
        async with create_task_group() as tg:
            tg.start_soon(receive.receive)
            await send.send(b"x")  # they know their event loop by now
            await wait_all_tasks_blocked()
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            tg.start_soon(send.send, b"y")
            assert await receive.receive() == b"y"

    backend.run(main)
    assert errors == []


def test_next_event_loop_may_use_them(pair, backend):
    left, right = pair

    async def main():
        async with create_task_group() as tg:
            tg.start_soon(left.send, b"x")
            assert await right.receive() == b"x"

    backend.run(main)
    backend.run(main)
    backend.run(left.aclose)
    backend.run(right.aclose)


def test_without_an_event_loop():
    receive = MemoryReceiveStream()
    receive.put_data(b"abc")
    receive.put_eof()
    assert penstock.run(receive_all, receive) == b"abc"
    send = MemorySendStream()
    with pytest.raises(WouldBlock):
        send.get_data_nowait()
    send.close()
    with pytest.raises(EndOfStream):
        send.get_data_nowait()


# -- lockstep ------------------------------------------------------------------------------------


async def test_lockstep_send_returns_when_all_was_received():
    send, receive = lockstep_stream_one_way_pair()
    returned = Event()

    async def sender():
        await send.send(b"abc")
        returned.set()

    async with create_task_group() as tg:
        tg.start_soon(sender)
        for octet in (b"a", b"b", b"c"):
            await wait_all_tasks_blocked()
            assert not returned.is_set()
            assert await receive.receive(1) == octet
        await wait_all_tasks_blocked()
        assert returned.is_set()


async def test_lockstep_send_that_is_cancelled_takes_back_the_rest():
    send, receive = lockstep_stream_one_way_pair()
    scope = CancelScope()

    async def sender():
        with scope:
            await send.send(b"abcdef")

    async with create_task_group() as tg:
        tg.start_soon(sender)
        assert await receive.receive(2) == b"ab"
        await wait_all_tasks_blocked()
        scope.cancel()
    assert send.partial_send == 2
    async with create_task_group() as tg:
        tg.start_soon(send.send, b"cdef")
        assert await receive.receive() == b"cdef"
    assert send.partial_send is None


@pytest.mark.parametrize("operation", ["send", "send_eof"])
async def test_lockstep_second_sender_is_busy_and_disturbs_nobody(operation):
    left, right = lockstep_stream_pair()
    async with create_task_group() as tg:
        tg.start_soon(left.send, b"x")
        await wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError, match="writing to"):
            await (left.send(b"y") if operation == "send" else left.send_eof())
        assert await right.receive() == b"x"
    assert left.partial_send is None


@pytest.mark.parametrize(
    ("closer", "error", "end"),
    [
        ("send", ClosedResourceError, EndOfStream),
        ("receive", BrokenResourceError, ClosedResourceError),
    ],
)
async def test_lockstep_closing_ends_a_send_that_waits(closer, error, end):
    send, receive = lockstep_stream_one_way_pair()

    async def sender():
        with pytest.raises(error):
            await send.send(b"abc")

    async with create_task_group() as tg:
        tg.start_soon(sender)
        assert await receive.receive(1) == b"a"
        await wait_all_tasks_blocked()
        (send if closer == "send" else receive).close()
        with pytest.raises(end):
            await receive.receive()
    assert send.partial_send == 1


# -- hooks, and the ends in the hands of a test --------------------------------------------------


async def test_get_data_waits_for_what_is_sent():
    stream = MemorySendStream()
    async with create_task_group() as tg:

        async def get():
            assert await stream.get_data() == b"abc"
            assert await stream.get_data(2) == b"de"
            assert stream.get_data_nowait() == b"f"
            with pytest.raises(WouldBlock):
                stream.get_data_nowait()
            with pytest.raises(EndOfStream):
                await stream.get_data()

        tg.start_soon(get)
        await wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError):
            await stream.get_data()
        with pytest.raises(BusyResourceError):
            stream.get_data_nowait()
        await stream.send(b"abc")
        await wait_all_tasks_blocked()
        await stream.send(b"def")
        await wait_all_tasks_blocked()
        stream.close()


@pytest.mark.parametrize(("max_bytes", "error"), [(0, ValueError), (1.5, TypeError)])
async def test_size_that_is_none_for_who_gets_data(max_bytes, error):
    stream = MemorySendStream()
    with pytest.raises(error, match="max_bytes must be"):
        await stream.get_data(max_bytes)
    with pytest.raises(error, match="max_bytes must be"):
        stream.get_data_nowait(max_bytes)


async def test_put_data_is_received_and_nothing_behind_the_end():
    stream = MemoryReceiveStream()
    stream.put_data(bytearray(b"ab"))
    stream.put_data(b"c")
    stream.put_eof()
    stream.put_eof()
    with pytest.raises(ClosedResourceError):
        stream.put_data(b"d")
    assert await stream.receive() == b"abc"
    with pytest.raises(EndOfStream):
        await stream.receive()
    stream.close()
    with pytest.raises(ClosedResourceError):
        stream.put_data(b"d")


async def test_hooks_are_called():
    calls = []

    async def send_hook():
        calls.append(("send", stream.get_data_nowait()))

    async def receive_hook():
        calls.append("receive")
        source.put_data(b"made to order")

    stream = MemorySendStream(send_hook, lambda: calls.append("send closed"))
    source = MemoryReceiveStream(receive_hook, lambda: calls.append("receive closed"))
    await stream.send(b"x")
    assert await source.receive() == b"made to order"
    for end in (stream, source, stream, source):
        await end.aclose()
    assert calls == [("send", b"x"), "receive", "send closed", "receive closed"]


async def test_cancelled_operations_do_not_call_hooks():
    calls = []

    async def hook():
        calls.append("called")

    for operate in (MemorySendStream(hook).send, MemoryReceiveStream(hook).receive):
        with CancelScope() as scope:
            scope.cancel()
            await (operate(b"x") if operate.__name__ == "send" else operate())
        assert scope.cancelled_caught
    assert calls == []


async def test_send_whose_hook_is_cancelled_has_put_out_everything():
    stream = MemorySendStream(Event().wait)
    scope = CancelScope()

    async def send():
        with scope:
            await stream.send(b"abc")

    async with create_task_group() as tg:
        tg.start_soon(send)
        await wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError):
            await stream.send(b"d")
        scope.cancel()
    assert scope.cancelled_caught
    assert stream.partial_send == 3
    assert stream.get_data_nowait() == b"abc"


async def test_pump_moves_what_it_is_told_and_the_end():
    send, receive = MemorySendStream(), MemoryReceiveStream()
    assert memory_stream_pump(send, receive) is False
    await send.send(b"abc")
    assert memory_stream_pump(send, receive, max_bytes=2) is True
    assert await receive.receive() == b"ab"
    send.close()
    assert memory_stream_pump(send, receive) is True
    assert memory_stream_pump(send, receive) is True
    assert await receive_all(receive) == b"c"
    receive.close()
    assert memory_stream_pump(send, receive) is True


async def test_pump_to_a_closed_stream():
    send, receive = MemorySendStream(), MemoryReceiveStream()
    await send.send(b"abc")
    receive.close()
    with pytest.raises(BrokenResourceError):
        memory_stream_pump(send, receive)


async def test_pair_with_another_pump_keeps_everything_until_the_end():
    send, receive = memory_stream_one_way_pair()

    async def one_byte():
        memory_stream_pump(send, receive, max_bytes=1)

    send.send_hook = one_byte
    await send.send(b"abc")
    assert await receive.receive() == b"a"
    send.close()
    assert await receive_all(receive) == b"bc"


async def test_hook_that_simulates_a_fault():
    async def fail():
        raise BrokenResourceError

    left, right = memory_stream_pair()
    left.send_stream.send_hook = fail
    with pytest.raises(BrokenResourceError):
        await left.send(b"x")
    left.send_stream.close()
    assert await right.receive() == b"x"


async def test_failed_operation_leaves_no_cycle():
    gc.collect()
    gc.disable()
    try:
        stream = MemorySendStream()
        with pytest.raises(WouldBlock):
            stream.get_data_nowait()
        stream.close()
        with pytest.raises(ClosedResourceError):
            await stream.send(b"x")
        del stream
        assert not [it for it in gc.get_objects() if type(it) is MemorySendStream]
    finally:
        gc.enable()
