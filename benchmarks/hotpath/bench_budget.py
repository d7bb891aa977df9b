"""ReadyBudget: what every ready operation pays.  Inside a compiled kernel it is a C call."""

from __future__ import annotations

from itertools import repeat
from types import ModuleType
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture


def bench_spend_64(benchmark: BenchmarkFixture, twin: ModuleType, budget: Any) -> None:
    """Use a budget up and refill it, as between two turns of an event loop."""
    budget.resize(64)
    spend, refill = budget.spend, budget.refill

    def one_turn() -> None:
        for _ in repeat(None, 64):
            spend()
        refill()

    assert all(spend() for _ in range(64))
    assert not spend()
    refill()
    benchmark(one_turn)


def bench_spend_bytes_64(benchmark: BenchmarkFixture, twin: ModuleType, budget: Any) -> None:
    """Count 64 reads of 1 KiB and refill."""
    spend_bytes, refill = budget.spend_bytes, budget.refill

    def one_turn() -> None:
        for _ in repeat(None, 64):
            spend_bytes(1024)
        refill()

    one_turn()
    assert not budget.exhausted
    benchmark(one_turn)
