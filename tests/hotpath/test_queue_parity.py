"""Both twins of ItemQueue and ReadyBudget do the same: results, exceptions and their texts."""

import math

from fakes import Wait, wake
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import _compiled, _pure

number = st.integers(0, 9)
operations = st.one_of(
    st.sampled_from(["put", "get", "put_nowait", "get_nowait", "send", "receive"]).map(
        lambda name: (name,)
    ),
    st.tuples(st.sampled_from(["send", "receive"]), number),
    st.tuples(st.sampled_from(["put_many", "get_many"]), st.integers(-1, 6)),
    st.tuples(st.sampled_from(["run", "cancel"]), number),
    st.tuples(st.sampled_from(["open", "close"]), st.sampled_from(["sender", "receiver"]), number),
    st.tuples(
        st.just("budget"),
        st.sampled_from(["hold", "release", "refill", "turn", "grant", "spend", "retire"]),
    ),
    st.tuples(st.just("resize"), st.sampled_from([-1, 0, 1, 2, 3, 10**30, "1"])),
    st.tuples(st.just("spend_bytes"), st.sampled_from([1, 100_000, 300_000])),
    st.tuples(st.just("bind"), st.integers(1, 3)),
)


class Driver:
    """Does to one twin what a task would, and tells what came of it."""

    def __init__(self, twin, max_buffer_size):
        self.twin = twin
        self.queue = twin.ItemQueue(max_buffer_size)
        self.holds = 0
        self.ends = {"sender": [], "receiver": []}
        self.parked = []  # (which side, wait, waiter)
        self.next_item = 0
        self.taken = []
        self.perform("open", "sender", 0)
        self.perform("open", "receiver", 0)
        self.perform("bind", 3)

    def __call__(self, name, *arguments):
        try:
            result = self.perform(name, *arguments)
        except Exception as exc:
            result = type(exc), str(exc)
        queue, budget = self.queue, self.budget
        queue._check()
        budget._check()
        # FIFO, nothing doubled: whoever takes it, the next item is a later one.
        assert self.taken == sorted(set(self.taken))
        return (
            result,
            len(queue),
            (queue.peak, queue.ended, queue.starved, queue.usable, queue.budget is budget),
            (queue.open_senders, queue.open_receivers),
            (queue.waiting_senders, queue.waiting_receivers),
            (budget.size, budget.left, budget.exhausted, budget.retired, budget.foreign),
            [(wait.woken, waiter.taken) for _, wait, waiter in self.parked],
        )

    def perform(self, name, *arguments):
        queue = self.queue
        match name:
            case "bind":
                self.budget = self.twin.ReadyBudget(*arguments)
                self.holds = 0
                return queue.bind(self.budget)
            case "budget":
                (action,) = arguments
                if action == "release" and not self.holds:
                    return None
                self.holds += {"hold": 1, "release": -1}.get(action, 0)
                return getattr(self.budget, action)()
            case "resize" | "spend_bytes":
                return getattr(self.budget, name)(*arguments)
            case "put" | "put_nowait":
                return getattr(queue, name)(self.new_item())
            case "put_many":
                items = [self.new_item() for _ in range(arguments[0])]
                return queue.put_many(items, min(1, len(items)))
            case "get" | "get_nowait":
                return self.take(getattr(queue, name)())
            case "get_many":
                return [self.take(item) for item in queue.get_many(*arguments)]
            case "open":
                side, _ = arguments
                return self.ends[side].append(getattr(queue, f"open_{side}")())
            case "close":
                side, index = arguments
                if self.ends[side]:
                    end = self.ends[side].pop(index % len(self.ends[side]))
                    return getattr(queue, f"close_{side}")(end)
            case "send":
                return self.send(*arguments)
            case "receive":
                return self.receive(*arguments)
            case "cancel":
                # A task may be cancelled before or after it is woken; it notices when it runs.
                if self.parked:
                    self.parked[arguments[0] % len(self.parked)][1].cancelled = True
            case "run":
                if self.parked:
                    return self.run(arguments[0] % len(self.parked))
        return None

    def new_item(self):
        self.next_item += 1
        return self.next_item

    def take(self, item):
        if item is self.twin.NOTHING:
            return "NOTHING"
        self.taken.append(item)
        return item

    def send(self, index=0):
        queue, item = self.queue, self.new_item()
        self.budget.grant()
        if queue.put(item):
            return True
        if self.ends["sender"] and queue.open_receivers and not self.budget.retired:
            end = self.ends["sender"][index % len(self.ends["sender"])]
            wait = Wait()
            self.parked.append(("sender", wait, queue.park_sender(item, wait, wake, end)))
        return False

    def receive(self, index=0):
        queue = self.queue
        self.budget.grant()
        item = queue.get()
        if item is not self.twin.NOTHING:
            return self.take(item)
        if self.ends["receiver"] and not queue.ended and not self.budget.retired:
            end = self.ends["receiver"][index % len(self.ends["receiver"])]
            wait = Wait()
            self.parked.append(("receiver", wait, queue.park_receiver(wait, wake, end)))
        return "NOTHING"

    def run(self, index):
        side, wait, waiter = self.parked[index]
        if not wait.woken and not wait.cancelled:
            return "waits"
        del self.parked[index]
        if wait.cancelled:
            return getattr(self.queue, f"cancel_{side}")(waiter)
        if side == "sender":
            return waiter.taken
        return self.take(self.queue.collect(waiter))


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([0, 1, 2, 5, math.inf]),
    st.lists(operations, max_size=50) | st.lists(operations, min_size=50, max_size=50),
)
def test_both_twins_do_the_same(max_buffer_size, steps):
    pure, compiled = Driver(_pure, max_buffer_size), Driver(_compiled, max_buffer_size)
    for step in steps:
        assert pure(*step) == compiled(*step)
