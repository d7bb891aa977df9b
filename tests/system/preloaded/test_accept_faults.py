"""Accepting while the system has nothing left for one more connection, or loses one."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable

import pytest
from socket_peers import HOST, listening, open_descriptors, until
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock.abc import SocketStream

ACCEPT = "accept accept4"


@pytest.mark.parametrize("number", [errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_accept_survives_an_exhausted_system(
    number: int, fail_calls: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)) as peer:
            peer.sendall(b"served")
            fail_calls(ACCEPT, number, 3)
            async with await listener.accept() as stream:
                assert await stream.receive() == b"served"
        assert listener.statistics().accept_failures == 3
    records = [r for r in caplog.records if r.name == "penstock.listener"]
    assert [record.levelno for record in records] == [logging.ERROR]


@pytest.mark.parametrize(
    "number", [errno.EPROTO, errno.ECONNABORTED, errno.EPERM, errno.ENETDOWN, errno.ETIMEDOUT]
)
async def test_a_connection_lost_before_it_was_accepted_is_passed_over(
    number: int, fail_calls: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)) as peer:
            peer.sendall(b"served")
            fail_calls(ACCEPT, number, 100)
            async with await listener.accept() as stream:
                assert await stream.receive() == b"served"
    assert caplog.records == []


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBADF, errno.ENOTSOCK])
async def test_any_other_error_breaks_the_listener(
    number: int, fail_calls: Callable[..., None]
) -> None:
    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)):
            fail_calls(ACCEPT, number, 1)
            with pytest.raises(penstock.BrokenResourceError) as caught:
                await listener.accept()
            assert isinstance(caught.value.__cause__, OSError)
            assert caught.value.__cause__.errno == number


async def test_a_long_lack_of_descriptors_in_the_whole_system_turns_connections_away(
    fail_calls: Callable[..., None],
) -> None:
    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)) as peer:
            # Eight tries, 1.3 s of pauses, and one at which the reserve is given up: the next call
            # is another one's where a twin uses accept() alone.
            fail_calls(ACCEPT, errno.ENFILE, 8)
            with penstock.move_on_after(2):
                await listener.accept()
            assert peer.recv(1) == b""
        assert listener.statistics().turned_away == 1


async def test_serving_goes_on_after_whatever_accept_says(
    fail_calls: Callable[..., None], calls_failed: Callable[[str], int]
) -> None:
    served = []

    async def handler(stream: SocketStream) -> None:
        async with stream:
            served.append(await stream.receive())

    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(lambda: listener.serve(handler, max_connections=2))
        for number in (errno.ENOMEM, errno.EPROTO, errno.ENOBUFS, errno.ECONNABORTED):
            fail_calls(ACCEPT, number, 1)
            with socket.create_connection((HOST, port)) as peer:
                peer.sendall(errno.errorcode[number].encode())
                await until(lambda: served)
                assert served.pop() == errno.errorcode[number].encode()
            assert calls_failed(ACCEPT) == 1
        tg.cancel_scope.cancel()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOMEM])
async def test_a_connection_that_cannot_be_watched_is_closed_and_the_next_one_served(
    number: int, fail_calls: Callable[..., None]
) -> None:
    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)) as lost:
            with socket.create_connection((HOST, port)) as peer:
                peer.sendall(b"served")
                fail_calls("epoll_ctl", number, 1)
                async with await listener.accept() as stream:
                    assert await stream.receive() == b"served"
                assert lost.recv(1) == b""


@pytest.mark.parametrize("call", ["socket", "bind", "listen", "epoll_ctl"])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_a_listener_that_cannot_be_made_is_an_os_error_and_leaves_nothing(
    call: str, number: int, fail_calls: Callable[..., None]
) -> None:
    async with listening():  # the poller is there
        before = open_descriptors()
        fail_calls(call, number, 1)
        with pytest.raises(OSError, match=r"127\.0\.0\.1:0") as caught:
            await penstock.create_tcp_listener(local_host=HOST)
        assert caught.value.errno == number
        assert open_descriptors() == before
