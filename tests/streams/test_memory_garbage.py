"""Operations that fail leave nothing behind, and many waiting tasks make linear work."""

import asyncio
import gc
import math
import sys
import weakref
from contextlib import contextmanager

import pytest

from penstock import (
    BrokenResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    WouldBlock,
    create_memory_object_stream,
    create_task_group,
    get_cancelled_exc_class,
    wait_all_tasks_blocked,
)
from penstock._hotpath import ItemQueue

MANY = 2_000


class Item:
    """An item that weak references can watch."""


@contextmanager
def without_collector():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def failing(func, *args):
    """Await ``func(*args)``, and return a weak reference to the exception."""
    try:
        await func(*args)
    except Exception as exc:
        return weakref.ref(exc)
    raise AssertionError("it did not fail")


async def test_failed_operations_leave_no_cycle():
    send, receive = create_memory_object_stream(1)
    with without_collector():
        other = send.clone()
        other.close()
        failed = [await failing(other.send, 1), await failing(other.send_many, [1])]
        other = receive.clone()
        other.close()
        failed += [await failing(other.receive), await failing(other.receive_many, 1)]
        receive.close()
        failed += [await failing(send.send, 1), await failing(send.send_many, [1])]
        send.close()
        send, receive = create_memory_object_stream(1)
        send.close()
        failed += [await failing(receive.receive), await failing(receive.receive_many, 1)]
        receive.close()
        assert [ref() for ref in failed] == [None] * 8


@pytest.mark.parametrize("expected", [ClosedResourceError, BrokenResourceError])
async def test_sends_that_fail_while_they_wait_leave_no_cycle(expected):
    failed = []
    send, receive = create_memory_object_stream()

    async def give(item):
        try:
            await send.send(item)
        except expected as exc:
            failed.append(weakref.ref(exc))
        items.append(weakref.ref(item))

    items = []
    with without_collector():
        with send, receive:
            async with create_task_group() as tg:
                tg.start_soon(give, Item())
                tg.start_soon(give, Item())
                await wait_all_tasks_blocked()
                (send if expected is ClosedResourceError else receive).close()
        del tg
        assert [ref() for ref in failed] == [None, None]
        await wait_all_tasks_blocked()
        assert [ref() for ref in items] == [None, None]


@pytest.mark.parametrize("expected", [ClosedResourceError, EndOfStream])
async def test_receives_that_fail_while_they_wait_leave_no_cycle(expected):
    failed = []
    send, receive = create_memory_object_stream()

    async def take():
        failed.append(await failing(receive.receive))

    with without_collector():
        with send, receive:
            async with create_task_group() as tg:
                tg.start_soon(take)
                tg.start_soon(take)
                await wait_all_tasks_blocked()
                (receive if expected is ClosedResourceError else send).close()
        assert [ref() for ref in failed] == [None, None]


async def test_cancelled_operations_leave_no_cycle():
    cancelled = []
    send, receive = create_memory_object_stream()
    item = Item()

    async def note(func, *args):
        try:
            await func(*args)
        except get_cancelled_exc_class() as exc:
            cancelled.append(weakref.ref(exc))
            raise

    with without_collector(), receive:
        for func, *args in (
            (send.send, item),
            (send.send_many, [item, item]),
            (receive.receive,),
            (receive.receive_many, 2),
        ):
            async with create_task_group() as tg:
                tg.start_soon(note, func, *args)
                await wait_all_tasks_blocked()
                tg.cancel_scope.cancel()
            del func, args, tg
            with CancelScope() as scope:  # on Trio this clears what it keeps of the last one
                scope.cancel()
                await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()
        assert [ref() for ref in cancelled] == [None] * 4
        watch = weakref.ref(item)
        del item
        assert watch() is None
        send.close()


async def test_received_items_are_let_go():
    send, receive = create_memory_object_stream(4)
    with without_collector(), send, receive:
        items = [Item() for _ in range(4)]
        watched = [weakref.ref(item) for item in items]
        await send.send_many(items)
        del items
        await receive.receive()
        receive.receive_nowait()
        assert len(await receive.receive_many(2)) == 2
        assert [ref() for ref in watched] == [None] * 4
        async with create_task_group() as tg:
            item = Item()
            watched = weakref.ref(item)
            tg.start_soon(receive.receive)
            await wait_all_tasks_blocked()
            send.send_nowait(item)
            del item
        await wait_all_tasks_blocked()
        assert watched() is None


@pytest.mark.parametrize("size", [0, 1])
async def test_items_of_senders_that_waited_are_let_go(size):
    send, receive = create_memory_object_stream(size)
    watched = []

    async def give():
        item = Item()
        watched.append(weakref.ref(item))
        await send.send(item)

    with without_collector(), send, receive:
        async with create_task_group() as tg:
            for _ in range(3):
                tg.start_soon(give)
            await wait_all_tasks_blocked()
            for _ in range(3):
                await receive.receive()
        await wait_all_tasks_blocked()
        assert [ref() for ref in watched] == [None] * 3


async def test_streams_are_let_go():
    with without_collector():
        send, receive = create_memory_object_stream(1)
        await send.send(1)
        with pytest.raises(WouldBlock):
            send.send_nowait(2)
        watched = [weakref.ref(send), weakref.ref(receive)]
        send.close()
        receive.close()
        del send, receive
        assert [ref() for ref in watched] == [None, None]


def test_cancelled_tasks_leave_no_future_behind(asyncio_backend):
    # An exception that nobody has retrieved would be logged, and fail the test.
    async def main():
        send, receive = create_memory_object_stream()
        with send, receive:
            for func, *args in ((send.send, 1), (receive.receive,)):
                task = asyncio.create_task(func(*args))
                await wait_all_tasks_blocked()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                del task, func, args
            gc.collect()

    asyncio_backend.run(main)


# -- linear work --------------------------------------------------------------------------------


def calls_inside(func, *args):
    """Count the calls and lines that ``func(*args)`` makes in the pure twin."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        if not frame.f_code.co_filename.endswith("queue.py"):
            return None
        count += 1
        return trace

    outer = sys.gettrace()
    sys.settrace(trace)
    try:
        func(*args)
    finally:
        sys.settrace(outer)
    return count


class Wakes:
    """Waits that are woken by counting; those in ``cancelled`` take no notice."""

    def __init__(self):
        self.count = 0
        self.cancelled = set()

    def wake(self, wait):
        self.count += 1
        return wait not in self.cancelled


@pytest.mark.parametrize("order", ["first to last", "last to first"])
@pytest.mark.parametrize("kind", ["sender", "receiver"])
def test_closing_many_ends_one_by_one_wakes_each_once(kind, order):
    queue, wakes = ItemQueue(0), Wakes()
    keep = queue.open_sender(), queue.open_receiver()
    ends = [getattr(queue, f"open_{kind}")() for _ in range(MANY)]
    for number, end in enumerate(ends):
        if kind == "sender":
            queue.park_sender(number, number, wakes.wake, end)
        else:
            queue.park_receiver(number, wakes.wake, end)
    close = getattr(queue, f"close_{kind}")
    if order == "last to first":
        ends.reverse()
    work = []
    for index, end in enumerate(ends):
        if index in (0, MANY // 2):
            work.append(calls_inside(close, end))
        else:
            close(end)
    assert wakes.count == MANY
    assert len(set(work)) == 1, "closing depends on how many others wait"
    queue._check()
    del keep


def test_sending_passes_over_each_cancelled_receiver_once():
    queue, wakes = ItemQueue(math.inf), Wakes()
    keep, end = queue.open_sender(), queue.open_receiver()
    wakes.cancelled.update(range(MANY))
    for number in range(MANY):
        queue.park_receiver(number, wakes.wake, end)
    for number in range(MANY):
        assert queue.put_nowait(number)
    assert wakes.count == MANY
    assert len(queue) == MANY
    del keep


def test_receiving_passes_over_each_cancelled_sender_once():
    queue, wakes = ItemQueue(0), Wakes()
    end, keep = queue.open_sender(), queue.open_receiver()
    wakes.cancelled.update(range(0, MANY, 2))
    for number in range(MANY):
        queue.park_sender(number, number, wakes.wake, end)
    assert queue.get_many_nowait(MANY) == list(range(1, MANY, 2))
    assert wakes.count == MANY
    del keep


async def test_many_clones_with_waiting_tasks_are_closed_one_by_one():
    closed = 0
    send, receive = create_memory_object_stream()
    clones = [receive.clone() for _ in range(MANY)]

    async def take(clone):
        nonlocal closed
        with pytest.raises(ClosedResourceError):
            await clone.receive()
        closed += 1

    with send, receive:
        async with create_task_group() as tg:
            for clone in clones:
                tg.start_soon(take, clone)
            await wait_all_tasks_blocked()
            assert send.statistics().tasks_waiting_receive == MANY
            for clone in reversed(clones):
                clone.close()
        assert closed == MANY
        assert send.statistics().open_receive_streams == 1


async def test_many_cancelled_receivers_lose_nothing():
    send, receive = create_memory_object_stream(math.inf)
    with send, receive:
        async with create_task_group() as tg:
            for _ in range(MANY):
                tg.start_soon(receive.receive)
            await wait_all_tasks_blocked()
            tg.cancel_scope.cancel()
            for number in range(MANY):
                send.send_nowait(number)
        assert receive.statistics().tasks_waiting_receive == 0
        got = []
        while len(got) < MANY:
            got += await receive.receive_many(MANY)
        assert got == list(range(MANY))
