"""Poller and its registrations, on a pair of UNIX sockets: mostly the price of system calls."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import repeat
from types import ModuleType
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

OPERATIONS = 100


@pytest.fixture
def poller(twin: ModuleType, budget: Any) -> Iterator[Any]:
    """Return a poller under which nobody waits."""
    poller = twin.Poller(budget, object, lambda wait: True)
    yield poller
    poller.close()


@pytest.fixture
def ends(poller: Any) -> Iterator[tuple[Any, Any]]:
    """Return both ends of a connection."""
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        registrations = poller.register(left), poller.register(right)
        yield registrations
        for registration in registrations:
            registration.close()


def ping(benchmark: BenchmarkFixture, budget: Any, ends: tuple[Any, Any], size: int) -> None:
    """Send ``size`` bytes and receive them at the other end, 100 times."""
    data = bytes(size)
    send, recv = ends[0].send, ends[1].recv

    def send_and_receive() -> None:
        for _ in repeat(None, OPERATIONS):
            budget.refill()
            send(data, 0)
            recv(65_536)

    assert send(data, 0) == 0
    assert recv(65_536) == data
    benchmark(send_and_receive)


def bench_send_recv_64(benchmark: BenchmarkFixture, budget: Any, ends: tuple[Any, Any]) -> None:
    ping(benchmark, budget, ends, 64)


def bench_send_recv_1024(benchmark: BenchmarkFixture, budget: Any, ends: tuple[Any, Any]) -> None:
    ping(benchmark, budget, ends, 1024)


def bench_send_recv_16384(benchmark: BenchmarkFixture, budget: Any, ends: tuple[Any, Any]) -> None:
    ping(benchmark, budget, ends, 16_384)


def bench_recv_into_1024(benchmark: BenchmarkFixture, budget: Any, ends: tuple[Any, Any]) -> None:
    """Send 1 KiB and receive it into the caller's memory, 100 times."""
    data, room = bytes(range(256)) * 4, bytearray(1024)
    send, recv_into = ends[0].send, ends[1].recv_into

    def send_and_receive() -> None:
        for _ in repeat(None, OPERATIONS):
            budget.refill()
            send(data, 0)
            recv_into(room)

    send_and_receive()
    assert room == data
    benchmark(send_and_receive)


def bench_recv_nothing_0(benchmark: BenchmarkFixture, ends: tuple[Any, Any]) -> None:
    """Ask 100 times where it is known that nothing has arrived: no system call."""
    recv = ends[0].recv

    def ask() -> None:
        for _ in repeat(None, OPERATIONS):
            recv(65_536)

    assert recv(65_536) is None
    benchmark(ask)


def bench_poll_1(
    benchmark: BenchmarkFixture, budget: Any, poller: Any, ends: tuple[Any, Any]
) -> None:
    """Learn by an event that one byte has come, and receive it, 100 times."""
    send, recv, poll = ends[0].send, ends[1].recv, poller.poll

    def send_poll_receive() -> None:
        for _ in repeat(None, OPERATIONS):
            budget.refill()
            send(b"x", 0)
            poll()
            recv(65_536)

    send(b"x", 0)
    assert poll() > 0
    assert recv(65_536) == b"x"
    benchmark(send_poll_receive)
