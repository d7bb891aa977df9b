"""What ItemQueue promises about items and the ready budget, asked of each twin in turn."""

import math

import pytest
from fakes import Ends, in_thread


@pytest.fixture
def make(twin):
    """Make a queue that is open on both sides."""

    def make(max_buffer_size=0, operations=1_000_000):
        return Ends(twin, max_buffer_size, operations)

    return make


def take_all(queue):
    """Take out what is there; nobody may wait."""
    items = []
    while len(queue):
        items.append(queue.get_nowait())
        queue._check()
    return items


# -- items ---------------------------------------------------------------------------------


def test_items_come_out_in_order(make):
    queue = make(10).queue
    for item in range(10):
        assert queue.put(item)
        queue._check()
    assert len(queue) == 10
    assert [queue.get() for _ in range(10)] == list(range(10))
    assert len(queue) == 0


def test_items_come_out_in_order_while_others_go_in(make):
    queue = make(math.inf).queue
    put, got = 0, []
    for count in (5, 3000, 1, 20_000, 7):
        for _ in range(count):
            put += queue.put_nowait(put)
        got += [queue.get_nowait() for _ in range(count // 2)]
        queue._check()
    assert got + take_all(queue) == list(range(put))


def test_put_without_room_is_declined(make):
    queue = make(2).queue
    assert queue.put(1)
    assert queue.put_nowait(2)
    assert not queue.put(3)
    assert not queue.put_nowait(3)
    assert take_all(queue) == [1, 2]


def test_put_without_buffer_and_receiver_waiting_is_declined(make):
    assert not make(0).queue.put(1)


@pytest.mark.parametrize("size", [math.inf, 10**30])
def test_boundless_queue_takes_any_number(make, size):
    queue = make(size).queue
    assert queue.max_buffer_size == size
    assert queue.put_many(range(4096), 0) == 4096
    assert queue.put_nowait(1)


def test_get_from_empty_queue_is_nothing(make, twin):
    queue = make(2).queue
    assert queue.get() is twin.NOTHING
    assert queue.get_nowait() is twin.NOTHING
    assert queue.get_many(3) == []
    assert repr(twin.NOTHING) == "NOTHING"


@pytest.mark.parametrize("item", [None, False, 0, ""])
def test_item_that_is_false_is_an_item(make, item):
    queue = make(1).queue
    queue.put(item)
    assert queue.get() is item


def test_put_many_puts_what_fits_from_start(make):
    queue = make(3).queue
    assert queue.put_many([0, 1, 2, 3, 4, 5], 2) == 3
    assert queue.put_many([0, 1], 0) == 0
    assert take_all(queue) == [2, 3, 4]


def test_put_many_of_nothing_puts_nothing(make):
    queue = make(3).queue
    assert queue.put_many([], 0) == 0
    assert queue.put_many([1], 1) == 0


def test_put_many_moves_at_most_4096(make):
    queue = make(math.inf).queue
    assert queue.put_many(list(range(5000)), 10) == 4096
    assert take_all(queue) == list(range(10, 4106))


def test_get_many_takes_what_is_there(make):
    queue = make(5).queue
    queue.put_many("abcde", 0)
    assert queue.get_many(2) == ["a", "b"]
    assert queue.get_many(10) == ["c", "d", "e"]
    assert queue.get_many(10) == []


def test_get_many_moves_at_most_4096(make):
    queue = make(math.inf).queue
    for _ in range(2):
        queue.put_many(range(4096), 0)
        queue.budget.refill()  # a full batch uses it up
    assert len(queue.get_many(10_000)) == 4096


@pytest.mark.parametrize("max_items", [0, -1])
def test_get_many_of_none_takes_none(make, max_items):
    queue = make(1).queue
    queue.put(1)
    assert queue.get_many(max_items) == []
    assert len(queue) == 1


def test_put_many_from_sequence_cut_short_on_the_way_raises_and_keeps_the_others(make):
    ends = make(0)
    items = [1, 2, 3]
    ends.queue.park_receiver(None, lambda _: items.clear() is None, ends.receiver)
    ends.park_receiver()
    with pytest.raises(IndexError):
        ends.queue.put_many(items, 0)
    ends.queue._check()


def test_peak_is_the_longest_buffer(make):
    ends = make(5)
    queue = ends.queue
    queue.put_many("abc", 0)
    take_all(queue)
    queue.put(1)
    assert queue.peak == 3


def test_peak_does_not_count_what_is_promised(make):
    ends = make(5)
    _, waiter = ends.park_receiver()
    ends.queue.put(1)
    assert (len(ends.queue), ends.queue.peak) == (0, 0)
    assert ends.queue.collect(waiter) == 1


def test_nobody_left_to_receive_declines_put(make):
    ends = make(5)
    ends.queue.close_receiver(ends.receiver)
    assert not ends.queue.put(1)
    assert not ends.queue.put_nowait(1)
    assert ends.queue.put_many([1], 0) == 0


def test_ended_when_no_sender_is_open_and_all_items_are_taken(make):
    ends = make(5)
    ends.queue.put(1)
    ends.queue.close_sender(ends.sender)
    assert not ends.queue.ended
    assert ends.queue.get() == 1
    assert ends.queue.ended


def test_counts_of_open_ends(make):
    ends = make()
    other = ends.queue.open_sender()
    assert (ends.queue.open_senders, ends.queue.open_receivers) == (2, 1)
    ends.queue.close_sender(other)
    ends.queue.close_receiver(ends.receiver)
    assert (ends.queue.open_senders, ends.queue.open_receivers) == (1, 0)


# -- the ready budget ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "operation",
    [
        lambda queue: queue.put(1),
        lambda queue: queue.put_many([1, 2], 0),
        lambda queue: queue.get(),
        lambda queue: queue.get_many(2),
    ],
    ids=["put", "put_many", "get", "get_many"],
)
def test_ready_operation_takes_one_from_the_budget(make, operation):
    ends = make(5, operations=2)
    ends.queue.put_nowait(0)
    ends.queue.put_nowait(0)
    assert operation(ends.queue) in (True, 2, 0, [0, 0])
    assert ends.budget.left == 1


def test_used_up_budget_declines_and_moves_nothing(make, twin):
    ends = make(5, operations=2)
    queue = ends.queue
    queue.put(0)
    queue.put(1)
    assert queue.starved
    assert not queue.put(2)
    assert queue.put_many([2], 0) == 0
    assert queue.get() is twin.NOTHING
    assert queue.get_many(2) == []
    assert take_all(queue) == [0, 1]


def test_unready_operation_takes_nothing_from_the_budget(make, twin):
    ends = make(0, operations=2)
    assert not ends.queue.put(1)
    assert ends.queue.get() is twin.NOTHING
    assert ends.budget.left == 2


def test_nowait_operations_do_not_count(make):
    ends = make(5, operations=2)
    for _ in range(5):
        assert ends.queue.put_nowait(1)
    assert ends.budget.left == 2


def test_unbound_queue_takes_nowait_operations_only(make, twin):
    queue = twin.ItemQueue(5)
    queue.open_receiver()
    assert (queue.budget, queue.usable, queue.starved) == (None, True, True)
    assert not queue.put(1)
    assert queue.put_nowait(1)
    assert queue.get() is twin.NOTHING
    assert queue.get_nowait() == 1


def test_parking_leaves_the_budget_alone(make):
    ends = make(0, operations=3)
    ends.budget.spend()
    ends.park_receiver()
    assert ends.budget.left == 2


def test_another_thread_is_declined_and_moves_nothing(make, twin):
    queue = make(5).queue
    queue.put(1)

    def use():
        return (
            queue.usable,
            queue.put(2),
            queue.put_nowait(2),
            queue.put_many([2], 0),
            queue.get(),
            queue.get_nowait(),
            queue.get_many(2),
        )

    declined = (False, False, False, 0, twin.NOTHING, twin.NOTHING, [])
    assert in_thread(use) == declined
    assert take_all(queue) == [1]


def test_queue_of_an_ended_loop_is_free_for_any_thread(make):
    ends = make(5)
    ends.queue.put(1)
    ends.budget.retire()
    assert in_thread(lambda: (ends.queue.usable, ends.queue.get_nowait())) == (True, 1)
    assert ends.queue.budget is None


def test_bind_counts_on_the_new_budget(make, twin):
    ends = make(5)
    budget = twin.ReadyBudget(2)
    ends.queue.bind(budget)
    assert ends.queue.budget is budget
    ends.queue.put(1)
    assert budget.left == 1


def test_queue_is_full_while_its_buffer_has_no_room(make):
    ends = make(2)
    queue = ends.queue
    assert not queue.full
    assert queue.put_nowait(1)
    assert not queue.full
    assert queue.put_nowait(2)
    assert queue.full
    assert not queue.put_nowait(3)
    assert queue.get_nowait() == 1
    assert not queue.full
    assert queue.put_nowait(3)
    assert (queue.full, queue.peak) == (True, 2)
    assert make(0).queue.full
    assert not make(math.inf).queue.full


def test_item_put_without_waiting_needs_a_receiver(make):
    ends = make(2)
    ends.queue.close_receiver(ends.receiver)
    assert not ends.queue.put_nowait(1)
    assert len(ends.queue) == 0
