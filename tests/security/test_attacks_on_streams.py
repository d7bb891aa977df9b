"""What a peer may try against whatever takes bytes apart: buffered, framed and text streams."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress

import pytest
from socket_peers import accepted, connected, until
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock.streams.buffered import BufferedByteStream
from penstock.streams.framed import Delimited, FramedStream, LengthPrefixed
from penstock.streams.text import TextReceiveStream

MIB = 1 << 20


async def pour(peer, data):
    """Send ``data`` again and again, as often as there is room."""
    peer.setblocking(False)
    while True:
        with suppress(BlockingIOError):
            peer.send(data)
        await penstock.lowlevel.checkpoint()


async def test_line_without_an_end_takes_no_more_than_its_limit_and_a_buffer():
    async with accepted() as (stream, peer):
        lines = BufferedByteStream(stream)
        async with penstock.create_task_group() as group:
            group.start_soon(pour, peer, b"x" * MIB)
            with pytest.raises(penstock.DelimiterNotFound):
                await lines.receive_until(b"\n", 1000)
            group.cancel_scope.cancel()
        assert len(lines.buffer) <= 1000 + 65536


async def test_announced_size_takes_no_memory():
    async with accepted() as (stream, peer):
        buffered = BufferedByteStream(stream)
        peer.sendall((1 << 40).to_bytes(8, "big") + b"not quite")
        peer.close()
        size = int.from_bytes(await buffered.receive_exactly(8), "big")
        tracemalloc.start()
        try:
            with pytest.raises(penstock.IncompleteRead):
                await buffered.receive_exactly(size)
            assert tracemalloc.get_traced_memory()[1] < MIB
        finally:
            tracemalloc.stop()
        assert buffered.buffer == b"not quite"


async def test_frame_of_more_than_a_mebibyte_is_refused_unless_asked_for():
    async with accepted() as (stream, peer):
        frames = FramedStream(stream, LengthPrefixed(4))
        peer.sendall((MIB + 1).to_bytes(4, "big"))
        with penstock.fail_after(10), pytest.raises(penstock.FrameTooLarge) as caught:
            await frames.receive()
        assert (caught.value.max_frame_size, caught.value.size) == (MIB, MIB + 1)


async def test_frame_without_an_end_takes_a_mebibyte_and_a_buffer():
    async with accepted() as (stream, peer):
        frames = FramedStream(stream, Delimited(b"\r\n"))
        async with penstock.create_task_group() as group:
            group.start_soon(pour, peer, b"\r" * MIB)  # a near match everywhere
            with pytest.raises(penstock.FrameTooLarge):
                await frames.receive()
            group.cancel_scope.cancel()
        assert frames.statistics().current_buffer_used <= MIB + 65536


@pytest.mark.parametrize(
    ("encoding", "begin", "more"),
    [("utf-7", b"+", b"AGEAYgBj"), ("unicode_escape", rb"\N{", b"AAAAAAAA")],
)
@pytest.mark.parametrize("errors", ["strict", "ignore"])
async def test_text_without_a_character_is_given_up(encoding, begin, more, errors):
    async with connected() as (stream, peer):
        text = TextReceiveStream(stream, encoding, errors)
        peer.sendall(begin + more * 600)  # 4,800 bytes: still waited for
        with penstock.CancelScope() as scope:
            async with penstock.create_task_group() as group:
                group.start_soon(text.receive)
                await penstock.wait_all_tasks_blocked()
                scope.cancel()
        peer.sendall(more * 600)
        with penstock.fail_after(10):
            with pytest.raises(UnicodeDecodeError, match="more than 8192 bytes, and no character"):
                await text.receive()
        peer.sendall(b" and on")
        received = ""
        while len(received) < len(" and on"):
            received += await text.receive()
        assert received == " and on"


async def test_undecodable_bytes_one_by_one_are_not_copied_one_by_one():
    async with connected() as (stream, peer):
        text = TextReceiveStream(stream)
        peer.sendall(b"a\xff" * 3000)
        await until(lambda: stream.statistics().receive_buffer_used == 6000)
        letters = errors = copied = 0
        while letters < 3000 or errors < 3000:
            try:
                letters += len(await text.receive())
            except UnicodeDecodeError as exc:
                errors += 1
                copied = max(copied, len(exc.object))
        assert copied <= 1024
