"""What a TCP stream does where it cannot go on: cut short, broken, held up by a slow peer."""

from __future__ import annotations

import random
import socket
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from socket_peers import Collector, connected, drain, either, fill, receive_all, reset
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import BrokenResourceError, ClosedResourceError, EndOfStream
from penstock.lowlevel import checkpoint

MIB = 1 << 20


def noise(nbytes: int) -> bytes:
    return random.Random(nbytes).randbytes(nbytes)


# -- a send that was cut short -------------------------------------------------------------


@pytest.mark.parametrize("many", [False, True], ids=["send", "send_many"])
async def test_resending_from_partial_send_continues_the_sequence(many: bool) -> None:
    data = noise(8 * MIB)
    pieces = [memoryview(data)[i : i + 999_983] for i in range(0, len(data), 999_983)]

    async def send() -> None:
        await (stream.send_many(pieces) if many else stream.send(data))

    async with connected() as (stream, peer):
        async with penstock.create_task_group() as tg:
            tg.start_soon(send)
            await penstock.wait_all_tasks_blocked()
            tg.cancel_scope.cancel()
        sent = stream.partial_send
        assert 0 < sent < len(data)
        receiver = Collector(peer)
        await stream.send(data[sent:])
        assert stream.partial_send is None
        await stream.send_eof()
        assert await receiver.result() == data


async def test_cancelled_before_the_first_byte_says_zero() -> None:
    async with connected() as (stream, peer):
        await stream.send(b"whole")
        assert stream.partial_send is None
        with penstock.CancelScope() as scope:
            scope.cancel()
            await stream.send(b"none of it")
        assert stream.partial_send == 0
        with penstock.CancelScope() as scope:
            scope.cancel()
            await stream.send_many([b"none", b"of it"])
        assert stream.partial_send == 0
        assert receive_all(peer, 5) == b"whole"
        assert drain(peer) == b""


@pytest.mark.parametrize("many", [False, True], ids=["send", "send_many"])
async def test_a_bytearray_being_sent_cannot_be_resized(many: bool) -> None:
    data = bytearray(16 * MIB)
    outcome = []

    async def send() -> None:
        try:
            await (stream.send_many([data]) if many else stream.send(data))
        except penstock.get_cancelled_exc_class():
            data.clear()  # it is free at once
            outcome.append("cancelled")
            raise

    async with connected() as (stream, _):
        async with penstock.create_task_group() as tg:
            tg.start_soon(send)
            await penstock.wait_all_tasks_blocked()
            with pytest.raises(BufferError):
                data.append(0)
            tg.cancel_scope.cancel()
    assert outcome == ["cancelled"]


@pytest.mark.parametrize("many", [False, True], ids=["send", "send_many"])
async def test_a_bytearray_that_was_sent_is_free(many: bool) -> None:
    data = bytearray(b"x" * 100)
    async with connected() as (stream, _):
        await (stream.send_many([data]) if many else stream.send(data))
        data.clear()


# -- P6: what the peer does ----------------------------------------------------------------


async def test_receive_after_a_reset_is_broken_for_ever() -> None:
    async with connected() as (stream, peer):
        reset(peer)
        for _ in range(3):
            with pytest.raises(BrokenResourceError) as caught:
                await stream.receive()
            assert isinstance(caught.value.__cause__, ConnectionResetError)
            with pytest.raises(BrokenResourceError) as caught:
                await stream.receive_into(bytearray(1))
            assert isinstance(caught.value.__cause__, ConnectionResetError)


async def test_reset_wakes_a_waiting_receive() -> None:
    async def receive() -> None:
        with pytest.raises(BrokenResourceError):
            await stream.receive()

    async with connected() as (stream, peer):
        async with penstock.create_task_group() as tg:
            tg.start_soon(receive)
            await penstock.wait_all_tasks_blocked()
            reset(peer)


async def test_reset_wakes_a_waiting_send() -> None:
    async def send() -> None:
        with pytest.raises(BrokenResourceError) as caught:
            await stream.send(bytes(1 << 26))
        assert isinstance(caught.value.__cause__, OSError)

    async with connected() as (stream, peer):
        async with penstock.create_task_group() as tg:
            tg.start_soon(send)
            await penstock.wait_all_tasks_blocked()
            reset(peer)


async def test_what_was_received_before_a_reset_is_not_lost() -> None:
    async with connected() as (stream, peer):
        peer.sendall(b"before")
        reset(peer)
        assert await stream.receive() == b"before"
        with pytest.raises(BrokenResourceError):
            await stream.receive()


@pytest.mark.parametrize("many", [False, True], ids=["send", "send_many"])
async def test_send_to_a_peer_that_is_gone_is_broken_for_ever(many: bool) -> None:
    async with connected() as (stream, peer):
        reset(peer)
        for _ in range(3):
            with pytest.raises(BrokenResourceError) as caught:
                await (stream.send_many([b"x", b"y"]) if many else stream.send(b"x"))
            assert isinstance(caught.value.__cause__, OSError)


async def test_send_after_the_peer_has_closed_breaks_in_the_end() -> None:
    async with connected() as (stream, peer):
        peer.close()
        with pytest.raises(BrokenResourceError):
            for _ in range(100):
                await stream.send(b"x" * 1000)


async def test_a_reset_that_a_send_has_met_is_no_end_of_stream() -> None:
    async with connected() as (stream, peer):
        peer.sendall(b"before")
        reset(peer)
        with pytest.raises(BrokenResourceError):
            await stream.send(b"x")
        assert await stream.receive() == b"before"
        for _ in range(2):
            with pytest.raises(BrokenResourceError) as caught:
                await stream.receive()
            assert isinstance(caught.value.__cause__, ConnectionResetError)
        with pytest.raises(BrokenResourceError):
            await stream.receive_into(bytearray(1))


async def test_an_end_that_came_before_the_reset_stays_an_end() -> None:
    async with connected() as (stream, peer):
        peer.shutdown(socket.SHUT_WR)
        with pytest.raises(EndOfStream):
            await stream.receive()
        reset(peer)
        with pytest.raises(BrokenResourceError):
            await stream.send(b"x")
        with pytest.raises(EndOfStream):
            await stream.receive()


async def test_send_eof_after_a_reset_is_broken() -> None:
    async with connected() as (stream, peer):
        reset(peer)
        with pytest.raises(BrokenResourceError):
            await stream.receive()
        with pytest.raises(BrokenResourceError) as caught:
            await stream.send_eof()
        assert isinstance(caught.value.__cause__, OSError)


async def test_own_close_wins_over_what_the_peer_did() -> None:
    async with connected() as (stream, peer):
        reset(peer)
        with pytest.raises(BrokenResourceError):
            await stream.receive()
        await stream.aclose()
        with pytest.raises(ClosedResourceError):
            await stream.receive()
        with pytest.raises(ClosedResourceError):
            await stream.receive_into(bytearray(1))
        with pytest.raises(ClosedResourceError):
            await stream.send(b"x")
        with pytest.raises(ClosedResourceError):
            await stream.send_many([b"x"])
        with pytest.raises(ClosedResourceError):
            await stream.send_eof()


# -- P13: bytes are moved once --------------------------------------------------------------


@contextmanager
def little_memory(nbytes: int) -> Iterator[None]:
    """Fail where ``nbytes`` or more were allocated at a time."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield
        assert tracemalloc.get_traced_memory()[1] - before < nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("many", [False, True], ids=["send", "send_many"])
async def test_sending_copies_nothing(many: bool) -> None:
    blocks = [bytes(8 * MIB)] * 4
    memory = bytearray(MIB)

    async def send() -> None:
        if many:
            await stream.send_many(blocks)
        else:
            for block in blocks:
                await stream.send(block)

    async with connected() as (stream, peer), penstock.create_task_group() as tg:
        peer.setblocking(False)
        tg.start_soon(send)
        with little_memory(200_000):
            received = 0
            while received < 32 * MIB:
                await checkpoint()
                with suppress(BlockingIOError):
                    received += peer.recv_into(memory)


async def test_a_huge_max_bytes_allocates_little() -> None:
    async with connected() as (stream, peer):
        peer.sendall(bytes(100_000))
        with little_memory(MIB):
            await stream.receive(1 << 40)


async def test_many_small_buffers_are_looked_at_once() -> None:
    looks = 0

    def buffers() -> Iterator[bytes]:
        nonlocal looks
        for _ in range(20_000):
            looks += 1
            yield b"0123456789"

    async with connected() as (stream, peer):
        receiver = Collector(peer)
        await stream.send_many(buffers())
        await stream.send_eof()
        assert await receiver.result() == b"0123456789" * 20_000
    assert looks == 20_000


# -- P3: a slow reader slows its peer ------------------------------------------------------


def push(peer: socket.socket, nbytes: int) -> int:
    """Send up to ``nbytes`` bytes without waiting; return how many were taken."""
    peer.setblocking(False)
    sent = 0
    try:
        while sent < nbytes:
            sent += peer.send(bytes(65536))
    except BlockingIOError:
        pass
    return sent


@pytest.mark.parametrize("kind", ["connected", "accepted"])
async def test_nobody_receives_so_the_peer_has_to_wait(kind: str) -> None:
    async with either(kind) as (_, peer):
        taken = 0
        for _ in range(100):
            taken += push(peer, 100 * MIB)
            await checkpoint()
        assert taken < 32 * MIB  # what two kernel buffers hold


@pytest.mark.parametrize("kind", ["connected", "accepted"])
async def test_the_peer_has_to_wait_after_a_cancelled_receive(kind: str) -> None:
    async with either(kind) as (stream, peer):
        async with penstock.create_task_group() as tg:
            tg.start_soon(stream.receive)
            await penstock.wait_all_tasks_blocked()
            tg.cancel_scope.cancel()
        taken = 0
        for _ in range(100):
            taken += push(peer, 100 * MIB)
            await checkpoint()
        assert taken < 32 * MIB


async def test_a_send_waits_for_a_slow_reader() -> None:
    async with connected() as (stream, _):
        assert await fill(stream) < 32 * MIB
