"""The examples of the requirements for datagram sockets do what they should, on every event loop.

The files in ``examples/`` are copied from requirement 004.  Only the import is changed here, and
the port, the host or the path to which they go.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from socket_examples import HOST, free_port, main_of

import penstock


async def greeted(main: Any, peer: socket.socket, address: Any) -> bytes:
    """Run a hello service, which never ends, until it has answered ``peer``."""
    async with penstock.create_task_group() as tg:
        tg.start_soon(main)
        await penstock.wait_all_tasks_blocked()
        peer.sendto(b"world", address)
        answer: bytes = await penstock.to_thread.run_sync(peer.recv, 100)
        tg.cancel_scope.cancel()
    return answer


async def test_udp_hello_service() -> None:
    port = free_port(socket.SOCK_DGRAM)
    main = main_of("004-udp", **{"1234": str(port)})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(30)
        assert await greeted(main, peer, (HOST, port)) == b"Hello, world"


async def test_connected_udp_socket_says_hello() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((HOST, 0))
        peer.settimeout(30)
        port = peer.getsockname()[1]
        await main_of("004-connected-udp", **{"hostname": HOST, "1234": str(port)})()
        assert peer.recv(100) == b"Hi there!\n"


async def test_unix_datagram_hello_service(tmp_path: Path) -> None:
    path = str(tmp_path / "mysock")
    main = main_of("004-unix-datagrams", **{"/tmp/mysock": path})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.settimeout(30)
        peer.bind(str(tmp_path / "peer"))
        assert await greeted(main, peer, path) == b"Hello, world"


async def test_connected_unix_datagram_socket_says_hello(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.bind(path)
        peer.settimeout(30)
        await main_of("004-connected-unix-datagrams", **{"/dev/log": path})()
        assert peer.recv(100) == b"Hi there!\n"
