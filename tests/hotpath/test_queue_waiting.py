"""What ItemQueue promises to those who wait at its ends, asked of each twin in turn."""

import math

import pytest
from fakes import Ends


@pytest.fixture
def make(twin):
    """Make a queue that is open on both sides."""

    def make(max_buffer_size=0):
        return Ends(twin, max_buffer_size)

    return make


# -- receivers -----------------------------------------------------------------------------


def test_waiting_receiver_is_promised_the_item(make):
    ends = make(0)
    wait, waiter = ends.park_receiver()
    assert ends.queue.waiting_receivers == 1
    assert ends.queue.put("item")
    assert wait.woken
    assert (ends.queue.waiting_receivers, len(ends.queue)) == (0, 0)
    ends.queue._check()
    assert ends.queue.collect(waiter) == "item"
    ends.queue._check()


def test_promised_item_is_nobody_elses(make, twin):
    ends = make(5)
    _, waiter = ends.park_receiver()
    ends.queue.put("item")
    assert ends.queue.get() is twin.NOTHING
    assert ends.queue.get_nowait() is twin.NOTHING
    assert ends.queue.get_many(3) == []
    assert ends.queue.collect(waiter) == "item"


def test_collect_twice_takes_one_item(make, twin):
    ends = make(5)
    _, waiter = ends.park_receiver()
    ends.queue.put_many([1, 2], 0)
    assert ends.queue.collect(waiter) == 1
    assert ends.queue.collect(waiter) is twin.NOTHING
    assert len(ends.queue) == 1


def test_receivers_are_woken_in_order(make):
    ends = make(0)
    parked = [ends.park_receiver() for _ in range(3)]
    for item in range(3):
        ends.queue.put(item)
        assert [wait.woken for wait, _ in parked].count(True) == item + 1
    assert [ends.queue.collect(waiter) for _, waiter in parked] == [0, 1, 2]


def test_items_stay_in_order_whoever_collects_first(make):
    ends = make(0)
    waiters = [ends.park_receiver()[1] for _ in range(2)]
    ends.queue.put_many("ab", 0)
    assert ends.queue.collect(waiters[1]) == "a"
    assert ends.queue.collect(waiters[0]) == "b"


def test_put_passes_over_a_receiver_that_was_cancelled(make):
    ends = make(0)
    (first, gone), (second, waiter) = ends.park_receiver(), ends.park_receiver()
    first.cancelled = True
    assert ends.queue.put("item")
    assert second.woken
    ends.queue.cancel_receiver(gone)
    ends.queue._check()
    assert ends.queue.collect(waiter) == "item"


def test_put_with_only_cancelled_receivers_is_declined(make):
    ends = make(0)
    wait, waiter = ends.park_receiver()
    wait.cancelled = True
    assert not ends.queue.put("item")
    assert len(ends.queue) == 0
    ends.queue.cancel_receiver(waiter)
    ends.queue._check()


def test_put_with_only_cancelled_receivers_goes_into_the_buffer(make):
    ends = make(1)
    wait, _ = ends.park_receiver()
    wait.cancelled = True
    assert ends.queue.put("item")
    assert (len(ends.queue), ends.queue.peak) == (1, 1)


def test_cancelled_receiver_leaves(make):
    ends = make(0)
    wait, waiter = ends.park_receiver()
    ends.queue.cancel_receiver(waiter)
    assert ends.queue.waiting_receivers == 0
    assert not ends.queue.put("item")
    assert not wait.woken


def test_receiver_cancelled_in_the_middle_leaves_the_others(make):
    ends = make(0)
    parked = [ends.park_receiver() for _ in range(3)]
    ends.queue.cancel_receiver(parked[1][1])
    ends.queue._check()
    ends.queue.put_many("ab", 0)
    assert [ends.queue.collect(waiter) for _, waiter in (parked[0], parked[2])] == ["a", "b"]


def test_promise_of_a_cancelled_receiver_passes_to_the_next(make):
    ends = make(0)
    (_, first), (wait, second) = ends.park_receiver(), ends.park_receiver()
    ends.queue.put("item")
    assert not wait.woken
    ends.queue.cancel_receiver(first)
    assert wait.woken
    assert ends.queue.collect(second) == "item"


def test_promise_of_a_cancelled_receiver_goes_back_to_the_buffer(make):
    ends = make(0)
    _, waiter = ends.park_receiver()
    ends.queue.put("item")
    ends.queue.cancel_receiver(waiter)
    ends.queue._check()
    assert ends.queue.get() == "item"


def test_receiver_cancelled_twice_gives_back_once(make):
    ends = make(5)
    _, waiter = ends.park_receiver()
    ends.queue.put("item")
    ends.queue.cancel_receiver(waiter)
    ends.queue.cancel_receiver(waiter)
    ends.queue._check()
    assert len(ends.queue) == 1


# -- senders -------------------------------------------------------------------------------


def test_waiting_sender_is_taken_by_get(make):
    ends = make(0)
    wait, waiter = ends.park_sender("item")
    assert ends.queue.waiting_senders == 1
    assert not waiter.taken
    assert ends.queue.get() == "item"
    assert (wait.woken, waiter.taken, ends.queue.waiting_senders) == (True, True, 0)


def test_room_that_comes_free_takes_the_first_sender_in(make):
    ends = make(1)
    ends.queue.put("a")
    (first, _), (second, _) = ends.park_sender("b"), ends.park_sender("c")
    assert ends.queue.get() == "a"
    assert (first.woken, second.woken) == (True, False)
    ends.queue._check()
    assert [ends.queue.get(), ends.queue.get()] == ["b", "c"]


def test_get_many_takes_waiting_senders_as_well(make):
    ends = make(1)
    ends.queue.put("a")
    waits = [ends.park_sender(item)[0] for item in "bcd"]
    assert ends.queue.get_many(10) == list("abcd")
    assert all(wait.woken for wait in waits)


def test_collect_lets_a_waiting_sender_in(make):
    ends = make(1)
    _, waiter = ends.park_receiver()
    ends.queue.put_many("ab", 0)
    wait, _ = ends.park_sender("c")
    assert ends.queue.collect(waiter) == "a"
    assert not wait.woken  # a promised item took no room
    assert ends.queue.get() == "b"
    assert wait.woken


def test_get_with_promised_items_keeps_the_order(make):
    ends = make(0)
    _, waiter = ends.park_receiver()
    ends.queue.put("a")
    ends.park_sender("b")
    assert ends.queue.get() == "a"
    assert ends.queue.collect(waiter) == "b"


def test_get_passes_over_a_sender_that_was_cancelled(make):
    ends = make(0)
    wait, waiter = ends.park_sender("a")
    ends.park_sender("b")
    wait.cancelled = True
    assert ends.queue.get() == "b"
    assert not waiter.taken
    assert ends.queue.cancel_sender(waiter)


def test_room_passes_over_a_sender_that_was_cancelled(make):
    ends = make(1)
    ends.queue.put("a")
    wait, _ = ends.park_sender("b")
    ends.park_sender("c")
    wait.cancelled = True
    assert ends.queue.get() == "a"
    ends.queue._check()
    assert ends.queue.get() == "c"


def test_cancelled_sender_withdraws_its_item(make, twin):
    ends = make(0)
    _, waiter = ends.park_sender("item")
    assert ends.queue.cancel_sender(waiter)
    assert ends.queue.waiting_senders == 0
    assert ends.queue.get() is twin.NOTHING


def test_sender_cancelled_after_its_item_was_taken_is_told(make):
    ends = make(0)
    _, waiter = ends.park_sender("item")
    ends.queue.get()
    assert not ends.queue.cancel_sender(waiter)
    assert waiter.taken


def test_ten_thousand_waiters_leave_in_any_order(make):
    ends = make(math.inf)
    parked = [ends.park_receiver() for _ in range(10_000)]
    for _, waiter in parked[::3] + parked[1::3]:
        ends.queue.cancel_receiver(waiter)
    for item in range(len(parked[2::3])):
        ends.queue.put_nowait(item)
    ends.queue._check()
    assert [ends.queue.collect(waiter) for _, waiter in parked[2::3]] == list(range(3333))
