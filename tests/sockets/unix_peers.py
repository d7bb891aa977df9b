"""What the tests of UNIX sockets share: connections to a standard library socket."""

from __future__ import annotations

import os
import socket
import tempfile
from array import array
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock._backends import current_backend
from penstock._readiness import poller_of
from penstock.abc import UNIXSocketStream

STREAM, SEQPACKET = socket.SOCK_STREAM, socket.SOCK_SEQPACKET
both_kinds = pytest.mark.parametrize("kind", [STREAM, SEQPACKET], ids=["stream", "seqpacket"])


@contextmanager
def temporary_path() -> Iterator[Path]:
    """Give a path in an empty directory, which must be empty again at the end."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory, "socket")
        assert os.listdir(directory) == []


@pytest.fixture
def path() -> Iterator[Path]:
    with temporary_path() as path:
        yield path


@asynccontextmanager
async def no_registration_is_left() -> AsyncIterator[None]:
    poller = poller_of(current_backend())
    before = len(poller)
    yield
    assert len(poller) == before


@asynccontextmanager
async def connected(kind: int = STREAM) -> AsyncIterator[tuple[Any, Any]]:
    """Connect to a standard library socket; yield the stream and its blocking peer."""
    async with no_registration_is_left():
        with temporary_path() as path, socket.socket(socket.AF_UNIX, kind) as server:
            server.bind(str(path))
            server.listen()
            stream = await penstock.connect_unix(path, kind)
            peer, _ = server.accept()
            path.unlink()
        with peer:
            peer.settimeout(30)
            async with stream:
                yield stream, peer


@asynccontextmanager
async def accepted(kind: int = STREAM) -> AsyncIterator[tuple[Any, Any]]:
    """Accept a standard library socket; yield the stream and its blocking peer."""
    async with no_registration_is_left():
        with temporary_path() as path, socket.socket(socket.AF_UNIX, kind) as peer:
            async with await penstock.create_unix_listener(path, kind=kind) as listener:
                peer.settimeout(30)
                peer.connect(str(path))
                stream = await listener.accept()
            async with stream:
                yield stream, peer


@asynccontextmanager
async def two_streams(kind: int = STREAM) -> AsyncIterator[tuple[Any, Any]]:
    """Give two streams that are connected with each other."""
    async with no_registration_is_left():
        first, second = socket.socketpair(socket.AF_UNIX, kind)
        async with (
            await UNIXSocketStream.from_socket(first) as one,
            await UNIXSocketStream.from_socket(second) as other,
        ):
            yield one, other


def rights(*fds: int) -> list[tuple[int, int, Any]]:
    """Return descriptors as ``socket.sendmsg`` takes them."""
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))]


def received_by(peer: socket.socket, max_bytes: int = 1 << 20) -> tuple[bytes, list[int]]:
    """Receive a message and the descriptors with it."""
    message, ancillary, flags, _ = peer.recvmsg(max_bytes, socket.CMSG_LEN(253 * 4))
    assert not flags & socket.MSG_CTRUNC
    fds = array("i")
    for _, _, data in ancillary:
        fds.frombytes(data)
    return message, fds.tolist()


def same_file(one: int, other: int) -> bool:
    return os.path.sameopenfile(one, other)


@contextmanager
def pipes(count: int = 1) -> Iterator[list[int]]:
    """Give the reading ends of pipes, which are empty and have an end."""
    fds: list[int] = []
    try:
        for _ in range(count):
            reading, writing = os.pipe()
            os.close(writing)
            fds.append(reading)
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)
