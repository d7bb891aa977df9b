"""Listening for TCP connections: where, how, and with what options."""

from __future__ import annotations

import errno
import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from socket_peers import HOST, listening, open_descriptors, port_of
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock.abc import SocketAttribute, SocketStream


async def address_of_one_connection(listener: Any, host: str) -> Any:
    """Connect to ``host`` and return the address of the client, as the listener sees it."""
    addresses = []

    async def handler(stream: SocketStream) -> None:
        async with stream:
            addresses.append(stream.extra(SocketAttribute.remote_address)[0])
        tg.cancel_scope.cancel()

    async with penstock.create_task_group() as tg:
        tg.start_soon(listener.serve, handler)
        socket.create_connection((host, port_of(listener))).close()
    return addresses[0]


# -- where ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "bound"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2"),
        ("::1", "::1"),
        (IPv4Address("127.0.0.1"), "127.0.0.1"),
        (IPv6Address("::1"), "::1"),
        ("localhost", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),
    ],
    ids=repr,
)
async def test_listener_takes_names_and_addresses(host: Any, bound: str) -> None:
    async with await penstock.create_tcp_listener(local_host=host) as listener:
        address, port = listener.extra(SocketAttribute.local_address)
        assert address == bound
        assert port > 0
        client = "127.0.0.1" if bound == "0.0.0.0" else bound
        assert await address_of_one_connection(listener, client) in (client, "127.0.0.1")


async def test_no_host_means_every_interface_of_both_families() -> None:
    async with await penstock.create_tcp_listener() as listener:
        assert listener.extra(SocketAttribute.family) == socket.AF_INET6
        assert await address_of_one_connection(listener, "127.0.0.1") == "::ffff:127.0.0.1"
        assert await address_of_one_connection(listener, "::1") == "::1"


async def test_an_ipv6_address_leaves_the_port_free_in_ipv4() -> None:
    async with await penstock.create_tcp_listener(local_host="::") as listener:
        assert await address_of_one_connection(listener, "::1") == "::1"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port_of(listener)))


@pytest.mark.parametrize(
    ("family", "client"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
async def test_family_restricts_the_addresses(family: int, client: str) -> None:
    async with await penstock.create_tcp_listener(family=family) as listener:
        assert listener.extra(SocketAttribute.family) == family
        assert await address_of_one_connection(listener, client) == client


async def test_a_given_port_is_taken() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
    async with await penstock.create_tcp_listener(local_host=HOST, local_port=port) as listener:
        assert port_of(listener) == port


async def test_a_port_can_be_listened_on_again_at_once() -> None:
    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)) as peer:
            async with await listener.accept():
                pass
            assert peer.recv(1) == b""  # this side waits in TIME_WAIT
    async with await penstock.create_tcp_listener(local_host=HOST, local_port=port):
        pass


async def test_a_port_in_use_is_an_os_error_with_the_address() -> None:
    async with listening() as (_, port):
        with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port}") as caught:
            await penstock.create_tcp_listener(local_host=HOST, local_port=port)
        assert caught.value.errno == errno.EADDRINUSE


async def test_an_address_of_another_machine_is_an_os_error_with_the_address() -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1:0") as caught:
        await penstock.create_tcp_listener(local_host="192.0.2.1")
    assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_an_unknown_host_is_an_os_error_with_its_name() -> None:
    with pytest.raises(socket.gaierror, match=r"'no\.such\.host\.invalid'"):
        await penstock.create_tcp_listener(local_host="no.such.host.invalid")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"local_host": b"127.0.0.1"}, TypeError),
        ({"local_host": 5}, TypeError),
        ({"local_port": -1}, ValueError),
        ({"local_port": 65536}, ValueError),
        ({"local_port": "80"}, TypeError),
        ({"local_port": None}, TypeError),
        ({"backlog": -1}, ValueError),
        ({"backlog": 1.5}, TypeError),
        ({"backlog": None}, TypeError),
        ({"family": "inet"}, TypeError),
        ({"family": -7}, ValueError),
        ({"family": socket.AF_UNIX}, ValueError),
        ({"local_host": "::1", "family": socket.AF_INET}, OSError),
    ],
    ids=repr,
)
async def test_bad_arguments_are_refused(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        await penstock.create_tcp_listener(**arguments)


@pytest.mark.parametrize("backlog", [0, 1, 65536, 10**12])
async def test_any_backlog_serves(backlog: int) -> None:
    async with await penstock.create_tcp_listener(local_host=HOST, backlog=backlog) as listener:
        assert await address_of_one_connection(listener, HOST) == HOST


async def test_reuse_port_shares_a_port() -> None:
    async with (
        await penstock.create_tcp_listener(local_host=HOST, reuse_port=True) as first,
        await penstock.create_tcp_listener(
            local_host=HOST, local_port=port_of(first), reuse_port=True
        ) as second,
    ):
        assert port_of(first) == port_of(second)
        with pytest.raises(OSError, match="Address already in use"):
            await penstock.create_tcp_listener(local_host=HOST, local_port=port_of(first))


async def test_a_failed_listener_leaves_no_descriptor() -> None:
    async with listening() as (_, port):
        before = open_descriptors()
        with pytest.raises(OSError, match="in use"):
            await penstock.create_tcp_listener(local_host=HOST, local_port=port)
        assert open_descriptors() == before
