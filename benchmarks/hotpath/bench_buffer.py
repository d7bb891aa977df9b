"""ReceiveBuffer: one round is 100 operations, and the `feed` that brings their bytes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from types import ModuleType
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

OPERATIONS = 100
MAX_BYTES = 65_536


def cut_exactly(benchmark: BenchmarkFixture, twin: ModuleType, budget: Any, size: int) -> None:
    """Take pieces of ``size`` bytes."""
    buffer = twin.ReceiveBuffer(budget)
    data = bytes(range(OPERATIONS)) * size
    take_exactly = buffer.take_exactly

    def cut() -> None:
        budget.refill()
        buffer.feed(data)
        for _ in repeat(None, OPERATIONS):
            take_exactly(size)

    buffer.feed(data)
    assert b"".join(take_exactly(size) for _ in range(OPERATIONS)) == data
    benchmark(cut)


def cut_lines(benchmark: BenchmarkFixture, twin: ModuleType, budget: Any, size: int) -> None:
    """Take lines of ``size`` bytes, the delimiter included."""
    buffer = twin.ReceiveBuffer(budget)
    lines = [b"%0*d" % (size - 1, number) for number in range(OPERATIONS)]
    data = b"\n".join([*lines, b""])
    take_until = buffer.take_until

    def cut() -> None:
        budget.refill()
        buffer.feed(data)
        for _ in repeat(None, OPERATIONS):
            take_until(b"\n", MAX_BYTES)

    buffer.feed(data)
    assert [take_until(b"\n", MAX_BYTES) for _ in range(OPERATIONS)] == lines
    benchmark(cut)


def bench_take_exactly_4(benchmark: BenchmarkFixture, twin: ModuleType, budget: Any) -> None:
    cut_exactly(benchmark, twin, budget, 4)


def bench_take_exactly_100(benchmark: BenchmarkFixture, twin: ModuleType, budget: Any) -> None:
    cut_exactly(benchmark, twin, budget, 100)


def bench_take_exactly_1024(benchmark: BenchmarkFixture, twin: ModuleType, budget: Any) -> None:
    cut_exactly(benchmark, twin, budget, 1024)


def bench_take_until_64(benchmark: BenchmarkFixture, twin: ModuleType, budget: Any) -> None:
    cut_lines(benchmark, twin, budget, 64)


def bench_take_until_1024(benchmark: BenchmarkFixture, twin: ModuleType, budget: Any) -> None:
    cut_lines(benchmark, twin, budget, 1024)


def bench_feed_take_1024(benchmark: BenchmarkFixture, twin: ModuleType, budget: Any) -> None:
    buffer = twin.ReceiveBuffer(budget)
    data = bytes(1024)
    feed, take = buffer.feed, buffer.take

    def feed_and_take() -> None:
        budget.refill()
        for _ in repeat(None, OPERATIONS):
            feed(data)
            take(1024)

    feed(data)
    assert take(1024) == data
    benchmark(feed_and_take)


def bench_reserve_commit_1024(benchmark: BenchmarkFixture, twin: ModuleType, budget: Any) -> None:
    buffer = twin.ReceiveBuffer(budget)
    data = bytes(1024)
    reserve, commit, take = buffer.reserve, buffer.commit, buffer.take

    def receive_and_take() -> None:
        budget.refill()
        for _ in repeat(None, OPERATIONS):
            with reserve(1024) as room:
                room[:1024] = data
            commit(1024)
            take(1024)

    receive_and_take()
    assert len(buffer) == 0
    benchmark(receive_and_take)


def bench_scan_65536(benchmark: BenchmarkFixture, twin: ModuleType, budget: Any) -> None:
    """Look for a line end in 64 KiB that have none, once per round: no search is repeated."""
    data = b"x" * MAX_BYTES

    def filled() -> tuple[tuple[Any], dict[str, Any]]:
        buffer = twin.ReceiveBuffer(budget)
        buffer.feed(data)
        return (buffer,), {}

    def scan(buffer: Any) -> Any:
        return buffer.take_until(b"\r\n", 2 * MAX_BYTES)

    pedantic: Callable[..., Any] = benchmark.pedantic
    assert pedantic(scan, setup=filled, rounds=200) is None
