"""UNIX sockets of type SOCK_SEQPACKET: a send is a message, and a receive is one too."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed
from socket_peers import raw_socket_of, until
from unix_peers import SEQPACKET, accepted, connected, rights, two_streams

import penstock
from penstock import BrokenResourceError, BusyResourceError, ClosedResourceError, EndOfStream
from penstock.lowlevel import checkpoint


async def receive_one(stream: Any, into: bool, max_bytes: int = 65536) -> bytes:
    if not into:
        data: bytes = await stream.receive(max_bytes)
        return data
    memory = bytearray(max_bytes)
    return bytes(memory[: await stream.receive_into(memory)])


either_receive = pytest.mark.parametrize("into", [False, True], ids=["receive", "receive_into"])


@either_receive
async def test_boundaries_stay(into: bool) -> None:
    messages = [b"a", b"", b"bc", bytes(1000), b"", b"d"]
    async with connected(SEQPACKET) as (stream, peer):
        for message in messages:
            peer.send(message)
        assert [await receive_one(stream, into) for _ in messages] == messages
        for message in messages:
            await stream.send(message)
        assert [peer.recv(10_000) for _ in messages] == messages


@either_receive
async def test_an_empty_message_is_not_the_end(into: bool) -> None:
    async with accepted(SEQPACKET) as (stream, peer):
        peer.send(b"")
        peer.send(b"x")
        peer.send(b"")
        peer.close()
        received = [await receive_one(stream, into) for _ in range(3)]
        assert received == [b"", b"x", b""]
        for _ in range(2):
            with pytest.raises(EndOfStream):
                await receive_one(stream, into)


async def test_an_empty_message_that_is_waited_for() -> None:
    async with two_streams(SEQPACKET) as (one, other):
        async with penstock.create_task_group() as tg:
            tg.start_soon(one.send, b"")
            assert await other.receive() == b""


@either_receive
@pytest.mark.parametrize("nbytes", [11, 12, 70_000])
async def test_a_message_that_is_too_long_is_an_error_and_the_next_one_well(
    into: bool, nbytes: int
) -> None:
    async with connected(SEQPACKET) as (stream, peer):
        peer.send(bytes(nbytes))
        with pytest.raises(BrokenResourceError, match="longer than 10 bytes"):
            await receive_one(stream, into, 10)
        peer.send(b"next")
        assert await receive_one(stream, into, 10) == b"next"


@either_receive
async def test_a_message_may_be_as_long_as_asked_for(into: bool) -> None:
    async with connected(SEQPACKET) as (stream, peer):
        peer.send(bytes(10))
        assert await receive_one(stream, into, 10) == bytes(10)


async def test_a_message_longer_than_one_call_of_a_byte_stream_is_whole() -> None:
    """As far as the system lets a message be longer than 256 KiB."""
    async with two_streams(SEQPACKET) as (one, other):
        raw = raw_socket_of(one)
        raw.setsockopt(socket.SOL_SOCKET, 32, 1 << 20)  # SO_SNDBUFFORCE, else the limit is lower
        data = bytes(range(256)) * 1200
        await one.send(data)
        assert await other.receive(1 << 20) == data
        await one.send_many([data[:1000], data[1000:]])
        memory = bytearray(len(data))
        assert await other.receive_into(memory) == len(data)
        assert memory == data


async def test_a_message_longer_than_the_system_takes_is_an_error_and_nothing_is_sent() -> None:
    async with connected(SEQPACKET) as (stream, peer):
        for send in (
            lambda: stream.send(bytes(1 << 20)),
            lambda: stream.send_many([bytes(1 << 19)] * 2),
            lambda: stream.send_fds(bytes(1 << 20), [0]),
        ):
            with pytest.raises(BrokenResourceError, match="message of 1048576 bytes") as caught:
                await send()
            assert "Message too long" in str(caught.value)
            assert isinstance(caught.value.__cause__, OSError)
            assert stream.partial_send == 0
        await stream.send(b"short")
        assert stream.partial_send is None
        assert peer.recv(100) == b"short"
        peer.close()
        with pytest.raises(EndOfStream):
            await stream.receive()


async def test_many_buffers_are_one_message() -> None:
    async with connected(SEQPACKET) as (stream, peer):
        await stream.send_many([b"one ", bytearray(b"mess"), memoryview(b"age")])
        await stream.send_many([b"x"] * 3000)
        await stream.send_many([b"", b""])
        await stream.send_many([])
        await stream.send(b"end")
        assert [peer.recv(10_000) for _ in range(4)] == [b"one message", b"x" * 3000, b"", b"end"]


async def test_bytes_of_any_format_are_sent_and_received_into() -> None:
    async with two_streams(SEQPACKET) as (one, other):
        await one.send(memoryview(b"12345678").cast("I"))
        memory = memoryview(bytearray(8)).cast("I")
        assert await other.receive_into(memory) == 8
        assert bytes(memory) == b"12345678"


@pytest.mark.parametrize(
    ("operation", "error", "text"),
    [
        (lambda s: s.receive(0), ValueError, "max_bytes must be a positive integer, not 0"),
        (lambda s: s.receive(1.0), TypeError, "max_bytes must be an integer, not 1.0"),
        (lambda s: s.receive_into(b"abc"), TypeError, "expected contiguous writable memory"),
        (lambda s: s.receive_into("abc"), TypeError, "expected contiguous writable memory"),
        (lambda s: s.receive_into(bytearray()), ValueError, "into an empty buffer"),
        (lambda s: s.send("x"), TypeError, "expected bytes-like data, not 'x'"),
        (lambda s: s.send_many([b"x", 5]), TypeError, "expected bytes-like data, not 5"),
    ],
)
async def test_bad_arguments_are_refused(operation: Any, error: Any, text: str) -> None:
    async with connected(SEQPACKET) as (stream, peer):
        peer.send(b"hello")
        with pytest.raises(error, match=text):
            await operation(stream)
        assert await stream.receive() == b"hello"
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(1)


async def test_iteration_gives_messages_and_ends() -> None:
    async with connected(SEQPACKET) as (stream, peer):
        for message in (b"a", b"", b"b"):
            peer.send(message)
        peer.close()
        assert [message async for message in stream] == [b"a", b"", b"b"]


async def test_the_other_direction_goes_on_after_send_eof() -> None:
    async with connected(SEQPACKET) as (stream, peer):
        await stream.send_eof()
        assert peer.recv(1) == b""
        peer.send(b"answer")
        assert await stream.receive() == b"answer"
        with pytest.raises(ClosedResourceError):
            await stream.send(b"x")


async def test_a_peer_that_closes_with_messages_unread_breaks_the_stream() -> None:
    async with connected(SEQPACKET) as (stream, peer):
        await stream.send(b"unread")
        peer.close()
        for _ in range(2):
            with pytest.raises(BrokenResourceError):
                await stream.receive()
        with pytest.raises(BrokenResourceError):
            await stream.send(b"x")


async def test_a_peer_that_never_reads_stops_the_sender() -> None:
    async with connected(SEQPACKET) as (stream, peer):
        sent = 0

        async def send() -> None:
            nonlocal sent
            while True:
                await stream.send(b"%6d" % sent + bytes(1000))
                sent += 1

        async with penstock.create_task_group() as tg:
            tg.start_soon(send)
            await penstock.wait_all_tasks_blocked()
            assert sent < 1000
            with pytest.raises(BusyResourceError):
                await stream.send(b"x")
            for number in range(sent):
                assert peer.recv(2000)[:6] == b"%6d" % number
            await until(lambda: sent > number + 1)  # room wakes it
            tg.cancel_scope.cancel()
        assert stream.partial_send in (0, None)


async def test_a_cancelled_send_has_sent_nothing() -> None:
    async with connected(SEQPACKET) as (stream, peer):
        expected = []
        for turns in range(60):
            done: list[bool] = []

            async def send(message: bytes) -> None:
                await stream.send(message)
                done.append(True)  # noqa: B023

            async with penstock.create_task_group() as tg:
                message = b"%3d" % turns + bytes(10_000)
                tg.start_soon(send, message)
                for _ in range(turns % 4):
                    await checkpoint()
                tg.cancel_scope.cancel()
            assert stream.partial_send == (None if done else 0) or turns == 0
            if done:
                expected.append(message)
        peer.setblocking(False)
        received = []
        with pytest.raises(BlockingIOError):
            while True:
                received.append(peer.recv(20_000))
        assert received == expected
        assert 0 < len(received) < 60


@either_receive
async def test_a_cancelled_receive_has_taken_nothing(into: bool) -> None:
    async with connected(SEQPACKET) as (stream, peer):
        for turns in range(8):
            results: list[bytes] = []

            async def receive() -> None:
                results.append(await receive_one(stream, into, 100))  # noqa: B023

            async with penstock.create_task_group() as tg:
                tg.start_soon(receive)
                await penstock.wait_all_tasks_blocked()
                peer.send(b"%d" % turns)
                for _ in range(turns):
                    await checkpoint()
                tg.cancel_scope.cancel()
            if not results:
                await receive()
            assert results == [b"%d" % turns]


@either_receive
async def test_closing_wakes_who_receives(into: bool) -> None:
    async def receive() -> None:
        with pytest.raises(ClosedResourceError):
            await receive_one(stream, into)

    async with connected(SEQPACKET) as (stream, _):
        async with penstock.create_task_group() as tg:
            tg.start_soon(receive)
            await penstock.wait_all_tasks_blocked()
            with pytest.raises(BusyResourceError):
                await receive_one(stream, into)
            await stream.aclose()


async def test_a_stream_refuses_another_thread() -> None:
    errors: list[str] = []

    async def use() -> None:
        for operation in (stream.receive, lambda: stream.send(b"x")):
            try:
                await operation()
            except RuntimeError as exc:
                errors.append(str(exc))

    async with connected(SEQPACKET) as (stream, peer):
        peer.send(b"hello")
        thread = threading.Thread(target=penstock.run, args=(use,))
        thread.start()
        await until(lambda: not thread.is_alive())
        assert len(errors) == 2
        assert await stream.receive() == b"hello"
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(1)


async def test_descriptors_with_every_message_change_nothing_for_who_does_not_want_them() -> None:
    async with connected(SEQPACKET) as (stream, peer):
        for number in range(100):
            peer.sendmsg([b"%d" % number], rights(0))
            assert await stream.receive() == b"%d" % number


@pytest.mark.parametrize("operation", ["send", "receive", "receive_into", "receive_fds"])
async def test_bytes_count_as_work(operation: str) -> None:
    """A task that always finds much does not keep the others waiting."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    async with connected(SEQPACKET) as (stream, peer):
        async with penstock.create_task_group() as tg:
            tg.start_soon(count)
            await checkpoint()
            for _ in range(40):
                if operation == "send":
                    await stream.send(bytes(60_000))
                    peer.recv(60_000)
                    continue
                peer.send(bytes(60_000))
                if operation == "receive_fds":
                    await stream.receive_fds(60_000, 1)
                else:
                    await receive_one(stream, operation == "receive_into")
            tg.cancel_scope.cancel()
    assert turns >= 4


async def test_a_file_is_not_cut_into_messages(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    async with connected(SEQPACKET) as (stream, peer):
        with open(tmp_path / "file", "rb") as file:
            with pytest.raises(NotImplementedError):
                await stream.send_file(file)
        await stream.send(b"whole")
        assert peer.recv(100) == b"whole"
