"""Byte streams over UNIX sockets: what TCP streams do, and peers that leave or never read."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from typing import Any

import pytest
from socket_peers import Collector, drain, fill, open_descriptors, receive_all, until
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed
from unix_peers import accepted, connected, two_streams

import penstock
from penstock import BrokenResourceError, BusyResourceError, ClosedResourceError, EndOfStream
from penstock.lowlevel import checkpoint
from penstock.streams.buffered import BufferedByteStream

either_side = pytest.mark.parametrize("side", [connected, accepted])


@either_side
async def test_bytes_go_both_ways(side: Any) -> None:
    async with side() as (stream, peer):
        await stream.send(b"hello")
        assert peer.recv(100) == b"hello"
        peer.sendall(b"answer")
        assert await stream.receive(3) == b"ans"
        memory = bytearray(100)
        assert await stream.receive_into(memory) == 3
        assert memory[:3] == b"wer"
        await stream.send_many([b"one", b"", b"two"])
        assert peer.recv(100) == b"onetwo"


@either_side
async def test_much_arrives_whole(side: Any) -> None:
    data = os.urandom(1 << 20) * 8
    async with side() as (stream, peer):
        collector = Collector(peer)
        await stream.send(data)
        await stream.send_eof()
        received = await collector.result()
        assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()
        threading.Thread(target=lambda: (peer.sendall(data), peer.shutdown(1))).start()
        digest = hashlib.sha256()
        async for chunk in stream:
            digest.update(chunk)
        assert digest.digest() == hashlib.sha256(data).digest()


async def test_a_short_read_does_not_hide_what_is_left() -> None:
    """Descriptors part what was sent, with no event between the parts."""
    async with connected() as (stream, peer):
        for _ in range(20):
            peer.sendmsg([b"a"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"\0\0\0\0")])
            peer.sendall(b"b")
            received = b""
            with penstock.fail_after(30):
                while len(received) < 2:
                    received += await stream.receive()
            assert received == b"ab"


async def test_send_eof_is_heard_and_receiving_goes_on() -> None:
    async with connected() as (stream, peer):
        await stream.send_eof()
        await stream.send_eof()
        assert peer.recv(1) == b""
        peer.sendall(b"x")
        assert await stream.receive() == b"x"
        with pytest.raises(ClosedResourceError):
            await stream.send(b"x")


async def test_the_end_comes_again_and_again() -> None:
    async with accepted() as (stream, peer):
        peer.sendall(b"last")
        peer.close()
        assert await stream.receive() == b"last"
        for _ in range(3):
            with pytest.raises(EndOfStream):
                await stream.receive()
        with pytest.raises(BrokenResourceError):
            await stream.send(b"x")
        with pytest.raises(EndOfStream):
            await stream.receive()


async def test_the_end_in_the_middle_of_a_record() -> None:
    async with accepted() as (stream, peer):
        peer.sendall(b"\0\0\0\x64half")
        peer.close()
        buffered = BufferedByteStream(stream)
        assert await buffered.receive_exactly(4) == b"\0\0\0\x64"
        with pytest.raises(penstock.IncompleteRead):
            await buffered.receive_exactly(100)
        assert buffered.buffer == b"half"


@either_side
async def test_a_peer_that_closes_with_bytes_unread_breaks_the_stream(side: Any) -> None:
    """What a reset is to TCP: unix(7) tells it by ECONNRESET."""
    async with side() as (stream, peer):
        await stream.send(b"unread")
        peer.close()
        for _ in range(2):
            with pytest.raises(BrokenResourceError) as caught:
                await stream.receive()
            assert isinstance(caught.value.__cause__, ConnectionResetError)
        with pytest.raises(BrokenResourceError):
            await stream.send(b"x")
        await stream.aclose()


async def test_a_peer_that_closes_wakes_who_sends() -> None:
    errors = []

    async def send() -> None:
        with pytest.raises(BrokenResourceError):
            await stream.send(bytes(1 << 22))
        errors.append(True)

    async with connected() as (stream, peer):
        async with penstock.create_task_group() as tg:
            tg.start_soon(send)
            await penstock.wait_all_tasks_blocked()
            peer.close()
        assert errors


async def test_a_peer_that_never_reads_stops_the_sender_within_bounds() -> None:
    async with connected() as (stream, peer):
        assert await fill(stream) < 4 << 20
        for _ in range(100):
            with penstock.move_on_after(0) as scope:
                await stream.send(bytes(1 << 16))
            assert scope.cancelled_caught
            assert stream.partial_send == 0
        left = drain(peer)
        assert len(left) < 4 << 20
        async with penstock.create_task_group() as tg:
            tg.start_soon(stream.send, b"x" * (1 << 22))
            await penstock.wait_all_tasks_blocked()
            began, worked = time.monotonic(), time.thread_time()
            await penstock.sleep(0.3)  # the work that is done meanwhile is what counts
            assert time.thread_time() - worked < (time.monotonic() - began) / 10
            tg.cancel_scope.cancel()
        sent = stream.partial_send
        assert receive_all(peer, sent) == b"x" * sent


async def test_a_writer_that_is_not_read_stops_at_the_systems_buffer() -> None:
    """Nothing is read ahead: the peer's own send does not get through."""
    async with accepted() as (stream, peer):
        peer.setblocking(False)
        sent = 0
        with pytest.raises(BlockingIOError):
            while True:
                sent += peer.send(bytes(1 << 16))
        for _ in range(20):
            await checkpoint()
        with pytest.raises(BlockingIOError):
            peer.send(bytes(1 << 16))
        received = 0
        while received < sent:
            received += len(await stream.receive())
        assert received == sent


async def test_closing_wakes_both_directions() -> None:
    outcomes = []

    async def wait(operation: Any, *args: Any) -> None:
        with pytest.raises(ClosedResourceError):
            await operation(*args)
        outcomes.append(True)

    async with connected() as (stream, _):
        await fill(stream)
        async with penstock.create_task_group() as tg:
            tg.start_soon(wait, stream.receive)
            tg.start_soon(wait, stream.send, bytes(1 << 20))
            await penstock.wait_all_tasks_blocked()
            for operation in (stream.receive(), stream.send(b"x")):
                with pytest.raises(BusyResourceError):
                    await operation
            await stream.aclose()
            await checkpoint()
            await checkpoint()
            assert len(outcomes) == 2


async def test_a_hundred_connections_leave_nothing() -> None:
    async with two_streams():
        pass
    before = open_descriptors()
    for _ in range(100):
        async with two_streams() as (one, other):
            await one.send(b"x")
            assert await other.receive() == b"x"
    assert open_descriptors() == before


async def test_a_stream_refuses_another_thread() -> None:
    errors: list[str] = []

    async def use() -> None:
        for operation in (stream.receive, lambda: stream.send(b"x"), stream.aclose):
            try:
                await operation()
            except RuntimeError as exc:
                errors.append(str(exc))

    async with connected() as (stream, peer):
        peer.sendall(b"hello")
        thread = threading.Thread(target=penstock.run, args=(use,))
        thread.start()
        await until(lambda: not thread.is_alive())
        assert len(errors) == 3
        assert await stream.receive() == b"hello"
        assert drain(peer) == b""
