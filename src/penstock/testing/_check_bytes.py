"""The checks of one direction of a byte stream that are about bytes alone."""

from __future__ import annotations

from array import array
from random import Random
from typing import Any

from penstock._exceptions import BusyResourceError, ClosedResourceError
from penstock.abc import ByteReceiveStream, ByteSendStream
from penstock.testing._check_lines import ITEM, LARGE, ByteLine, same_items
from penstock.testing._checking import Checks, attempts, raises, require

__all__ = ("BYTES", "CLOGGED", "carry_bulk")

BULK = 1024 * 1024
MOST_AT_ONCE = 16 * 1024

BYTES = Checks()
CLOGGED = Checks()


# -- one way -----------------------------------------------------------------------------------


@BYTES.add
async def ends_are_byte_streams(line: ByteLine) -> None:
    """The sending end is a ByteSendStream, the receiving end a ByteReceiveStream."""
    require(isinstance(line.s, ByteSendStream), f"{line.s!r} is no ByteSendStream")
    require(isinstance(line.r, ByteReceiveStream), f"{line.r!r} is no ByteReceiveStream")


@BYTES.add
async def receive_gives_bytes(line: ByteLine) -> None:
    """receive() and iteration give objects of type bytes that are not empty."""
    async with attempts() as calls:
        await calls.begin(line.send_all, 2)
        for data in (await line.r.receive(ITEM), await line.r.__anext__()):
            require(type(data) is bytes, f"{data!r} is of type {type(data).__name__}")
            require(data, "an empty result is neither data nor the end")


@BYTES.add
async def empty_send_sends_nothing(line: ByteLine) -> None:
    """send(b"") and send_many([]) return, and the receiver hears nothing of them."""

    async def send() -> None:
        await line.s.send(b"")
        await line.s.send_many([])
        await line.s.send_many([b"", b""])
        await line.s.send(b"x")
        await line.s.send(bytearray())
        await line.s.aclose()

    async with attempts() as calls:
        sending = await calls.begin(send)
        chunks = [data async for data in line.r]
        require(chunks == [b"x"], f"{chunks!r} arrived instead of [b'x']")
        await sending.returned()


@BYTES.add
async def send_takes_any_bytes(line: ByteLine) -> None:
    """send() and send_many() take bytes-like objects, and count their bytes whatever their format.

    What the caller does with them afterwards makes no difference.
    """
    numbers = array("I", [1, 2, 3])
    square = memoryview(bytes(range(12))).cast("B", (3, 4))
    buffers: list[Any] = [bytearray(b"bytearray"), memoryview(b"-view-")[1:5], numbers]
    buffers += [memoryview(numbers), square]
    wanted = b"".join(bytes(memoryview(buffer)) for buffer in buffers)

    async def send() -> None:
        for buffer in buffers:
            await line.s.send(buffer)
        await line.s.send_many(iter(buffers))
        buffers[0][:] = b"overwrite"
        await line.s.aclose()

    async with attempts() as calls:
        sending = await calls.begin(send)
        same_items([await line.take_bytes()], [2 * wanted])
        await sending.returned()


@BYTES.add
async def views_with_gaps_are_sent_or_refused(line: ByteLine) -> None:
    """A memoryview that is not contiguous is sent for what it shows, or refused as a TypeError."""
    view = memoryview(b"a.b.c.")[::2]
    refused = 0

    async def send() -> None:
        nonlocal refused
        for send in (line.s.send, lambda item: line.s.send_many([b"", item])):
            try:
                await send(view)
            except TypeError:
                refused += 1
        await line.s.send(b"end")
        await line.s.aclose()

    async with attempts() as calls:
        sending = await calls.begin(send)
        data = await line.take_bytes()
        await sending.returned()
        same_items([data], [(2 - refused) * b"abc" + b"end"])


@BYTES.add
async def send_refuses_what_is_not_bytes(line: ByteLine) -> None:
    """send() and send_many() raise TypeError for what is not bytes-like, and send nothing of it."""
    for item in ("text", 5, None, [1, 2]):
        with raises(f"send({item!r})", TypeError):
            await line.s.send(item)
        with raises(f"send_many([b'lost', {item!r}])", TypeError):
            await line.s.send_many([b"lost", item])
    with raises("send_many(None)", TypeError):
        await line.s.send_many(None)
    async with attempts() as calls:
        sending = await calls.begin(line.send_and_close, 1)
        same_items(await line.take_all(), line.items(1))
        await sending.returned()


@BYTES.add
async def send_many_sends_all_in_order(line: ByteLine) -> None:
    """send_many() returns None and sends all buffers of any iterable, in order."""

    async def send() -> None:
        result = await line.s.send_many(bytes([number]) * number for number in range(200))
        require(result is None, f"send_many() returned {result!r}")
        await line.s.aclose()

    async with attempts() as calls:
        sending = await calls.begin(send)
        wanted = b"".join(bytes([number]) * number for number in range(200))
        same_items([await line.take_bytes()], [wanted])
        await sending.returned()


@BYTES.add
async def max_bytes_is_a_bound(line: ByteLine) -> None:
    """receive(max_bytes) gives at most so many bytes, and the others later."""
    wanted = bytes(range(250))
    received = b""
    async with attempts() as calls:
        sending = await calls.begin(line.s.send, wanted)
        for max_bytes in (1, 2, 7, 100, 65536, 65536):
            if len(received) < len(wanted):
                data = await line.r.receive(max_bytes)
                require(0 < len(data) <= max_bytes, f"receive({max_bytes}) gave {len(data)} bytes")
                received += data
        while len(received) < len(wanted):
            received += await line.r.receive()
        same_items([received], [wanted])
        await sending.returned()


@BYTES.add
async def max_bytes_must_be_a_positive_integer(line: ByteLine) -> None:
    """receive() raises ValueError for max_bytes below 1, TypeError for what is no integer."""
    async with attempts() as calls:
        sending = await calls.begin(line.s.send, line.item(0))
        wrong = {0: ValueError, -1: ValueError, 1.5: TypeError, "1": TypeError, None: TypeError}
        for max_bytes, error in wrong.items():
            with raises(f"receive({max_bytes!r})", error):
                await line.r.receive(max_bytes)
        same_items([await line.take()], line.items(1))
        await sending.returned()


@BYTES.add
async def receive_into_fills_the_beginning(line: ByteLine) -> None:
    """receive_into() writes at the beginning of memory of any format, and returns how many bytes.

    It does not change what is behind them.
    """
    for buffer in (bytearray(b"?" * 16), array("I", b"?" * 16), memoryview(bytearray(b"?" * 16))):
        async with attempts() as calls:
            sending = await calls.begin(line.s.send, b"four")
            received = await line.r.receive_into(buffer)
            require(type(received) is int, f"receive_into() returned {received!r}")
            require(1 <= received <= 4, f"receive_into() returned {received} after 4 bytes")
            got = bytes(memoryview(buffer))
            wanted = b"four"[:received] + b"?" * (16 - received)
            require(got == wanted, f"the memory holds {got!r}, not {wanted!r}")
            while received < 4:
                received += len(await line.r.receive(4 - received))
            await sending.returned()


@BYTES.add
async def receive_into_is_bounded_by_the_memory(line: ByteLine) -> None:
    """receive_into() fills no more than its memory; the other bytes come later."""
    async with attempts() as calls:
        sending = await calls.begin(line.s.send, b"abcdef")
        memory = bytearray(b"......")
        with memoryview(memory)[2:4] as middle:
            received = await line.r.receive_into(middle)
        require(1 <= received <= 2, f"receive_into() returned {received} for 2 bytes of memory")
        rest = b""
        while len(rest) < 6 - received:
            rest += await line.r.receive()
        same_items([bytes(memory[2 : 2 + received]) + rest], [b"abcdef"])
        require(memory[:2] + memory[4:] == b"....", f"the memory around it holds {memory!r}")
        await sending.returned()


@BYTES.add
async def receive_into_refuses_other_memory(line: ByteLine) -> None:
    """receive_into() raises TypeError for what is not contiguous writable memory.

    It raises ValueError for memory of no bytes, and takes nothing.
    """
    gaps = memoryview(bytearray(8))[::2]
    async with attempts() as calls:
        sending = await calls.begin(line.s.send, line.item(0))
        for wrong in (b"read-only", gaps, "text", None):
            with raises(f"receive_into({wrong!r})", TypeError):
                await line.r.receive_into(wrong)
        with raises("receive_into(bytearray())", ValueError):
            await line.r.receive_into(bytearray())
        same_items([await line.take()], line.items(1))
        await sending.returned()


@BYTES.add
async def large_send_arrives_whole(line: ByteLine) -> None:
    """One large send arrives with all its bytes."""
    data = Random(1).randbytes(BULK + 1)
    async with attempts() as calls:
        sending = await calls.begin(line.s.send, data)
        received = bytearray()
        while len(received) < len(data):
            received += await line.r.receive()
        same_items([bytes(received)], [data])
        await sending.returned()


@BYTES.add
async def bulk_arrives_whole(line: ByteLine) -> None:
    """Many sends and receives of random sizes carry all bytes in order."""
    await carry_bulk(line)


async def carry_bulk(*ways: ByteLine) -> None:
    async def send(way: ByteLine, data: bytes, sizes: Random) -> None:
        start = 0
        while start < len(data):
            end = start + sizes.randint(1, MOST_AT_ONCE)
            await way.s.send(data[start:end])
            start = end

    async def receive(way: ByteLine, nbytes: int, sizes: Random) -> bytes:
        received = bytearray()
        while len(received) < nbytes:
            data = await way.r.receive(sizes.randint(1, MOST_AT_ONCE))
            require(data, "an empty result is neither data nor the end")
            received += data
        return bytes(received)

    async with attempts() as calls:
        running = []
        for number, way in enumerate(ways):
            data = Random(number).randbytes(BULK)
            sending = calls.start(send, way, data, Random(number + 10))
            receiving = calls.start(receive, way, len(data), Random(number + 20))
            running.append((data, sending, receiving))
        for data, sending, receiving in running:
            same_items([await receiving.returned()], [data])
            await sending.returned()


@BYTES.add
async def second_receive_is_busy(line: ByteLine) -> None:
    """While a task receives, every other way to receive is a BusyResourceError.

    The first receive goes on as if nothing had been.
    """
    async with attempts() as calls:
        first = await calls.begin(line.r.receive, ITEM)
        for name, receive in {**line.receives(), "__anext__": line.r.__anext__}.items():
            second = await calls.begin(receive)
            require(not second.running, f"a second {name}() waits")
            await second.raised(BusyResourceError)
        require(first.running, "the first receive() was disturbed")
        sending = await calls.begin(line.s.send, line.item(1))
        same_items([await line.whole(await first.returned())], [line.item(1)])
        await sending.returned()


@BYTES.add
async def close_wakes_receive_into(line: ByteLine) -> None:
    """A task that waits in receive_into() gets ClosedResourceError when its stream is closed."""
    async with attempts() as calls:
        receiving = await calls.begin(line.r.receive_into, bytearray(ITEM))
        await calls.begin(line.r.aclose)
        await receiving.raised(ClosedResourceError)


# -- one way, clogged --------------------------------------------------------------------------


@CLOGGED.add
async def second_send_is_busy(line: ByteLine) -> None:
    """While a task sends, every other way to send is a BusyResourceError."""
    async with attempts() as calls:
        first = await calls.begin(line.s.send, line.large)
        for name, send in line.sends().items():
            if "nothing" not in name:
                second = await calls.begin(send)
                require(not second.running, f"a second {name}() waits")
                await second.raised(BusyResourceError)
        require(first.running, "the first send() was disturbed")


@CLOGGED.add_for_each({"send": False, "send_many": True})
async def cancelled_send_tells_how_much_went_out(line: ByteLine, many: bool) -> None:
    """After a cancelled send the stream is usable, and partial_send tells how much went out.

    If it is None, the stream does not know; else the rest, sent next, continues the sequence.
    """
    data = Random(2).randbytes(LARGE)
    view = memoryview(data)
    async with attempts() as calls:
        if many:
            sending = await calls.begin(line.s.send_many, [view[:100], view[100:]])
        else:
            sending = await calls.begin(line.s.send, data)
        sending.cancel()
        await sending.ended()
        require(sending.was_cancelled, "the send was not cancelled")
        told = line.s.partial_send
        sent = len(data) if told is None else told
        require(0 <= sent <= len(data), f"partial_send is {sent} of {len(data)} bytes")

        async def send_rest() -> None:
            await line.s.send(view[sent:])
            require(line.s.partial_send is None, "partial_send is not None after a whole send")
            await line.s.aclose()

        resending = await calls.begin(send_rest)
        received = await line.take_bytes()
        await resending.returned()
        if told is not None:
            # What has clogged the stream came before it, whatever that was.
            whole = received.endswith(data) and data[:ITEM] not in received[: -len(data)]
            require(whole, f"partial_send was {told}, but what came before and the rest do not fit")
