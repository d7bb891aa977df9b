"""A peer that goes, by a reset or an orderly end, at every stage of a stream's life.

Each kind of stream says the same of it: an orderly end is ``EndOfStream`` to who receives (over TLS
it is a cut, and broken), everything else a broken stream, and closing says nothing.
"""

from __future__ import annotations

import struct
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import pytest
import tls_peers
import unix_peers
from raised import public_type
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed
from socket_peers import raw_socket_of

import penstock
from penstock import BrokenResourceError, EndOfStream, fail_after
from penstock.lowlevel import checkpoint
from penstock.streams.tls import TLSStream

LARGE = bytes(1 << 26)
KINDS = ("tcp", "unix", "tls")
BROKEN = {BrokenResourceError}


class Connection:
    """A stream, and the transport of its peer."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    async def __aenter__(self) -> Connection:
        if self.kind == "unix":
            self.pair = unix_peers.two_streams()
            self.transport, self.far = await self.pair.__aenter__()
        else:
            self.transport, self.far = await tls_peers.tcp()
        self.stream: Any = self.transport
        if self.kind == "tls":
            self.stream, _ = await tls_peers.shake_hands(self.transport, self.far)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.transport.aclose()
        await self.far.aclose()
        if self.kind == "unix":
            await self.pair.__aexit__(None, None, None)

    async def lose(self, how: str) -> None:
        if how == "reset":
            linger = struct.pack("ii", 1, 0)
            raw_socket_of(self.far).setsockopt(SOL_SOCKET, SO_LINGER, linger)
            if self.kind == "unix":  # where leaving something unread resets
                await self.stream.send(b"unread")
        await self.far.aclose()


async def outcome_of(awaitable: Any) -> Any:
    try:
        await awaitable
    except Exception as exc:
        return public_type(exc)
    return None


async def send_until_it_fails(stream: Any) -> None:
    for _ in range(1_000):
        await stream.send(b"x")
        await checkpoint()


def told_to_who_receives(kind: str, how: str) -> set[Any]:
    return {EndOfStream} if how == "end" and kind != "tls" else BROKEN


WAITING = {
    "receive": (lambda stream: stream.receive(), told_to_who_receives),
    "receive_into": (lambda stream: stream.receive_into(bytearray(9)), told_to_who_receives),
    "send": (lambda stream: stream.send(LARGE), lambda kind, how: BROKEN),
    "send_many": (lambda stream: stream.send_many([LARGE, b"x"]), lambda kind, how: BROKEN),
}
AFTERWARDS = WAITING | {
    "sends": (send_until_it_fails, lambda kind, how: BROKEN),
    "send_eof": (lambda stream: stream.send_eof(), lambda kind, how: {None, BrokenResourceError}),
    "aclose": (lambda stream: stream.aclose(), lambda kind, how: {None}),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
either_way = pytest.mark.parametrize("how", ["reset", "end"])


@every_kind
@either_way
@pytest.mark.parametrize("stage", WAITING)
async def test_who_waits_is_told_that_the_peer_has_gone(kind: str, how: str, stage: str) -> None:
    operate, expected = WAITING[stage]
    outcomes = []

    async def wait() -> None:
        outcomes.append(await outcome_of(operate(connection.stream)))

    async with Connection(kind) as connection:
        if how == "reset" and kind == "unix":
            await connection.stream.send(b"unread")
        with fail_after(10):
            async with penstock.create_task_group() as tg:
                tg.start_soon(wait)
                await penstock.wait_all_tasks_blocked()
                assert outcomes == []
                if kind == "unix":
                    await connection.far.aclose()
                else:
                    await connection.lose(how)
            assert outcomes[0] in expected(kind, how)
            await connection.stream.aclose()


@every_kind
@either_way
@pytest.mark.parametrize("stage", AFTERWARDS)
async def test_who_comes_later_is_told_that_the_peer_has_gone(
    kind: str, how: str, stage: str
) -> None:
    operate, expected = AFTERWARDS[stage]
    async with Connection(kind) as connection:
        await connection.lose(how)
        with fail_after(10):
            assert await outcome_of(operate(connection.stream)) in expected(kind, how)
            await connection.stream.aclose()


@either_way
@pytest.mark.parametrize("hello", [False, True])
async def test_peer_that_goes_in_the_handshake_breaks_it(how: str, hello: bool) -> None:
    outcomes = []

    async def shake_hands() -> None:
        context = tls_peers.client_context()
        wrapping = TLSStream.wrap(connection.stream, hostname="localhost", ssl_context=context)
        outcomes.append(await outcome_of(wrapping))

    async with Connection("tcp") as connection:
        with fail_after(10):
            async with penstock.create_task_group() as tg:
                tg.start_soon(shake_hands)
                await penstock.wait_all_tasks_blocked()
                if hello:
                    await connection.far.receive()
                if how == "end":  # closing would reset, with the hello unread
                    await connection.far.send_eof()
                else:
                    await connection.lose(how)
        assert outcomes == [BrokenResourceError]
