"""What AnyIO 4.16 and Trio do wrong with sockets, where no other module here shows it right.

Most of it stands where its subject does; here is what runs across several kinds of sockets.
"""

from __future__ import annotations

import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import unix_peers
from raised import public_type
from socket_peers import (
    HOST,
    accepted,
    connected,
    drain,
    fill,
    listening,
    no_free_descriptor,
    open_descriptors,
    raw_socket_of,
    receive_all,
    reset,
    until,
)
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import BrokenResourceError, EndOfStream
from penstock.abc import SocketStream, UNIXSocketStream
from penstock.lowlevel import checkpoint
from penstock.streams.buffered import BufferedByteReceiveStream

MIB = 1 << 20


@asynccontextmanager
async def adopted(pair: tuple[socket.socket, socket.socket], cls: Any) -> AsyncIterator[Any]:
    sock, peer = pair
    with peer:
        async with await cls.from_socket(sock) as stream:
            yield stream, peer


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server((HOST, 0)) as server:
        sock = socket.create_connection(server.getsockname())
        return sock, server.accept()[0]


#: Every way in which a program gets a stream of a socket.
STREAMS: dict[str, Callable[[], AbstractAsyncContextManager[tuple[Any, Any]]]] = {
    "connect_tcp": connected,
    "accepted by TCP": accepted,
    "connect_unix": unix_peers.connected,
    "accepted by UNIX": unix_peers.accepted,
    "SocketStream.from_socket": lambda: adopted(tcp_pair(), SocketStream),
    "UNIXSocketStream.from_socket": lambda: adopted(socket.socketpair(), UNIXSocketStream),
}
every_stream = pytest.mark.parametrize("streams", STREAMS.values(), ids=STREAMS)


# -- nothing is read ahead, and nothing is put aside ---------------------------------------


@every_stream
@pytest.mark.parametrize("cancelled", [False, True], ids=["never received", "cancelled receive"])
async def test_nothing_is_read_that_nobody_receives(streams: Any, cancelled: bool) -> None:
    async with streams() as (stream, peer):
        if cancelled:
            async with penstock.create_task_group() as tg:
                tg.start_soon(stream.receive)
                await penstock.wait_all_tasks_blocked()
                tg.cancel_scope.cancel()
        peer.setblocking(False)
        taken = 0
        for _ in range(50):
            with suppress(BlockingIOError):
                while taken < 64 * MIB:
                    taken += peer.send(bytes(MIB))
            await checkpoint()
        assert taken < 32 * MIB  # what two kernel buffers hold


@every_stream
async def test_cancelled_sends_put_nothing_aside(streams: Any) -> None:
    async with streams() as (stream, peer):
        sent = await fill(stream)
        block = bytes(MIB)
        tracemalloc.start()
        try:
            for _ in range(50):
                async with penstock.create_task_group() as tg:
                    tg.start_soon(stream.send, block)
                    await penstock.wait_all_tasks_blocked()
                    tg.cancel_scope.cancel()
                assert stream.partial_send == 0
            assert tracemalloc.get_traced_memory()[0] < MIB
        finally:
            tracemalloc.stop()
        assert len(drain(peer)) == sent


# -- errors of the other side, at every stage ----------------------------------------------


#: What may wait for the other side, each forever if it does nothing.
OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "receive": lambda stream: stream.receive(),
    "receive_into": lambda stream: stream.receive_into(bytearray(10)),
    "receive_exactly": lambda stream: BufferedByteReceiveStream(stream).receive_exactly(10),
    "send": lambda stream: stream.send(bytes(64 * MIB)),
    "send_many": lambda stream: stream.send_many([bytes(MIB)] * 64),
}
every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
tcp_streams = pytest.mark.parametrize(
    "streams",
    [STREAMS["connect_tcp"], STREAMS["accepted by TCP"], STREAMS["SocketStream.from_socket"]],
    ids=["connect_tcp", "accepted", "from_socket"],
)


@tcp_streams
@every_operation
@pytest.mark.parametrize("before", [True, False], ids=["before", "meanwhile"])
async def test_a_reset_at_any_stage_is_a_broken_stream(
    streams: Any, operation: Any, before: bool
) -> None:
    raised: list[BaseException] = []

    async def operate() -> None:
        try:
            await operation(stream)
        except Exception as exc:
            raised.append(exc)

    async with streams() as (stream, peer), penstock.create_task_group() as tg:
        if before:
            reset(peer)
        tg.start_soon(operate)
        if not before:
            await penstock.wait_all_tasks_blocked()
            reset(peer)
        await until(lambda: raised)
        assert [public_type(exc) for exc in raised] == [BrokenResourceError]
        assert isinstance(raised[0].__cause__, OSError)
        raised.clear()


@every_stream
@every_operation
async def test_a_silent_peer_costs_no_more_than_the_time_one_gives_it(
    streams: Any, operation: Any
) -> None:
    async with streams() as (stream, _):
        with penstock.move_on_after(0.02) as scope:
            await operation(stream)
        assert scope.cancelled_caught


@every_stream
async def test_an_end_in_the_middle_of_a_message_keeps_what_has_come(streams: Any) -> None:
    async with streams() as (stream, peer):
        peer.sendall(b"half")
        peer.shutdown(socket.SHUT_WR)
        buffered = BufferedByteReceiveStream(stream)
        with pytest.raises(penstock.IncompleteRead):
            await buffered.receive_exactly(10)
        assert buffered.buffer == b"half"
        assert await buffered.receive() == b"half"
        with pytest.raises(EndOfStream):
            await stream.receive()
        await stream.send(b"answer")
        assert receive_all(peer, 6) == b"answer"


# -- no descriptor is free -----------------------------------------------------------------

MAKERS: dict[str, Callable[[Path], Any]] = {
    "connect_tcp": lambda path: penstock.connect_tcp(HOST, 9),
    "connect_unix": penstock.connect_unix,
    "create_tcp_listener": lambda path: penstock.create_tcp_listener(local_host=HOST),
    "create_unix_listener": penstock.create_unix_listener,
    "create_udp_socket": lambda path: penstock.create_udp_socket(local_host=HOST),
    "create_connected_udp_socket": lambda path: penstock.create_connected_udp_socket(HOST, 9),
    "create_unix_datagram_socket": lambda path: penstock.create_unix_datagram_socket(
        local_path=path
    ),
    "create_connected_unix_datagram_socket": lambda path: (
        penstock.create_connected_unix_datagram_socket(path, local_path=f"{path}-local")
    ),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
async def test_without_a_free_descriptor_no_socket_is_made_and_nothing_is_left(
    make: Any, tmp_path: Path
) -> None:
    async with listening():  # the poller is there
        before = open_descriptors()
        with no_free_descriptor(), pytest.raises(OSError, match=r"Too many|All connection"):
            await make(tmp_path / "socket")
        assert open_descriptors() == before
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_serving_goes_on_after_a_lack_of_descriptors(kind: str, tmp_path: Path) -> None:
    async def handler(stream: Any) -> None:
        async with stream:
            await stream.send(b"served")

    family = socket.AF_INET if kind == "tcp" else socket.AF_UNIX
    with ExitStack() as stack:
        peers = [stack.enter_context(socket.socket(family)) for _ in range(3)]
        listener: Any = await (
            penstock.create_tcp_listener(local_host=HOST)
            if kind == "tcp"
            else penstock.create_unix_listener(tmp_path / "socket")
        )
        async with listener, penstock.create_task_group() as tg:
            tg.start_soon(listener.serve, handler)
            await penstock.wait_all_tasks_blocked()
            with no_free_descriptor():
                for peer in peers:
                    peer.settimeout(30)
                    peer.connect(raw_socket_of(listener).getsockname())
                await penstock.sleep(0.02)
            for peer in peers:
                answer = await penstock.to_thread.run_sync(receive_all, peer, 6)
                assert answer == b"served"
            tg.cancel_scope.cancel()
