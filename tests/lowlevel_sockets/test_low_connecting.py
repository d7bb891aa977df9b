"""Connecting and accepting."""

import errno
import os
import resource
import select
import socket as stdlib
import struct

import pytest
from low_peers import (
    HOST,
    blocked,
    every_descriptor_is_closed,  # noqa: F401
    open_descriptors,
    outcome,
    registered,
    tcp_pair,
)
from raised import public_type

import penstock
from penstock import ClosedResourceError, socket
from penstock.lowlevel import checkpoint

LISTENING = [
    (socket.AF_INET, (HOST, 0)),
    (socket.AF_INET6, ("::1", 0)),
    (socket.AF_UNIX, ""),
]


@pytest.mark.parametrize(("family", "address"), LISTENING)
async def test_connect_and_accept(family, address):
    with socket.socket(family) as listening, socket.socket(family) as near:
        listening.bind(address)
        listening.listen()
        accepted = []

        async def accept():
            accepted.append(await listening.accept())

        async with penstock.create_task_group() as tg:
            tg.start_soon(accept)
            await penstock.wait_all_tasks_blocked()
            await near.connect(listening.getsockname())
        ((far, peer_address),) = accepted
        with far:
            assert socket.is_async_socket(far)
            assert not os.get_blocking(far.fileno())
            assert not far.get_inheritable()
            assert peer_address == near.getsockname()
            assert near.getpeername() == far.getsockname() == listening.getsockname()
            await near.sendall(b"abc")
            assert await far.recv(100) == b"abc"


async def test_refused_connection_leaves_the_socket_open_for_another_try():
    with stdlib.socket() as bound, socket.socket() as sock:
        bound.bind((HOST, 0))
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError) as caught:
                await sock.connect(bound.getsockname())
            assert caught.value.errno == errno.ECONNREFUSED
            assert repr(bound.getsockname()) in str(caught.value)
        bound.listen()
        await sock.connect(bound.getsockname())
        assert sock.getpeername() == bound.getsockname()


async def test_path_without_a_listener_is_an_error(tmp_path):
    with socket.socket(socket.AF_UNIX) as sock:
        with pytest.raises(FileNotFoundError, match="nothing"):
            await sock.connect(str(tmp_path / "nothing"))
        (tmp_path / "file").touch()
        with pytest.raises(ConnectionRefusedError):
            await sock.connect(str(tmp_path / "file"))


async def test_connected_socket_cannot_connect_again():
    with stdlib.create_server((HOST, 0)) as server, socket.socket() as sock:
        await sock.connect(server.getsockname())
        with pytest.raises(OSError, match="already connected"):
            await sock.connect(server.getsockname())


def silent_listener():
    """A TCP listener whose queue is full: the next connection hangs."""
    listening = stdlib.socket()
    listening.bind((HOST, 0))
    listening.listen(0)
    fillers = []
    while True:
        filler = stdlib.socket()
        filler.setblocking(False)
        fillers.append(filler)
        filler.connect_ex(listening.getsockname())
        if not select.select([], [filler], [], 0.05)[1]:
            return listening, fillers


async def test_connect_that_is_cancelled_closes_the_socket():
    listening, fillers = silent_listener()
    sock = socket.socket()
    before = registered()
    try:
        with penstock.move_on_after(0.05) as scope:
            await sock.connect(listening.getsockname())
        assert scope.cancelled_caught
        assert sock.fileno() == -1
        assert registered() == before
    finally:
        for one in (listening, *fillers):
            one.close()


async def test_connect_that_is_cancelled_before_it_begins_closes_the_socket():
    with stdlib.create_server((HOST, 0)) as server, socket.socket() as sock:
        with penstock.CancelScope() as scope:
            scope.cancel()
            await sock.connect(server.getsockname())
        assert scope.cancelled_caught
        assert sock.fileno() == -1
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


async def test_closing_wakes_a_task_that_connects():
    listening, fillers = silent_listener()
    try:
        sock = socket.socket()
        address = listening.getsockname()
        assert isinstance(
            await blocked(sock.connect, address, then=sock.close), ClosedResourceError
        )
    finally:
        for one in (listening, *fillers):
            one.close()


async def test_full_queue_of_a_unix_listener_is_waited_for():
    with stdlib.socket(socket.AF_UNIX) as listening:
        listening.bind("")
        listening.listen(0)
        address = listening.getsockname()
        with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
            await first.connect(address)
            connected = False

            async def connect():
                nonlocal connected
                await second.connect(address)
                connected = True

            async with penstock.create_task_group() as tg:
                tg.start_soon(connect)
                await penstock.sleep(0.02)
                assert not connected
                listening.accept()[0].close()
            assert second.getpeername() == address


async def test_closing_wakes_who_waits_for_room_in_a_queue_within_a_turn():
    with stdlib.socket(socket.AF_UNIX) as listening, stdlib.socket(socket.AF_UNIX) as first:
        listening.bind("")
        listening.listen(0)
        first.connect(listening.getsockname())
        with socket.socket(socket.AF_UNIX) as second:
            outcomes = []

            async def connect():
                outcomes.append(await outcome(second.connect, listening.getsockname()))

            async with penstock.create_task_group() as tg:
                tg.start_soon(connect)
                await penstock.sleep(0.1)  # until the pauses are longer than a turn
                second.close()
                for _ in range(3):
                    await checkpoint()
                assert [public_type(x) for x in outcomes] == [ClosedResourceError]


async def test_peer_that_resets_before_it_is_accepted_leaves_a_socket_that_says_so():
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen()
        peer = stdlib.create_connection(listening.getsockname())
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        sock, _ = await listening.accept()
        with sock, pytest.raises(ConnectionResetError):
            await sock.recv(100)


@pytest.mark.parametrize("call", ["recv", "recv_into", "send"])
async def test_reset_is_the_standard_library_s_error(call):
    with tcp_pair() as (ours, peer):
        argument = bytearray(1) if call == "recv_into" else b"x" if call == "send" else 1

        def reset():
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()

        if call == "send":
            reset()
            result = await outcome(ours.send, argument)
        else:
            result = await blocked(getattr(ours, call), argument, then=reset)
        assert isinstance(result, ConnectionResetError)
        assert isinstance(await outcome(ours.send, b"x"), BrokenPipeError)
        assert await ours.recv(1) == b""


async def test_accept_without_a_free_descriptor_leaves_the_connection_queued():
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen()
        with stdlib.create_connection(listening.getsockname()) as peer:
            assert registered() >= 0  # what the loop opens is open
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest_free = os.dup(0)
            os.close(lowest_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
            try:
                for _ in range(2):
                    failure = await outcome(listening.accept)
                    assert failure.errno == errno.EMFILE
                with pytest.raises(OSError, match="Too many open files"):
                    socket.socket()
                with pytest.raises(OSError, match="Too many open files"):
                    listening.dup()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            before = open_descriptors()
            sock, address = await listening.accept()
            with sock:
                assert address == peer.getsockname()
            assert open_descriptors() == before


async def test_socket_that_does_not_listen_accepts_nothing():
    with socket.socket() as sock:
        with pytest.raises(OSError, match="Invalid argument"):
            await sock.accept()


async def test_socket_that_is_not_connected_moves_nothing():
    with socket.socket() as sock:
        with pytest.raises(OSError, match="not connected"):
            await sock.recv(1)
        with pytest.raises(BrokenPipeError):
            await sock.send(b"x")


async def test_cancelled_accept_drops_no_connection():
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen()
        for _ in range(20):
            scope = penstock.CancelScope()

            async def accept(scope=scope):
                with scope:
                    await listening.accept()
                    raise AssertionError("accepted")

            async with penstock.create_task_group() as tg:
                tg.start_soon(accept)
                await penstock.wait_all_tasks_blocked()
                peer = stdlib.create_connection(listening.getsockname())
                scope.cancel()
            sock, address = await listening.accept()
            with sock, peer:
                assert address == peer.getsockname()
