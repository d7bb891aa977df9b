"""What the socket tests share: connections to a standard library socket, and ways to be nasty."""

from __future__ import annotations

import gc
import os
import resource
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from threading import Thread
from typing import Any

import pytest
import uvloop

import penstock
from penstock.abc import SocketAttribute, SocketStream
from penstock.lowlevel import checkpoint

HOST = "127.0.0.1"
#: Turns of the event loop after which something that should have happened has not.
MANY_TURNS = 20_000

uvloop.new_event_loop().close()  # opens what uvloop opens once per process, and keeps


@pytest.fixture(autouse=True)
def every_descriptor_is_closed() -> Iterator[None]:
    """Fail a test that leaves a descriptor open; every module of socket tests imports this."""
    before = open_descriptors()
    yield
    if open_descriptors() - before:
        gc.collect()
    assert open_descriptors() <= before


@asynccontextmanager
async def connected(*, small_buffers: bool = False) -> AsyncIterator[tuple[SocketStream, Any]]:
    """Connect to a standard library socket; yield the stream and its blocking peer."""
    with socket.create_server((HOST, 0)) as listening:
        if small_buffers:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream = await penstock.connect_tcp(HOST, listening.getsockname()[1])
        peer, _ = listening.accept()
    if small_buffers:
        raw_socket_of(stream).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with peer:
        peer.settimeout(30)
        async with stream:
            yield stream, peer


@asynccontextmanager
async def accepted() -> AsyncIterator[tuple[SocketStream, socket.socket]]:
    """Accept a standard library socket; yield the stream and its blocking peer."""
    async with listening() as (listener, port):
        with socket.create_connection((HOST, port), timeout=30) as peer:
            async with await listener.accept() as stream:
                yield stream, peer


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[Any, int]]:
    """Listen on a free port of the loopback interface; yield the one listener and the port."""
    async with await penstock.create_tcp_listener(local_host=HOST) as multi_listener:
        (listener,) = multi_listener.listeners
        yield listener, port_of(multi_listener)


def port_of(listener: Any) -> int:
    return listener.extra(SocketAttribute.local_port)


def raw_socket_of(stream: Any) -> socket.socket:
    raw: socket.socket = stream.extra(SocketAttribute.raw_socket)
    return raw


def reset(peer: socket.socket) -> None:
    """Close a socket with a reset instead of an orderly end."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def receive_all(peer: socket.socket, nbytes: int) -> bytes:
    """Receive ``nbytes`` bytes, or what there is until the end."""
    received = bytearray()
    while len(received) < nbytes:
        data = peer.recv(min(nbytes - len(received), 1 << 20))
        if not data:
            break
        received += data
    return bytes(received)


class Collector:
    """Receives until the end, in a thread."""

    def __init__(self, peer: socket.socket) -> None:
        self._received = b""
        self._thread = Thread(target=self._run, args=(peer,), daemon=True)
        self._thread.start()

    def _run(self, peer: socket.socket) -> None:
        self._received = receive_all(peer, 1 << 40)

    async def result(self) -> bytes:
        while self._thread.is_alive():
            await checkpoint()
        return self._received


@asynccontextmanager
async def either(kind: str) -> AsyncIterator[tuple[Any, socket.socket]]:
    async with (connected if kind == "connected" else accepted)() as pair:
        yield pair


def drain(peer: socket.socket) -> bytes:
    """Receive what has come so far, without waiting."""
    received = bytearray()
    timeout = peer.gettimeout()
    peer.setblocking(False)
    try:
        while data := peer.recv(1 << 20):
            received += data
    except BlockingIOError:
        pass
    finally:
        peer.settimeout(timeout)
    return bytes(received)


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop turn until ``condition()`` is true."""
    for _ in range(MANY_TURNS):
        if condition():
            return
        await checkpoint()
    raise AssertionError("it has not happened")


async def fill(stream: SocketStream) -> int:
    """Send until there is no room any more; return how many bytes went out."""
    block = bytes(1 << 20)
    total = 0
    while True:
        async with penstock.create_task_group() as tg:
            tg.start_soon(stream.send, block)
            await penstock.wait_all_tasks_blocked()
            tg.cancel_scope.cancel()
        part = stream.partial_send  # type: ignore[attr-defined]
        if part == 0:
            return total
        total += len(block) if part is None else part


def open_descriptors() -> set[int]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(name))
        except OSError:  # the one of listdir() itself
            continue
        found.add(int(name))
    return found


@contextmanager
def no_free_descriptor(but: int = 0) -> Iterator[None]:
    """Make every call that needs a new descriptor fail with EMFILE, after the first ``but``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + but, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
