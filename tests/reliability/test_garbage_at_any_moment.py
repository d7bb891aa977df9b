"""The garbage collector at every moment, with destructors that use the streams at work.

It runs whenever something is allocated, within the event loop and the kernels too.  A destructor
that receives, sends or closes then is as good as any task: it works or is refused, nothing is lost,
and what it interrupts goes on.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import trio
import unix_peers
from datagram_peers import datagram_pair
from raised import public_type
from socket_peers import HOST, listening, until
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed
from tls_peers import shake_hands, tcp

import penstock
from penstock import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
    WouldBlock,
    create_task_group,
    fail_after,
)
from penstock.lowlevel import checkpoint, set_ready_budget
from penstock.streams.buffered import BufferedByteStream

#: How often destructors act in one test, at most.
ACTIONS = 200
#: What a destructor may be told: also that the task is cancelled in whose midst it runs.  The last
#: three: it ran outside any task, or on Trio between the
#: end of a task and the next, where Trio itself still names the one that has ended.
REFUSALS = (
    asyncio.CancelledError,
    trio.Cancelled,
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
    WouldBlock,
    RuntimeError,
    penstock.NoEventLoopError,
    AttributeError,
)


class Litter:
    """Garbage in a cycle, which acts when it is collected."""

    def __init__(self, pit: Pit) -> None:
        self.pit = pit
        self.me = self

    def __del__(self) -> None:
        self.pit.act()


class Pit:
    def __init__(self, action: Callable[[], Any]) -> None:
        self.action = action
        self.actions = 0
        self.outcomes: Counter[Any] = Counter()

    def act(self) -> None:
        if self.actions < ACTIONS:
            self.actions += 1
            try:
                self.action()
                self.outcomes[None] += 1
            except REFUSALS as exc:
                self.outcomes[public_type(exc)] += 1

    def fill(self, phase: str, _info: object) -> None:
        if phase == "stop":
            Litter(self)


@contextmanager
def littered(action: Callable[[], Any]) -> Iterator[Pit]:
    """Collect garbage as often as can be, and call ``action`` each time."""
    pit = Pit(action)
    before = gc.get_threshold()
    gc.freeze()  # what is there already need not be looked at each time
    gc.set_threshold(1, 1_000, 1_000)
    gc.callbacks.append(pit.fill)
    try:
        yield pit
    finally:
        gc.callbacks.remove(pit.fill)
        pit.actions = ACTIONS
        gc.set_threshold(*before)
        gc.unfreeze()


def step(operation: Any) -> Any:
    """Take an operation as far as it gets at once, and drop it if that is not to its end."""
    try:
        operation.send(None)
    except StopIteration as done:
        return done.value
    operation.close()
    return None


@pytest.fixture(params=[1, 256], ids=["budget 1", "budget 256"])
def budget(request: pytest.FixtureRequest) -> int:
    return request.param


# -- nothing is lost -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 2])
async def test_destructors_that_send_and_receive_lose_no_item(size: int, budget: int) -> None:
    set_ready_budget(budget)
    send, receive = penstock.create_memory_object_stream[int](size)
    sent: list[int] = []
    received: list[int] = []
    taken: list[int] = []

    def interfere() -> None:
        if len(sent) % 2:
            taken.append(receive.receive_nowait())
        else:
            send.send_nowait(-len(sent) - 1)
            sent.append(-len(sent) - 1)

    async def produce() -> None:
        with send:
            for number in range(100, 130, 2):
                await send.send(number)
                await send.send_many([number + 1])
                sent.extend((number, number + 1))

    async def consume() -> None:
        try:
            while True:
                received.append(await receive.receive())
                received.extend(await receive.receive_many(2))
        except EndOfStream:
            pass

    with littered(interfere) as pit, receive, fail_after(60):
        async with create_task_group() as tg:
            tg.start_soon(produce)
            tg.start_soon(consume)
    assert pit.outcomes
    assert sorted(received + taken) == sorted(sent)
    of_the_producer = [number for number in received if number > 0]
    assert of_the_producer == sorted(of_the_producer)


@asynccontextmanager
async def tcp_pair():
    near, far = await tcp()
    async with near, far:
        yield near, far


@asynccontextmanager
async def tls_pair():
    near, far = await tcp()
    async with near, far:
        yield await shake_hands(near, far)


@asynccontextmanager
async def buffered_pair():
    near, far = await tcp()
    async with near, far:
        yield BufferedByteStream(near), far


PAIRS = {
    "tcp": tcp_pair,
    "unix": unix_peers.two_streams,
    "buffered": buffered_pair,
    "tls": tls_pair,
}
MESSAGES = [bytes([number]) * 10 for number in range(12)]


@pytest.mark.parametrize("name", PAIRS)
async def test_destructors_that_receive_and_send_lose_no_byte(name: str, budget: int) -> None:
    set_ready_budget(budget)
    received: list[bytes] = []
    taken: list[bytes] = []
    async with PAIRS[name]() as (near, far):

        def interfere() -> None:
            step(far.send(b"")) if len(taken) % 3 else None
            if data := step(near.receive(1)):
                taken.append(data)

        async def produce() -> None:
            for message in MESSAGES:
                await far.send(message[:3])
                await far.send_many([message[3:], b""])
            await far.send_eof()

        async def consume() -> None:
            try:
                while True:
                    received.append(await near.receive(7))
            except EndOfStream:
                pass

        # TLS waits in task groups of its own: those must not be dropped in the middle.
        with littered(interfere if name != "tls" else lambda: None) as pit, fail_after(60):
            async with create_task_group() as tg:
                tg.start_soon(produce)
                tg.start_soon(consume)
    assert pit.outcomes
    assert sorted(b"".join(received + taken)) == sorted(b"".join(MESSAGES))
    assert b"".join(received) == bytes(sorted(b"".join(received)))


@pytest.mark.parametrize("kind", ["udp", "connected udp", "unix", "connected unix"])
async def test_destructors_that_receive_lose_no_datagram(
    kind: str, budget: int, tmp_path: Any
) -> None:
    set_ready_budget(budget)
    async with datagram_pair(kind, tmp_path) as pair:
        received: list[Any] = []
        taken: list[Any] = []

        def interfere() -> None:
            if (item := step(pair.sock.receive())) is not None:
                taken.append(item)

        async def consume() -> None:
            while True:
                received.append(await pair.sock.receive())

        with littered(interfere) as pit, fail_after(60):
            async with create_task_group() as tg:
                tg.start_soon(consume)
                for message in MESSAGES:
                    pair.arrive(message)
                    await checkpoint()
                await until(lambda: len(received) + len(taken) == len(MESSAGES))
                tg.cancel_scope.cancel()
    assert pit.outcomes
    data = [item if pair.connected else item[0] for item in received + taken]
    assert sorted(data) == MESSAGES


async def test_destructors_that_accept_lose_no_connection(budget: int) -> None:
    set_ready_budget(budget)
    streams: list[Any] = []
    peers: list[socket.socket] = []
    async with listening() as (listener, port):

        def interfere() -> None:
            if (stream := step(listener.accept())) is not None:
                streams.append(stream)

        async def accept() -> None:
            while True:
                streams.append(await listener.accept())

        with littered(interfere) as pit, fail_after(60):
            async with create_task_group() as tg:
                tg.start_soon(accept)
                for _ in range(12):
                    peers.append(socket.create_connection((HOST, port)))
                    await checkpoint()
                await until(lambda: len(streams) == len(peers))
                tg.cancel_scope.cancel()
        assert pit.outcomes
        names = {stream.extra(penstock.abc.SocketAttribute.remote_port) for stream in streams}
        assert names == {peer.getsockname()[1] for peer in peers}
        for closeable in peers:
            closeable.close()
        for stream in streams:
            await stream.aclose()


# -- closed, and forgotten, at any moment --------------------------------------------------

CALLS = {
    "receive": lambda stream: stream.receive(5),
    "receive_into": lambda stream: stream.receive_into(bytearray(5)),
    "send": lambda stream: stream.send(bytearray(5)),
    "send_many": lambda stream: stream.send_many([b"x", bytearray(5)]),
}


@pytest.mark.parametrize("name", ["tcp", "unix", "buffered"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_destructors_close_the_stream_in_the_midst_of_an_operation(
    name: str, call: Any, budget: int
) -> None:
    set_ready_budget(budget)
    moments = 0
    for moment in range(4):
        async with PAIRS[name]() as (near, far):
            await far.send(b"12345")

            def close(moment: int = moment, near: Any = near) -> None:
                nonlocal moments
                if pit.actions == moment:
                    step(near.aclose())
                    moments += 1

            try:
                with littered(close) as pit, fail_after(10):
                    await call(near)
            except ClosedResourceError:
                pass
    assert moments


async def forgotten_pair(name: str) -> Any:
    """Return one end of a pair, for nobody else to close, and close the other."""
    near, far = await tcp()
    if name == "tls":
        near, _ = await shake_hands(near, far)
    elif name == "buffered":
        near = BufferedByteStream(near)
    await far.send(b"unread") if name != "tls" else None
    await far.aclose()
    return near


@pytest.mark.filterwarnings("always::ResourceWarning")
@pytest.mark.parametrize("name", ["tcp", "buffered", "tls"])
async def test_stream_forgotten_in_a_cycle_with_something_unread_warns_and_closes(
    name: str, budget: int
) -> None:
    set_ready_budget(budget)
    cycle: list[Any] = [await forgotten_pair(name)]
    cycle.append(cycle)
    with pytest.warns(ResourceWarning, match="Unclosed") as warned:
        del cycle
        gc.collect()
    assert len(warned) == 1


@pytest.mark.filterwarnings("always::ResourceWarning")
async def test_stream_whose_waiting_task_was_cancelled_and_forgotten_warns_once(
    budget: int,
) -> None:
    set_ready_budget(budget)
    streams = [await forgotten_pair("tcp")]
    await streams[0].receive()
    with pytest.warns(ResourceWarning, match="Unclosed") as warned:
        async with create_task_group() as tg:
            tg.start_soon(sleep_beside, streams.pop())
            await penstock.wait_all_tasks_blocked()
            tg.cancel_scope.cancel()
        gc.collect()
    assert len(warned) == 1


async def sleep_beside(stream: Any) -> None:
    await penstock.sleep_forever()
    await stream.aclose()
