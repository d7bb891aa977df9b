"""Sending and receiving while the system has no memory left."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datagram_peers import KINDS, datagram_pair
from socket_peers import connected as connected_by_tcp
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed
from unix_peers import connected as connected_by_unix

import penstock
from penstock import BrokenResourceError

SEND = "send sendto sendmsg"
RECEIVE = "recv recvfrom recvmsg recvmmsg"
LACKS = [errno.ENOBUFS, errno.ENOMEM]

each_lack = pytest.mark.parametrize("number", LACKS)
each_stream = pytest.mark.parametrize("connected", [connected_by_tcp, connected_by_unix])
each_kind = pytest.mark.parametrize("kind", KINDS)


def errno_of(exc: BaseException) -> Any:
    assert isinstance(exc.__cause__, OSError)
    return exc.__cause__.errno


@each_lack
@each_stream
@pytest.mark.parametrize("method", ["send", "send_many"])
async def test_a_stream_that_cannot_send_is_broken_and_has_sent_nothing(
    connected: Any, method: str, number: int, fail_calls: Callable[..., None]
) -> None:
    async with connected() as (stream, peer):
        fail_calls(SEND, number, 1)
        with pytest.raises(BrokenResourceError) as caught:
            await getattr(stream, method)(b"abc" if method == "send" else [b"a", b"bc"])
        assert errno_of(caught.value) == number
        fail_calls(SEND, 0, 0)
        await stream.aclose()
        assert peer.recv(100) == b""


@each_lack
@each_stream
async def test_a_stream_that_cannot_receive_is_broken(
    connected: Any, number: int, fail_calls: Callable[..., None]
) -> None:
    async with connected() as (stream, peer):
        peer.sendall(b"abc")
        fail_calls(RECEIVE, number, 1)
        with pytest.raises(BrokenResourceError) as caught:
            await stream.receive()
        assert errno_of(caught.value) == number


@each_lack
@each_kind
async def test_a_datagram_that_cannot_be_sent_is_told_of_and_the_socket_goes_on(
    kind: str, number: int, fail_calls: Callable[..., None], tmp_path: Path
) -> None:
    async with datagram_pair(kind, tmp_path) as pair:
        fail_calls(SEND, number, 1)
        with pytest.raises(BrokenResourceError) as caught:
            await pair.send(b"lost")
        assert errno_of(caught.value) == number
        fail_calls(SEND, 0, 0)
        await pair.send(b"sent")
        assert pair.peer.recv(100) == b"sent"


@each_lack
@each_kind
async def test_a_datagram_that_cannot_be_received_is_not_lost(
    kind: str, number: int, fail_calls: Callable[..., None], tmp_path: Path
) -> None:
    async with datagram_pair(kind, tmp_path) as pair:
        pair.arrive(b"abc")
        fail_calls(RECEIVE, number, 1)
        with pytest.raises(BrokenResourceError) as caught:
            await pair.sock.receive()
        assert errno_of(caught.value) == number
        fail_calls(RECEIVE, 0, 0)
        assert await pair.sock.receive() == pair.item(b"abc")


@each_lack
async def test_descriptors_that_cannot_be_sent_break_the_stream_and_stay_open(
    number: int, fail_calls: Callable[..., None]
) -> None:
    async with connected_by_unix() as (stream, peer):
        fail_calls("sendmsg", number, 1)
        with pytest.raises(BrokenResourceError) as caught:
            await stream.send_fds(b"abc", [peer])
        assert errno_of(caught.value) == number
        assert peer.fileno() >= 0


@each_lack
async def test_a_low_level_socket_raises_what_the_system_says_and_goes_on(
    number: int, fail_calls: Callable[..., None]
) -> None:
    first, second = penstock.socket.socketpair()
    with first, second:
        fail_calls(SEND, number, 1)
        with pytest.raises(OSError, match=os.strerror(number)) as caught:
            await first.sendall(b"lost")
        assert caught.value.errno == number
        await first.sendall(b"sent")
        fail_calls(RECEIVE, number, 1)
        with pytest.raises(OSError, match=os.strerror(number)) as caught:
            await second.recv(100)
        assert caught.value.errno == number
        assert await second.recv(100) == b"sent"
