"""What memory streams and the streams over others do again and again: see ``repeating.py``."""

from __future__ import annotations

from collections.abc import AsyncIterator

from repeating import Item, Repeat, cancelled, operation, raising, swallow

import penstock
from penstock import create_memory_object_stream, create_task_group, wait_all_tasks_blocked
from penstock.streams.broadcast import BroadcastSendStream
from penstock.streams.buffered import BufferedByteReceiveStream
from penstock.streams.framed import Delimited, FramedStream, LengthPrefixed
from penstock.streams.merge import MergedReceiveStream
from penstock.streams.stapled import StapledByteStream
from penstock.streams.text import TextStream
from penstock.testing import memory_stream_pair

# -- memory object streams -----------------------------------------------------------------


@operation("memory: send, receive")
async def memory() -> AsyncIterator[Repeat]:
    send, receive = create_memory_object_stream[Item](4)

    async def repeat() -> None:
        await send.send(Item())
        send.send_nowait(Item())
        await receive.receive()
        receive.receive_nowait()

    with send, receive:
        yield repeat


@operation("memory: send_many, receive_many")
async def memory_many() -> AsyncIterator[Repeat]:
    send, receive = create_memory_object_stream[Item](8)

    async def repeat() -> None:
        await send.send_many([Item() for _ in range(8)])
        assert len(await receive.receive_many(8)) == 8

    with send, receive:
        yield repeat


@operation("memory: hand over to one that waits")
async def memory_hand_over() -> AsyncIterator[Repeat]:
    send, receive = create_memory_object_stream[Item](0)

    async def repeat() -> None:
        async with create_task_group() as tg:
            tg.start_soon(receive.receive)
            await send.send(Item())

    with send, receive:
        yield repeat


@operation("memory: cancelled receive")
async def memory_cancelled_receive() -> AsyncIterator[Repeat]:
    send, receive = create_memory_object_stream[Item](0)
    with send, receive:
        yield lambda: cancelled(receive.receive)


@operation("memory: cancelled send")
async def memory_cancelled_send() -> AsyncIterator[Repeat]:
    send, receive = create_memory_object_stream[Item](0)
    with send, receive:
        yield lambda: cancelled(send.send, Item())


@operation("memory: closed while a receiver waits")
async def memory_closed() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        send, receive = create_memory_object_stream[Item](0)
        async with create_task_group() as tg:
            tg.start_soon(swallow, penstock.ClosedResourceError, receive.receive)
            await wait_all_tasks_blocked()
            receive.close()
        send.close()

    yield repeat


@operation("memory: the other end is closed")
async def memory_ends() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        send, receive = create_memory_object_stream[Item](1)
        with receive.clone() as other:
            with raising(penstock.WouldBlock):
                other.receive_nowait()
            send.close()
            await swallow(penstock.EndOfStream, receive.receive)
            receive.close()
        send, receive = create_memory_object_stream[Item](1)
        receive.close()
        await swallow(penstock.BrokenResourceError, send.send, Item())
        send.close()

    yield repeat


@operation("memory: dropped, unclosed, with an item that refers to it")
async def memory_cycle() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        item = Item()
        item.held = create_memory_object_stream[Item](4)
        item.held[0].send_nowait(item)

    yield repeat


@operation("broadcast: send to two, one of which is slow")
async def broadcast() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        async with BroadcastSendStream[Item]() as send:
            with send.subscribe(2) as quick, send.subscribe(1, when_full="drop_oldest") as slow:
                for _ in range(2):
                    await send.send(Item())
                    await quick.receive()
                await slow.receive()

    yield repeat


@operation("merged: receive")
async def merged() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        first, second = (create_memory_object_stream[Item](1) for _ in range(2))
        async with MergedReceiveStream([first[1], second[1]]) as stream:
            with first[0], second[0]:
                first[0].send_nowait(Item())
                second[0].send_nowait(Item())
                await stream.receive()
                await stream.receive()
                await cancelled(stream.receive)

    yield repeat


# -- streams over streams ------------------------------------------------------------------


@operation("buffered: receive until, exactly, a line, into; peek")
async def buffered() -> AsyncIterator[Repeat]:
    send, receive = create_memory_object_stream[bytes](2)
    stream = BufferedByteReceiveStream(receive)
    memory = bytearray(4)

    async def repeat() -> None:
        await send.send(b"abc\r\ndefg")
        await send.send(b"hi\nrestlast")
        assert await stream.peek(2) == b"ab"
        assert await stream.receive_until(b"\r\n", 100) == b"abc"
        assert await stream.receive_exactly(5) == b"defgh"
        assert await stream.receive_line() == b"i"
        assert await stream.receive_into(memory) == 4
        assert await stream.receive() == b"last"

    with send:
        async with stream:
            yield repeat


@operation("buffered: delimiter not found, incomplete read, negative size")
async def buffered_errors() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        send, receive = create_memory_object_stream[bytes](1)
        async with BufferedByteReceiveStream(receive) as stream:
            await send.send(bytes(50))
            send.close()
            await swallow(penstock.DelimiterNotFound, stream.receive_until, b"\n", 10)
            await swallow(ValueError, stream.receive_exactly, -1)
            await swallow(penstock.IncompleteRead, stream.receive_exactly, 100)

    yield repeat


@operation("buffered: cancelled receive, large and small")
async def buffered_sizes() -> AsyncIterator[Repeat]:
    send, receive = create_memory_object_stream[bytes](1)
    stream = BufferedByteReceiveStream(receive)
    large = bytes(100_000)

    async def repeat() -> None:
        await cancelled(stream.receive_exactly, 10)
        stream.feed_data(b"a")
        await send.send(large)
        assert len(await stream.receive_exactly(100_001)) == 100_001

    with send:
        async with stream:
            yield repeat


@operation("framed: send, receive, a frame too large")
async def framed() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        left, right = memory_stream_pair()
        framing = LengthPrefixed(2)
        async with FramedStream(left, framing) as near, FramedStream(right, framing, 99) as far:
            await near.send(b"frame")
            await near.send_many([b"", b"abc"])
            assert await far.receive() == b"frame"
            assert await far.receive_many(1) == [b""]
            assert await far.receive_many(2) == [b"abc"]
            await left.send(b"\xff\xff")
            await swallow(penstock.FrameTooLarge, far.receive)

    yield repeat


@operation("framed: delimited, incomplete")
async def framed_delimited() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        left, right = memory_stream_pair()
        async with left, FramedStream(right, Delimited(b"\n")) as far:
            await left.send(b"one\ntw")
            await left.send_eof()
            assert await far.receive() == b"one"
            await swallow(penstock.IncompleteRead, far.receive)

    yield repeat


@operation("text: send, receive, undecodable")
async def text() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        left, right = memory_stream_pair()
        async with TextStream(left) as near, TextStream(right) as far:
            await near.send("grün")
            assert await far.receive() == "grün"
            await left.send(b"\xff")
            await swallow(UnicodeDecodeError, far.receive)

    yield repeat


@operation("stapled: send, receive")
async def stapled() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        left, right = memory_stream_pair()
        async with StapledByteStream(left, right) as stream:
            await stream.send(b"abc")
            assert await stream.receive() == b"abc"

    yield repeat
