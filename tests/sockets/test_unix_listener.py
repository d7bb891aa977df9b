"""Listening on UNIX sockets: what becomes of the path, and who may connect."""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fcntl import LOCK_EX, flock
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from typing import Any

import pytest
from backends import BackendUnderTest
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed
from socket_peers import no_free_descriptor, open_descriptors, raw_socket_of
from unix_peers import both_kinds, no_registration_is_left
from unix_peers import path as path

import penstock
from penstock import ClosedResourceError
from penstock.abc import SocketAttribute
from penstock.lowlevel import checkpoint


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def leave_stale(path: Path, kind: int = socket.SOCK_STREAM) -> None:
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(str(path))
        if kind != socket.SOCK_DGRAM:
            sock.listen()


# -- the path at the beginning -------------------------------------------------------------


@both_kinds
async def test_a_live_path_is_never_taken_over(path: Path, kind: Any) -> None:
    async with await penstock.create_unix_listener(path, kind=kind) as listener:
        status = path.lstat()
        for mode in (None, 0o600):
            with pytest.raises(OSError, match="in use") as caught:
                await penstock.create_unix_listener(path, mode=mode)
            assert caught.value.errno == errno.EADDRINUSE
            assert str(path) in str(caught.value)
        assert os.path.samestat(path.lstat(), status)
        assert path.lstat().st_mode == status.st_mode
        with socket.socket(socket.AF_UNIX, kind) as peer:
            peer.connect(str(path))
            async with await listener.accept():
                pass
        listener_raw = raw_socket_of(listener)
        with pytest.raises(BlockingIOError):  # whoever asked whether it is alive left no trace
            listener_raw.accept()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
async def test_a_path_that_is_bound_and_not_listened_on_is_live_too(path: Path, kind: Any) -> None:
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(str(path))
        with pytest.raises(OSError, match="in use"):
            await penstock.create_unix_listener(path)
        path.unlink()


async def test_a_live_path_with_a_full_backlog_is_live(path: Path) -> None:
    async with await penstock.create_unix_listener(path, backlog=0):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))
            with pytest.raises(OSError, match="in use"):
                await penstock.create_unix_listener(path)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
async def test_a_stale_path_is_taken_over(path: Path, kind: Any) -> None:
    leave_stale(path, kind)
    async with await penstock.create_unix_listener(path) as listener:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))
            async with await listener.accept():
                pass


async def test_a_relative_stale_path_is_taken_over_and_removed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_stale(path)
    monkeypatch.chdir(path.parent)
    async with await penstock.create_unix_listener(path.name):
        monkeypatch.chdir("/")
        assert path.is_socket()
    assert not path.exists()


async def test_a_path_through_the_parent_of_a_symbolic_link_is_removed(
    path: Path, tmp_path: Path
) -> None:
    inner = path.parent / "inner"
    inner.mkdir()
    link = tmp_path / "link"
    link.symlink_to(inner)
    async with await penstock.create_unix_listener(link / ".." / path.name):
        assert path.is_socket()
    inner.rmdir()
    assert not path.exists()


async def test_a_regular_file_stays(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(OSError, match="in use") as caught:
        await penstock.create_unix_listener(path, mode=0o600)
    assert caught.value.errno == errno.EADDRINUSE
    assert path.read_text() == "precious"
    assert permissions(path) != 0o600
    path.unlink()


async def test_a_symbolic_link_stays(path: Path) -> None:
    target = path.with_name("target")
    leave_stale(target)
    for where in (target, path.with_name("nowhere")):
        path.symlink_to(where)
        with pytest.raises(OSError, match="in use"):
            await penstock.create_unix_listener(path)
        assert path.is_symlink()
        path.unlink()
    target.unlink()


async def test_no_such_directory_is_an_os_error_with_the_path(path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        await penstock.create_unix_listener(path / "below")
    assert str(path / "below") in str(caught.value)


def test_of_many_that_find_a_stale_path_one_gets_it(path: Path) -> None:
    outcomes: list[Any] = []
    barrier = threading.Barrier(6)

    async def contend() -> None:
        barrier.wait()
        try:
            listener = await penstock.create_unix_listener(path)
        except OSError as exc:
            outcomes.append(exc.errno)
            barrier.wait()
            return
        async with listener:
            outcomes.append("listens")
            barrier.wait()
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(str(path))
                with penstock.fail_after(10):
                    async with await listener.accept():
                        pass

    for _ in range(50):
        outcomes.clear()
        leave_stale(path)
        threads = [threading.Thread(target=penstock.run, args=(contend,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes, key=str) == [errno.EADDRINUSE] * 5 + ["listens"]


async def test_a_locked_directory_is_waited_for_without_work(path: Path) -> None:
    leave_stale(path)
    listeners = []

    async def listen() -> None:
        listeners.append(await penstock.create_unix_listener(path))

    directory = os.open(path.parent, os.O_RDONLY)
    flock(directory, LOCK_EX)
    before = open_descriptors()
    with penstock.move_on_after(0.02) as scope:
        await penstock.create_unix_listener(path)
    assert scope.cancelled_caught
    assert open_descriptors() == before
    async with penstock.create_task_group() as tg:
        tg.start_soon(listen)
        began, worked = time.monotonic(), time.thread_time()
        await penstock.sleep(0.2)  # the work that is done meanwhile is what counts
        assert time.thread_time() - worked < (time.monotonic() - began) / 5
        assert listeners == []
        os.close(directory)
    await listeners[0].aclose()


# -- permissions ---------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
@pytest.mark.parametrize("mode", [None, 0o600, 0o660, 0o777, 0])
async def test_the_path_has_the_permissions_asked_for(path: Path, mask: int, mode: Any) -> None:
    with umask(mask):
        async with await penstock.create_unix_listener(path, mode=mode):
            assert permissions(path) == (0o777 & ~mask if mode is None else mode)


async def test_the_path_never_has_more_permissions_than_asked_for(path: Path) -> None:
    seen: set[int] = set()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            try:
                seen.add(permissions(path))
            except FileNotFoundError:
                pass

    thread = threading.Thread(target=look)
    thread.start()
    try:
        with umask(0):
            for _ in range(300):
                async with await penstock.create_unix_listener(path, mode=0o600):
                    pass
    finally:
        over.set()
        thread.join()
    assert seen <= {0o600}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"mode": "600"}, TypeError),
        ({"mode": -1}, ValueError),
        ({"mode": 0o10000}, ValueError),
        ({"backlog": -1}, ValueError),
        ({"backlog": 1.5}, TypeError),
        ({"backlog": None}, TypeError),
    ],
    ids=repr,
)
async def test_bad_arguments_are_refused(path: Path, arguments: Any, error: Any) -> None:
    with pytest.raises(error):
        await penstock.create_unix_listener(path, **arguments)


async def test_an_abstract_name_has_no_permissions() -> None:
    with pytest.raises(ValueError, match="mode must be None, not 0o600"):
        await penstock.create_unix_listener(b"\0penstock", mode=0o600)


async def test_an_abstract_name_in_use_is_an_os_error_with_the_name() -> None:
    name = b"\0penstock-%d" % os.getpid()
    async with await penstock.create_unix_listener(name):
        with pytest.raises(OSError, match="in use") as caught:
            await penstock.create_unix_listener(name)
        assert repr(name) in str(caught.value)


@pytest.mark.parametrize("backlog", [0, 1, 65536, 10**12])
async def test_any_backlog_serves(path: Path, backlog: int) -> None:
    async with await penstock.create_unix_listener(path, backlog=backlog):
        async with await penstock.connect_unix(path):
            pass


# -- the path at the end -------------------------------------------------------------------


async def test_closing_removes_the_path(path: Path) -> None:
    listener = await penstock.create_unix_listener(path)
    assert path.is_socket()
    with penstock.CancelScope() as scope:
        scope.cancel()
        await listener.aclose()
    assert not path.exists()
    await listener.aclose()


async def test_closing_leaves_the_path_of_another(path: Path) -> None:
    async with await penstock.create_unix_listener(path) as first:
        path.unlink()
        async with await penstock.create_unix_listener(path) as second:
            await first.aclose()
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(str(path))
                async with await second.accept():
                    pass


async def test_closing_is_silent_where_the_path_is_gone(path: Path) -> None:
    async with await penstock.create_unix_listener(path):
        path.unlink()


@pytest.mark.filterwarnings("always::ResourceWarning")
async def test_a_forgotten_listener_removes_its_path(path: Path) -> None:
    listener = await penstock.create_unix_listener(path)
    with pytest.warns(ResourceWarning, match=r"Unclosed .*UNIXListener"):
        del listener
        gc.collect()
    assert not path.exists()


def test_a_forked_child_leaves_the_path(path: Path, backend: BackendUnderTest) -> None:
    async def main() -> None:
        async with await penstock.create_unix_listener(path) as listener:
            raw, closed = raw_socket_of(listener), False
            child = os.fork()
            if not child:
                signal.alarm(30)
                try:
                    with suppress(StopIteration):
                        listener.aclose().send(None)
                    closed = raw.fileno() < 0
                finally:
                    os._exit(0 if closed and path.is_socket() else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(str(path))
                async with await listener.accept():
                    pass

    backend.run(main)


async def test_a_listener_that_cannot_be_made_leaves_neither_path_nor_descriptor(
    path: Path,
) -> None:
    async with await penstock.create_unix_listener(path):
        pass  # opens the poller
    before = open_descriptors()
    with no_free_descriptor(), pytest.raises(OSError, match="Too many open files"):
        await penstock.create_unix_listener(path)
    with penstock.CancelScope() as scope:
        scope.cancel()
        await penstock.create_unix_listener(path)
    assert scope.cancelled_caught
    assert open_descriptors() == before
    assert not path.exists()


def test_a_listener_that_cannot_be_watched_leaves_neither_path_nor_descriptor(
    path: Path, backend: BackendUnderTest
) -> None:
    """The one descriptor that is left is the socket's: there is none for the poller."""

    async def main() -> None:
        before = open_descriptors()
        limits = getrlimit(RLIMIT_NOFILE)
        lowest_free = os.dup(0)
        os.close(lowest_free)
        setrlimit(RLIMIT_NOFILE, (lowest_free + 1, limits[1]))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                await penstock.create_unix_listener(path)
        finally:
            setrlimit(RLIMIT_NOFILE, limits)
        assert open_descriptors() == before
        assert not path.exists()

    backend.run(main)


# -- accepting -----------------------------------------------------------------------------


@both_kinds
async def test_every_queued_connection_is_accepted_in_order(path: Path, kind: Any) -> None:
    async with no_registration_is_left():
        async with await penstock.create_unix_listener(path, kind=kind) as listener:
            with ExitStack() as stack:
                peers = [
                    stack.enter_context(socket.socket(socket.AF_UNIX, kind)) for _ in range(50)
                ]
                for number, peer in enumerate(peers):
                    peer.connect(str(path))
                    peer.send(b"%d" % number)
                for number in range(50):
                    async with await listener.accept() as stream:
                        assert await stream.receive() == b"%d" % number


@both_kinds
async def test_serve_serves_and_survives_a_peer_that_leaves(path: Path, kind: Any) -> None:
    async def echo(stream: Any) -> None:
        async with stream:
            await stream.send(await stream.receive())

    async with await penstock.create_unix_listener(path, kind=kind) as listener:
        async with penstock.create_task_group() as tg:
            tg.start_soon(listener.serve, echo)
            async with await penstock.connect_unix(path, kind):
                pass
            async with await penstock.connect_unix(path, kind) as client:
                await client.send(b"x")
                assert await client.receive() == b"x"
            tg.cancel_scope.cancel()


async def test_closing_wakes_who_accepts(path: Path) -> None:
    outcomes = []

    async def accept() -> None:
        with pytest.raises(ClosedResourceError):
            await listener.accept()
        outcomes.append(True)

    listener = await penstock.create_unix_listener(path)
    async with penstock.create_task_group() as tg:
        tg.start_soon(accept)
        await penstock.wait_all_tasks_blocked()
        await listener.aclose()
        await checkpoint()
        await checkpoint()
        assert outcomes == [True]


async def test_a_cancelled_accept_drops_no_connection(path: Path) -> None:
    async with await penstock.create_unix_listener(path) as listener:
        for turns in range(6):
            accepted: list[Any] = []

            async def accept() -> None:
                accepted.append(await listener.accept())  # noqa: B023

            async with penstock.create_task_group() as tg:
                tg.start_soon(accept)
                await penstock.wait_all_tasks_blocked()
                client = await penstock.connect_unix(path)
                for _ in range(turns):
                    await checkpoint()
                tg.cancel_scope.cancel()
            async with client:
                async with accepted[0] if accepted else await listener.accept() as stream:
                    await client.send(b"x")
                    assert await stream.receive() == b"x"


async def test_accepting_survives_the_lack_of_descriptors(path: Path) -> None:
    async with await penstock.create_unix_listener(path) as listener:
        async with await penstock.connect_unix(path) as client:
            with no_free_descriptor(), penstock.move_on_after(0.03) as scope:
                await listener.accept()
            assert scope.cancelled_caught
            async with await listener.accept() as stream:
                await stream.send(b"served")
                assert await client.receive() == b"served"


async def test_a_listener_refuses_another_thread(path: Path) -> None:
    errors: list[str] = []

    async def use() -> None:
        for operation in (listener.accept, listener.aclose):
            try:
                await operation()
            except RuntimeError as exc:
                errors.append(str(exc))

    async with await penstock.create_unix_listener(path) as listener:
        thread = threading.Thread(target=penstock.run, args=(use,))
        thread.start()
        while thread.is_alive():
            await checkpoint()
        assert len(errors) == 2
        assert path.is_socket()
        assert listener.extra(SocketAttribute.local_address) == str(path)
