"""The options and the statistics of a stream."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
from socket_peers import connected, either, fill, receive_all, until
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import ClosedResourceError
from penstock.abc import SocketStatistics

NODELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY)
LINGER = (socket.SOL_SOCKET, socket.SO_LINGER)


@pytest.mark.parametrize("kind", ["connected", "accepted"])
async def test_options_are_those_of_the_socket(kind: str) -> None:
    async with either(kind) as (stream, _):
        assert stream.getsockopt(*NODELAY) == 1
        stream.setsockopt(*NODELAY, 0)
        assert stream.getsockopt(*NODELAY) == 0
        stream.setsockopt(*NODELAY, struct.pack("i", 1))
        assert stream.getsockopt(*NODELAY, 4) == struct.pack("i", 1)
        stream.setsockopt(*LINGER, struct.pack("ii", 1, 7))
        assert stream.getsockopt(*LINGER, 8) == struct.pack("ii", 1, 7)


async def test_an_option_without_a_value_takes_a_length() -> None:
    async with connected() as (stream, _):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, None, 0)


async def test_what_the_system_refuses_is_an_os_error_and_the_stream_goes_on() -> None:
    async with connected() as (stream, peer):
        with pytest.raises(OSError, match="not available"):
            stream.setsockopt(socket.IPPROTO_TCP, 12345, 1)
        with pytest.raises(OSError, match="not available"):
            stream.getsockopt(socket.IPPROTO_TCP, 12345)
        with pytest.raises(TypeError):
            stream.setsockopt(*NODELAY, "1")
        peer.sendall(b"x")
        assert await stream.receive() == b"x"


async def test_after_closing_there_are_no_options() -> None:
    async with connected() as (stream, _):
        await stream.aclose()
        with pytest.raises(ClosedResourceError):
            stream.getsockopt(*NODELAY)
        with pytest.raises(ClosedResourceError):
            stream.setsockopt(*NODELAY, 1)
        with pytest.raises(ClosedResourceError):
            stream.statistics()


# -- statistics ----------------------------------------------------------------------------


async def test_statistics_of_an_idle_stream() -> None:
    async with connected() as (stream, _):
        assert stream.statistics() == SocketStatistics(0, 0, 0, 0)


async def test_statistics_count_what_has_come_and_was_not_received() -> None:
    async with connected() as (stream, peer):
        peer.sendall(b"hello")
        await until(lambda: stream.statistics().receive_buffer_used == 5)
        await stream.receive(2)
        assert stream.statistics().receive_buffer_used == 3
        await stream.receive()
        assert stream.statistics().receive_buffer_used == 0


async def test_statistics_count_what_was_sent_and_not_acknowledged() -> None:
    async with connected() as (stream, peer):
        total = await fill(stream)
        used: Any = stream.statistics().send_buffer_used
        assert 0 < used <= total
        receive_all(peer, total)
        await until(lambda: stream.statistics().send_buffer_used == 0)


async def test_statistics_say_who_waits() -> None:
    async with connected() as (stream, _):
        async with penstock.create_task_group() as tg:
            tg.start_soon(stream.receive)
            await penstock.wait_all_tasks_blocked()
            waiting = stream.statistics()
            assert (waiting.tasks_waiting_receive, waiting.tasks_waiting_send) == (1, 0)
            tg.start_soon(stream.send, bytes(1 << 25))
            await penstock.wait_all_tasks_blocked()
            waiting = stream.statistics()
            assert (waiting.tasks_waiting_receive, waiting.tasks_waiting_send) == (1, 1)
            tg.cancel_scope.cancel()
        waiting = stream.statistics()
        assert (waiting.tasks_waiting_receive, waiting.tasks_waiting_send) == (0, 0)


async def test_nobody_waits_to_send_after_the_end() -> None:
    async with connected() as (stream, _):
        await stream.send_eof()
        assert stream.statistics().tasks_waiting_send == 0


async def test_statistics_of_a_unix_socket() -> None:
    left, right = socket.socketpair()
    with right:
        async with await penstock.abc.SocketStream.from_socket(left) as stream:
            right.sendall(b"hello")
            assert stream.statistics().receive_buffer_used == 5
