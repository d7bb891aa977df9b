"""Objects whose ``__buffer__`` (PEP 688) or ``__index__`` uses the stream that they are given to.

What such code does is an operation like any other: it works, or gets a clear error; and so does
the operation that it comes into.  Nothing hangs, is lost, doubled, or mixed with something else.
Python 3.11 knows no such buffers: there, ``conftest`` leaves this module out.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import pytest
import socket_peers
import unix_peers
from datagram_peers import datagram_pair
from raised import public_type
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed
from tls_peers import shake_hands, tcp

import penstock
from penstock import BusyResourceError, ClosedResourceError, create_task_group, fail_after
from penstock.lowlevel import set_ready_budget
from penstock.streams.buffered import BufferedByteStream

#: More often than this, nobody need look at an argument for one operation.
MOST_LOOKS = 8
SUSPENDED = "suspended"


def step(operation: Any) -> Any:
    """Take an operation as far as it gets at once; what it is then, is dropped."""
    try:
        operation.send(None)
    except StopIteration as done:
        return done.value
    except Exception as exc:
        return public_type(exc)
    operation.close()
    return SUSPENDED


class Hooked:
    """A buffer that calls ``on_look`` when somebody looks at its memory, ``on_release`` later."""

    def __init__(self, memory: Any, on_look: Any, on_release: Any = lambda: None) -> None:
        self.memory, self.on_look, self.on_release = memory, on_look, on_release
        self.looks = 0

    def __buffer__(self, flags: int) -> memoryview:
        self.looks += 1
        self.on_look()
        return memoryview(self.memory)

    def __release_buffer__(self, view: memoryview) -> None:
        self.on_release()


class HookedNumber:
    def __init__(self, number: int, on_look: Any) -> None:
        self.number, self.on_look, self.looks = number, on_look, 0

    def __index__(self) -> int:
        self.looks += 1
        self.on_look()
        return self.number


@pytest.fixture(params=[1, 256], ids=["budget 1", "budget 256"])
def budget(request: pytest.FixtureRequest) -> int:
    return request.param


# -- receiving -----------------------------------------------------------------------------


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


@asynccontextmanager
async def tcp_pair():
    near, far = await tcp()
    async with near, far:
        yield near, far


PAIRS = {
    "tcp": tcp_pair,
    "unix": unix_peers.two_streams,
    "buffered": buffered_pair,
    "tls": tls_pair,
}
every_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)


async def received_between(stream: Any, far: Any, receive: Any, taken: list[bytes]) -> Any:
    """Await ``receive()`` while one octet after the other is sent, until it returns."""
    over = penstock.Event()
    sent = bytearray()

    async def operate() -> None:
        taken.append(await receive())
        over.set()

    async def feed() -> None:
        while not over.is_set():
            await penstock.wait_all_tasks_blocked()
            if not over.is_set():
                sent.append(0x61 + len(sent))
                await far.send(sent[-1:])

    with fail_after(10):
        async with create_task_group() as tg:
            tg.start_soon(operate)
            tg.start_soon(feed)
    await far.send(b"!")
    with fail_after(10):
        while b"!" not in (last := await stream.receive()):
            taken.append(last)
    taken.append(last)
    return bytes(sent) + b"!"


@every_pair
async def test_receive_into_ends_whatever_the_memory_receives(pair: Any, budget: int) -> None:
    set_ready_budget(budget)
    async with pair() as (stream, far):
        taken: list[bytes] = []

        def take() -> None:
            if isinstance(data := step(stream.receive(1)), bytes):
                taken.append(data)

        hooked = Hooked(bytearray(10), take, take)

        async def receive() -> bytes:
            return hooked.memory[: await stream.receive_into(hooked)]

        sent = await received_between(stream, far, receive, taken)
        assert sorted(b"".join(taken)) == sorted(sent)
        assert hooked.looks <= MOST_LOOKS


@pytest.mark.parametrize("name", ["receive", "receive_exactly", "peek", "receive_line"])
async def test_buffered_operation_ends_whatever_its_number_receives(name: str, budget: int) -> None:
    set_ready_budget(budget)
    async with buffered_pair() as (stream, far):
        number = HookedNumber(2, lambda: step(stream.receive(1)))
        await far.send(b"12345\n7890")
        await stream.peek(1)
        with fail_after(10):
            try:
                assert await getattr(stream, name)(number)
            except penstock.DelimiterNotFound:
                assert name == "receive_line"
        assert number.looks <= MOST_LOOKS


@pytest.mark.parametrize("several", [False, True])
async def test_receive_until_ends_whatever_the_delimiter_receives(
    several: bool, budget: int
) -> None:
    set_ready_budget(budget)
    async with buffered_pair() as (stream, far):
        taken = []
        delimiter = Hooked(b"\n", lambda: taken.append(step(stream.receive(1))))
        await far.send(b"1234567890\n")
        await stream.peek(1)
        with fail_after(10):
            data = await stream.receive_until([delimiter] if several else delimiter, 20)
        before = b"".join(piece for piece in taken if isinstance(piece, bytes))
        assert before + data == b"1234567890"
        assert delimiter.looks <= MOST_LOOKS


# -- sending -------------------------------------------------------------------------------

LARGE = bytes(300_000)


async def flooded(send: Any, make: Any, wrap: Any) -> tuple[list[Any], bytes]:
    """Send something large by ``send(stream, buffer)``, whose looks make room and send a ``!``.

    Returns what became of these sends, and all that has come.
    """
    outcomes: list[Any] = []
    came = bytearray()
    async with make() as (raw_stream, peer):
        stream = wrap(raw_stream)

        def interfere() -> None:
            came.extend(socket_peers.drain(peer))
            outcomes.append(step(stream.send(b"!")))

        async def drain() -> None:
            while not over.is_set() or came[-1:] != b".":
                came.extend(socket_peers.drain(peer))
                await penstock.lowlevel.checkpoint()

        over = penstock.Event()
        hooked = Hooked(LARGE, interfere, interfere)
        with fail_after(30):
            async with create_task_group() as tg:
                tg.start_soon(drain)
                await send(stream, hooked)
                await stream.send(b".")
                over.set()
    assert hooked.looks <= MOST_LOOKS
    return outcomes, bytes(came)


@pytest.mark.parametrize("name", ["send", "send_many"])
@pytest.mark.parametrize(
    ("make", "wrap"),
    [
        (lambda: socket_peers.connected(small_buffers=True), lambda stream: stream),
        (lambda: socket_peers.connected(small_buffers=True), BufferedByteStream),
        (unix_peers.connected, lambda stream: stream),
    ],
    ids=["tcp", "buffered", "unix"],
)
async def test_what_a_buffer_sends_gets_nowhere_into_the_middle_of_it(
    make: Any, wrap: Any, name: str, budget: int
) -> None:
    set_ready_budget(budget)

    async def send(stream: Any, hooked: Any) -> None:
        await (stream.send(hooked) if name == "send" else stream.send_many([hooked]))

    outcomes, came = await flooded(send, make, wrap)
    assert LARGE in came
    assert came.count(b"!") == outcomes.count(None)
    assert len(came) == len(LARGE) + came.count(b"!") + 1
    assert {outcome for outcome in outcomes if outcome} <= {SUSPENDED, BusyResourceError}


@pytest.mark.parametrize("kind", ["udp", "connected udp", "unix", "connected unix"])
async def test_datagram_goes_whatever_its_buffer_sends(
    kind: str, budget: int, tmp_path: Any
) -> None:
    set_ready_budget(budget)
    async with datagram_pair(kind, tmp_path) as pair:
        hooked = Hooked(b"outer", lambda: inner.append(step(pair.send(b"inner"))))
        inner: list[Any] = []
        with fail_after(10):
            await pair.send(hooked)
        came = [pair.peer.recv(100) for _ in range(1 + inner.count(None))]
        assert came == [b"inner"] * inner.count(None) + [b"outer"]
        assert hooked.looks <= MOST_LOOKS


# -- closing -------------------------------------------------------------------------------

CLOSED_INTO = {
    "receive_into": lambda stream, buffer: stream.receive_into(buffer),
    "send": lambda stream, buffer: stream.send(buffer),
    "send_many": lambda stream, buffer: stream.send_many([b"x", buffer]),
}


# Not TLS: its closing opens scopes, which must not be dropped inside others.
@pytest.mark.parametrize("pair", [tcp_pair, unix_peers.two_streams, buffered_pair])
@pytest.mark.parametrize("call", CLOSED_INTO.values(), ids=CLOSED_INTO)
async def test_buffer_that_closes_the_stream_gets_its_caller_a_closed_one(
    pair: Any, call: Any, budget: int
) -> None:
    set_ready_budget(budget)
    async with pair() as (stream, _far):
        hooked = Hooked(bytearray(10), lambda: step(stream.aclose()))
        with fail_after(10), pytest.raises(ClosedResourceError):
            await call(stream, hooked)


@pytest.mark.parametrize("kind", ["udp", "connected udp", "unix", "connected unix"])
async def test_buffer_that_closes_the_datagram_socket_gets_its_sender_a_closed_one(
    kind: str, budget: int, tmp_path: Any
) -> None:
    set_ready_budget(budget)
    async with datagram_pair(kind, tmp_path) as pair:
        hooked = Hooked(b"x", lambda: step(pair.sock.aclose()))
        with fail_after(10), pytest.raises(ClosedResourceError):
            await pair.send(hooked)


async def test_items_that_use_the_stream_while_they_are_listed_come_before_the_batch(
    budget: int,
) -> None:
    set_ready_budget(budget)
    send, receive = penstock.create_memory_object_stream[int](10)

    def items() -> Any:
        for number in range(3):
            send.send_nowait(10 + number)
            yield number

    with send, receive:
        await send.send_many(items())
        assert await receive.receive_many(10) == [10, 11, 12, 0, 1, 2]
