"""Accepting while the system has nothing left for one more connection, or loses one."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable

import pytest
from socket_peers import HOST, listening
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock

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
