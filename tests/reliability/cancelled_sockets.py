"""What is cancelled everywhere: sockets, their listeners, and TLS over them."""

from __future__ import annotations

import math
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import socket_peers
import unix_peers
from await_points import Case, Outcome, operation
from cancelled_memory import sent_of
from datagram_peers import datagram_pair
from socket_peers import HOST, drain, listening
from tls_peers import client_context, server_context

import penstock
from penstock import create_task_group, wait_all_tasks_blocked, wait_readable, wait_writable
from penstock.abc import SocketAttribute
from penstock.streams.tls import TLSListener

MESSAGE = b"a message"
#: More than the smallest buffers of two sockets hold.
LARGE = bytes(range(256)) * 200
Connected = Callable[[], Any]


def narrow_tcp() -> Any:
    return socket_peers.connected(small_buffers=True)


async def collect(peer: socket.socket, received: bytearray, nbytes: int) -> None:
    """Receive on a blocking peer until there are ``nbytes`` bytes."""
    peer.setblocking(False)
    while len(received) < nbytes:
        await wait_readable(peer)
        data = peer.recv(8192)
        assert data
        received += data


# -- streams -------------------------------------------------------------------------------


async def receive_into(stream: Any) -> bytes:
    memory = bytearray(100)
    return bytes(memory[: await stream.receive_into(memory)])


async def receive_with_fds(stream: Any) -> bytes:
    message, fds = await stream.receive_fds(100, 1)
    assert fds == []
    return bytes(message)


@operation("tcp, connected: receive", socket_peers.connected, lambda stream: stream.receive())
@operation("tcp, accepted: receive", socket_peers.accepted, lambda stream: stream.receive())
@operation("tcp: receive_into", socket_peers.connected, receive_into)
@operation("unix: receive", unix_peers.connected, lambda stream: stream.receive())
@operation("unix: receive_into", unix_peers.connected, receive_into)
@operation(
    "seqpacket: receive",
    lambda: unix_peers.connected(socket.SOCK_SEQPACKET),
    lambda stream: stream.receive(),
)
async def stream_receive(
    connected: Connected, call: Callable[[Any], Awaitable[bytes]]
) -> AsyncIterator[Case]:
    async with connected() as (stream, peer):

        async def arrive() -> None:
            await wait_all_tasks_blocked()
            peer.sendall(MESSAGE)

        async def finish(outcome: Outcome) -> None:
            received = outcome.result if outcome.ended else await call(stream)
            assert received == MESSAGE
            peer.sendall(b"next")
            assert await call(stream) == b"next"

        yield Case(lambda: call(stream), finish, arrive)


def sending_file(stream: Any, data: bytes) -> Any:
    async def send() -> None:
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            assert await stream.send_file(file, 0, len(data)) == len(data)

    return send()


@operation("tcp: send", narrow_tcp, lambda stream, data: stream.send(data))
@operation(
    "tcp: send_many",
    narrow_tcp,
    lambda stream, data: stream.send_many([data[:1], b"", data[1:9000], data[9000:]]),
)
@operation("tcp: send_file", narrow_tcp, sending_file)
@operation("unix: send", unix_peers.connected, lambda stream, data: stream.send(data * 10))
@operation(
    "unix: send_many", unix_peers.connected, lambda stream, data: stream.send_many([data] * 10)
)
async def stream_send(
    connected: Connected, call: Callable[[Any, bytes], Awaitable[Any]]
) -> AsyncIterator[Case]:
    async with connected() as (stream, peer):
        data = LARGE if connected is narrow_tcp else LARGE * 10
        received = bytearray()

        async def collect_all() -> None:
            await wait_all_tasks_blocked()
            await collect(peer, received, len(data))

        async def finish(outcome: Outcome) -> None:
            sent = sent_of(stream, len(data), outcome)
            async with create_task_group() as tg:
                tg.start_soon(collect, peer, received, len(data) + 4)
                await stream.send(data[sent:])
                await stream.send(b"last")
            assert received == data + b"last"

        yield Case(lambda: call(stream, LARGE), finish, collect_all)


@operation("tcp: send_eof", socket_peers.connected)
@operation("unix: send_eof", unix_peers.connected)
async def stream_send_eof(connected: Connected) -> AsyncIterator[Case]:
    async with connected() as (stream, peer):

        async def finish(outcome: Outcome) -> None:
            if not outcome.ended:
                await stream.send(MESSAGE)
                await stream.send_eof()
                assert socket_peers.receive_all(peer, 100) == MESSAGE
            assert peer.recv(1) == b""
            peer.sendall(MESSAGE)
            assert await stream.receive() == MESSAGE

        yield Case(stream.send_eof, finish, awaits=False)


@operation("tcp: aclose", socket_peers.connected)
@operation("unix: aclose", unix_peers.connected)
async def stream_aclose(connected: Connected) -> AsyncIterator[Case]:
    async with connected() as (stream, peer):

        async def finish(outcome: Outcome) -> None:
            assert peer.recv(1) == b""

        yield Case(stream.aclose, finish, awaits=False)


# -- descriptors ---------------------------------------------------------------------------


@operation("unix: receive_fds")
async def receive_fds() -> AsyncIterator[Case]:
    async with unix_peers.connected() as (stream, peer):
        with unix_peers.pipes(2) as fds, ExitStack() as stack:

            async def arrive() -> None:
                await wait_all_tasks_blocked()
                peer.sendmsg([MESSAGE], unix_peers.rights(*fds))

            async def finish(outcome: Outcome) -> None:
                if not outcome.ended:
                    outcome.result = await stream.receive_fds(100, 2)
                message, received = outcome.result
                stack.callback(unix_peers.close, *received)
                assert message == MESSAGE
                assert len(received) == 2
                assert all(map(unix_peers.same_file, fds, received))

            yield Case(lambda: stream.receive_fds(100, 2), finish, arrive)


@operation("unix: send_fds to a peer whose buffer is full")
async def send_fds() -> AsyncIterator[Case]:
    async with unix_peers.connected() as (stream, peer):
        with unix_peers.pipes() as fds, ExitStack() as stack:
            filled = await socket_peers.fill(stream)
            received = bytearray()
            arrived: list[int] = []

            def take() -> None:
                message, more = unix_peers.received_by(peer)
                received.extend(message)
                stack.callback(unix_peers.close, *more)
                arrived.extend(more)

            async def take_until(nbytes: float) -> None:
                while len(received) < nbytes:
                    await wait_readable(peer)
                    take()

            async def take_all() -> None:
                await wait_all_tasks_blocked()
                await take_until(math.inf)

            async def finish(outcome: Outcome) -> None:
                sent = sent_of(stream, len(MESSAGE), outcome)
                async with create_task_group() as tg:
                    if not sent:
                        tg.start_soon(stream.send_fds, MESSAGE, fds)
                    elif sent < len(MESSAGE):
                        tg.start_soon(stream.send, MESSAGE[sent:])
                    await take_until(filled + len(MESSAGE))
                assert received[filled:] == MESSAGE
                assert len(arrived) == 1
                assert unix_peers.same_file(arrived[0], fds[0])

            yield Case(lambda: stream.send_fds(MESSAGE, fds), finish, take_all)


# -- accepting and connecting --------------------------------------------------------------


@operation("tcp: accept")
async def accept() -> AsyncIterator[Case]:
    async with listening() as (listener, port):
        with ExitStack() as stack:
            peers = []

            async def connect() -> None:
                await wait_all_tasks_blocked()
                peers.append(stack.enter_context(socket.create_connection((HOST, port))))

            async def finish(outcome: Outcome) -> None:
                stream = outcome.result if outcome.ended else await listener.accept()
                async with stream:
                    assert stream.extra(SocketAttribute.remote_port) == peers[0].getsockname()[1]

            yield Case(listener.accept, finish, connect)


@operation("unix: accept")
async def unix_accept() -> AsyncIterator[Case]:
    with unix_peers.temporary_path() as path, socket.socket(socket.AF_UNIX) as peer:
        async with await penstock.create_unix_listener(path) as listener:

            async def connect() -> None:
                await wait_all_tasks_blocked()
                peer.connect(str(path))

            async def finish(outcome: Outcome) -> None:
                async with outcome.result if outcome.ended else await listener.accept() as stream:
                    peer.sendall(MESSAGE)
                    assert await stream.receive() == MESSAGE

            yield Case(listener.accept, finish, connect)


@operation("connect_tcp", HOST)
@operation("connect_tcp to a name", "localhost")
async def connect_tcp(host: str) -> AsyncIterator[Case]:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]

        async def finish(outcome: Outcome) -> None:
            server.setblocking(False)
            if outcome.ended:
                await outcome.result.aclose()
            try:
                peer, _ = server.accept()
            except BlockingIOError:
                assert not outcome.ended
            else:
                with peer:
                    peer.settimeout(30)
                    assert peer.recv(1) == b""

        # A name is looked up in a thread, which is let go, and several addresses are tasks.
        yield Case(lambda: penstock.connect_tcp(host, port), finish, patience=4)


@operation("connect_tcp, TLS")
async def connect_tls() -> AsyncIterator[Case]:
    async with await penstock.create_tcp_listener(local_host=HOST) as listener:
        port = socket_peers.port_of(listener)
        tls = TLSListener(listener, server_context(), standard_compatible=False)

        async def handle(stream: Any) -> None:
            async with stream:
                await stream.send(await stream.receive())

        async def serve() -> None:
            await tls.serve(handle)

        async def connect() -> Any:
            return await penstock.connect_tcp(
                HOST,
                port,
                tls_hostname="localhost",
                ssl_context=client_context(),
                tls_standard_compatible=False,
            )

        async def finish(outcome: Outcome) -> None:
            if outcome.ended:  # its handler was cancelled with the helper
                await outcome.result.aclose()

        yield Case(connect, finish, serve, patience=4)


@operation("connect_unix")
async def connect_unix() -> AsyncIterator[Case]:
    with unix_peers.temporary_path() as path, socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        async def finish(outcome: Outcome) -> None:
            if outcome.ended:
                await outcome.result.aclose()
            path.unlink()

        yield Case(lambda: penstock.connect_unix(path), finish)


@operation("connect_unix to a full backlog")
async def connect_unix_full() -> AsyncIterator[Case]:
    with unix_peers.temporary_path() as path, ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(str(path))
        server.listen(0)
        first = stack.enter_context(socket.socket(socket.AF_UNIX))
        first.connect(str(path))

        async def accept_one() -> None:
            await wait_all_tasks_blocked()
            stack.enter_context(server.accept()[0])

        async def finish(outcome: Outcome) -> None:
            if outcome.ended:
                await outcome.result.aclose()
            server.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    stack.enter_context(server.accept()[0])
            async with await penstock.connect_unix(path):
                path.unlink()

        yield Case(lambda: penstock.connect_unix(path), finish, accept_one)


# -- listeners -----------------------------------------------------------------------------


@operation("tcp: serve")
async def serve() -> AsyncIterator[Case]:
    served: list[bytes] = []

    async def handle(stream: Any) -> None:
        async with stream:
            served.append(await stream.receive())

    async with await penstock.create_tcp_listener(local_host=HOST) as listener:
        with ExitStack() as stack:

            def connect(message: bytes) -> None:
                address = HOST, socket_peers.port_of(listener)
                peer = stack.enter_context(socket.create_connection(address))
                peer.sendall(message)

            async def come_and_close() -> None:
                await wait_all_tasks_blocked()
                connect(b"one")
                await wait_all_tasks_blocked()
                await listener.aclose()

            async def operate() -> None:
                with pytest.raises(penstock.ClosedResourceError):
                    await listener.serve(handle)

            async def finish(outcome: Outcome) -> None:
                assert served in ([], [b"one"])
                assert served or not outcome.ended
                await listener.aclose()
                with pytest.raises(penstock.ClosedResourceError):
                    await listener.serve(handle)

            # The group of the handlers is left, and what they leave is closed.
            yield Case(operate, finish, come_and_close, patience=3)


@operation("tcp: drain")
async def drain_listener() -> AsyncIterator[Case]:
    release = penstock.Event()
    ended: list[bool] = []

    async def handle(stream: Any) -> None:
        async with stream:
            await release.wait()
            ended.append(True)

    async with (
        await penstock.create_tcp_listener(local_host=HOST) as listener,
        create_task_group() as handlers,
    ):
        handlers.start_soon(listener.serve, handle)
        with socket.create_connection((HOST, socket_peers.port_of(listener))) as peer:
            await wait_all_tasks_blocked()

            async def let_go() -> None:
                await wait_all_tasks_blocked()
                release.set()

            async def finish(outcome: Outcome) -> None:
                release.set()
                if not outcome.ended:
                    assert await listener.drain(penstock.current_time() + 10) == 0
                assert ended == [True]
                assert peer.recv(1) == b""

            yield Case(
                lambda: listener.drain(penstock.current_time() + 10), finish, let_go, patience=2
            )


# -- datagrams -----------------------------------------------------------------------------


@operation("udp: receive", "udp", 1)
@operation("udp, connected: receive", "connected udp", 1)
@operation("udp: receive_many", "udp", 2)
@operation("unix datagrams: receive", "unix", 1)
@operation("unix datagrams, connected: receive_many", "connected unix", 2)
async def datagram_receive(kind: str, most: int) -> AsyncIterator[Case]:
    with tempfile.TemporaryDirectory() as directory:
        async with datagram_pair(kind, Path(directory)) as pair:

            async def call() -> list[Any]:
                if most == 1:
                    return [await pair.sock.receive()]
                received: list[Any] = await pair.sock.receive_many(most)
                return received

            async def arrive() -> None:
                await wait_all_tasks_blocked()
                pair.arrive(b"one", b"two", b"three")

            async def finish(outcome: Outcome) -> None:
                received = outcome.result if outcome.ended else []
                while len(received) < 3:
                    received += await call()
                assert received == [pair.item(data) for data in (b"one", b"two", b"three")]

            yield Case(call, finish, arrive)


@operation("unix datagrams: send to a full queue", "unix")
@operation("unix datagrams, connected: send to a full queue", "connected unix")
async def datagram_send(kind: str) -> AsyncIterator[Case]:
    with tempfile.TemporaryDirectory() as directory:
        async with datagram_pair(kind, Path(directory)) as pair:
            filled = pair.fill()

            async def take() -> None:
                await wait_all_tasks_blocked()
                for _ in range(filled):
                    assert pair.peer.recv(100) == b"fill"

            async def finish(outcome: Outcome) -> None:
                await pair.send(b"last")
                received = drain_datagrams(pair.peer)
                assert received == [b"mine"] * outcome.ended + [b"last"]

            # An unconnected socket tries again after pauses: nothing tells when there is room.
            yield Case(lambda: pair.send(b"mine"), finish, take)


@operation("udp: send", "udp")
@operation("udp, connected: send", "connected udp")
async def udp_send(kind: str) -> AsyncIterator[Case]:
    with tempfile.TemporaryDirectory() as directory:
        async with datagram_pair(kind, Path(directory)) as pair:

            async def finish(outcome: Outcome) -> None:
                await pair.send(b"last")
                assert drain_datagrams(pair.peer) == [b"mine"] * outcome.ended + [b"last"]

            yield Case(lambda: pair.send(b"mine"), finish)


def drain_datagrams(peer: socket.socket) -> list[bytes]:
    received = []
    peer.setblocking(False)
    try:
        while True:
            received.append(peer.recv(100))
    except BlockingIOError:
        return received


# -- low-level sockets ---------------------------------------------------------------------


async def recv_into(sock: Any) -> bytes:
    memory = bytearray(100)
    return bytes(memory[: await sock.recv_into(memory)])


async def recvfrom(sock: Any) -> bytes:
    data, _ = await sock.recvfrom(100)
    return bytes(data)


async def recvmsg(sock: Any) -> bytes:
    return bytes((await sock.recvmsg(100))[0])


@operation("socket: recv", lambda sock: sock.recv(100))
@operation("socket: recv_into", recv_into)
@operation("socket: recvfrom", recvfrom)
@operation("socket: recvmsg", recvmsg)
async def low_receive(call: Callable[[Any], Awaitable[bytes]]) -> AsyncIterator[Case]:
    ours, peer = socket.socketpair()
    with penstock.socket.from_stdlib_socket(ours) as sock, peer:

        async def arrive() -> None:
            await wait_all_tasks_blocked()
            peer.sendall(MESSAGE)

        async def finish(outcome: Outcome) -> None:
            assert (outcome.result if outcome.ended else await call(sock)) == MESSAGE

        yield Case(lambda: call(sock), finish, arrive)


@operation("socket: sendall")
async def low_sendall() -> AsyncIterator[Case]:
    ours, peer = socket.socketpair()
    data = LARGE * 10
    with penstock.socket.from_stdlib_socket(ours) as sock, peer:
        received = bytearray()

        async def finish(outcome: Outcome) -> None:
            received.extend(drain(peer))
            assert data.startswith(received)  # the standard library does not tell how much either
            await sock.sendall(b"last")
            assert drain(peer) == b"last"
            assert len(received) == len(data) or not outcome.ended

        yield Case(lambda: sock.sendall(data), finish, lambda: collect(peer, received, len(data)))


@operation("socket: accept")
async def low_accept() -> AsyncIterator[Case]:
    with penstock.socket.socket() as server, ExitStack() as stack:
        server.bind((HOST, 0))
        server.listen()

        async def connect() -> None:
            await wait_all_tasks_blocked()
            stack.enter_context(socket.create_connection(server.getsockname()))

        async def finish(outcome: Outcome) -> None:
            sock, _ = outcome.result if outcome.ended else await server.accept()
            sock.close()

        yield Case(server.accept, finish, connect)


@operation("socket: connect")
async def low_connect() -> AsyncIterator[Case]:
    with socket.create_server((HOST, 0)) as server, penstock.socket.socket() as sock:

        async def finish(outcome: Outcome) -> None:
            if outcome.ended:
                assert sock.getpeername() == server.getsockname()
            else:
                assert sock.fileno() == -1

        yield Case(lambda: sock.connect(server.getsockname()), finish)


# -- descriptors of a program's own --------------------------------------------------------


@operation("wait_readable")
async def readable() -> AsyncIterator[Case]:
    reading, writing = os.pipe()

    async def write() -> None:
        await wait_all_tasks_blocked()
        os.write(writing, b"x")

    async def finish(outcome: Outcome) -> None:
        await wait_readable(reading)
        assert os.read(reading, 10) == b"x"

    yield Case(lambda: wait_readable(reading), finish, write)
    unix_peers.close(reading, writing)


@operation("wait_writable")
async def writable() -> AsyncIterator[Case]:
    ours, peer = socket.socketpair()
    with ours, peer:
        ours.setblocking(False)
        try:
            while True:
                ours.send(bytes(65536))
        except BlockingIOError:
            pass

        async def read() -> None:
            await wait_all_tasks_blocked()
            drain(peer)

        async def finish(outcome: Outcome) -> None:
            await wait_writable(ours)
            assert ours.send(b"x") == 1

        yield Case(lambda: wait_writable(ours), finish, read)
