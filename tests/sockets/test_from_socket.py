"""Streams made of sockets and descriptors that a program brings."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from socket_peers import HOST, listening, no_free_descriptor, open_descriptors, raw_socket_of
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock.abc import (
    SocketAttribute,
    SocketListener,
    SocketStream,
    UDPSocket,
    UNIXDatagramSocket,
    UNIXSocketStream,
)


@pytest.fixture
def tcp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server((HOST, 0)) as server:
        left = socket.create_connection(server.getsockname())
        right, _ = server.accept()
    with left, right:
        right.settimeout(30)
        yield left, right


async def test_a_socket_becomes_a_stream(tcp_pair: Any) -> None:
    sock, peer = tcp_pair
    async with await SocketStream.from_socket(sock) as stream:
        assert stream.extra(SocketAttribute.remote_address) == peer.getsockname()
        assert raw_socket_of(stream) is sock
        assert sock.gettimeout() == 0
        assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await stream.send(b"question")
        assert peer.recv(100) == b"question"
        peer.sendall(b"answer")
        assert await stream.receive() == b"answer"
    assert sock.fileno() == -1
    assert peer.recv(1) == b""


async def test_a_descriptor_becomes_a_stream(tcp_pair: Any) -> None:
    sock, peer = tcp_pair
    fd = sock.detach()
    async with await SocketStream.from_socket(fd) as stream:
        peer.sendall(b"x")
        assert await stream.receive() == b"x"
        assert raw_socket_of(stream).fileno() == fd
    assert peer.recv(1) == b""


async def test_what_had_come_before_is_received(tcp_pair: Any) -> None:
    sock, peer = tcp_pair
    peer.sendall(b"early")
    peer.close()
    async with await SocketStream.from_socket(sock) as stream:
        assert await stream.receive() == b"early"
        with pytest.raises(penstock.EndOfStream):
            await stream.receive()


async def test_a_unix_socket_becomes_a_stream_as_well() -> None:
    left, right = socket.socketpair()
    with right:
        async with await SocketStream.from_socket(left) as stream:
            assert stream.extra(SocketAttribute.family) is socket.AF_UNIX
            right.sendall(b"x")
            assert await stream.receive() == b"x"
            await stream.send(b"y")
            assert right.recv(1) == b"y"


async def test_a_low_level_socket_becomes_a_stream_and_is_closed(tcp_pair: Any) -> None:
    sock, peer = tcp_pair
    low = penstock.socket.from_stdlib_socket(sock)
    peer.sendall(b"one")
    assert await low.recv(100) == b"one"  # it is registered with the poller by now
    async with await SocketStream.from_socket(low) as stream:
        assert low.fileno() == -1
        peer.sendall(b"two")
        assert await stream.receive() == b"two"
    assert peer.recv(1) == b""


async def test_a_low_level_unix_socket_becomes_a_unix_stream() -> None:
    left, right = penstock.socket.socketpair()
    with right:
        async with await UNIXSocketStream.from_socket(left) as stream:
            await stream.send(b"x")
            assert await right.recv(1) == b"x"


async def test_a_low_level_socket_that_is_refused_goes_on() -> None:
    with penstock.socket.socket() as low:
        with pytest.raises(ValueError, match="the socket must be connected"):
            await SocketStream.from_socket(low)
        assert low.fileno() >= 0


# -- what is refused stays the caller's ----------------------------------------------------


def unconnected() -> socket.socket:
    return socket.socket()


def listening_socket() -> socket.socket:
    return socket.create_server((HOST, 0))


def datagrams() -> socket.socket:
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.connect((HOST, 9))
    return sock


REFUSED = [
    (unconnected, "the socket must be connected"),
    (listening_socket, "the socket must be connected"),
    (datagrams, "socket type mismatch: expected SOCK_STREAM, got SOCK_DGRAM"),
]


@pytest.mark.parametrize(
    ("make", "message"), REFUSED, ids=lambda value: getattr(value, "__name__", "")
)
@pytest.mark.parametrize("as_descriptor", [False, True])
async def test_a_socket_that_is_no_connected_stream_is_refused(
    make: Any, message: str, as_descriptor: bool
) -> None:
    with make() as sock:
        with pytest.raises(ValueError, match=message):
            await SocketStream.from_socket(sock.fileno() if as_descriptor else sock)
        assert sock.fileno() >= 0
        assert sock.gettimeout() is None
        sock.getsockname()


async def test_what_is_neither_socket_nor_descriptor_is_a_type_error() -> None:
    for value in ("socket", None, 1.5, b"x"):
        with pytest.raises(TypeError, match=r"expected an int or socket, got \w+ instead"):
            await SocketStream.from_socket(value)  # type: ignore[arg-type]


async def test_a_descriptor_of_a_file_is_refused_and_stays_open(tmp_path: Any) -> None:
    with (tmp_path / "file").open("wb") as file:
        with pytest.raises(ValueError, match="does not refer to a socket"):
            await SocketStream.from_socket(file.fileno())
        file.write(b"still open")


async def test_a_closed_socket_or_descriptor_is_refused() -> None:
    sock = socket.socket()
    fd = sock.fileno()
    sock.close()
    with pytest.raises(ValueError, match="the socket must be connected"):
        await SocketStream.from_socket(sock)
    with pytest.raises(ValueError, match=f"the socket must be connected: {fd}"):
        await SocketStream.from_socket(fd)
    with pytest.raises(ValueError, match="negative"):
        await SocketStream.from_socket(-1)


async def test_a_socket_with_tls_is_refused(tcp_pair: Any) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    wrapped = context.wrap_socket(tcp_pair[0], do_handshake_on_connect=False)
    with wrapped, pytest.raises(TypeError, match="without TLS"):
        await SocketStream.from_socket(wrapped)


@pytest.mark.parametrize("as_descriptor", [False, True])
async def test_a_socket_that_has_a_stream_already_is_refused(
    tcp_pair: Any, as_descriptor: bool
) -> None:
    sock, peer = tcp_pair
    async with await SocketStream.from_socket(sock) as stream:
        with pytest.raises(FileExistsError):
            await SocketStream.from_socket(sock.fileno() if as_descriptor else sock)
        peer.sendall(b"x")
        assert await stream.receive() == b"x"


@pytest.mark.parametrize("as_descriptor", [False, True])
async def test_in_a_cancelled_scope_nothing_happens(tcp_pair: Any, as_descriptor: bool) -> None:
    sock, _ = tcp_pair
    with penstock.CancelScope() as scope:
        scope.cancel()
        await SocketStream.from_socket(sock.fileno() if as_descriptor else sock)
    assert scope.cancelled_caught
    assert sock.gettimeout() is None
    sock.sendall(b"x")


async def test_the_system_may_refuse_to_watch_it_and_then_it_stays_the_callers(
    tcp_pair: Any, backend: Any
) -> None:
    """The first socket of an event loop needs a poller, and that a descriptor."""
    sock, peer = tcp_pair
    before = open_descriptors()
    for what in (sock, sock.fileno()):
        with no_free_descriptor(), pytest.raises(OSError, match="Too many open files"):
            await SocketStream.from_socket(what)
        assert open_descriptors() == before
        assert os.fstat(sock.fileno())
    async with listening():
        pass
    async with await SocketStream.from_socket(sock) as stream:
        peer.sendall(b"x")
        assert await stream.receive() == b"x"


@pytest.mark.parametrize("fd", [-1, 10**30])
@pytest.mark.parametrize(
    "kind", [SocketStream, SocketListener, UDPSocket, UNIXSocketStream, UNIXDatagramSocket]
)
async def test_what_no_descriptor_can_be_is_a_value_error_with_it(kind: Any, fd: int) -> None:
    with pytest.raises(ValueError, match=f": {fd}$"):
        await kind.from_socket(fd)


# -- socket_stream_pair --------------------------------------------------------------------


async def test_streams_of_a_pair_are_connected_to_each_other() -> None:
    one, other = penstock.socket_stream_pair()
    async with one, other:
        for sending, receiving in ((one, other), (other, one)):
            async with penstock.create_task_group() as tg:
                tg.start_soon(sending.send, bytes(1_000_000))  # more than the system takes
                received = 0
                while received < 1_000_000:
                    received += len(await receiving.receive())
        await one.send_eof()
        with pytest.raises(penstock.EndOfStream):
            await other.receive()


@pytest.mark.parametrize("free", [0, 2])
async def test_a_pair_that_cannot_be_had_leaves_nothing(free: int) -> None:
    """The two sockets need a descriptor each, and the poller of the event loop another one."""
    before = open_descriptors()
    with no_free_descriptor(free), pytest.raises(OSError, match="Too many open files"):
        penstock.socket_stream_pair()
    assert open_descriptors() == before


def test_a_pair_needs_an_event_loop() -> None:
    with pytest.raises(penstock.NoEventLoopError):
        penstock.socket_stream_pair()
