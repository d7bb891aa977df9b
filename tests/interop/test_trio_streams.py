"""penstock's streams where Trio's are asked for, by Trio's own checks, and Trio's as penstock's."""

from __future__ import annotations

import contextlib
import socket

import pytest
import trio
import trio.testing
from backends import BackendUnderTest
from interop_peers import tcp_pair
from trio.testing import check_half_closeable_stream

import penstock
from penstock.interop.trio import (
    FromTrioStream,
    TrioReceiveChannel,
    TrioSendChannel,
    TrioStream,
)
from penstock.streams.buffered import BufferedByteReceiveStream
from penstock.testing import check_byte_stream, check_half_close


@pytest.fixture
def backend():
    return BackendUnderTest("trio", "trio")


async def connected():
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
    async with listener:
        port = listener.extra(penstock.abc.SocketAttribute.local_port)
        one = await penstock.connect_tcp("127.0.0.1", port, send_buffer_size=4096)
        return one, await listener.listeners[0].accept()


async def make_pair():
    one, other = await connected()
    return TrioStream(one), TrioStream(other)


async def make_clogged_pair():
    """Return a pair of which neither end takes anything until the other is received from."""
    ends = socket.socketpair()
    one, other = [await penstock.abc.UNIXSocketStream.from_socket(end) for end in ends]
    for end in ends:
        with contextlib.suppress(BlockingIOError):
            while True:
                end.send(b"x" * 65536)
    return TrioStream(one), TrioStream(other)


async def test_stream_passes_trios_own_checks():
    await check_half_closeable_stream(make_pair, make_clogged_pair)


async def test_stream_of_trios_serves_penstocks_wrappers():
    one, other = trio.testing.memory_stream_pair()
    async with FromTrioStream(one) as sender, FromTrioStream(other) as receiver:
        lines = BufferedByteReceiveStream(receiver)
        await sender.send(memoryview(b"a\nbc\nrest").cast("c"))
        await sender.send_eof()
        assert await lines.receive_until(b"\n", 10) == b"a"
        assert await lines.receive_until(b"\n", 10) == b"bc"
        assert await lines.receive_exactly(4) == b"rest"
        with pytest.raises(penstock.EndOfStream):
            await lines.receive()


async def memory_pair_of_trios():
    one, other = trio.testing.memory_stream_pair()
    return FromTrioStream(one), FromTrioStream(other)


async def socket_pair_of_trios():
    """Return two streams over sockets, which 1 MiB does not fit into."""
    one, other = trio.socket.socketpair()
    return FromTrioStream(trio.SocketStream(one)), FromTrioStream(trio.SocketStream(other))


@pytest.mark.parametrize(
    ("make_pair", "make_clogged_pair"),
    [(memory_pair_of_trios, None), (socket_pair_of_trios, socket_pair_of_trios)],
)
async def test_stream_of_trios_passes_the_conformance_kit(make_pair, make_clogged_pair):
    await check_byte_stream(make_pair, make_clogged_pair)
    await check_half_close(make_pair, make_clogged_pair)


@pytest.mark.parametrize("max_bytes", [0, -1])
async def test_sizes_are_checked_before_anything_is_received(max_bytes):
    one, _ = trio.testing.memory_stream_pair()
    with pytest.raises(ValueError, match="max_bytes"):
        await FromTrioStream(one).receive(max_bytes)


async def test_what_trios_stream_raises_is_penstocks():
    one, other = trio.testing.memory_stream_pair()
    stream = FromTrioStream(one)
    await other.aclose()
    with pytest.raises(penstock.BrokenResourceError):
        await stream.send(b"x")
    await stream.aclose()
    await stream.aclose()
    with pytest.raises(penstock.ClosedResourceError):
        await stream.receive()
    with pytest.raises(penstock.ClosedResourceError):
        await stream.send(b"x")


async def test_second_task_is_told_that_the_stream_is_busy():
    one, _other = trio.testing.memory_stream_pair()
    stream = FromTrioStream(one)
    async with penstock.create_task_group() as tasks:
        tasks.start_soon(stream.receive)
        await penstock.wait_all_tasks_blocked()
        with pytest.raises(penstock.BusyResourceError, match="reading from"):
            await stream.receive()
        tasks.cancel_scope.cancel()


async def test_there_and_back_carries_the_same_bytes():
    async with tcp_pair() as (one, other):
        back = FromTrioStream(TrioStream(one))
        await back.send(b"hello")
        assert await other.receive() == b"hello"
        await other.aclose()
        with pytest.raises(penstock.EndOfStream):
            await back.receive()


async def test_memory_stream_serves_as_a_channel():
    send, receive = penstock.create_memory_object_stream[int](1)
    sending: trio.abc.SendChannel[int] = TrioSendChannel(send)
    receiving: trio.abc.ReceiveChannel[int] = TrioReceiveChannel(receive)
    assert isinstance(sending, trio.abc.SendChannel)
    received = []
    async with trio.open_nursery() as nursery:

        async def produce():
            async with sending:
                for n in range(5):
                    await sending.send(n)

        nursery.start_soon(produce)
        async with receiving:
            async for n in receiving:
                received.append(n)
    assert received == [0, 1, 2, 3, 4]
    with pytest.raises(trio.ClosedResourceError):
        await sending.send(1)


def test_channels_without_waiting():
    send, receive = penstock.create_memory_object_stream[int](1)
    with TrioSendChannel(send) as sending, TrioReceiveChannel(receive) as receiving:
        with sending.clone() as clone:
            clone.send_nowait(1)
        with pytest.raises(trio.WouldBlock):
            sending.send_nowait(2)
        assert sending.statistics().current_buffer_used == 1
        with receiving.clone() as other:
            assert other.receive_nowait() == 1
        with pytest.raises(trio.WouldBlock):
            receiving.receive_nowait()
        sending.close()
        with pytest.raises(trio.EndOfChannel):
            receiving.receive_nowait()
