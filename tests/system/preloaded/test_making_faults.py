"""Making sockets while the system has nothing left for one more."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from socket_peers import HOST, open_descriptors
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock.abc import SocketStream

PORT = 9  # nobody gets as far as that

MAKERS: dict[str, Callable[[str], Awaitable[Any]]] = {
    "connect_tcp": lambda path: penstock.connect_tcp(HOST, PORT),
    "connect_unix": lambda path: penstock.connect_unix(f"{path}-server"),
    "create_tcp_listener": lambda path: penstock.create_tcp_listener(local_host=HOST),
    "create_unix_listener": penstock.create_unix_listener,
    "create_udp_socket": lambda path: penstock.create_udp_socket(local_host=HOST),
    "create_connected_udp_socket": lambda path: penstock.create_connected_udp_socket(HOST, PORT),
    "create_unix_datagram_socket": lambda path: penstock.create_unix_datagram_socket(
        local_path=path
    ),
    "create_connected_unix_datagram_socket": lambda path: (
        penstock.create_connected_unix_datagram_socket(f"{path}-peer", local_path=path)
    ),
}
#: What each of them calls beside socket(), which may fail.
CALLS = {
    "connect_tcp": ["connect", "epoll_ctl"],
    "connect_unix": ["connect", "epoll_ctl"],
    "create_tcp_listener": ["bind", "listen"],
    "create_unix_listener": ["bind", "listen"],
    "create_udp_socket": ["bind", "epoll_ctl"],
    "create_connected_udp_socket": ["connect", "epoll_ctl"],
    "create_unix_datagram_socket": ["bind", "epoll_ctl"],
    "create_connected_unix_datagram_socket": ["bind", "connect", "epoll_ctl"],
}


@pytest.mark.parametrize("number", [errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
@pytest.mark.parametrize(
    ("make", "call"), [(make, call) for make in MAKERS for call in ["socket", *CALLS[make]]]
)
async def test_a_socket_that_cannot_be_made_is_an_os_error_and_leaves_nothing(
    make: str, call: str, number: int, fail_calls: Callable[..., None], tmp_path: Path
) -> None:
    path = str(tmp_path / "socket")
    async with await penstock.create_udp_socket(local_host=HOST):  # the poller is there
        with (
            socket.socket(socket.AF_UNIX) as server,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer,
        ):
            server.bind(f"{path}-server")
            server.listen()
            peer.bind(f"{path}-peer")
            before = open_descriptors()
            fail_calls(call, number, 1)
            message = f"All connection attempts failed|{os.strerror(number)}"
            with pytest.raises(OSError, match=message) as caught:
                await MAKERS[make](path)
            assert caught.value.errno == number
            del caught
            assert open_descriptors() == before
            assert not os.path.exists(path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOMEM])
async def test_a_socket_that_cannot_be_watched_is_left_to_who_has_made_it(
    number: int, fail_calls: Callable[..., None]
) -> None:
    first, second = socket.socketpair()
    with first, second:
        async with await penstock.create_udp_socket(local_host=HOST):  # the poller is there
            fail_calls("epoll_ctl", number, 1)
            with pytest.raises(OSError, match=os.strerror(number)) as caught:
                await SocketStream.from_socket(first)
            assert caught.value.errno == number
            second.sendall(b"still there")
            assert first.recv(100) == b"still there"
