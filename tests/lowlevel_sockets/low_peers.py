"""What the tests of low-level sockets share: connected pairs, and a look at what is left behind."""

from __future__ import annotations

import gc
import os
import socket as stdlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvloop

from penstock import create_task_group, socket, wait_all_tasks_blocked
from penstock._backends import current_backend
from penstock._readiness import poller_of

HOST = "127.0.0.1"

uvloop.new_event_loop().close()  # opens what uvloop opens once per process, and keeps


@pytest.fixture(autouse=True)
def every_descriptor_is_closed() -> Iterator[None]:
    """Fail a test that leaves a descriptor open; every module of these tests imports this."""
    before = open_descriptors()
    yield
    if open_descriptors() - before:
        gc.collect()
    assert open_descriptors() <= before


def open_descriptors() -> set[int]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(name))
        except OSError:  # the one of listdir() itself
            continue
        found.add(int(name))
    return found


def registered() -> int:
    """How many sockets the poller of the running loop knows."""
    return len(poller_of(current_backend()))


@contextmanager
def pair(family=None, type=socket.SOCK_STREAM):
    """A socket of ours and a blocking one of the standard library that it is connected to."""
    left, right = stdlib.socketpair(*(() if family is None else (family,)), type=type)
    right.settimeout(30)
    with socket.from_stdlib_socket(left) as ours, right:
        yield ours, right


@contextmanager
def tcp_pair():
    with stdlib.create_server((HOST, 0)) as server:
        peer = stdlib.create_connection(server.getsockname(), timeout=30)
        accepted, _ = server.accept()
    with socket.from_stdlib_socket(accepted) as ours, peer:
        yield ours, peer


@contextmanager
def udp_pair():
    """Two sockets of ours that know each other's address."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as left,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as right,
    ):
        left.bind((HOST, 0))
        right.bind((HOST, 0))
        yield left, right


async def outcome(call, *args):
    """Return what an asynchronous call returns, or the exception that it raises."""
    try:
        return await call(*args)
    except Exception as exc:
        return exc.with_traceback(None)


async def blocked(call, *args, then):
    """Start a call, wait until it blocks, do ``then()``; return the outcome of the call."""
    outcomes = []

    async def waiting():
        outcomes.append(await outcome(call, *args))

    async with create_task_group() as tg:
        tg.start_soon(waiting)
        await wait_all_tasks_blocked()
        assert outcomes == []
        then()
    return outcomes.pop()


async def fill(sock):
    """Send until there is no room; return how many bytes went out."""
    total = 0
    while True:
        sent = await outcome(sock.send, bytes(65536), socket.MSG_DONTWAIT)
        if isinstance(sent, BlockingIOError):
            return total
        total += sent
