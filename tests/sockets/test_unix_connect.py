"""Connecting to UNIX sockets: to what, and what stands in the way."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed
from socket_peers import open_descriptors, raw_socket_of
from unix_peers import SEQPACKET, both_kinds, connected, no_registration_is_left
from unix_peers import path as path

import penstock
from penstock import ClosedResourceError
from penstock.abc import (
    PeerCredentials,
    SocketAttribute,
    UNIXSocketAttribute,
    UNIXSocketStream,
)


@pytest.fixture
def name() -> bytes:
    """An abstract name that nobody else has."""
    return b"\0penstock-%d-%d" % (os.getpid(), time.monotonic_ns())


@pytest.fixture
def server(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(0)
        yield server
        path.unlink()


@pytest.mark.parametrize("form", [str, bytes, Path], ids=["str", "bytes", "path-like"])
@both_kinds
async def test_a_path_may_be_str_bytes_or_path_like(path: Path, form: Any, kind: Any) -> None:
    given = os.fsencode(path) if form is bytes else form(path)
    async with await penstock.create_unix_listener(given, kind=kind) as listener:
        async with (
            await penstock.connect_unix(given, kind=kind) as client,
            await listener.accept() as served,
        ):
            assert isinstance(client, UNIXSocketStream)
            assert isinstance(served, UNIXSocketStream)
            await client.send(b"hello")
            assert await served.receive() == b"hello"
            for address in (
                listener.extra(SocketAttribute.local_address),
                served.extra(SocketAttribute.local_address),
                client.extra(SocketAttribute.remote_address),
            ):
                assert address == str(path)
            assert client.extra(SocketAttribute.family) == socket.AF_UNIX
            assert raw_socket_of(served).type == kind


async def test_a_path_need_not_be_utf_8(path: Path) -> None:
    given = os.fsencode(path) + b"\xff"
    async with await penstock.create_unix_listener(given) as listener:
        async with await penstock.connect_unix(os.fsdecode(given)), await listener.accept():
            assert listener.extra(SocketAttribute.local_address) == os.fsdecode(given)


@pytest.mark.parametrize("form", [bytes, os.fsdecode], ids=["bytes", "str"])
async def test_an_abstract_name_has_no_file(name: bytes, form: Any) -> None:
    async with await penstock.create_unix_listener(form(name)) as listener:
        assert listener.extra(SocketAttribute.local_address) == name
        async with await penstock.connect_unix(form(name)) as client:
            async with await listener.accept() as served:
                assert client.extra(SocketAttribute.remote_address) == name
                await served.send(b"x")
                assert await client.receive() == b"x"
    with pytest.raises(ConnectionRefusedError) as caught:
        await penstock.connect_unix(form(name))
    assert repr(form(name)) in str(caught.value)


async def test_peer_credentials_are_those_of_the_process() -> None:
    me = PeerCredentials(os.getpid(), os.getuid(), os.getgid())
    async with connected() as (stream, _):
        assert stream.extra(UNIXSocketAttribute.peer_credentials) == me
        await stream.aclose()
        with pytest.raises(ClosedResourceError):
            stream.extra(UNIXSocketAttribute.peer_credentials)


async def test_sockets_are_not_inherited_by_child_programs(path: Path) -> None:
    async with await penstock.create_unix_listener(path) as listener:
        async with await penstock.connect_unix(path) as client, await listener.accept() as served:
            for thing in (listener, client, served):
                assert not raw_socket_of(thing).get_inheritable()
                assert raw_socket_of(thing).gettimeout() == 0


# -- what stands in the way ----------------------------------------------------------------


async def test_no_such_path_is_an_os_error_with_the_path(path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        await penstock.connect_unix(path)
    assert str(path) in str(caught.value)


async def test_nobody_listening_is_an_os_error_with_the_path(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    path_again = os.fsencode(path)
    with pytest.raises(ConnectionRefusedError) as caught:
        await penstock.connect_unix(path_again)
    assert repr(path_again) in str(caught.value)
    path.unlink()


async def test_a_regular_file_is_an_os_error_with_the_path(path: Path) -> None:
    path.touch()
    with pytest.raises(ConnectionRefusedError, match="socket"):
        await penstock.connect_unix(path)
    path.unlink()


async def test_a_listener_of_the_other_kind_is_an_os_error(
    server: socket.socket, path: Path
) -> None:
    with pytest.raises(OSError, match="socket") as caught:
        await penstock.connect_unix(path, SEQPACKET)
    assert caught.value.errno == errno.EPROTOTYPE


@pytest.mark.parametrize("call", [penstock.connect_unix, penstock.create_unix_listener])
async def test_a_path_longer_than_the_system_takes_is_an_os_error_with_the_path(call: Any) -> None:
    for too_long in ("/" + "x" * 107, b"\0" + b"x" * 108):
        with pytest.raises(OSError, match="AF_UNIX path too long") as caught:
            await call(too_long)
        assert caught.value.errno == errno.ENAMETOOLONG
        assert repr(too_long) in str(caught.value)


async def test_the_longest_path_that_the_system_takes(tmp_path: Path) -> None:
    path = str(tmp_path) + "/" + "x" * (107 - len(str(tmp_path)) - 1)
    async with await penstock.create_unix_listener(path):
        async with await penstock.connect_unix(path):
            pass
    name = b"\0" + os.urandom(107)
    async with await penstock.create_unix_listener(name):
        async with await penstock.connect_unix(name):
            pass


@pytest.mark.parametrize("call", [penstock.connect_unix, penstock.create_unix_listener])
@pytest.mark.parametrize(
    ("path", "error"),
    [(5, TypeError), (None, TypeError), ("", ValueError), (b"", ValueError), ("a\0b", ValueError)],
    ids=repr,
)
async def test_bad_paths_are_refused(call: Any, path: Any, error: type[Exception]) -> None:
    before = open_descriptors()
    with pytest.raises(error):
        await call(path)
    assert not os.path.exists("a")
    assert open_descriptors() == before


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, 0, "stream", None])
async def test_other_kinds_are_refused(path: Path, kind: Any) -> None:
    for call in (penstock.connect_unix, penstock.create_unix_listener):
        with pytest.raises(ValueError, match="kind must be SOCK_STREAM or SOCK_SEQPACKET, not"):
            await call(path, kind=kind)


# -- a full backlog ------------------------------------------------------------------------


def fill_backlog(path: Path, stack: ExitStack) -> None:
    while True:
        filler = stack.enter_context(socket.socket(socket.AF_UNIX))
        filler.setblocking(False)
        try:
            filler.connect(str(path))
        except BlockingIOError:
            return


async def test_a_full_backlog_is_waited_out_without_work(server: socket.socket, path: Path) -> None:
    streams = []

    async def connect() -> None:
        streams.append(await penstock.connect_unix(path))

    with ExitStack() as stack:
        fill_backlog(path, stack)
        async with penstock.create_task_group() as tg:
            tg.start_soon(connect)
            began, worked = time.monotonic(), time.thread_time()
            await penstock.sleep(0.5)  # the work that is done meanwhile is what counts
            worked = time.thread_time() - worked
            assert worked < (time.monotonic() - began) / 10
            assert streams == []
            stack.enter_context(server.accept()[0])
        server.settimeout(30)
        async with streams[0] as stream:
            await stream.send(b"connected for true")
            while True:
                peer = stack.enter_context(server.accept()[0])
                peer.setblocking(False)
                try:
                    assert peer.recv(100) == b"connected for true"
                    break
                except BlockingIOError:  # one of those that filled it
                    pass


async def test_a_wait_for_the_backlog_can_be_cancelled(server: socket.socket, path: Path) -> None:
    with ExitStack() as stack:
        fill_backlog(path, stack)
        async with no_registration_is_left():
            before = open_descriptors()
            for delay in (0, 0.001, 0.02):
                with penstock.move_on_after(delay) as scope:
                    await penstock.connect_unix(path)
                assert scope.cancelled_caught
            assert open_descriptors() == before


async def test_a_listener_that_closes_ends_the_wait_for_its_backlog(path: Path) -> None:
    errors = []

    async def connect() -> None:
        with pytest.raises(ConnectionRefusedError) as caught:
            await penstock.connect_unix(path)
        errors.append(str(caught.value))

    with ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(str(path))
        server.listen(0)
        fill_backlog(path, stack)
        async with penstock.create_task_group() as tg:
            tg.start_soon(connect)
            await penstock.wait_all_tasks_blocked()
            server.close()
    assert str(path) in errors[0]
    path.unlink()


async def test_connecting_lets_other_tasks_run(path: Path) -> None:
    """An operation that never waits yields now and then all the same."""
    ran = threading.Event()

    async def other() -> None:
        ran.set()

    async with await penstock.create_unix_listener(path):
        async with penstock.create_task_group() as tg:
            tg.start_soon(other)
            for _ in range(2000):
                async with await penstock.connect_unix(path):
                    pass
                if ran.is_set():
                    break
            assert ran.is_set()


async def test_nothing_happens_in_a_cancelled_scope(path: Path, server: socket.socket) -> None:
    before = open_descriptors()
    with penstock.CancelScope() as scope:
        scope.cancel()
        await penstock.connect_unix(path)
    assert scope.cancelled_caught
    assert open_descriptors() == before
    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.accept()


# -- from_socket ---------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("form", [lambda sock: sock, socket.socket.detach], ids=["socket", "int"])
async def test_a_stream_of_a_socket_that_was_connected_elsewhere(kind: Any, form: Any) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    with other:
        async with await UNIXSocketStream.from_socket(form(one)) as stream:
            other.send(b"x")
            assert await stream.receive() == b"x"
            assert raw_socket_of(stream).gettimeout() == 0


async def test_what_is_no_connected_unix_socket_is_refused_and_stays_the_callers() -> None:
    with (
        socket.socket(socket.AF_UNIX) as unconnected,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as tcp,
    ):
        datagram, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        reading, writing = os.pipe()
        with datagram, other, os.fdopen(reading) as file, os.fdopen(writing):
            cases: list[tuple[Any, type[Exception], str]] = [
                (unconnected, ValueError, "the socket must be connected"),
                (tcp, ValueError, "address family mismatch: expected AF_UNIX, got AF_INET"),
                (
                    datagram,
                    ValueError,
                    "socket type mismatch: expected SOCK_STREAM, got SOCK_DGRAM",
                ),
                (reading, ValueError, "the file descriptor does not refer to a socket"),
                (file, TypeError, "expected an int or socket, got TextIOWrapper instead"),
            ]
            for given, error, text in cases:
                forms = [given]
                if isinstance(given, socket.socket):
                    forms.append(given.fileno())
                before = open_descriptors()
                for form in forms:
                    with pytest.raises(error, match=text):
                        await UNIXSocketStream.from_socket(form)
                assert open_descriptors() == before


async def test_from_socket_in_a_cancelled_scope_takes_nothing() -> None:
    one, other = socket.socketpair()
    with one, other:
        with penstock.CancelScope() as scope:
            scope.cancel()
            await UNIXSocketStream.from_socket(one)
        assert scope.cancelled_caught
        other.sendall(b"x")
        assert one.recv(1) == b"x"
