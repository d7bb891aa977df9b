"""Passing descriptors over UNIX sockets: all arrive, once, and none is left behind."""

from __future__ import annotations

import array
import io
import os
import socket
import threading
from typing import Any

import pytest
from socket_peers import drain, fill, open_descriptors, raw_socket_of, receive_all, until
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed
from unix_peers import (
    SEQPACKET,
    accepted,
    both_kinds,
    close,
    connected,
    pipes,
    received_by,
    rights,
    same_file,
    two_streams,
)

import penstock
from penstock import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
)
from penstock.lowlevel import checkpoint, set_ready_budget

#: Not in the socket module: asm-generic/socket.h.
SO_PASSPIDFD = 76


# -- sending -------------------------------------------------------------------------------


@both_kinds
async def test_descriptors_arrive_with_their_message(kind: Any) -> None:
    async with connected(kind) as (stream, peer):
        with pipes(3) as fds:
            await stream.send_fds(b"three", fds)
            message, got = received_by(peer)
            assert message == b"three"
            assert all(map(same_file, fds, got))
            assert len(got) == 3
            close(*got)
        assert stream.partial_send is None


async def test_files_and_sockets_are_sent_like_descriptors() -> None:
    async with accepted() as (stream, peer):
        with pipes() as (pipe,), socket.socket() as sock, open(os.devnull) as file:
            await stream.send_fds(bytearray(b"x"), [pipe, sock, file])
            _, got = received_by(peer)
            assert list(map(same_file, [pipe, sock.fileno(), file.fileno()], got)) == [True] * 3
            close(*got)
            assert sock.fileno() >= 0
            assert not file.closed


@both_kinds
async def test_as_many_descriptors_as_the_system_takes(kind: Any) -> None:
    async with two_streams(kind) as (one, other):
        with pipes() as (pipe,):
            await one.send_fds(b"x", [pipe] * 253)
            message, got = await other.receive_fds(1, 253)
            assert (message, len(got)) == (b"x", 253)
            close(*got)


async def test_what_cannot_be_sent_is_refused_before_anything_is() -> None:
    nobodys = 1_000_000
    closed_file = open(os.devnull)  # noqa: SIM115
    closed_file.close()
    closed_socket = socket.socket()
    closed_socket.close()
    cases: list[tuple[Any, Any, type[Exception], str]] = [
        (b"", [0], ValueError, "message must not be empty"),
        (memoryview(b""), [0], ValueError, "message must not be empty"),
        ("x", [0], TypeError, "expected bytes-like data, not 'x'"),
        (memoryview(b"abcd")[::2], [0], TypeError, "expected contiguous bytes-like data"),
        (b"x", [], ValueError, "fds must not be empty"),
        (b"x", [0] * 254, ValueError, "at most 253 descriptors go with one message, not 254"),
        (b"x", [0, nobodys], ValueError, f"expected an open descriptor, not {nobodys}"),
        (b"x", [-1], ValueError, "expected an open descriptor, not -1"),
        (b"x", [1 << 40], ValueError, "expected an open descriptor, not 1099511627776"),
        (b"x", [closed_file], ValueError, "expected an open descriptor, not <_io"),
        (b"x", [closed_socket], ValueError, "expected an open descriptor, not <socket"),
        (b"x", [io.BytesIO()], ValueError, "expected an open descriptor, not <_io.BytesIO"),
        (b"x", ["0"], TypeError, r"expected a descriptor or an object with fileno\(\), not '0'"),
        (b"x", [None], TypeError, "not None"),
        (b"x", 0, TypeError, "int"),
    ]
    async with connected() as (stream, peer):
        for message, fds, error, text in cases:
            with pytest.raises(error, match=text):
                await stream.send_fds(message, fds)
        assert drain(peer) == b""
        await stream.send_fds(b"still well", [0])
        message, got = received_by(peer)
        assert message == b"still well"
        close(*got)


async def test_a_long_message_arrives_whole_and_the_descriptors_once() -> None:
    data = bytes(range(256)) * 8192
    memory = array.array("Q", data)
    async with connected() as (stream, peer):
        with pipes(2) as fds:
            received = bytearray()
            got: list[int] = []

            def receive() -> None:
                while len(received) < len(data):
                    message, some = received_by(peer, 100_000)
                    received.extend(message)
                    got.extend(some)

            thread = threading.Thread(target=receive)
            thread.start()
            await stream.send_fds(memory, fds)
            await until(lambda: not thread.is_alive())
            assert received == data
            assert all(map(same_file, fds, got))
            assert len(got) == 2
            close(*got)
            assert stream.partial_send is None


async def test_a_cancelled_send_says_what_went_out_and_can_be_continued() -> None:
    data = bytes(range(256)) * 8192
    async with connected() as (stream, peer):
        with pipes() as (pipe,):
            async with penstock.create_task_group() as tg:
                tg.start_soon(stream.send_fds, data, [pipe])
                await penstock.wait_all_tasks_blocked()
                tg.cancel_scope.cancel()
            sent = stream.partial_send
            assert 0 < sent < len(data)
            message, got = received_by(peer, 1)
            assert same_file(got[0], pipe)
            message += receive_all(peer, sent - 1)
            await stream.send(b"rest")
            assert message + receive_all(peer, 4) == data[:sent] + b"rest"
            close(*got)


@both_kinds
async def test_a_send_cancelled_while_there_is_no_room_has_sent_nothing(kind: Any) -> None:
    async with connected(kind) as (stream, peer):
        block = bytes(1000)
        sent = 0
        while not await cut_short(stream, block):
            sent += 1
        with pipes() as (pipe,):
            async with penstock.create_task_group() as tg:
                tg.start_soon(stream.send_fds, b"x" * 1000, [pipe])
                await penstock.wait_all_tasks_blocked()
                tg.cancel_scope.cancel()
            assert stream.partial_send == 0
            left = drain(peer)
            assert b"x" not in left
            await stream.send_fds(b"y", [pipe])
            message, got = received_by(peer)
            assert message == b"y"
            close(*got)


async def cut_short(stream: Any, block: bytes) -> bool:
    async with penstock.create_task_group() as tg:
        tg.start_soon(stream.send, block)
        await penstock.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
    if stream.partial_send:
        await fill(stream)
    return stream.partial_send is not None


async def test_the_buffer_cannot_be_resized_while_it_is_sent() -> None:
    data = bytearray(1 << 22)
    async with connected() as (stream, _):
        async with penstock.create_task_group() as tg:
            tg.start_soon(stream.send_fds, data, [0])
            await penstock.wait_all_tasks_blocked()
            with pytest.raises(BufferError):
                data.clear()
            tg.cancel_scope.cancel()
        data.clear()


async def test_a_descriptor_that_is_closed_meanwhile_does_not_break_the_stream() -> None:
    async with connected() as (stream, peer):
        await fill(stream)
        errors = []

        async def send(fd: int) -> None:
            with pytest.raises(BrokenResourceError, match="refused a message of 1 bytes") as caught:
                await stream.send_fds(b"x", [fd])
            assert isinstance(caught.value.__cause__, OSError)
            errors.append(True)

        reading, writing = os.pipe()
        async with penstock.create_task_group() as tg:
            tg.start_soon(send, reading)
            await penstock.wait_all_tasks_blocked()
            close(reading, writing)
            drain(peer)
        assert errors
        await stream.send(b"well")
        assert peer.recv(10) == b"well"
        peer.close()
        with pytest.raises(EndOfStream):
            await stream.receive()


async def test_sending_descriptors_to_a_peer_that_is_gone_is_broken() -> None:
    async with connected() as (stream, peer):
        peer.close()
        with pytest.raises(BrokenResourceError) as caught:
            await stream.send_fds(b"x", [0])
        assert isinstance(caught.value.__cause__, BrokenPipeError)


# -- receiving -----------------------------------------------------------------------------


@both_kinds
async def test_received_descriptors_are_not_inherited(kind: Any) -> None:
    async with accepted(kind) as (stream, peer):
        with pipes(3) as fds:
            peer.sendmsg([b"three"], rights(*fds))
            message, got = await stream.receive_fds(100, 10)
            assert message == b"three"
            assert all(map(same_file, fds, got))
            assert len(got) == 3
            assert not any(map(os.get_inheritable, got))
            close(*got)


async def test_a_passed_file_can_be_read(tmp_path: Any) -> None:
    (tmp_path / "file").write_text("Test file")
    async with two_streams() as (client, server):
        with (tmp_path / "file").open() as file:
            await server.send_fds(b"this message is ignored", [file])
        _, fds = await client.receive_fds(0, 1)
        with os.fdopen(fds[0]) as file:
            assert file.read() == "Test file"


async def test_descriptors_alone_leave_their_bytes_in_a_byte_stream() -> None:
    async with connected() as (stream, peer):
        with pipes() as (pipe,):
            peer.sendmsg([b"hello"], rights(pipe))
            message, got = await stream.receive_fds(0, 1)
            assert message == b""
            assert same_file(got[0], pipe)
            close(*got)
            assert await stream.receive_fds(0, 1) == (b"", [])  # more is to come, but none here
            assert await stream.receive() == b"hello"
            peer.close()
            with pytest.raises(EndOfStream):
                await stream.receive_fds(0, 1)


async def test_descriptors_alone_are_waited_for() -> None:
    results = []

    async def receive() -> None:
        results.append(await stream.receive_fds(0, 1))

    async with connected() as (stream, peer):
        async with penstock.create_task_group() as tg:
            tg.start_soon(receive)
            await penstock.wait_all_tasks_blocked()
            assert results == []
            peer.sendmsg([b"x"], rights(0))
        assert results[0][0] == b""
        close(*results[0][1])


async def test_an_empty_message_with_descriptors_is_not_the_end() -> None:
    async with connected(SEQPACKET) as (stream, peer):
        with pipes() as (pipe,):
            peer.sendmsg([b""], rights(pipe))
            peer.send(b"")
            peer.close()
            message, got = await stream.receive_fds(100, 1)
            assert message == b""
            assert same_file(got[0], pipe)
            close(*got)
            assert await stream.receive_fds(100, 1) == (b"", [])
            with pytest.raises(EndOfStream):
                await stream.receive_fds(100, 1)


@both_kinds
async def test_the_end_of_the_stream(kind: Any) -> None:
    async with connected(kind) as (stream, peer):
        peer.sendmsg([b"last"], rights(0))
        peer.close()
        message, got = await stream.receive_fds(100, 1)
        assert message == b"last"
        close(*got)
        for msglen in (100, 0):
            with pytest.raises(EndOfStream):
                await stream.receive_fds(msglen, 1)


@both_kinds
@pytest.mark.parametrize("sent", [2, 3, 100, 253])
async def test_more_descriptors_than_asked_for_are_closed_and_an_error(
    kind: Any, sent: int
) -> None:
    async with connected(kind) as (stream, peer):
        peer.sendmsg([b"lost"], rights(*[0] * sent))
        peer.send(b"next")
        before = open_descriptors()
        with pytest.raises(BrokenResourceError, match="more descriptors came than 1"):
            await stream.receive_fds(100, 1)
        assert open_descriptors() == before
        assert await stream.receive() == b"next"
        peer.close()
        with pytest.raises(EndOfStream):
            await stream.receive()


async def test_descriptors_that_the_process_has_no_room_for_are_an_error() -> None:
    from resource import RLIMIT_NOFILE, getrlimit, setrlimit

    async with connected() as (stream, peer):
        peer.sendmsg([b"lost"], rights(0, 0, 0))
        peer.send(b"next")
        before = open_descriptors()
        limits = getrlimit(RLIMIT_NOFILE)
        lowest_free = os.dup(0)
        os.close(lowest_free)
        setrlimit(RLIMIT_NOFILE, (lowest_free + 1, limits[1]))
        try:
            with pytest.raises(BrokenResourceError, match="than this process may open"):
                await stream.receive_fds(100, 3)
        finally:
            setrlimit(RLIMIT_NOFILE, limits)
        assert open_descriptors() == before
        assert await stream.receive() == b"next"


async def test_a_longer_message_than_asked_for_closes_its_descriptors() -> None:
    async with connected(SEQPACKET) as (stream, peer):
        peer.sendmsg([b"too long"], rights(0))
        peer.send(b"next")
        before = open_descriptors()
        with pytest.raises(BrokenResourceError, match="longer than 3 bytes"):
            await stream.receive_fds(3, 1)
        assert open_descriptors() == before
        assert await stream.receive_fds(4, 1) == (b"next", [])


async def test_a_message_that_nobody_asked_for_may_be_longer() -> None:
    async with connected(SEQPACKET) as (stream, peer):
        peer.sendmsg([b"this message is ignored"], rights(0))
        message, got = await stream.receive_fds(0, 1)
        assert (message, len(got)) == (b"", 1)
        close(*got)


@both_kinds
async def test_other_ancillary_data_neither_loses_nor_leaks(kind: Any) -> None:
    async with connected(kind) as (stream, peer):
        raw = raw_socket_of(stream)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        raw.setsockopt(socket.SOL_SOCKET, SO_PASSPIDFD, 1)
        with pipes(2) as fds:
            peer.sendmsg([b"two"], rights(*fds))
            peer.send(b"none")
            before = open_descriptors()
            message, got = await stream.receive_fds(100, 2)
            assert message == b"two"
            assert all(map(same_file, fds, got))
            assert len(got) == 2
            close(*got)
            assert await stream.receive_fds(100, 1) == (b"none", [])
            assert open_descriptors() == before


@both_kinds
async def test_another_receive_takes_no_descriptors(kind: Any) -> None:
    async with connected(kind) as (stream, peer):
        before = open_descriptors()
        for _ in range(3):
            peer.sendmsg([b"x"], rights(0, 1, 2))
        assert await stream.receive() == b"x"
        assert await stream.receive_into(bytearray(10)) == 1
        assert open_descriptors() == before
        message, got = await stream.receive_fds(1, 3)
        assert (message, len(got)) == (b"x", 3)
        close(*got)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((-1, 1), ValueError, "msglen must be a non-negative integer, not -1"),
        ((1, 0), ValueError, "maxfds must be a positive integer, not 0"),
        ((1.0, 1), TypeError, "msglen must be an integer, not 1.0"),
        ((1, "1"), TypeError, "maxfds must be an integer, not '1'"),
    ],
)
async def test_bad_counts_are_refused(arguments: Any, error: Any, text: str) -> None:
    async with connected() as (stream, peer):
        peer.send(b"x")
        with pytest.raises(error, match=text):
            await stream.receive_fds(*arguments)
        assert await stream.receive_fds(10**18, 10**18) == (b"x", [])


@both_kinds
async def test_a_cancelled_receive_has_taken_nothing(kind: Any) -> None:
    async with connected(kind) as (stream, peer):
        for turns in range(6):
            for arrival in range(turns + 1):
                results: list[Any] = []

                async def receive() -> None:
                    results.append(await stream.receive_fds(100, 2))  # noqa: B023

                async with penstock.create_task_group() as tg:
                    tg.start_soon(receive)
                    for turn in range(turns):
                        if turn == arrival:
                            peer.sendmsg([b"m"], rights(0, 1))
                        await checkpoint()
                    tg.cancel_scope.cancel()
                if arrival == turns:
                    peer.sendmsg([b"m"], rights(0, 1))
                if not results:
                    await receive()
                assert [(message, len(got)) for message, got in results] == [(b"m", 2)]
                close(*results[0][1])


@both_kinds
async def test_nothing_happens_in_a_cancelled_scope(kind: Any) -> None:
    async with connected(kind) as (stream, peer):
        peer.sendmsg([b"there"], rights(0))
        for operation in (
            lambda: stream.receive_fds(10, 1),
            lambda: stream.receive_fds(0, 1),
            lambda: stream.send_fds(b"x", [0]),
        ):
            with penstock.CancelScope() as scope:
                scope.cancel()
                await operation()
            assert scope.cancelled_caught
        assert drain(peer) == b""
        message, got = await stream.receive_fds(10, 1)
        assert (message, len(got)) == (b"there", 1)
        close(*got)


# -- closing, and two tasks in one direction -----------------------------------------------


@both_kinds
async def test_closing_wakes_who_waits(kind: Any) -> None:
    outcomes: list[str] = []

    async def wait(name: str, operation: Any) -> None:
        with pytest.raises(ClosedResourceError):
            await operation()
        outcomes.append(name)

    async with connected(kind) as (stream, _):
        while not await cut_short(stream, bytes(1000)):
            pass
        async with penstock.create_task_group() as tg:
            tg.start_soon(wait, "receive", lambda: stream.receive_fds(1, 1))
            tg.start_soon(wait, "send", lambda: stream.send_fds(bytes(1000), [0]))
            await penstock.wait_all_tasks_blocked()
            with pytest.raises(BusyResourceError, match="already reading from"):
                await stream.receive_fds(1, 1)
            with pytest.raises(BusyResourceError, match="already writing to"):
                await stream.send_fds(b"x", [0])
            await stream.aclose()
            await checkpoint()
            await checkpoint()
            assert sorted(outcomes) == ["receive", "send"]
        with pytest.raises(ClosedResourceError):
            await stream.receive_fds(1, 1)
        with pytest.raises(ClosedResourceError):
            await stream.send_fds(b"x", [0])


async def test_sending_after_the_end_was_sent_is_an_error() -> None:
    async with connected() as (stream, peer):
        await stream.send_eof()
        with pytest.raises(ClosedResourceError):
            await stream.send_fds(b"x", [0])
        assert peer.recv(1) == b""


async def test_a_stream_refuses_another_thread() -> None:
    errors: list[str] = []

    async def use() -> None:
        for operation in (
            lambda: stream.receive_fds(1, 1),
            lambda: stream.send_fds(b"x", [0]),
        ):
            try:
                await operation()
            except RuntimeError as exc:
                errors.append(str(exc))

    async with connected() as (stream, peer):
        peer.sendmsg([b"x"], rights(0))
        thread = threading.Thread(target=penstock.run, args=(use,))
        thread.start()
        await until(lambda: not thread.is_alive())
        assert len(errors) == 2
        assert "belongs to an" in errors[0]
        message, got = await stream.receive_fds(1, 1)
        assert message == b"x"
        close(*got)
        assert drain(peer) == b""


@both_kinds
async def test_every_operation_yields_where_the_budget_says_so(kind: Any) -> None:
    set_ready_budget(1)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    async with two_streams(kind) as (one, other):
        async with penstock.create_task_group() as tg:
            tg.start_soon(count)
            for _ in range(20):
                await one.send_fds(b"x", [0])
                _, got = await other.receive_fds(1, 1)
                close(*got)
            tg.cancel_scope.cancel()
    assert turns >= 20


async def test_a_thousand_messages_with_descriptors_leave_nothing() -> None:
    async with two_streams() as (one, other):
        with pipes() as (pipe,):
            before = open_descriptors()

            async def send() -> None:
                for number in range(1000):
                    await one.send_fds(b"%04d" % number, [pipe] * (number % 5 + 1))

            async with penstock.create_task_group() as tg:
                tg.start_soon(send)
                for number in range(1000):
                    message, got = await other.receive_fds(4, 5)
                    assert (message, len(got)) == (b"%04d" % number, number % 5 + 1)
                    close(*got)
            assert open_descriptors() == before
