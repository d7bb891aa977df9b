"""Transfers while one call in so many fails: whole, or ended by a documented error.

Errors that pass (EINTR, EAGAIN, and EMFILE and its like of accepting) are not to be noticed at all.
Of those that stay a program is told, and what was received before is a beginning of what was sent.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import tls_peers
from socket_peers import HOST, port_of
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock.streams.framed import FramedStream, LengthPrefixed
from penstock.streams.tls import TLSListener, TLSStream

ONE_IN = 12
CLIENTS = 4
SIZE = 200_000
ROUNDS = 40
SECONDS = 20

Connect = Callable[[], Awaitable[Any]]
Client = Callable[[Any, random.Random], Awaitable[None]]
#: What a transfer may end with, if errors stay.
ENDS = (penstock.BrokenResourceError, penstock.EndOfStream, penstock.IncompleteRead)

each_kind = pytest.mark.parametrize("kind", ["tcp", "unix", "tls", "frames", "descriptors"])
each_outlook = pytest.mark.parametrize("staying", [False, True], ids=["passing", "staying"])


@asynccontextmanager
async def listening(kind: str) -> AsyncIterator[tuple[Any, Connect]]:
    """Listen; yield the listener, and what connects to it."""
    if kind in ("unix", "descriptors"):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "socket")
            async with await penstock.create_unix_listener(path) as listener:
                yield listener, lambda: penstock.connect_unix(path)
        return
    async with await penstock.create_tcp_listener(local_host=HOST) as listener:
        port = port_of(listener)
        if kind == "tls":
            client_context = tls_peers.client_context()

            async def connect() -> TLSStream:
                return await penstock.connect_tcp(
                    HOST, port, tls_hostname="localhost", ssl_context=client_context
                )

            yield TLSListener(listener, tls_peers.server_context()), connect
        else:
            yield listener, lambda: penstock.connect_tcp(HOST, port)


async def echo(stream: Any) -> None:
    async with stream:
        async for data in stream:
            await stream.send(data)


async def echo_descriptors(stream: Any) -> None:
    async with stream:
        while True:
            data, fds = await stream.receive_fds(100, 1)
            try:
                await stream.send_fds(data, fds)
            finally:
                for fd in fds:
                    os.close(fd)


async def exchange_bytes(stream: Any, choice: random.Random) -> None:
    data = choice.randbytes(SIZE)
    received = bytearray()

    async def send() -> None:
        at = 0
        while at < SIZE:
            size = choice.choice((1, 100, 5_000, 70_000))
            await stream.send(data[at : at + size])
            at += size

    try:
        async with penstock.create_task_group() as tg:
            tg.start_soon(send)
            while len(received) < SIZE:
                received += await stream.receive()
    finally:
        assert data.startswith(received)


async def exchange_frames(stream: Any, choice: random.Random) -> None:
    frames = FramedStream(stream, LengthPrefixed())
    items = [b"%d " % n * choice.choice((1, 10, 1_000)) for n in range(ROUNDS)]
    received: list[bytes] = []

    async def send() -> None:
        await frames.send_many(items[: ROUNDS // 2])
        for item in items[ROUNDS // 2 :]:
            await frames.send(item)

    try:
        async with penstock.create_task_group() as tg:
            tg.start_soon(send)
            while len(received) < ROUNDS:
                received += await frames.receive_many(5)
    finally:
        assert received == items[: len(received)]


async def exchange_descriptors(stream: Any, choice: random.Random) -> None:
    for n in range(ROUNDS):
        with tempfile.TemporaryFile() as file:
            message = b"%d" % n
            await stream.send_fds(message, [file])
            data, fds = await stream.receive_fds(100, 1)
            assert data == message
            (fd,) = fds
            assert os.path.sameopenfile(fd, file.fileno())
            os.close(fd)


EXCHANGES: dict[str, Client] = {"frames": exchange_frames, "descriptors": exchange_descriptors}


@each_outlook
@each_kind
async def test_transfer_is_whole_or_ends_with_a_documented_error(
    kind: str,
    staying: bool,
    seed: int,
    fail_by_chance: Callable[[int, int, bool], None],
    calls_failed: Callable[[str], int],
) -> None:
    exchange = EXCHANGES.get(kind, exchange_bytes)
    ended: list[bool] = []

    async def client(number: int) -> None:
        try:
            try:
                stream = await connect()
            except OSError:
                assert staying
                ended.append(False)
                return
            async with stream:
                await exchange(stream, random.Random(seed * CLIENTS + number))
        except* ENDS:
            assert staying
            ended.append(False)
        else:
            ended.append(True)

    with penstock.fail_after(SECONDS):
        async with listening(kind) as (listener, connect), penstock.create_task_group() as tg:
            fail_by_chance(ONE_IN, seed, staying)
            tg.start_soon(listener.serve, echo_descriptors if kind == "descriptors" else echo)
            async with penstock.create_task_group() as clients:
                for number in range(CLIENTS):
                    clients.start_soon(client, number)
            assert len(ended) == CLIENTS
            if not staying:
                assert all(ended)
                assert calls_failed("recv recvmsg send sendmsg") > 0
            fail_by_chance(0, 0, False)
            async with await connect() as stream:  # and the listener goes on
                await exchange(stream, random.Random(seed))
            tg.cancel_scope.cancel()


@each_outlook
async def test_datagrams_come_once_each_and_in_order(
    staying: bool,
    seed: int,
    fail_by_chance: Callable[[int, int, bool], None],
    calls_failed: Callable[[str], int],
) -> None:
    async def make(func: Callable[..., Awaitable[Any]], *args: Any, **keywords: Any) -> Any:
        while True:
            try:
                return await func(*args, **keywords)
            except OSError:
                assert staying

    async def insist(func: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Call until no error comes: what has failed has had no effect."""
        while True:
            try:
                return await func(*args)
            except penstock.BrokenResourceError:
                assert staying

    fail_by_chance(ONE_IN, seed, staying)
    with penstock.fail_after(SECONDS):
        async with await make(penstock.create_udp_socket, local_host=HOST) as receiver:
            port = port_of(receiver)
            async with await make(penstock.create_connected_udp_socket, HOST, port) as sender:
                for n in range(ROUNDS * 5):
                    await insist(sender.send, b"%d" % n)
                    data, _ = await insist(receiver.receive)
                    assert data == b"%d" % n
    assert calls_failed("recv recvfrom recvmsg recvmmsg send sendto sendmsg") > 0
