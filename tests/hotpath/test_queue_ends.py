"""What ItemQueue promises when ends close and event loops end, asked of each twin in turn."""

import pytest
from fakes import Ends, in_thread


@pytest.fixture
def make(twin):
    """Make a queue that is open on both sides."""

    def make(max_buffer_size=0):
        return Ends(twin, max_buffer_size)

    return make


# -- closing -------------------------------------------------------------------------------


def test_last_sender_closed_ends_the_waits_of_receivers(make, twin):
    ends = make(0)
    wait, waiter = ends.park_receiver()
    ends.queue.close_sender(ends.sender)
    assert wait.woken
    assert ends.queue.collect(waiter) is twin.NOTHING
    ends.queue._check()


def test_sender_closed_before_the_last_leaves_receivers_waiting(make):
    ends = make(0)
    ends.queue.open_sender()
    wait, _ = ends.park_receiver()
    ends.queue.close_sender(ends.sender)
    assert not wait.woken


def test_last_sender_closed_keeps_receivers_waiting_for_a_promise_given_back(make):
    ends = make(0)
    (_, first), (wait, second) = ends.park_receiver(), ends.park_receiver()
    ends.queue.put("item")
    ends.queue.close_sender(ends.sender)
    assert not wait.woken
    ends.queue.cancel_receiver(first)
    assert ends.queue.collect(second) == "item"


def test_last_promise_collected_after_the_senders_are_gone_ends_the_waits(make, twin):
    ends = make(0)
    (_, first), (wait, second) = ends.park_receiver(), ends.park_receiver()
    ends.queue.put("item")
    ends.queue.close_sender(ends.sender)
    assert ends.queue.collect(first) == "item"
    assert wait.woken
    assert ends.queue.collect(second) is twin.NOTHING


def test_sender_closed_ends_the_waits_at_that_end_alone(make):
    ends = make(0)
    other = ends.queue.open_sender()
    (mine, waiter), (theirs, _) = ends.park_sender("a"), ends.park_sender("b", other)
    ends.queue.close_sender(ends.sender)
    assert (mine.woken, waiter.taken, theirs.woken) == (True, False, False)
    assert ends.queue.get() == "b"


def test_receiver_closed_ends_the_waits_at_that_end_alone(make):
    ends = make(0)
    other = ends.queue.open_receiver()
    (mine, _), (theirs, _) = ends.park_receiver(), ends.park_receiver(other)
    ends.queue.close_receiver(ends.receiver)
    assert (mine.woken, theirs.woken) == (True, False)
    ends.queue._check()


def test_last_receiver_closed_ends_the_waits_of_senders(make):
    ends = make(0)
    wait, waiter = ends.park_sender("item")
    ends.queue.close_receiver(ends.receiver)
    assert (wait.woken, waiter.taken) == (True, False)
    assert ends.queue.cancel_sender(waiter)


def test_last_receiver_closed_drops_what_nobody_was_promised(make):
    ends = make(5)
    _, waiter = ends.park_receiver()
    ends.queue.put_many("abc", 0)
    ends.queue.close_receiver(ends.receiver)
    assert len(ends.queue) == 0
    ends.queue._check()
    assert ends.queue.collect(waiter) == "a"


def test_promise_given_back_after_the_receivers_are_gone_drops_the_item(make):
    ends = make(5)
    _, waiter = ends.park_receiver()
    ends.queue.put("item")
    ends.queue.close_receiver(ends.receiver)
    ends.queue.cancel_receiver(waiter)
    assert len(ends.queue) == 0
    ends.queue.close_sender(ends.sender)
    assert ends.queue.ended


def test_closing_in_another_thread_wakes_nobody(make):
    ends = make(0)
    wait, _ = ends.park_receiver()
    in_thread(lambda: ends.queue.close_sender(ends.sender))
    assert not wait.woken
    assert ends.queue.waiting_receivers == 0


# -- a destructor between the question and the wait ------------------------------------------


def test_item_put_before_the_receiver_is_parked_is_promised_to_it(make, twin):
    ends = make(1)
    assert ends.queue.get() is twin.NOTHING
    ends.queue.put_nowait("item")
    wait, waiter = ends.park_receiver()
    assert wait.woken
    ends.queue._check()
    assert ends.queue.collect(waiter) == "item"


def test_last_sender_closed_before_the_receiver_is_parked_ends_its_wait(make):
    ends = make(1)
    ends.queue.close_sender(ends.sender)
    wait, _ = ends.park_receiver()
    assert wait.woken
    ends.queue._check()


def test_last_receiver_closed_before_the_sender_is_parked_ends_its_wait(make):
    ends = make(0)
    ends.queue.close_receiver(ends.receiver)
    wait, waiter = ends.park_sender("item")
    assert (wait.woken, waiter.taken) == (True, False)
    ends.queue._check()


@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_own_end_closed_before_the_wait_ends_it(make, side):
    ends = make(0)
    ends.queue.open_sender()
    ends.queue.open_receiver()
    getattr(ends.queue, f"close_{side}")(getattr(ends, side))
    wait, _ = ends.park_sender("item") if side == "sender" else ends.park_receiver()
    assert wait.woken
    ends.queue._check()


# -- the next event loop -------------------------------------------------------------------


def test_bind_forgets_who_waited_under_the_last_loop(make, twin):
    ends = make(0)
    receiving, receiver = ends.park_receiver()
    ends.queue.bind(twin.ReadyBudget())
    sending, sender = ends.park_sender("item")
    ends.queue.bind(twin.ReadyBudget())
    assert (ends.queue.waiting_senders, ends.queue.waiting_receivers) == (0, 0)
    assert not receiving.woken
    assert not sending.woken
    ends.queue.cancel_receiver(receiver)
    assert ends.queue.cancel_sender(sender)
    ends.queue._check()


def test_item_promised_under_the_last_loop_is_free_for_all(make, twin):
    ends = make(1)
    _, waiter = ends.park_receiver()
    ends.queue.put("item")
    ends.queue.bind(twin.ReadyBudget())
    ends.queue._check()
    assert ends.queue.get() == "item"
    ends.queue.cancel_receiver(waiter)  # the task of the last loop, collected only now
    assert ends.queue.collect(waiter) is twin.NOTHING
    ends.queue._check()


def test_promise_given_back_after_the_loop_has_ended_wakes_nobody_of_it(make):
    ends = make(1)
    (_, first), (second, _) = ends.park_receiver(), ends.park_receiver()
    ends.queue.put("item")
    ends.budget.retire()
    ends.queue.cancel_receiver(first)
    assert not second.woken
    ends.queue._check()
    assert ends.queue.get_nowait() == "item"


def test_item_promised_under_the_last_loop_goes_with_the_last_receiver(make):
    ends = make(1)
    ends.park_receiver()
    ends.queue.put("item")
    ends.queue.close_receiver(ends.receiver)
    ends.budget.retire()
    assert ends.queue.usable
    assert len(ends.queue) == 0
    ends.queue._check()
