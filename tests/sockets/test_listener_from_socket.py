"""Listeners made of sockets and descriptors that a program brings."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import tempfile
from pathlib import Path
from typing import Any

import pytest
from socket_peers import HOST, raw_socket_of
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock.abc import SocketAttribute, SocketListener, SocketStream

AF_INET, AF_UNIX = socket.AF_INET, socket.AF_UNIX


async def serves(listener: SocketListener, address: Any, family: int = AF_INET) -> None:
    with socket.socket(family) as peer:
        peer.connect(address)
        async with await listener.accept() as stream:
            peer.sendall(b"x")
            assert await stream.receive() == b"x"


@pytest.mark.parametrize("as_fd", [False, True], ids=["socket", "descriptor"])
async def test_a_socket_that_listens_becomes_a_listener(as_fd: bool) -> None:
    sock = socket.create_server((HOST, 0))
    address = sock.getsockname()
    given = sock.detach() if as_fd else sock
    async with await SocketListener.from_socket(given) as listener:
        assert listener.extra(SocketAttribute.local_address) == address
        await serves(listener, address)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


async def test_small_answers_of_an_adopted_listener_are_not_delayed() -> None:
    sock = socket.create_server((HOST, 0))
    async with await SocketListener.from_socket(sock) as listener:
        with socket.create_connection(sock.getsockname()):
            async with await listener.accept() as stream:
                raw = raw_socket_of(stream)
                assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_unix_socket_that_listens_becomes_a_listener() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "socket")
        sock = socket.socket(AF_UNIX)
        sock.bind(path)
        sock.listen()
        async with await SocketListener.from_socket(sock) as listener:
            assert listener.extra(SocketAttribute.local_address) == path
            await serves(listener, path, AF_UNIX)


async def test_a_shared_socket_is_shared() -> None:
    """As workers do that inherit one socket: each accepts, and closing one leaves the others."""
    with socket.create_server((HOST, 0)) as sock:
        address = sock.getsockname()
        async with await SocketListener.from_socket(sock.dup()) as other:
            async with await SocketListener.from_socket(sock.dup()) as listener:
                await serves(listener, address)
            await serves(other, address)


@pytest.mark.parametrize("given", [None, "3", 1.5, b"3"], ids=repr)
async def test_what_is_neither_socket_nor_descriptor_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match=r"expected an int or socket, got .* instead"):
        await SocketListener.from_socket(given)


def unbound() -> socket.socket:
    return socket.socket()


def bound() -> socket.socket:
    sock = socket.socket()
    sock.bind((HOST, 0))
    return sock


def datagrams() -> socket.socket:
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    return sock


@pytest.mark.parametrize("as_fd", [False, True], ids=["socket", "descriptor"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (unbound, "the socket must be bound to a local address"),
        (bound, "the socket must be listening"),
        (datagrams, "socket type mismatch: expected SOCK_STREAM, got SOCK_DGRAM"),
    ],
)
async def test_a_socket_that_cannot_accept_is_refused_and_left_alone(
    make: Any, message: str, as_fd: bool
) -> None:
    with make() as sock:
        with pytest.raises(ValueError, match=message):
            await SocketListener.from_socket(sock.fileno() if as_fd else sock)
        sock.getsockname()  # it is open


async def test_a_descriptor_of_no_socket_is_refused_and_left_open() -> None:
    fd = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(ValueError, match="the file descriptor does not refer to a socket"):
        await SocketListener.from_socket(fd)
    os.close(fd)


async def test_a_socket_of_tls_is_refused() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with socket.create_server((HOST, 0)) as sock:
        with context.wrap_socket(sock, server_side=True) as wrapped:
            with pytest.raises(TypeError, match="without TLS"):
                await SocketListener.from_socket(wrapped)


async def test_a_cancelled_from_socket_leaves_the_socket_alone() -> None:
    with socket.create_server((HOST, 0)) as sock:
        with penstock.CancelScope() as scope:
            scope.cancel()
            await SocketListener.from_socket(sock)
        assert scope.cancelled_caught
        assert sock.getblocking()


async def test_a_socket_that_is_adopted_twice_is_refused_and_the_first_unharmed() -> None:
    sock = socket.create_server((HOST, 0))
    async with await SocketListener.from_socket(sock) as listener:
        with pytest.raises(OSError, match="exists") as caught:
            await SocketListener.from_socket(sock)
        assert caught.value.errno == errno.EEXIST
        await serves(listener, sock.getsockname())


async def test_an_adopted_listener_serves() -> None:
    async def handler(stream: SocketStream) -> None:
        async with stream:
            await stream.send(await stream.receive())
        tg.cancel_scope.cancel()

    sock = socket.create_server((HOST, 0))
    async with await SocketListener.from_socket(sock) as listener:
        async with penstock.create_task_group() as tg:
            with socket.create_connection(sock.getsockname()) as peer:
                peer.sendall(b"x")
                await listener.serve(handler, max_connections=1)
