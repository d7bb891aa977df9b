"""What a peer may try against connections, listeners and datagram sockets themselves."""

from __future__ import annotations

import ctypes
import errno
import signal
import socket
import struct
import subprocess
import sys

import pytest
import unix_peers
from socket_peers import HOST, accepted, connected, listening, open_descriptors
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock.streams.tls import TLSStream

SO_ATTACH_FILTER = 26  # asm-generic/socket.h


def vanish(peer: socket.socket) -> object:
    """Have the system drop whatever comes for ``peer``, as if its machine had lost its power."""
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
    program = struct.pack("HL", 1, ctypes.addressof(drop_all))
    peer.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    return drop_all


async def test_peer_that_has_vanished_breaks_the_stream_at_the_user_timeout():
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        async with await penstock.connect_tcp(HOST, port, user_timeout=0.1) as stream:
            with server.accept()[0] as peer:
                vanish(peer)
                await stream.send(b"hello?")
                with penstock.fail_after(10), pytest.raises(penstock.BrokenResourceError) as caught:
                    await stream.receive()
                assert isinstance(caught.value.__cause__, OSError)
                assert caught.value.__cause__.errno == errno.ETIMEDOUT


async def test_urgent_bytes_are_no_part_of_the_stream_and_do_not_stop_it():
    async with accepted() as (stream, peer):
        received = b""
        for n in range(20):
            peer.sendall(b"ab")
            peer.send(b"!", socket.MSG_OOB)
            peer.sendall(b"cd")
            while len(received) < 4 * (n + 1):
                received += await stream.receive()
        assert received == b"abcd" * 20
        peer.send(b"!", socket.MSG_OOB)
        peer.close()
        with pytest.raises(penstock.EndOfStream):
            await stream.receive()


@pytest.mark.parametrize("peers", [connected, unix_peers.connected], ids=["tcp", "unix"])
async def test_sending_to_a_peer_that_has_gone_is_an_error_and_no_signal(peers):
    signals = []
    before = signal.signal(signal.SIGPIPE, lambda *_: signals.append(1))
    try:
        for send in (lambda it: it.send(b"x"), lambda it: it.send_many([b"x", b"y"])):
            async with peers() as (stream, peer):
                peer.close()
                with pytest.raises(penstock.BrokenResourceError) as caught:
                    while True:
                        await send(stream)
                assert isinstance(caught.value.__cause__, OSError)
        assert signals == []
    finally:
        signal.signal(signal.SIGPIPE, before)


@pytest.mark.parametrize("peers", [connected, unix_peers.connected], ids=["tcp", "unix"])
async def test_sending_a_file_to_a_peer_that_has_gone_is_an_error_and_no_signal(peers, tmp_path):
    signals = []
    before = signal.signal(signal.SIGPIPE, lambda *_: signals.append(1))
    try:
        (tmp_path / "file").write_bytes(b"x" * 1000)
        async with peers() as (stream, peer):
            peer.close()
            with (tmp_path / "file").open("rb") as file:
                with pytest.raises(penstock.BrokenResourceError) as caught:
                    while True:
                        await stream.send_file(file)
                assert isinstance(caught.value.__cause__, OSError)
        assert signals == []
        signal.raise_signal(signal.SIGPIPE)  # which is not blocked
        assert signals == [1]
    finally:
        signal.signal(signal.SIGPIPE, before)


#: Sends to peers that have gone, in whatever way, with SIGPIPE at its default action.
SENDS = """
import signal, socket as stdlib, sys
import penstock
from penstock import socket

signal.signal(signal.SIGPIPE, signal.SIG_DFL)
FILE = open(sys.argv[1], "rb")
STREAMS = {
    "send": lambda it: it.send(b"x"),
    "send_many": lambda it: it.send_many([b"x", b"y"]),
    "send_file": lambda it: it.send_file(FILE),
    "send_fds": lambda it: it.send_fds(b"x", [0]),
}
SOCKETS = {
    "send": lambda it: it.send(b"x"),
    "send, flags": lambda it: it.send(b"x", socket.MSG_DONTWAIT),
    "sendall": lambda it: it.sendall(b"x"),
    "sendmsg": lambda it: it.sendmsg([b"x"]),
    "sendto": lambda it: it.sendto(b"x", ("127.0.0.1", 9)),
}

def gone(family):
    with stdlib.socket(family) as server:
        server.bind(("127.0.0.1", 0) if family == socket.AF_INET else "")
        server.listen()
        sock = stdlib.socket(family)
        sock.connect(server.getsockname())
        peer, _ = server.accept()
        peer.close()
    return sock

async def outcome_of(send, it):
    try:
        while True:
            await send(it)
    except (penstock.BrokenResourceError, OSError) as exc:
        return type(exc).__name__

async def main():
    for name, send in STREAMS.items():
        family = socket.AF_UNIX if name == "send_fds" else socket.AF_INET
        kind = penstock.abc.UNIXSocketStream if name == "send_fds" else penstock.abc.SocketStream
        async with await kind.from_socket(gone(family)) as stream:
            print(name, await outcome_of(send, stream))
    for name, send in SOCKETS.items():
        with socket.from_stdlib_socket(gone(socket.AF_INET)) as sock:
            print(name, await outcome_of(send, sock))

penstock.run(main)
"""


def test_sending_to_a_peer_that_has_gone_ends_no_program_that_has_sigpipe_end_it(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 1000)
    command = [sys.executable, "-c", SENDS, str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    outcomes = [line.rsplit(" ", 1)[1] for line in done.stdout.splitlines()]
    assert outcomes[:4] == ["BrokenResourceError"] * 4
    assert outcomes[4:] == ["BrokenPipeError"] * 5


async def test_name_longer_than_any_is_refused_before_work_is_done_for_it():
    name = "a\u0660" * 10_000  # which some releases of idna look at for seconds
    with pytest.raises(ValueError, match="at most 254 characters, not 20000"):
        await penstock.connect_tcp(name, 80)
    async with connected() as (stream, _):
        with pytest.raises(ValueError, match="at most 254 characters, not 20000"):
            await TLSStream.wrap(stream, hostname=name)


async def test_port_of_a_listener_is_shared_with_nobody():
    async with listening() as (_, port):
        with socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            with pytest.raises(OSError, match="in use") as caught:
                thief.bind((HOST, port))
            assert caught.value.errno == errno.EADDRINUSE


async def test_empty_datagrams_end_nothing():
    async with await penstock.create_udp_socket(local_host=HOST) as sock:
        port = sock.extra(penstock.abc.SocketAttribute.local_port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for data in (b"", b"one", b"", b"two", b"last"):
                stranger.sendto(data, (HOST, port))
        received = []
        async for data, _ in sock:
            received.append(data)
            if data == b"last":
                break
        assert received == [b"", b"one", b"", b"two", b"last"]


async def test_descriptors_that_nobody_receives_stay_with_the_system():
    async with unix_peers.accepted() as (stream, peer):
        peer.setblocking(False)
        before = open_descriptors()
        with unix_peers.pipes(1) as fds:
            sent = 0
            with pytest.raises(BlockingIOError):  # it may send no more before we receive
                while True:
                    peer.sendmsg([b"x"], unix_peers.rights(*fds * 253))
                    sent += 1
        assert open_descriptors() == before
        received = b""
        while len(received) < sent:
            received += await stream.receive()
        assert received == b"x" * sent
        assert open_descriptors() == before
