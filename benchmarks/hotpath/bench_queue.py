"""ItemQueue: one round is 100 items, put in and taken out."""

from __future__ import annotations

from itertools import repeat
from types import ModuleType
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

ITEMS = 100


def open_queue(twin: ModuleType, budget: Any, size: int) -> Any:
    """Return a queue with one sending end."""
    queue = twin.ItemQueue(size)
    queue.bind(budget)
    queue.open_sender()
    return queue


def bench_put_get_1(benchmark: BenchmarkFixture, twin: ModuleType, budget: Any) -> None:
    """Never more than one item in the queue."""
    queue = open_queue(twin, budget, 1)
    queue.open_receiver()
    put, get = queue.put, queue.get

    def pass_items() -> None:
        budget.refill()
        for _ in repeat(None, ITEMS):
            put(1)
            get()

    assert put(1)
    assert get() == 1
    benchmark(pass_items)


def bench_put_get_100(benchmark: BenchmarkFixture, twin: ModuleType, budget: Any) -> None:
    """Fill, then empty."""
    queue = open_queue(twin, budget, ITEMS)
    queue.open_receiver()
    put, get = queue.put, queue.get

    def fill_and_empty() -> None:
        budget.refill()
        for _ in repeat(None, ITEMS):
            put(1)
        for _ in repeat(None, ITEMS):
            get()

    assert all(put(item) for item in range(ITEMS))
    assert [get() for _ in range(ITEMS)] == list(range(ITEMS))
    benchmark(fill_and_empty)


def bench_put_get_nowait_100(benchmark: BenchmarkFixture, twin: ModuleType, budget: Any) -> None:
    """Fill, then empty, without a look at the ready budget."""
    queue = open_queue(twin, budget, ITEMS)
    queue.open_receiver()
    put, get = queue.put_nowait, queue.get_nowait

    def fill_and_empty() -> None:
        for _ in repeat(None, ITEMS):
            put(1)
        for _ in repeat(None, ITEMS):
            get()

    assert all(put(item) for item in range(ITEMS))
    assert [get() for _ in range(ITEMS)] == list(range(ITEMS))
    benchmark(fill_and_empty)


def bench_put_get_many_100(benchmark: BenchmarkFixture, twin: ModuleType, budget: Any) -> None:
    """All items in one call each way."""
    queue = open_queue(twin, budget, ITEMS)
    queue.open_receiver()
    put_many, get_many = queue.put_many, queue.get_many
    items = list(range(ITEMS))

    def fill_and_empty() -> None:
        budget.refill()
        put_many(items, 0)
        get_many(ITEMS)

    assert put_many(items, 0) == ITEMS
    assert get_many(ITEMS) == items
    benchmark(fill_and_empty)


def bench_park_put_collect_0(benchmark: BenchmarkFixture, twin: ModuleType, budget: Any) -> None:
    """A receiver waits each time: it is promised the item and collects it."""
    queue = open_queue(twin, budget, 0)
    end = queue.open_receiver()
    park, put, collect = queue.park_receiver, queue.put, queue.collect

    def wake(wait: object) -> bool:
        return True

    def rendezvous() -> None:
        for _ in repeat(None, ITEMS):
            waiter = park(None, wake, end)
            budget.refill()  # whoever parks lets the event loop turn
            put(1)
            collect(waiter)

    waiter = park(None, wake, end)
    budget.refill()
    assert put(1)
    assert collect(waiter) == 1
    benchmark(rendezvous)
