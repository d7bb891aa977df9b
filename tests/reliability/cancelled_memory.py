"""What is cancelled everywhere: streams in memory, and what is made of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from await_points import Case, Outcome, operation
from narrow_pipes import NarrowPipe

from penstock import (
    WouldBlock,
    create_memory_object_stream,
    create_task_group,
    wait_all_tasks_blocked,
)
from penstock.streams.broadcast import BroadcastSendStream
from penstock.streams.buffered import BufferedByteReceiveStream, BufferedByteStream
from penstock.streams.framed import Delimited, FramedStream, LengthPrefixed, VarintPrefixed
from penstock.streams.merge import MergedReceiveStream
from penstock.streams.stapled import StapledByteStream, StapledObjectStream
from penstock.streams.text import TextReceiveStream, TextSendStream, TextStream

# -- memory object streams -----------------------------------------------------------------


def taken(receive: Any) -> list[Any]:
    """Take what is there."""
    items = []
    try:
        while True:
            items.append(receive.receive_nowait())
    except WouldBlock:
        return items


def sent_of(stream: Any, total: int, outcome: Outcome) -> int:
    """Return how much of a send went out, which must be all of it if it has ended."""
    partial = stream.partial_send
    if outcome.ended:
        assert partial is None
        return total
    assert partial is not None
    return int(partial)


@operation("memory: send without a buffer", 0, 1)
@operation("memory: send into a full buffer", 2, 1)
@operation("memory: send_many without a buffer", 0, 5)
@operation("memory: send_many into a small buffer", 2, 5)
async def memory_send(size: int, nitems: int) -> AsyncIterator[Case]:
    send, receive = create_memory_object_stream[int](size)
    with send, receive:
        before = list(range(-size, 0))
        for item in before:
            send.send_nowait(item)
        items = list(range(nitems))
        received: list[int] = []

        async def operate() -> None:
            if nitems == 1:
                await send.send(items[0])
            else:
                await send.send_many(items)

        async def take_all() -> None:
            while True:
                await wait_all_tasks_blocked()
                received.append(await receive.receive())

        async def finish(outcome: Outcome) -> None:
            sent = sent_of(send, nitems, outcome)
            received.extend(taken(receive))
            assert received == before + items[:sent]
            async with create_task_group() as tg:
                tg.start_soon(send.send_many, items[sent:])
                while len(received) < size + nitems:
                    received.append(await receive.receive())
            assert received == before + items
            statistics = send.statistics()
            assert statistics.tasks_waiting_send == statistics.tasks_waiting_receive == 0

        yield Case(operate, finish, take_all)


@operation("memory: receive without a buffer", 0, 1)
@operation("memory: receive from an empty buffer", 2, 1)
@operation("memory: receive_many without a buffer", 0, 3)
@operation("memory: receive_many from an empty buffer", 4, 3)
async def memory_receive(size: int, nitems: int) -> AsyncIterator[Case]:
    send, receive = create_memory_object_stream[int](size)
    with send, receive:
        items = list(range(3))

        async def operate() -> list[int]:
            return [await receive.receive()] if nitems == 1 else await receive.receive_many(nitems)

        async def send_all() -> None:
            await wait_all_tasks_blocked()
            await send.send_many(items)

        async def finish(outcome: Outcome) -> None:
            received = outcome.result if outcome.ended else []
            part = send.partial_send
            rest = items if part is None and not received and not len_of(receive) else []
            if part is not None:
                rest = items[part:]
            async with create_task_group() as tg:
                tg.start_soon(send.send_many, rest)
                while len(received) < len(items):
                    received.append(await receive.receive())
            assert received == items
            assert taken(receive) == []

        yield Case(operate, finish, send_all)


def len_of(receive: Any) -> int:
    return int(receive.statistics().current_buffer_used)


# -- bytes from a pipe ---------------------------------------------------------------------


class Source(NarrowPipe):
    """A pipe that is filled without waiting."""

    def __init__(self) -> None:
        super().__init__()
        #: How many bytes were put into it.
        self.total = 0

    def put(self, data: bytes) -> None:
        self.held += data
        self.total += len(data)
        self.wake()


TEXT = b"one line\nand another one\r\nthe end"


@operation("buffered: receive", lambda stream: stream.receive(100))
@operation("buffered: receive_exactly", lambda stream: stream.receive_exactly(20))
@operation("buffered: receive_until", lambda stream: stream.receive_until(b"\r\n", 100))
@operation("buffered: receive_line", lambda stream: stream.receive_line(100))
@operation("buffered: peek", lambda stream: stream.peek(12))
async def buffered(call: Callable[[Any], Any]) -> AsyncIterator[Case]:
    pipe = Source()
    stream = BufferedByteReceiveStream(pipe)

    async def dribble() -> None:
        for start in range(0, len(TEXT), 5):
            await wait_all_tasks_blocked()
            pipe.put(TEXT[start : start + 5])

    async def finish(outcome: Outcome) -> None:
        pipe.put(TEXT[pipe.total :])
        if not outcome.ended:
            outcome.result = await call(stream)
        result = outcome.result
        assert TEXT.startswith(result)
        await pipe.send_eof()
        rest = b"".join([data async for data in stream])
        tail = TEXT[len(result) :].removeprefix(b"\r\n").removeprefix(b"\n")
        assert rest in (TEXT, TEXT[len(result) :], tail)

    yield Case(lambda: call(stream), finish, dribble)
    await stream.aclose()


@operation("buffered: receive_into")
async def buffered_into() -> AsyncIterator[Case]:
    pipe = Source()
    stream = BufferedByteReceiveStream(pipe)
    memory = bytearray(100)

    async def send() -> None:
        await wait_all_tasks_blocked()
        pipe.put(TEXT)

    async def finish(outcome: Outcome) -> None:
        pipe.put(TEXT[pipe.total :])
        received = bytes(memory[: outcome.result]) if outcome.ended else b""
        await pipe.send_eof()
        received += b"".join([data async for data in stream])
        assert received == TEXT

    yield Case(lambda: stream.receive_into(memory), finish, send)
    await stream.aclose()


@operation("pipe: send", lambda stream, data: stream.send(data), lambda pipe: pipe)
@operation(
    "buffered: send", lambda stream, data: stream.send(data), lambda pipe: BufferedByteStream(pipe)
)
@operation(
    "buffered: send_many",
    lambda stream, data: stream.send_many([data[:7], data[7:]]),
    lambda pipe: BufferedByteStream(pipe),
)
@operation(
    "stapled: send", lambda stream, data: stream.send(data), lambda p: StapledByteStream(p, p)
)
async def wrapped_send(
    call: Callable[[Any, bytes], Any], wrap: Callable[[Any], Any]
) -> AsyncIterator[Case]:
    pipe = NarrowPipe(capacity=4)
    stream = wrap(pipe)

    async def widen() -> None:
        while True:
            await wait_all_tasks_blocked()
            pipe.widen(9)
            await pipe.changed.wait()

    async def finish(outcome: Outcome) -> None:
        sent = len(TEXT) if outcome.ended else pipe.partial_send
        pipe.widen(1 << 20)
        if sent is not None:
            assert bytes(pipe.held) == TEXT[:sent]
            await stream.send(TEXT[sent:])
        assert bytes(pipe.held) == TEXT

    yield Case(lambda: call(stream, TEXT), finish, widen, patience=1)
    await stream.aclose()


# -- frames and text -----------------------------------------------------------------------

FRAMES = [b"first", b"", b"third frame", b"4"]


@operation("framed: receive", LengthPrefixed(2), lambda stream: stream.receive())
@operation("framed: receive, varint", VarintPrefixed(), lambda stream: stream.receive())
@operation("framed: receive, delimited", Delimited(b"\r\n"), lambda stream: stream.receive())
@operation("framed: receive_many", LengthPrefixed(2), lambda stream: stream.receive_many(10))
async def framed_receive(framing: Any, call: Callable[[Any], Any]) -> AsyncIterator[Case]:
    source = NarrowPipe()
    await FramedStream(source, framing).send_many(FRAMES)
    data = bytes(source.held)
    pipe = Source()
    stream = FramedStream(pipe, framing)

    async def dribble() -> None:
        for start in range(0, len(data), 3):
            await wait_all_tasks_blocked()
            pipe.put(data[start : start + 3])

    async def finish(outcome: Outcome) -> None:
        pipe.put(data[pipe.total :])
        received = []
        if outcome.ended:
            received += outcome.result if isinstance(outcome.result, list) else [outcome.result]
        while len(received) < len(FRAMES):
            received.append(await stream.receive())
        assert received == FRAMES

    yield Case(lambda: call(stream), finish, dribble)
    await stream.aclose()
    await source.aclose()


@operation("framed: send", LengthPrefixed(2), 1)
@operation("framed: send, delimited", Delimited(b"\r\n"), 1)
@operation("framed: send_many", VarintPrefixed(), len(FRAMES))
async def framed_send(framing: Any, nframes: int) -> AsyncIterator[Case]:
    pipe = NarrowPipe(capacity=2)
    stream = FramedStream(pipe, framing)
    frames = FRAMES[:nframes]

    async def widen() -> None:
        while True:
            await wait_all_tasks_blocked()
            pipe.widen(3)
            await pipe.changed.wait()

    async def finish(outcome: Outcome) -> None:
        sent = sent_of(stream, nframes, outcome)
        pipe.widen(1 << 20)
        await stream.send_many([*frames[sent:], b"last"])
        received = [await stream.receive() for _ in range(nframes + 1)]
        assert received == [*frames, b"last"]
        assert not pipe.held

    yield Case(
        lambda: stream.send(frames[0]) if nframes == 1 else stream.send_many(frames), finish, widen
    )
    await stream.aclose()


CHARACTERS = "é€\U0001f600 and so on"


@operation("text: receive")
async def text_receive() -> AsyncIterator[Case]:
    pipe = Source()
    stream = TextReceiveStream(pipe)
    data = CHARACTERS.encode()

    async def dribble() -> None:
        for start in range(len(data)):
            await wait_all_tasks_blocked()
            pipe.put(data[start : start + 1])

    async def finish(outcome: Outcome) -> None:
        pipe.put(data[pipe.total :])
        await pipe.send_eof()
        received = outcome.result if outcome.ended else ""
        received += "".join([part async for part in stream])
        assert received == CHARACTERS

    yield Case(stream.receive, finish, dribble)
    await stream.aclose()


@operation("text: send", TextSendStream)
@operation("text: send, both ways", TextStream)
async def text_send(make: Callable[[Any], Any]) -> AsyncIterator[Case]:
    pipe = NarrowPipe(capacity=2)
    stream = make(pipe)

    async def widen() -> None:
        while True:
            await wait_all_tasks_blocked()
            pipe.widen(3)
            await pipe.changed.wait()

    async def finish(outcome: Outcome) -> None:
        sent = outcome.ended or bool(stream.partial_send)
        pipe.widen(1 << 20)
        await stream.send("!")
        assert bytes(pipe.held).decode() == (CHARACTERS if sent else "") + "!"

    yield Case(lambda: stream.send(CHARACTERS), finish, widen)
    await stream.aclose()


# -- several streams as one ----------------------------------------------------------------


@operation("merged: receive")
async def merged_receive() -> AsyncIterator[Case]:
    pairs = [create_memory_object_stream[int](0) for _ in range(2)]
    async with MergedReceiveStream([receive for _, receive in pairs]) as merged:
        items = [1, 2]

        async def send_all() -> None:
            await wait_all_tasks_blocked()
            async with create_task_group() as tg:
                for (send, _), item in zip(pairs, items, strict=True):
                    tg.start_soon(send.send, item)

        async def finish(outcome: Outcome) -> None:
            received = [outcome.result] if outcome.ended else []
            async with create_task_group() as tg:
                for (send, _), item in zip(pairs, items, strict=True):
                    if send.partial_send == 0:  # cut short with the task that sent
                        tg.start_soon(send.send, item)
                while len(received) < 2:
                    received.append(await merged.receive())
            assert sorted(received) == items
            assert all(send.statistics().tasks_waiting_receive == 0 for send, _ in pairs)

        yield Case(merged.receive, finish, send_all)
        for send, _ in pairs:
            send.close()


@operation("stapled: object send and receive")
async def stapled_objects() -> AsyncIterator[Case]:
    send, receive = create_memory_object_stream[int](0)
    async with StapledObjectStream(send, receive) as stream:
        got: list[int] = []

        async def take() -> None:
            await wait_all_tasks_blocked()
            got.append(await stream.receive())

        async def finish(outcome: Outcome) -> None:
            assert len(got) == (outcome.ended or send.partial_send == 1)

        yield Case(lambda: stream.send(1), finish, take)


@operation("broadcast: send to a full receiver")
async def broadcast_send() -> AsyncIterator[Case]:
    stream: BroadcastSendStream[int] = BroadcastSendStream()
    fast, slow = stream.subscribe(10), stream.subscribe(1)
    with fast, slow:
        stream.send_nowait(0)
        got: list[int] = []

        async def take() -> None:
            while True:
                await wait_all_tasks_blocked()
                got.append(await slow.receive())

        async def finish(outcome: Outcome) -> None:
            got.extend(taken(slow))
            assert got == taken(fast) == ([0, 1] if outcome.ended else [0])
            await stream.send(2)
            assert taken(slow) == taken(fast) == [2]

        yield Case(lambda: stream.send(1), finish, take)
    await stream.aclose()


@operation("broadcast: receive")
async def broadcast_receive() -> AsyncIterator[Case]:
    stream: BroadcastSendStream[int] = BroadcastSendStream()
    with stream.subscribe(2) as receive:

        async def send() -> None:
            await wait_all_tasks_blocked()
            await stream.send(1)

        async def finish(outcome: Outcome) -> None:
            assert ([outcome.result] if outcome.ended else []) + taken(receive) == [1]

        yield Case(receive.receive, finish, send)
    await stream.aclose()
