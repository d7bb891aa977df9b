"""Stapled streams: two streams as the two directions of one."""

import pytest
from narrow_pipes import Colour, NarrowPipe

from penstock import (
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    WouldBlock,
    create_memory_object_stream,
    create_task_group,
    wait_all_tasks_blocked,
)
from penstock.abc import ObjectReceiveStream, ObjectSendStream
from penstock.streams.stapled import StapledByteStream, StapledObjectStream


class Red(NarrowPipe):
    @property
    def extra_attributes(self):
        return {Colour.name: lambda: "red"}


class Failing:
    """What is closed with an error."""

    def __init__(self):
        self.closings = 0

    async def aclose(self):
        self.closings += 1
        raise OSError("this side")


class NothingWaits(ObjectSendStream[int], ObjectReceiveStream[int]):
    """A side that has no operation that does not wait."""

    async def send(self, item):
        raise AssertionError

    async def receive(self):
        raise AssertionError

    async def aclose(self):
        pass


async def test_bytes_go_out_on_one_side_and_come_in_on_the_other():
    out, into = NarrowPipe(), NarrowPipe()
    async with StapledByteStream(out, into) as stream:
        await stream.send(b"a")
        await stream.send_many([b"b", b"c"])
        assert out.calls == [1, 2]
        assert bytes(out.held) == b"abc"
        into.held += b"12345"
        assert await stream.receive(1) == b"1"
        buffer = bytearray(2)
        assert await stream.receive_into(buffer) == 2
        assert buffer == b"23"
        await stream.send_eof()
        assert out.closed
        assert await stream.receive() == b"45"
    assert into.closed


async def test_partial_send_is_that_of_the_sending_side():
    out = NarrowPipe(2)
    stream = StapledByteStream(out, NarrowPipe())
    async with create_task_group() as tasks:
        tasks.start_soon(stream.send, b"abc")
        await wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert stream.partial_send == 2


async def test_objects_go_out_on_one_side_and_come_in_on_the_other():
    send_out, out = create_memory_object_stream[str](1)
    into, receive_in = create_memory_object_stream[int](1)
    async with StapledObjectStream[str, int](send_out, receive_in) as stream, out, into:
        await stream.send("a")
        assert stream.partial_send is None
        with pytest.raises(WouldBlock):
            stream.send_nowait("b")
        assert out.receive_nowait() == "a"
        stream.send_nowait("b")
        with pytest.raises(WouldBlock):
            stream.receive_nowait()
        await into.send(1)
        assert await stream.receive() == 1
        await into.send(2)
        assert stream.receive_nowait() == 2
        await stream.send_eof()
        await stream.send_eof()
        assert [item async for item in out] == ["b"]
        await into.aclose()
        with pytest.raises(EndOfStream):
            await stream.receive()


def test_one_type_stands_for_both_directions():
    assert StapledObjectStream[str].__args__ == (str, str)
    assert StapledObjectStream[str, int].__args__ == (str, int)


def test_side_that_always_waits_says_so():
    stream = StapledObjectStream(NothingWaits(), NothingWaits())
    assert stream.partial_send is None
    with pytest.raises(NotImplementedError, match="'send_nowait' method not implemented in <class"):
        stream.send_nowait(1)
    with pytest.raises(NotImplementedError, match="'receive_nowait' method not implemented in"):
        stream.receive_nowait()


@pytest.mark.parametrize("kind", [StapledByteStream, StapledObjectStream])
async def test_both_sides_are_closed_whatever_fails(kind):
    for sending, receiving in ((Failing(), NarrowPipe()), (NarrowPipe(), Failing())):
        with pytest.raises(OSError, match="this side"):
            await kind(sending, receiving).aclose()
        pipe = sending if isinstance(sending, NarrowPipe) else receiving
        assert pipe.closed
    sides = Failing(), Failing()
    with pytest.raises(OSError, match="this side"):
        await kind(*sides).aclose()
    assert [side.closings for side in sides] == [1, 1]


@pytest.mark.parametrize("kind", [StapledByteStream, StapledObjectStream])
async def test_both_sides_are_closed_when_cancelled(kind):
    sides = [*create_memory_object_stream[bytes](1)]
    with CancelScope() as scope:
        scope.cancel()
        await kind(*sides).aclose()
    assert scope.cancelled_caught
    with pytest.raises(ClosedResourceError):
        sides[0].send_nowait(b"")
    with pytest.raises(ClosedResourceError):
        sides[1].receive_nowait()


@pytest.mark.parametrize("kind", [StapledByteStream, StapledObjectStream])
async def test_receiving_side_wins_where_both_have_a_typed_attribute(kind):
    assert kind(NarrowPipe(), Red()).extra(Colour.name) == "red"
    assert kind(Red(), NarrowPipe()).extra(Colour.name) == "blue"


async def test_close_wakes_who_waits():
    stream = StapledByteStream(NarrowPipe(0), NarrowPipe())

    async def fail(operation, *args):
        with pytest.raises(ClosedResourceError):
            await operation(*args)

    async with create_task_group() as tasks:
        tasks.start_soon(fail, stream.receive)
        tasks.start_soon(fail, stream.send, b"a")
        await wait_all_tasks_blocked()
        await stream.aclose()
    await stream.aclose()


@pytest.mark.parametrize("kind", [StapledByteStream, StapledObjectStream])
async def test_eof_cannot_be_sent_after_closing(kind):
    stream = kind(NarrowPipe(), NarrowPipe())
    await stream.send_eof()
    await stream.send_eof()
    await stream.aclose()
    with pytest.raises(ClosedResourceError):
        await stream.send_eof()
