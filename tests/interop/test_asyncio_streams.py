"""penstock's byte streams under asyncio's readers and writers, and those as a byte stream."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from contextlib import asynccontextmanager

import pytest
from interop_peers import tcp_pair
from tls_peers import client_context, server_context

import penstock
from penstock.abc import SocketAttribute
from penstock.interop.asyncio import FromAsyncioStreams, as_asyncio_streams
from penstock.streams.buffered import BufferedByteReceiveStream
from penstock.streams.tls import TLSStream
from penstock.testing import check_byte_stream, check_half_close


@pytest.fixture
def backend(asyncio_backend):
    return asyncio_backend


@asynccontextmanager
async def reader_and_writer():
    async with tcp_pair() as (one, other):
        reader, writer = as_asyncio_streams(one)
        yield reader, writer, other
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_reader_reads_as_asyncios_does():
    async with reader_and_writer() as (reader, _writer, peer):
        assert type(reader) is asyncio.StreamReader
        await peer.send(b"line\nexactly5rest")
        assert await reader.readline() == b"line\n"
        assert await reader.readexactly(8) == b"exactly5"
        await peer.send_eof()
        assert await reader.read() == b"rest"
        assert reader.at_eof()


async def test_writer_writes_in_order_and_ends_its_direction():
    async with reader_and_writer() as (_reader, writer, peer):
        writer.write(b"a")
        writer.writelines([b"b", bytearray(b"c")])
        await writer.drain()
        assert writer.can_write_eof()
        writer.write_eof()
        received = b"".join([data async for data in peer])
        assert received == b"abc"
        with pytest.raises(RuntimeError, match="write_eof"):
            writer.write(b"d")


async def test_drain_waits_for_a_peer_that_does_not_receive():
    async with reader_and_writer() as (_reader, writer, peer):
        total = 0
        with pytest.raises(asyncio.TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    writer.write(b"x" * 65536)
                    total += 65536
                    await writer.drain()
        assert 0 < writer.transport.get_write_buffer_size() <= 2 * 65536
        writer.close()
        received = 0
        async for data in peer:
            received += len(data)
        assert received == total  # what was written before closing all arrives


async def test_reader_reads_ahead_no_more_than_asyncios():
    async with reader_and_writer() as (reader, writer, peer):
        with pytest.raises(asyncio.TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    await peer.send(b"x" * 65536)
        assert not writer.transport.is_reading()
        assert len(reader._buffer) <= 3 * 65536
        await reader.readexactly(len(reader._buffer))
        await reader.readexactly(65536)  # it goes on


async def test_reset_is_a_connection_error_of_reader_and_writer():
    async with reader_and_writer() as (reader, writer, peer):
        raw = peer.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await peer.aclose()
        with pytest.raises(ConnectionError):
            await reader.read(1)
        with pytest.raises(ConnectionError):
            await writer.wait_closed()


async def test_closing_closes_the_stream_below():
    async with tcp_pair() as (one, other):
        _reader, writer = as_asyncio_streams(one)
        writer.close()
        assert writer.is_closing()
        await writer.wait_closed()
        with pytest.raises(penstock.EndOfStream):
            await other.receive()
        with pytest.raises(penstock.ClosedResourceError):
            await one.receive()


async def test_aborting_throws_away_what_is_unsent():
    async with tcp_pair() as (one, other):
        _reader, writer = as_asyncio_streams(one)
        writer.write(b"x" * 50_000_000)
        await asyncio.sleep(0)
        writer.transport.abort()
        await writer.wait_closed()
        received = sum([len(data) async for data in other])
        assert received < 50_000_000


async def test_aborting_closes_the_stream_before_anything_was_done_with_it():
    async with tcp_pair() as (one, other):
        _reader, writer = as_asyncio_streams(one)
        writer.transport.abort()
        with pytest.raises(penstock.EndOfStream):
            await other.receive()
        await writer.wait_closed()


async def test_facts_are_those_of_the_stream():
    async with reader_and_writer() as (_reader, writer, peer):
        assert writer.get_extra_info("peername") == peer.extra(SocketAttribute.local_address)
        assert writer.get_extra_info("sockname") == peer.extra(SocketAttribute.remote_address)
        assert writer.get_extra_info("ssl_object") is None
        assert writer.get_extra_info("unheard_of", 5) == 5
        assert writer.transport.get_write_buffer_limits() == (16384, 65536)


async def test_tls_stream_below_is_seen_from_above():
    async with tcp_pair() as (one, other):

        async def serve():
            async with await TLSStream.wrap(other, ssl_context=server_context()) as peer:
                await peer.send((await peer.receive()).upper())

        async with penstock.create_task_group() as tasks:
            tasks.start_soon(serve)
            reader, writer = as_asyncio_streams(
                await TLSStream.wrap(one, hostname="localhost", ssl_context=client_context())
            )
            assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"HELLO"
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def from_asyncio():
    """Yield a stream over asyncio's own reader and writer, and penstock's peer of it."""
    async with await penstock.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
        stream = FromAsyncioStreams(*await asyncio.open_connection("127.0.0.1", port))
        peer = await listener.listeners[0].accept()
    async with peer:
        async with stream:
            yield stream, peer


async def test_stream_of_asyncios_serves_penstocks_wrappers():
    async with from_asyncio() as (stream, peer):
        lines = BufferedByteReceiveStream(stream)
        await peer.send(b"a\nbc\n")
        assert await lines.receive_until(b"\n", 10) == b"a"
        assert await lines.receive_until(b"\n", 10) == b"bc"
        await stream.send(memoryview(b"answer"))
        assert stream.partial_send is None
        await stream.send_eof()
        assert b"".join([data async for data in peer]) == b"answer"
        with pytest.raises(penstock.ClosedResourceError):
            await stream.send(b"more")
        assert stream.extra(SocketAttribute.remote_address) == peer.extra(
            SocketAttribute.local_address
        )
        await peer.aclose()
        with pytest.raises(penstock.EndOfStream):
            await lines.receive()


async def test_closing_wakes_the_task_that_waits():
    async with from_asyncio() as (stream, _peer), penstock.create_task_group() as tasks:

        async def wait():
            with pytest.raises(penstock.ClosedResourceError):
                await stream.receive()

        tasks.start_soon(wait)
        await penstock.wait_all_tasks_blocked()
        with pytest.raises(penstock.BusyResourceError):
            await stream.receive()
        await stream.aclose()
        await stream.aclose()


@pytest.mark.parametrize("max_bytes", [0, -1])
async def test_sizes_are_checked_before_anything_is_received(max_bytes):
    async with from_asyncio() as (stream, _peer):
        with pytest.raises(ValueError, match="max_bytes"):
            await stream.receive(max_bytes)


async def test_cancelled_send_says_that_its_bytes_are_on_their_way():
    async with from_asyncio() as (stream, peer):
        data, sent = b"x" * 1_000_000, 0
        with penstock.move_on_after(0.3):
            while True:
                await stream.send(data)
                sent += len(data)
        assert stream.partial_send == len(data)
        async with penstock.create_task_group() as tasks:
            tasks.start_soon(stream.aclose)
            assert sum([len(data) async for data in peer]) == sent + len(data)


async def asyncios_own_pair():
    """Return two streams over asyncio's own transports, which 1 MiB does not fit into."""
    one, other = [
        FromAsyncioStreams(*await asyncio.open_unix_connection(sock=end))
        for end in socket.socketpair()
    ]
    return one, other


async def pair_there_and_back():
    """Return two streams over penstock's transports over penstock's streams."""
    one, other = [
        FromAsyncioStreams(*as_asyncio_streams(stream)) for stream in penstock.socket_stream_pair()
    ]
    return one, other


@pytest.mark.parametrize("make_pair", [asyncios_own_pair, pair_there_and_back])
async def test_stream_of_asyncios_passes_the_conformance_kit(make_pair):
    await check_byte_stream(make_pair, make_pair)
    await check_half_close(make_pair, make_pair)


@pytest.mark.parametrize("item", [5, [1, 2], "text", None])
async def test_writer_refuses_what_is_not_bytes(item):
    async with reader_and_writer() as (_reader, writer, peer):
        with pytest.raises(TypeError, match="expected bytes-like data, not"):
            writer.write(item)
        writer.write_eof()
        with pytest.raises(penstock.EndOfStream):
            await peer.receive()
