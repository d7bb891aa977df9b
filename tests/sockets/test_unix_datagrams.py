"""What UNIX datagram sockets alone do: paths, names, and queues that are full."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from datagram_peers import datagram_pair, outcome_of, raw_socket_of
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import (
    BrokenResourceError,
    create_connected_unix_datagram_socket,
    create_unix_datagram_socket,
)
from penstock.abc import ConnectedUNIXDatagramSocket, SocketAttribute, UNIXDatagramSocket
from penstock.lowlevel import set_ready_budget

BACKLOG = 11  # datagrams that wait for a socket: net.unix.max_dgram_qlen, and one


def socket_at(path: Any) -> socket.socket:
    """A blocking UNIX datagram socket of the standard library."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.settimeout(30)
    sock.bind(path)
    return sock


# -- addresses -----------------------------------------------------------------------------


async def test_sender_without_a_name_has_no_address(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    async with await create_unix_datagram_socket(local_path=path) as sock:
        async with await create_connected_unix_datagram_socket(path) as sender:
            await sender.send(b"abc")
        item = await sock.receive()
        assert item == (b"abc", None)
        with pytest.raises(TypeError, match="a socket without a name cannot be sent to"):
            await sock.send(item)


async def test_answer_goes_to_where_the_question_came_from(tmp_path: Path) -> None:
    path, other = tmp_path / "server", tmp_path / "client"
    async with await create_unix_datagram_socket(local_path=path) as server:
        async with await create_connected_unix_datagram_socket(path, local_path=other) as client:
            await client.send(b"world")
            data, sender = await server.receive()
            assert sender == str(other)
            await server.sendto(b"Hello, " + data, sender)
            assert await client.receive() == b"Hello, world"


@pytest.mark.parametrize("as_bytes", [True, False])
async def test_abstract_name_is_no_file(as_bytes: bool, tmp_path: Path) -> None:
    name: Any = f"\0penstock-{os.getpid()}"
    name = name.encode() if as_bytes else name
    async with await create_unix_datagram_socket(local_path=name) as server:
        assert server.extra(SocketAttribute.local_address) == os.fsencode(name)
        async with await create_connected_unix_datagram_socket(name) as client:
            await client.send(b"abc")
            assert await server.receive() == (b"abc", None)
        with pytest.raises(OSError, match="in use") as caught:
            await create_unix_datagram_socket(local_path=name)
        assert "penstock-" in str(caught.value)


@pytest.mark.parametrize("form", [str, os.fsencode, Path], ids=["str", "bytes", "path-like"])
async def test_every_form_of_a_path_is_taken(form: Any, tmp_path: Path) -> None:
    path = form(os.fspath(tmp_path / "sock\udcff"))
    async with await create_unix_datagram_socket(local_path=path) as server:
        assert server.extra(SocketAttribute.local_address) == os.fsdecode(path)
        await server.sendto(b"abc", path)
        await server.send((b"xyz", path))
        expected = [(b"abc", os.fsdecode(path)), (b"xyz", os.fsdecode(path))]
        assert await server.receive_many(10) == expected


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (ValueError, ""),
        (ValueError, b""),
        (ValueError, "a\0b"),
        (TypeError, 1.5),
        (OSError, "x" * 108),
        (OSError, "\0" + "x" * 108),
        (OSError, "no/such/directory"),
    ],
)
async def test_bad_path_is_told_of(kind: type[Exception], path: Any) -> None:
    for attempt in (
        lambda: create_unix_datagram_socket(local_path=path),
        lambda: create_connected_unix_datagram_socket(path),
        lambda: create_connected_unix_datagram_socket("\0x", local_path=path),
    ):
        with pytest.raises(kind) as caught:
            await attempt()
        assert (
            not path or isinstance(path, float) or repr(path).strip("'")[-9:] in str(caught.value)
        )


async def test_peer_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    async with await create_unix_datagram_socket() as sock:
        for path, cause in (
            (tmp_path / "nothing", FileNotFoundError),
            (tmp_path, ConnectionRefusedError),
            (tmp_path / ("x" * 108), OSError),
        ):
            with pytest.raises(BrokenResourceError) as caught:
                await sock.sendto(b"abc", path)
            assert isinstance(caught.value.__cause__, cause)
    with pytest.raises(FileNotFoundError, match="nothing"):
        await create_connected_unix_datagram_socket(tmp_path / "nothing")


async def test_peer_that_goes_away_is_told_of_and_may_come_back(tmp_path: Path) -> None:
    async with datagram_pair("connected unix", tmp_path) as pair:
        pair.peer.close()
        with pytest.raises(BrokenResourceError) as caught:
            await pair.sock.send(b"abc")
        assert isinstance(caught.value.__cause__, OSError)
        with pytest.raises(BrokenResourceError):
            await pair.sock.send(b"abc")


# -- paths ---------------------------------------------------------------------------------


async def test_closing_removes_the_path(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    async with await create_unix_datagram_socket(local_path=path):
        assert stat.S_ISSOCK(path.stat().st_mode)
    assert not path.exists()
    async with await create_unix_datagram_socket(local_path=path):
        path.unlink()
        path.write_bytes(b"another's")
    assert path.exists()


@pytest.mark.parametrize("mode", [0o600, 0o666, 0o777])
async def test_path_has_the_permissions_asked_for(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "sock"
    async with await create_unix_datagram_socket(local_path=path, local_mode=mode):
        assert stat.S_IMODE(path.stat().st_mode) == mode


async def test_path_has_the_umasks_permissions_otherwise(tmp_path: Path) -> None:
    path, old = tmp_path / "sock", os.umask(0o027)
    try:
        async with await create_unix_datagram_socket(local_path=path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o750
    finally:
        os.umask(old)


@pytest.mark.parametrize("mode", [-1, 0o10000, "600", 6.0])
async def test_permissions_are_checked(tmp_path: Path, mode: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="local_mode must be"):
        await create_unix_datagram_socket(local_path=tmp_path / "sock", local_mode=mode)
    for path in (None, "\0name"):
        with pytest.raises(ValueError, match="only a path has permissions"):
            await create_unix_datagram_socket(local_path=path, local_mode=0o600)


async def test_stale_path_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    socket_at(str(path)).close()
    async with await create_unix_datagram_socket(local_path=path) as sock:
        with pytest.raises(OSError, match=f"in use: '{path}'"):
            await create_unix_datagram_socket(local_path=path)
        with pytest.raises(OSError, match=f"in use: '{path}'"):
            await create_connected_unix_datagram_socket(path, local_path=path)
        await sock.sendto(b"abc", path)
        assert await sock.receive() == (b"abc", str(path))
    path.write_bytes(b"a regular file")
    with pytest.raises(OSError, match=f"in use: '{path}'"):
        await create_unix_datagram_socket(local_path=path)
    assert path.read_bytes() == b"a regular file"


async def test_failure_to_connect_leaves_no_path(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with pytest.raises(FileNotFoundError):
        await create_connected_unix_datagram_socket(tmp_path / "nothing", local_path=path)
    assert not path.exists()


async def test_forked_child_leaves_the_path_alone(tmp_path: Path) -> None:
    program = """if True:
        import os, sys, penstock

        async def main():
            sock = await penstock.create_unix_datagram_socket(local_path=sys.argv[1])
            child = os.fork()
            if not child:
                sock.__del__()
                os._exit(0)
            os.waitpid(child, 0)
            assert os.path.exists(sys.argv[1])
            await sock.aclose()
            assert not os.path.exists(sys.argv[1])

        penstock.run(main)
    """
    # A fresh process: this one may have threads.
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "sock")],
        check=True,
        timeout=60,
    )


# -- full queues ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["unix", "connected unix"])
async def test_send_waits_while_the_queue_of_the_receiver_is_full(
    kind: str, tmp_path: Path
) -> None:
    outcomes: list[Any] = []
    async with datagram_pair(kind, tmp_path) as pair, penstock.create_task_group() as tg:
        assert pair.fill() == BACKLOG
        tg.start_soon(outcome_of, pair.send(b"abc"), outcomes)
        await penstock.sleep(0.02)
        assert outcomes == []
        assert pair.peer.recv(10) == b"fill"
        await until_sent(outcomes)
        assert outcomes == [None]
        received = [pair.peer.recv(10) for _ in range(BACKLOG)]
        assert received == [b"fill"] * (BACKLOG - 1) + [b"abc"]


async def until_sent(outcomes: list[Any]) -> None:
    with penstock.fail_after(10):
        while not outcomes:
            await penstock.sleep(0.005)


@pytest.mark.parametrize("budget", [1, 256])
@pytest.mark.parametrize("kind", ["unix", "connected unix"])
async def test_waiting_for_room_costs_no_cpu(kind: str, budget: int, tmp_path: Path) -> None:
    set_ready_budget(budget)  # each operation yields, or few do
    async with datagram_pair(kind, tmp_path) as pair:
        pair.fill()
        with penstock.move_on_after(0.2):  # by now it tries every 100 ms
            await pair.send(b"abc")
        before = process_time()
        with penstock.move_on_after(1) as scope:
            await pair.send(b"abc")
        assert scope.cancelled_caught
        assert process_time() - before < 0.1


async def test_everything_arrives_in_order_through_a_full_queue(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    sent = [b"%d" % number for number in range(100)]
    received: list[bytes] = []

    async def send_all(sender: Any) -> None:
        for data in sent:
            await sender.send(data)

    async with await create_unix_datagram_socket(local_path=path) as receiver:
        async with await create_connected_unix_datagram_socket(path) as sender:
            async with penstock.create_task_group() as tg:
                tg.start_soon(send_all, sender)
                while len(received) < len(sent):
                    await penstock.sleep(0)
                    received += [data for data, _ in await receiver.receive_many(5)]
    assert received == sent


# -- from_socket ---------------------------------------------------------------------------


@pytest.mark.parametrize("as_fd", [True, False])
@pytest.mark.parametrize("cls", [UNIXDatagramSocket, ConnectedUNIXDatagramSocket])
async def test_socket_is_adopted_and_its_path_stays(cls: Any, as_fd: bool, tmp_path: Path) -> None:
    path, far_path = str(tmp_path / "sock"), str(tmp_path / "far")
    with socket_at(far_path) as far:
        raw = socket_at(path)
        if cls is ConnectedUNIXDatagramSocket:
            raw.connect(far_path)
        item = b"abc" if cls is ConnectedUNIXDatagramSocket else (b"abc", far_path)
        async with await cls.from_socket(raw.detach() if as_fd else raw) as sock:
            assert raw_socket_of(sock).gettimeout() == 0
            await sock.send(item)
            assert far.recvfrom(10) == (b"abc", path)
            far.sendto(b"abc", path)
            assert await sock.receive() == item
    assert os.path.exists(path)


@pytest.mark.parametrize("cls", [UNIXDatagramSocket, ConnectedUNIXDatagramSocket])
async def test_what_is_no_unix_datagram_socket_is_refused(cls: Any, tmp_path: Path) -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with near, far, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(("127.0.0.1", 9))
        for wrong, message in (
            (near, "socket type mismatch: expected SOCK_DGRAM, got SOCK_STREAM"),
            (udp, "address family mismatch: expected AF_UNIX, got AF_INET"),
            (udp.fileno(), "address family mismatch: expected AF_UNIX, got AF_INET"),
        ):
            with pytest.raises(ValueError, match=message):
                await cls.from_socket(wrong)
        with pytest.raises(TypeError, match="expected an int or socket, got str instead"):
            await cls.from_socket("socket")
        if cls is ConnectedUNIXDatagramSocket:
            with socket_at(str(tmp_path / "sock")) as unconnected:
                with pytest.raises(ValueError, match="the socket must be connected"):
                    await cls.from_socket(unconnected)
