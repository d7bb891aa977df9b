"""What sockets and listeners do again and again: see ``repeating.py``."""

from __future__ import annotations

import socket
import struct
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import tls_peers
import unix_peers
from datagram_peers import datagram_pair
from repeating import Repeat, cancelled, operation, swallow
from socket_peers import HOST, listening, port_of, reset

import penstock
from penstock import create_task_group, wait_all_tasks_blocked
from penstock.abc import SocketStream
from penstock.streams.buffered import BufferedByteStream


@operation("tcp: send, send_many, receive, receive_into")
async def tcp() -> AsyncIterator[Repeat]:
    near, far = await tls_peers.tcp()
    memory = bytearray(10)

    async def repeat() -> None:
        await near.send(b"abc")
        assert await far.receive() == b"abc"
        await far.send_many([b"ab", b"cd"])
        assert await near.receive_into(memory) == 4

    async with near, far:
        yield repeat


@operation("tcp: more than the system takes at once")
async def tcp_large() -> AsyncIterator[Repeat]:
    near, far = await tls_peers.tcp()
    data = bytes(1 << 20)
    buffered = BufferedByteStream(far)

    async def repeat() -> None:
        async with create_task_group() as tg:
            tg.start_soon(near.send, data)
            assert await buffered.receive_exactly(len(data)) == data

    async with near, buffered:
        yield repeat


@operation("tcp: cancelled receive, busy, closed while it waits")
async def tcp_waits() -> AsyncIterator[Repeat]:
    near, far = await tls_peers.tcp()

    async def repeat() -> None:
        await cancelled(far.receive)
        async with create_task_group() as tg:
            tg.start_soon(far.receive)
            await wait_all_tasks_blocked()
            await swallow(penstock.BusyResourceError, far.receive)
            tg.cancel_scope.cancel()
        ours, peer = socket.socketpair()
        stream = await penstock.abc.UNIXSocketStream.from_socket(ours)
        async with create_task_group() as tg:
            tg.start_soon(swallow, penstock.ClosedResourceError, stream.receive)
            await wait_all_tasks_blocked()
            await stream.aclose()
        await swallow(penstock.ClosedResourceError, stream.send, b"abc")
        peer.close()

    async with near, far:
        yield repeat


async def connect(port: int) -> SocketStream:
    """Connect so that closing leaves no port behind: the system holds others for a minute."""
    stream = await penstock.connect_tcp(HOST, port)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return stream


@operation("tcp: connect, accept, end of stream")
async def tcp_connect() -> AsyncIterator[Repeat]:
    async with listening() as (listener, port):

        async def repeat() -> None:
            async with await connect(port) as near:
                async with await listener.accept() as far:
                    await near.send_eof()
                    await swallow(penstock.EndOfStream, far.receive)
                    await near.aclose()

        yield repeat


@operation("tcp: reset by the peer")
async def tcp_reset() -> AsyncIterator[Repeat]:
    async with listening() as (listener, port):

        async def repeat() -> None:
            peer = socket.create_connection((HOST, port))
            async with await listener.accept() as stream:
                reset(peer)
                await swallow(penstock.BrokenResourceError, stream.receive)
                await swallow(penstock.BrokenResourceError, stream.send, b"abc")

        yield repeat


@operation("tcp: connection refused")
async def tcp_refused() -> AsyncIterator[Repeat]:
    with socket.socket() as bound:  # and not listening
        bound.bind((HOST, 0))
        yield lambda: swallow(OSError, penstock.connect_tcp, *bound.getsockname())


@operation("tcp: cancelled accept")
async def tcp_cancelled_accept() -> AsyncIterator[Repeat]:
    async with listening() as (listener, _):
        yield lambda: cancelled(listener.accept)


@operation("tcp: make a listener, serve one, drain")
async def tcp_serve() -> AsyncIterator[Repeat]:
    async def handle(stream: Any) -> None:
        async with stream:
            await stream.send(await stream.receive())

    async def repeat() -> None:
        async with await penstock.create_tcp_listener(local_host=HOST) as listener:
            async with create_task_group() as tg:
                tg.start_soon(listener.serve, handle, tg)
                async with await connect(port_of(listener)) as stream:
                    await stream.send(b"abc")
                    assert await stream.receive() == b"abc"
                assert await listener.drain(penstock.current_time() + 30) == 0
                tg.cancel_scope.cancel()

    yield repeat


@operation("unix: descriptors")
async def unix_descriptors() -> AsyncIterator[Repeat]:
    async with unix_peers.two_streams() as (near, far):
        with tempfile.TemporaryFile() as file:

            async def repeat() -> None:
                await near.send_fds(b"abc", [file, file.fileno()])
                data, descriptors = await far.receive_fds(10, 2)
                assert data == b"abc"
                unix_peers.close(*descriptors)

            yield repeat


@operation("unix: listen, connect, accept")
async def unix_connect() -> AsyncIterator[Repeat]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "socket")

        async def repeat() -> None:
            async with await penstock.create_unix_listener(path) as listener:
                async with await penstock.connect_unix(path):
                    async with await listener.accept():
                        pass
            await swallow(OSError, penstock.connect_unix, path)

        yield repeat


@operation("udp: send, receive, a datagram too large")
async def udp() -> AsyncIterator[Repeat]:
    with tempfile.TemporaryDirectory() as directory:
        async with datagram_pair("udp", Path(directory)) as pair:

            async def repeat() -> None:
                await pair.send(b"abc")
                assert pair.peer.recv(10) == b"abc"
                pair.arrive(b"one", b"two", b"three")
                received = [await pair.sock.receive()]
                while len(received) < 3:
                    received += await pair.sock.receive_many(2)
                await swallow(penstock.BrokenResourceError, pair.send, bytes(70_000))
                await cancelled(pair.sock.receive)

            yield repeat


@operation("unix datagrams: make, send, receive")
async def unix_datagrams() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with datagram_pair("connected unix", Path(directory)) as pair:
                await pair.send(b"abc")
                pair.arrive(b"def")
                assert await pair.sock.receive() == b"def"

    yield repeat


@operation("low-level sockets: sendall, recv, recvmsg, a failing connect")
async def low_level() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        first, second = penstock.socket.socketpair()
        with first, second:
            await first.sendall(b"abcdef")
            assert await second.recv(3) == b"abc"
            assert (await second.recvmsg(10))[0] == b"def"
            await cancelled(second.recv, 1)
        with penstock.socket.socket() as sock, socket.socket() as bound:
            bound.bind((HOST, 0))
            await swallow(OSError, sock.connect, bound.getsockname())

    yield repeat


@operation("descriptors: wait_readable, cancelled")
async def descriptors() -> AsyncIterator[Repeat]:
    ours, peer = socket.socketpair()

    async def repeat() -> None:
        await penstock.wait_writable(ours)
        await cancelled(penstock.wait_readable, ours)
        peer.send(b"a")
        await penstock.wait_readable(ours)
        assert ours.recv(10) == b"a"

    with ours, peer:
        yield repeat
