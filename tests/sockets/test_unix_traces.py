"""What failed UNIX operations leave behind: no reference cycle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed
from test_tcp_traces import failure_of, no_cycle
from unix_peers import SEQPACKET, both_kinds, connected, rights
from unix_peers import path as path

import penstock
from penstock import BrokenResourceError


async def test_a_failed_connect_leaves_no_cycle(path: Path) -> None:
    with no_cycle():
        assert await failure_of(penstock.connect_unix, path) is FileNotFoundError
        assert await failure_of(penstock.connect_unix, "x" * 200) is OSError


async def test_a_failed_listener_leaves_no_cycle(path: Path) -> None:
    async with await penstock.create_unix_listener(path):
        with no_cycle():
            assert await failure_of(penstock.create_unix_listener, path) is OSError


@both_kinds
@pytest.mark.parametrize("operation", ["receive", "send", "receive_fds", "send_fds"])
async def test_a_broken_stream_leaves_no_cycle(kind: Any, operation: str) -> None:
    args: dict[str, tuple[Any, ...]] = {
        "receive": (),
        "send": (b"x",),
        "receive_fds": (0, 1),
        "send_fds": (b"x", [0]),
    }
    with no_cycle():
        async with connected(kind) as (stream, peer):
            await stream.send(b"unread")
            peer.close()
            for _ in range(2):
                failure = await failure_of(getattr(stream, operation), *args[operation])
                assert failure is BrokenResourceError
        del stream, peer


async def test_what_is_too_long_leaves_no_cycle() -> None:
    with no_cycle():
        async with connected(SEQPACKET) as (stream, peer):
            assert await failure_of(stream.send, bytes(1 << 20)) is BrokenResourceError
            peer.sendmsg([b"long"], rights(0, 0))
            assert await failure_of(stream.receive_fds, 1, 1) is BrokenResourceError
        del stream, peer
