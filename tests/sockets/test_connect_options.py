"""Where a TCP connection comes from, and the options that it gets."""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import ExitStack
from ipaddress import IPv4Address
from typing import Any

import pytest
from connecting_peers import fill_queue, one_port
from connecting_peers import naming as naming
from socket_peers import HOST, listening, open_descriptors
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock.abc import SocketAttribute

SOL, TCP = socket.SOL_SOCKET, socket.IPPROTO_TCP


async def option(level: int, name: int, **options: Any) -> int:
    """Return an option of the system's of a connection made with ``options``."""
    async with listening() as (_, port):
        async with await penstock.connect_tcp(HOST, port, **options) as stream:
            return stream.getsockopt(level, name)


# -- where it comes from -------------------------------------------------------------------


@pytest.mark.parametrize("local_host", ["127.0.0.5", IPv4Address("127.0.0.5")], ids=repr)
async def test_local_host_is_where_the_connection_comes_from(local_host: Any) -> None:
    async with listening() as (_, port):
        async with await penstock.connect_tcp(HOST, port, local_host=local_host) as stream:
            assert stream.extra(SocketAttribute.local_address)[0] == "127.0.0.5"


async def test_local_port_is_where_the_connection_comes_from() -> None:
    with one_port(HOST) as (free, (holder,)):
        holder.close()
        async with listening() as (_, port):
            async with await penstock.connect_tcp(HOST, port, local_port=free) as stream:
                assert stream.extra(SocketAttribute.local_address) == (HOST, free)


async def test_local_host_and_local_port_together() -> None:
    with one_port("127.0.0.5") as (free, (holder,)):
        holder.close()
        async with listening() as (_, port):
            stream = await penstock.connect_tcp(HOST, port, local_host="127.0.0.5", local_port=free)
            async with stream:
                assert stream.extra(SocketAttribute.local_address) == ("127.0.0.5", free)


@pytest.mark.parametrize("local_host", ["127.0.0.1", "::1"])
async def test_local_host_leaves_the_addresses_of_its_family(naming: Any, local_host: str) -> None:
    with one_port("::1", HOST) as (port, servers):
        for server in servers:
            server.listen()
        naming("both.test", ["::1", HOST])
        async with await penstock.connect_tcp("both.test", port, local_host=local_host) as stream:
            assert stream.extra(SocketAttribute.remote_address) == (local_host, port)


async def test_a_local_name_gives_each_family_its_own_address(naming: Any) -> None:
    with one_port("::1", HOST) as (port, (_, server)):
        server.listen()
        naming("both.test", ["::1", HOST])
        naming("here.test", ["127.0.0.9", "::1", "127.0.0.8"])
        async with await penstock.connect_tcp("both.test", port, local_host="here.test") as stream:
            assert stream.extra(SocketAttribute.local_address)[0] == "127.0.0.9"


async def test_a_local_host_of_another_family_than_the_address_is_an_os_error() -> None:
    with pytest.raises(socket.gaierror, match=HOST):
        await penstock.connect_tcp(HOST, 80, local_host="::1")


async def test_several_attempts_may_come_from_one_port(naming: Any) -> None:
    with ExitStack() as stack:
        port, (silent, server) = stack.enter_context(one_port(HOST, "127.0.0.2"))
        fill_queue(stack, silent)
        server.listen()
        free, (holder,) = stack.enter_context(one_port("127.0.0.5"))
        holder.close()
        naming("two.test", [HOST, "127.0.0.2"])
        stream = await penstock.connect_tcp(
            "two.test", port, local_host="127.0.0.5", local_port=free, happy_eyeballs_delay=0.01
        )
        async with stream:
            assert stream.extra(SocketAttribute.local_address) == ("127.0.0.5", free)
            assert stream.extra(SocketAttribute.remote_address) == ("127.0.0.2", port)


async def test_a_local_address_that_cannot_be_had_is_in_the_error() -> None:
    async with listening() as (_, port):
        before = open_descriptors()
        with pytest.raises(OSError, match="All connection attempts failed") as caught:
            await penstock.connect_tcp(HOST, port, local_host="192.0.2.77")
        assert caught.value.errno == errno.EADDRNOTAVAIL
        assert "from 192.0.2.77:0" in str(caught.value.__cause__)
        with socket.create_server((HOST, 0)) as taken:
            taken_port = taken.getsockname()[1]
            with pytest.raises(OSError, match="All connection attempts failed") as caught:
                await penstock.connect_tcp(HOST, port, local_host=HOST, local_port=taken_port)
        assert caught.value.errno == errno.EADDRINUSE
        assert f"from {HOST}:{taken_port}" in str(caught.value.__cause__)
        assert open_descriptors() == before


async def test_an_unknown_local_host_is_an_os_error_with_its_name() -> None:
    with pytest.raises(socket.gaierror, match=r"no\.such\.host\.invalid"):
        await penstock.connect_tcp(HOST, 80, local_host="no.such.host.invalid")


# -- scopes of IPv6 addresses --------------------------------------------------------------


async def test_the_scope_of_an_address_reaches_the_system() -> None:
    """Loopback has no such address: what is pinned is that the attempt went to that interface."""
    with penstock.move_on_after(5), pytest.raises(OSError, match="failed") as caught:
        await penstock.connect_tcp("fe80::1%lo", 9)
    assert f"[fe80::1%{socket.if_nametoindex('lo')}]:9" in str(caught.value.__cause__)


async def test_an_unknown_scope_is_an_unknown_host() -> None:
    with pytest.raises(socket.gaierror, match="fe80::1%nosuch"):
        await penstock.connect_tcp("fe80::1%nosuch", 9)


# -- options -------------------------------------------------------------------------------


async def test_small_pieces_are_sent_at_once_unless_asked_otherwise() -> None:
    assert await option(TCP, socket.TCP_NODELAY)
    assert not await option(TCP, socket.TCP_NODELAY, nodelay=False)


async def test_keepalive_is_off_unless_asked_for() -> None:
    assert not await option(SOL, socket.SO_KEEPALIVE)
    assert await option(SOL, socket.SO_KEEPALIVE, keepalive=True)
    assert await option(SOL, socket.SO_KEEPALIVE, keepalive=30)


async def test_keepalive_of_the_system_keeps_its_times() -> None:
    for name in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
        assert await option(TCP, name, keepalive=True) == await option(TCP, name)
        assert await option(TCP, name, keepalive=31) == 31


async def test_user_timeout_is_in_seconds() -> None:
    assert await option(TCP, socket.TCP_USER_TIMEOUT) == 0
    for seconds, milliseconds in ((2, 2000), (0.25, 250), (1.1, 1100), (0.0001, 1)):
        assert await option(TCP, socket.TCP_USER_TIMEOUT, user_timeout=seconds) == milliseconds


async def test_buffer_sizes_are_asked_for_before_the_handshake() -> None:
    # Linux doubles them for its own needs: socket(7)
    assert await option(SOL, socket.SO_SNDBUF, send_buffer_size=20_000) == 40_000
    assert await option(SOL, socket.SO_RCVBUF, receive_buffer_size=20_000) == 40_000
    async with listening() as (_, port):
        async with await penstock.connect_tcp(HOST, port, receive_buffer_size=20_000) as stream:
            info = stream.getsockopt(TCP, socket.TCP_INFO, 104)
            assert struct.unpack_from("B", info, 6)[0] >> 4 == 0  # no scale in so small a window


async def test_an_option_that_the_system_refuses_is_an_os_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("penstock._sockets.options.USER_TIMEOUT", None)
    async with listening() as (_, port):
        before = open_descriptors()
        with pytest.raises(OSError, match="All connection attempts failed") as caught:
            await penstock.connect_tcp(HOST, port, user_timeout=1)
        assert caught.value.errno == errno.ENOPROTOOPT
        assert open_descriptors() == before


BAD = [
    ({"local_host": 5}, TypeError),
    ({"local_host": b"127.0.0.1"}, TypeError),
    ({"local_host": "a\0b"}, ValueError),
    ({"local_port": "80"}, TypeError),
    ({"local_port": -1}, ValueError),
    ({"local_port": 65536}, ValueError),
    ({"keepalive": None}, TypeError),
    ({"keepalive": 1.5}, TypeError),
    ({"keepalive": 0}, ValueError),
    ({"keepalive": 32768}, ValueError),
    ({"user_timeout": "1"}, TypeError),
    ({"user_timeout": 0}, ValueError),
    ({"user_timeout": -1}, ValueError),
    ({"user_timeout": float("nan")}, ValueError),
    ({"user_timeout": float("inf")}, ValueError),
    ({"user_timeout": 10**10}, ValueError),
    ({"send_buffer_size": 1.5}, TypeError),
    ({"send_buffer_size": 0}, ValueError),
    ({"receive_buffer_size": -1}, ValueError),
    ({"receive_buffer_size": 2**31}, ValueError),
]


@pytest.mark.parametrize(("options", "error"), BAD, ids=repr)
async def test_a_bad_option_is_refused_before_anything(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with socket.create_server((HOST, 0)) as server:
        (name,) = options
        pattern = "host" if name == "local_host" else name
        with pytest.raises(error, match=pattern):
            await penstock.connect_tcp(HOST, server.getsockname()[1], **options)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
