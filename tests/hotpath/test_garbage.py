"""Cycles through the queue are collected, and destructors may come back in: in each twin."""

import gc
import sys
import weakref

import pytest
from fakes import Ends, Wait, wake


class Item:
    """An item that can refer to whatever holds it, and be seen to go."""


class Reentrant:
    """An item whose destructor uses the queue."""

    def __init__(self, queue, use):
        self.queue = queue
        self.use = use

    def __del__(self):
        try:
            self.queue._check()
            self.use(self.queue)
            self.queue._check()
        except BaseException as exc:
            failures.append(exc)
            raise
        destroyed.append(None)


failures = []
destroyed = []


@pytest.fixture(autouse=True)
def destructors_succeed():
    failures.clear()
    destroyed.clear()
    yield
    assert failures == []


def use_all(queue):
    """Do everything that a destructor could think of."""
    len(queue)
    queue.put_nowait(Item())
    queue.get_nowait()
    queue.put(1)
    queue.put_many([1, 2], 0)
    queue.get_many(2)
    queue.close_receiver(queue.open_receiver())
    queue.close_sender(queue.open_sender())


def collected(make):
    """Whether the objects that ``make`` returns weak references to go, with a collection."""
    references = make()
    gc.collect()
    return all(reference() is None for reference in references)


def test_item_in_the_queue_that_refers_to_it_is_collected(twin):
    def make():
        queue = twin.ItemQueue(5)
        queue.open_receiver()
        items = [Item() for _ in range(3)]
        for item in items:
            item.queue = queue
            assert queue.put_nowait(item)
        return [weakref.ref(item) for item in items]

    assert collected(make)


def test_item_that_wraps_around_the_ring_is_collected(twin):
    def make():
        queue = twin.ItemQueue(100)
        queue.open_receiver()
        for _ in range(14):
            queue.put_nowait(None)
        items = [Item() for _ in range(10)]
        for item in items:
            item.queue = queue
            queue.get_nowait()
            queue.put_nowait(item)
        for _ in range(4):
            queue.get_nowait()
        assert len(queue) == 10
        return [weakref.ref(item) for item in items]

    assert collected(make)


@pytest.mark.parametrize("what", ["item", "wait", "wake", "receiver"])
def test_waiter_that_refers_to_the_queue_is_collected(twin, what):
    def make():
        ends = Ends(twin)
        mark, item, wait = Item(), Item(), Wait()
        mark.queue = ends.queue
        bound = mark.__init__ if what == "wake" else wake
        if what == "receiver":
            wait.mark = mark
            mark.waiter = ends.queue.park_receiver(wait, wake, ends.receiver)
        else:
            (item if what == "item" else wait).mark = mark
            mark.waiter = ends.queue.park_sender(item, wait, bound, ends.sender)
        return [weakref.ref(mark)]

    assert collected(make)


def test_promised_item_that_refers_to_the_queue_is_collected(twin):
    def make():
        ends = Ends(twin)
        _, waiter = ends.park_receiver()
        item = Item()
        item.held = ends, waiter
        ends.queue.put(item)
        return [weakref.ref(item)]

    assert collected(make)


def test_probe_that_refers_to_the_queue_is_collected(twin):
    def make():
        mark = Item()
        budget = twin.ReadyBudget(5, lambda: mark is None)
        mark.queue = twin.ItemQueue(5)
        mark.queue.bind(budget)
        return [weakref.ref(mark)]

    assert collected(make)


def test_queue_that_goes_lets_go_of_all(twin):
    ends = Ends(twin, 5)
    items = [Item() for _ in range(6)]
    references = [weakref.ref(item) for item in items]
    for item in items[:5]:
        ends.queue.put(item)
    ends.park_sender(items[5])
    del ends, items, item
    gc.collect()  # a waiter and its end know each other while it waits
    assert [reference() for reference in references] == [None] * 6


# -- destructors that come back in -----------------------------------------------------------


def test_destructor_comes_in_during_collection(twin):
    def make():
        queue = twin.ItemQueue(50)
        queue.open_receiver()
        for _ in range(20):
            queue.put_nowait(Reentrant(queue, use_all))
        return []

    assert collected(make)
    gc.collect()
    assert len(destroyed) == 20


def test_destructor_of_a_waiting_item_comes_in_during_collection(twin):
    def make():
        ends = Ends(twin)
        for _ in range(3):
            ends.park_sender(Reentrant(ends.queue, lambda queue: queue.get_nowait()))
        return []

    assert collected(make)
    gc.collect()
    assert len(destroyed) == 3


def test_destructor_comes_in_while_closing_drops_the_items(twin):
    ends = Ends(twin, 50)
    for _ in range(20):
        ends.queue.put(Reentrant(ends.queue, use_all))
    ends.queue.close_receiver(ends.receiver)
    assert len(destroyed) == 20
    assert len(ends.queue) == 0


def test_destructor_that_opens_a_receiver_and_puts_while_closing_keeps_its_item(twin):
    ends = Ends(twin, 50)

    def revive(queue):
        queue.open_receiver()
        queue.put_nowait("late")

    ends.queue.put(Reentrant(ends.queue, revive))
    ends.queue.put("early")
    ends.queue.close_receiver(ends.receiver)
    ends.queue._check()
    assert ends.queue.get_many(5) == ["late"]


@pytest.mark.parametrize("close", ["sender", "receiver"])
def test_destructor_closes_the_other_side_while_closing_ends_the_waits(twin, close):
    ends = Ends(twin)
    other = ends.queue.open_sender()

    def close_other(queue):
        queue.close_sender(other)

    waits = [ends.park_sender(Reentrant(ends.queue, close_other))[0]]
    waits += [ends.park_sender(object(), other)[0] for _ in range(3)]
    getattr(ends.queue, f"close_{close}")(getattr(ends, close))
    assert len(destroyed) == 1
    assert all(wait.woken for wait in waits)
    assert ends.queue.waiting_senders == 0
    ends.queue._check()


def test_destructor_comes_in_while_a_sender_is_cancelled(twin):
    ends = Ends(twin)
    _, waiter = ends.park_sender(Reentrant(ends.queue, use_all))
    assert ends.queue.cancel_sender(waiter)
    assert len(destroyed) == 1


def test_destructor_comes_in_while_the_queue_is_bound_anew(twin):
    ends = Ends(twin)
    for _ in range(3):
        ends.park_sender(Reentrant(ends.queue, use_all))
    ends.queue.bind(twin.ReadyBudget())
    assert len(destroyed) == 3
    assert ends.queue.waiting_senders == 0


def test_destructor_comes_in_while_items_are_taken(twin):
    ends = Ends(twin, 5000)
    for _ in range(3000):
        ends.queue.put_nowait(Reentrant(ends.queue, lambda queue: queue._check()))
    while ends.queue.get_nowait() is not twin.NOTHING:
        pass
    assert len(destroyed) == 3000


def test_destructor_comes_in_while_the_only_receivers_turn_out_cancelled(twin):
    ends = Ends(twin)
    queue = ends.queue

    class Takes:
        def __bool__(self):  # what wake() returned: the moment before the item is taken back
            queue.get_nowait()
            return False

    queue.park_receiver(None, lambda _: Takes(), ends.receiver)
    item = Item()
    assert queue.put_nowait(item) in (True, False)
    queue._check()
    assert len(queue) == 0


# -- counting ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3000])
def test_hundred_thousand_items_leave_no_reference(twin, size):
    item, ends = object(), Ends(twin, size)
    before = sys.getrefcount(item)
    for _ in range(100_000 // size):
        for _ in range(size):
            ends.queue.put_nowait(item)
        for _ in range(size):
            ends.queue.get_nowait()
    assert sys.getrefcount(item) == before


def test_items_left_behind_leave_no_reference(twin):
    item, ends = object(), Ends(twin, 5000)
    before = sys.getrefcount(item)
    ends.queue.put_many([item] * 4000, 0)
    ends.queue.get_many(1000)
    ends.park_receiver()
    del ends
    assert sys.getrefcount(item) == before


@pytest.mark.parametrize("wait_at", ["sender", "receiver"])
def test_waits_leave_no_object(twin, wait_at):
    ends = Ends(twin)
    queue, item = ends.queue, object()

    def once():
        if wait_at == "sender":
            _, waiter = ends.park_sender(item)
            assert queue.get() is item
            queue.cancel_sender(ends.park_sender(item)[1])
        else:
            _, waiter = ends.park_receiver()
            queue.put(item)
            assert queue.collect(waiter) is item
            queue.cancel_receiver(ends.park_receiver()[1])

    once()
    gc.collect()
    before, references = len(gc.get_objects()), sys.getrefcount(item)
    for _ in range(10_000):
        once()
    gc.collect()
    assert len(gc.get_objects()) - before < 100
    assert sys.getrefcount(item) == references
