"""Bytes through a TCP stream: what may be asked for, what comes, what goes out."""

from __future__ import annotations

import ctypes
import hashlib
import random
import socket
from array import array
from threading import Thread
from typing import Any

import pytest
from socket_peers import Collector, connected, either, receive_all, reset
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import BrokenResourceError, ClosedResourceError, EndOfStream

MIB = 1 << 20


def noise(nbytes: int) -> bytes:
    return random.Random(nbytes).randbytes(nbytes)


# -- receiving -----------------------------------------------------------------------------


async def test_receive_returns_what_is_there() -> None:
    async with connected() as (stream, peer):
        peer.sendall(b"hello")
        assert await stream.receive() == b"hello"


async def test_receive_waits_for_the_first_byte() -> None:
    got = []

    async def receive() -> None:
        got.append(await stream.receive())

    async with connected() as (stream, peer):
        async with penstock.create_task_group() as tg:
            tg.start_soon(receive)
            await penstock.wait_all_tasks_blocked()
            assert got == []
            peer.sendall(b"x")
        assert got == [b"x"]


@pytest.mark.parametrize("max_bytes", [1, 3, True, 65537, 10**30])
async def test_receive_gives_at_most_max_bytes(max_bytes: int) -> None:
    async with connected() as (stream, peer):
        peer.sendall(b"hello")
        assert await stream.receive(max_bytes) == b"hello"[:max_bytes]


@pytest.mark.parametrize(
    ("max_bytes", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (False, ValueError),
        (-(10**30), ValueError),
        (1.5, TypeError),
        ("x", TypeError),
        (None, TypeError),
    ],
)
async def test_bad_max_bytes_is_refused_and_takes_nothing(
    max_bytes: Any, error: type[Exception]
) -> None:
    async with connected() as (stream, peer):
        peer.sendall(b"hello")
        with pytest.raises(error, match=f"max_bytes .*{max_bytes}"):
            await stream.receive(max_bytes)
        assert await stream.receive() == b"hello"


WRITABLE: dict[str, Any] = {
    "bytearray": bytearray(16),
    "memoryview": memoryview(bytearray(16)),
    "integers": array("i", [0] * 4),
    "floats": memoryview(array("d", [0.0] * 2)),
    "two dimensions": memoryview(bytearray(16)).cast("B", (4, 4)),
    "ctypes": (ctypes.c_int * 4)(),
}


@pytest.mark.parametrize("memory", WRITABLE.values(), ids=WRITABLE)
async def test_receive_into_counts_bytes_whatever_the_format(memory: Any) -> None:
    async with connected() as (stream, peer):
        peer.sendall(b"0123456789abcdefXYZ")
        assert await stream.receive_into(memory) == 16
        assert bytes(memory) == b"0123456789abcdef"
        assert await stream.receive() == b"XYZ"


@pytest.mark.parametrize(
    ("memory", "error"),
    [
        (b"readonly", TypeError),
        (memoryview(bytearray(8))[::2], TypeError),
        ("text", TypeError),
        (8, TypeError),
        (bytearray(), ValueError),
    ],
)
async def test_bad_memory_is_refused_and_takes_nothing(memory: Any, error: type[Exception]) -> None:
    async with connected() as (stream, peer):
        peer.sendall(b"hello")
        with pytest.raises(error):
            await stream.receive_into(memory)
        assert await stream.receive() == b"hello"


async def test_end_of_stream_is_repeatable() -> None:
    async with connected() as (stream, peer):
        peer.sendall(b"last")
        peer.close()
        assert await stream.receive() == b"last"
        for _ in range(3):
            with pytest.raises(EndOfStream):
                await stream.receive()
            with pytest.raises(EndOfStream):
                await stream.receive_into(bytearray(1))


async def test_iteration_ends_with_the_stream() -> None:
    async with connected() as (stream, peer):
        peer.sendall(b"abc")
        peer.shutdown(socket.SHUT_WR)
        assert b"".join([data async for data in stream]) == b"abc"


async def test_iteration_raises_when_the_stream_breaks() -> None:
    async with connected() as (stream, peer):
        reset(peer)
        with pytest.raises(BrokenResourceError):
            async for _ in stream:
                pass


# -- sending -------------------------------------------------------------------------------


class Point(ctypes.Structure):
    _fields_ = (("x", ctypes.c_short), ("y", ctypes.c_long))


BYTES_LIKE: dict[str, Any] = {
    "empty": b"",
    "bytes": b"hello",
    "bytearray": bytearray(b"hello"),
    "memoryview": memoryview(b"hello"),
    "integers": array("i", range(100)),
    "floats": memoryview(array("d", [1.5, 2.5])),
    "two dimensions": memoryview(bytes(range(12))).cast("B", (3, 4)),
    "integers in two dimensions": memoryview(array("i", range(12))).cast("B").cast("i", (3, 4)),
    "ctypes": (ctypes.c_int * 3)(1, 2, 3),
    "ctypes in two dimensions": (ctypes.c_int * 2 * 3)(),
    "structures": (Point * 2)(Point(1, 2), Point(3, 4)),
    "nothing in two dimensions": ((ctypes.c_int * 0) * 3)(),
}


@pytest.mark.parametrize("item", BYTES_LIKE.values(), ids=BYTES_LIKE)
@pytest.mark.parametrize("many", [False, True], ids=["send", "send_many"])
async def test_send_takes_bytes_like_objects_and_counts_bytes(item: Any, many: bool) -> None:
    async with connected() as (stream, peer):
        await (stream.send_many([item, b"|", item]) if many else stream.send(item))
        await stream.send(b".")
        data = bytes(memoryview(item).tobytes())
        expected = data + b"|" + data + b"." if many else data + b"."
        assert receive_all(peer, len(expected)) == expected


@pytest.mark.parametrize("item", ["text", None, 5, [b"x"], memoryview(b"abcdef")[::2]], ids=repr)
async def test_send_refuses_what_is_not_bytes_like(item: Any) -> None:
    async with connected() as (stream, peer):
        with pytest.raises(TypeError):
            await stream.send(item)
        with pytest.raises(TypeError):
            await stream.send_many([b"not sent", item])
        await stream.send(b"next")
        assert receive_all(peer, 4) == b"next"


@pytest.mark.parametrize("buffers", ["text", b"bytes", None, 5], ids=repr)
async def test_send_many_refuses_what_is_no_series_of_buffers(buffers: Any) -> None:
    async with connected() as (stream, peer):
        with pytest.raises(TypeError):
            await stream.send_many(buffers)
        await stream.send(b"next")
        assert receive_all(peer, 4) == b"next"


async def test_send_many_keeps_the_order_of_many_uneven_buffers() -> None:
    data = noise(200_000)
    cuts = sorted(random.Random(1).choices(range(len(data)), k=5000))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    async with connected() as (stream, peer):
        receiver = Collector(peer)
        await stream.send_many(iter(pieces))
        await stream.send_eof()
        assert await receiver.result() == data


async def test_send_many_of_nothing_sends_nothing() -> None:
    async with connected() as (stream, peer):
        await stream.send_many([])
        await stream.send_many([b"", b""])
        await stream.send(b"x")
        assert peer.recv(10) == b"x"


@pytest.mark.parametrize("kind", ["connected", "accepted"])
async def test_big_transfer_both_ways_at_once(kind: str) -> None:
    out, back = noise(8 * MIB), noise(8 * MIB + 1)

    async def send() -> None:
        await stream.send(out)
        await stream.send_eof()

    def answer() -> None:
        peer.sendall(back)
        peer.shutdown(socket.SHUT_WR)

    async with either(kind) as (stream, peer):
        receiver = Collector(peer)
        sender = Thread(target=answer)
        sender.start()
        digest = hashlib.sha256()
        async with penstock.create_task_group() as tg:
            tg.start_soon(send)
            async for data in stream:
                digest.update(data)
        sender.join()
        assert digest.digest() == hashlib.sha256(back).digest()
        assert hashlib.sha256(await receiver.result()).digest() == hashlib.sha256(out).digest()


async def test_big_transfer_into_memory_of_the_caller() -> None:
    data = noise(4 * MIB)
    received = bytearray()
    memory = bytearray(100_003)
    async with connected() as (stream, peer):
        sender = Thread(target=lambda: (peer.sendall(data), peer.close()))
        sender.start()
        with pytest.raises(EndOfStream):
            while True:
                nbytes = await stream.receive_into(memory)
                received += memory[:nbytes]
        sender.join()
    assert received == data


# -- the end of one direction --------------------------------------------------------------


async def test_send_eof_ends_one_direction_only() -> None:
    async with connected() as (stream, peer):
        await stream.send(b"question")
        await stream.send_eof()
        assert receive_all(peer, 100) == b"question"
        peer.sendall(b"answer")
        assert await stream.receive() == b"answer"


async def test_send_eof_twice_is_silent_and_a_send_after_it_is_an_error() -> None:
    async with connected() as (stream, peer):
        await stream.send_eof()
        await stream.send_eof()
        for _ in range(2):
            with pytest.raises(ClosedResourceError):
                await stream.send(b"x")
            with pytest.raises(ClosedResourceError):
                await stream.send_many([b"x"])
            with pytest.raises(ClosedResourceError):
                await stream.send_many([])
        peer.sendall(b"still")
        assert await stream.receive() == b"still"
