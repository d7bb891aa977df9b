"""Random programs of producers and consumers, cancelled anywhere: every item arrives once."""

import math

import hypothesis.strategies as st
import pytest
from cancelling import Cancellable, ways
from hypothesis import HealthCheck, given, settings
from ledger import Ledger

from penstock import (
    Event,
    create_memory_object_stream,
    create_task_group,
    wait_all_tasks_blocked,
)
from penstock.lowlevel import checkpoint, set_ready_budget

PRODUCERS = CONSUMERS = 3
ACTORS = PRODUCERS + CONSUMERS


class Actor:
    """A task that does what it is told, on a clone of its own."""

    def __init__(self, program, number):
        self.ledger = program.ledger
        self.number = number
        self.source = program.send if number < PRODUCERS else program.receive
        self.stream = self.source.clone()
        self.operation = Cancellable()
        self.busy = False
        self.finished = False
        self.told = Event()

    def tell(self, way, count):
        if not self.busy:
            self.busy = True
            self.order = way, count
            self.told.set()

    def finish(self):
        self.finished = True
        self.told.set()

    async def act(self):
        while True:
            await self.told.wait()
            if self.finished:
                return
            self.told = Event()
            way, count = self.order
            stream = self.stream

            async def func(way=way, count=count, stream=stream):
                if self.number < PRODUCERS:
                    await self.ledger.send(stream, self.number, way, count)
                else:
                    await self.ledger.receive(stream, count)

            await self.operation.run(way, func)
            self.busy = False


class Program:
    """One stream, its actors, and what each step does to them."""

    def __init__(self, size, budget, steps):
        self.size, self.budget, self.steps = size, budget, steps

    async def run(self):
        set_ready_budget(self.budget)
        self.ledger = Ledger()
        self.send, self.receive = create_memory_object_stream(self.size)
        self.actors = [Actor(self, number) for number in range(ACTORS)]
        with self.send, self.receive:
            async with create_task_group() as tg:
                for actor in self.actors:
                    tg.start_soon(actor.act)
                for name, *args in self.steps:
                    await getattr(self, name)(*args)
                    self.check_statistics()
                await self.wind_up()
        self.ledger.check()

    async def operate(self, number, way, count):
        self.actors[number].tell(way, count)

    async def cancel(self, number):
        self.actors[number].operation.cancel()

    async def turns(self, number):
        for _ in range(number):
            await checkpoint()

    async def nowait(self, number):
        actor = self.actors[number]
        if number >= PRODUCERS:
            self.ledger.receive_nowait(actor.stream)
        elif not actor.busy:  # or the order of its items would not be known
            self.ledger.send_nowait(actor.stream, number)

    async def close(self, number):
        self.actors[number].stream.close()

    async def reopen(self, number):
        actor = self.actors[number]
        actor.stream.close()
        actor.stream = actor.source.clone()

    def check_statistics(self):
        statistics = self.send.statistics()
        clones = [actor.stream for actor in self.actors]
        assert statistics == self.receive.statistics()
        assert 1 <= statistics.open_send_streams <= 1 + PRODUCERS
        assert 1 <= statistics.open_receive_streams <= 1 + CONSUMERS
        assert statistics.tasks_waiting_send <= sum(actor.busy for actor in self.actors[:PRODUCERS])
        assert statistics.tasks_waiting_receive <= sum(
            actor.busy for actor in self.actors[PRODUCERS:]
        )
        assert statistics.peak_buffer_used <= self.size
        assert all(clone.statistics() == statistics for clone in clones)

    async def wind_up(self):
        await wait_all_tasks_blocked()
        self.send.close()
        for actor in self.actors[:PRODUCERS]:
            # What waits to be sent is received; then nobody sends any more.
            while self.ledger.receive_nowait(self.receive):
                await wait_all_tasks_blocked()
            assert not actor.busy
            actor.finish()
            actor.stream.close()
        await wait_all_tasks_blocked()
        for actor in self.actors[PRODUCERS:]:
            assert not actor.busy
            actor.finish()
            actor.stream.close()
        while self.ledger.receive_nowait(self.receive):
            pass
        statistics = self.receive.statistics()
        assert statistics[0] == statistics[2] == statistics[4] == statistics[5] == 0


def steps(backend_name):
    actor = st.integers(0, ACTORS - 1)
    way = st.sampled_from(ways(backend_name))
    operate = st.tuples(st.just("operate"), actor, way, st.none() | st.integers(1, 4))
    return st.lists(
        st.one_of(
            operate,
            operate,
            operate,
            st.tuples(st.just("cancel"), actor),
            st.tuples(st.just("cancel"), actor),
            st.tuples(st.just("turns"), st.integers(1, 3)),
            st.tuples(st.just("nowait"), actor),
            st.tuples(st.just("close"), actor),
            st.tuples(st.just("reopen"), actor),
        ),
        min_size=10,
        max_size=50,
    )


def test_no_item_is_lost_doubled_or_reordered(backend):
    @settings(
        max_examples=300,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(
        size=st.sampled_from([0, 1, 2, math.inf]),
        budget=st.sampled_from([1, 2, 64]),
        steps=steps(backend.name),
    )
    def run(size, budget, steps):
        backend.run(Program(size, budget, steps).run)

    run()


@pytest.mark.parametrize("size", [0, 1, 3])
async def test_the_last_receiver_takes_no_more_than_what_was_there(size):
    ledger = Ledger()
    send, receive = create_memory_object_stream(size)

    async def produce(number):
        for _ in range(3):
            await ledger.send(send, number, "scope")

    with send:
        async with create_task_group() as tg:
            for number in range(3):
                tg.start_soon(produce, number)
            await wait_all_tasks_blocked()
            await ledger.receive(receive)
            await ledger.receive(receive, 2)
            await wait_all_tasks_blocked()
            dropped = receive.statistics().current_buffer_used
            receive.close()
        ledger.check(dropped)
        assert dropped == size
        assert len(ledger.sent) == 3 + size
