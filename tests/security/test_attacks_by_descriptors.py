"""What a peer may try with descriptors whose closing waits, where the system can refuse them."""

from __future__ import annotations

import socket
import struct
from contextlib import contextmanager
from socket import SO_LINGER, SOL_SOCKET

import pytest
import unix_peers
from socket_peers import HOST
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed
from unix_peers import path as path

import penstock
from penstock import BrokenResourceError
from penstock.abc import SocketListener, UNIXSocketStream

SO_PASSRIGHTS = 83  # asm-generic/socket.h


@contextmanager
def lingering():
    """Yield a socket whose closing waits for a minute, because nobody reads what it has sent."""
    with socket.create_server((HOST, 0)) as server:
        sock = socket.create_connection(server.getsockname())
        with server.accept()[0] as peer:
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    sock.send(bytes(1 << 20))
            sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 60))
            try:
                yield sock
            finally:
                peer.close()  # resets it, and then nobody need wait
                sock.close()


@pytest.mark.parametrize("side", ["client", "server"])
async def test_stream_that_wants_no_descriptors_is_not_held_up_by_one_that_lingers(side, path):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        (client if side == "client" else server).setsockopt(SOL_SOCKET, SO_PASSRIGHTS, 0)
        server.bind(str(path))
        server.listen()
        client.connect(str(path))
        path.unlink()
        if side == "client":
            stream = await UNIXSocketStream.from_socket(client)
            peer, _ = server.accept()
        else:
            async with await SocketListener.from_socket(server) as listener:
                stream = await listener.accept()
            peer = client
        async with stream:
            with peer:
                with lingering() as other, pytest.raises(PermissionError):
                    peer.sendmsg([b"x"], unix_peers.rights(other.fileno()))
                peer.send(b"well")
                assert await stream.receive() == b"well"


@pytest.mark.parametrize("connect", [False, True])
async def test_datagram_socket_is_not_held_up_by_a_descriptor_that_lingers(connect, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        path = str(tmp_path / "socket")
        peer.bind(str(tmp_path / "peer"))
        if connect:
            sock = await penstock.create_connected_unix_datagram_socket(
                str(tmp_path / "peer"), local_path=path
            )
        else:
            sock = await penstock.create_unix_datagram_socket(local_path=path)
        async with sock:
            with lingering() as other, pytest.raises(PermissionError):
                peer.sendmsg([b"x"], unix_peers.rights(other.fileno()), 0, path)
            peer.sendto(b"well", path)
            received = await sock.receive()
            assert received == (b"well" if connect else (b"well", str(tmp_path / "peer")))


@unix_peers.both_kinds
async def test_peer_that_refuses_descriptors_does_not_break_the_stream(kind):
    async with unix_peers.accepted(kind) as (stream, peer):
        peer.setsockopt(SOL_SOCKET, SO_PASSRIGHTS, 0)
        with pytest.raises(BrokenResourceError, match="refused a message") as caught:
            await stream.send_fds(b"x", [0])
        assert isinstance(caught.value.__cause__, PermissionError)
        await stream.send(b"well")
        assert peer.recv(10) == b"well"
