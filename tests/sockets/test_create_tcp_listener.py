"""Listening for TCP connections: where, how, and with what options."""

from __future__ import annotations

import errno
import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from socket_peers import HOST, listening, open_descriptors, port_of, raw_socket_of
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


# -- several addresses ---------------------------------------------------------------------


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names of hosts, and their addresses, for the name service to know."""
    known: dict[str, list[str]] = {}
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, family: int = 0, *args: Any) -> Any:
        addresses = known.get(host.decode() if isinstance(host, bytes) else host, [host])
        infos = [look_up(address, port, family, *args) for address in addresses]
        return [info for found in infos for info in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


def addresses_of(multi: Any) -> list[tuple[str, int]]:
    return [one.extra(SocketAttribute.local_address) for one in multi.listeners]


async def test_a_name_is_listened_on_at_each_of_its_addresses(names: dict[str, list[str]]) -> None:
    names["three.test"] = ["::1", "127.0.0.1", "127.0.0.2", "127.0.0.1"]
    async with await penstock.create_tcp_listener(local_host="three.test") as multi:
        port = port_of(multi)
        assert addresses_of(multi) == [("127.0.0.1", port), ("127.0.0.2", port), ("::1", port)]
        for address in ("127.0.0.1", "127.0.0.2", "::1"):
            assert await address_of_one_connection(multi, address) in (address, "127.0.0.1")


async def test_the_scope_of_an_ipv6_address_counts() -> None:
    """Without it the system would say EINVAL: which interface?  This one has no such address."""
    with pytest.raises(OSError, match=r"\[fe80::1:2:3%1\]:0") as caught:
        await penstock.create_tcp_listener(local_host="fe80::1:2:3%1")
    assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_a_scope_that_does_not_exist_is_an_os_error() -> None:
    with pytest.raises(OSError, match="no-such-interface"):
        await penstock.create_tcp_listener(local_host="fe80::1%no-such-interface")


async def test_if_one_address_fails_none_is_listened_on(names: dict[str, list[str]]) -> None:
    names["bad.test"] = ["127.0.0.1", "192.0.2.1"]  # of this machine, and of none
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    async with listening():
        before = open_descriptors()
        with pytest.raises(OSError, match=rf"192\.0\.2\.1:{port}") as caught:
            await penstock.create_tcp_listener(local_host="bad.test", local_port=port)
        assert open_descriptors() == before
    assert caught.value.errno == errno.EADDRNOTAVAIL
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port))


async def test_a_port_that_is_taken_at_another_address_is_given_up_for_another(
    names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    names["two.test"] = ["127.0.0.1", "127.0.0.2"]
    in_the_way = []
    bind = socket.socket.bind

    def take_the_port_elsewhere(sock: socket.socket, address: Any) -> None:
        bind(sock, address)
        if address == ("127.0.0.1", 0):
            other = socket.socket()
            bind(other, ("127.0.0.2", sock.getsockname()[1]))
            other.listen()
            in_the_way.append(other)

    monkeypatch.setattr(socket.socket, "bind", take_the_port_elsewhere)
    try:
        async with await penstock.create_tcp_listener(local_host="two.test") as multi:
            assert in_the_way  # more than once where others use many ports
            port = port_of(multi)
            assert sorted(addresses_of(multi)) == [("127.0.0.1", port), ("127.0.0.2", port)]
    finally:
        for other in in_the_way:
            other.close()


async def test_where_no_port_is_free_everywhere_the_attempts_are_the_cause(
    names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    names["two.test"] = ["127.0.0.1", "127.0.0.2"]
    bind = socket.socket.bind

    def bind_ephemeral_ports_only(sock: socket.socket, address: Any) -> None:
        if address[1]:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        bind(sock, address)

    async with listening():
        monkeypatch.setattr(socket.socket, "bind", bind_ephemeral_ports_only)
        before = open_descriptors()
        with pytest.raises(
            OSError, match=r"Could not create 2 listeners with a consistent port: two\.test"
        ) as caught:
            await penstock.create_tcp_listener(local_host="two.test")
        assert open_descriptors() == before
    cause = caught.value.__cause__
    assert isinstance(cause, ExceptionGroup)
    assert len(cause.exceptions) == 10


async def test_a_given_port_that_is_taken_is_not_looked_for_again(
    names: dict[str, list[str]],
) -> None:
    names["two.test"] = ["127.0.0.1", "127.0.0.2"]
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"Address already in use: 127\.0\.0\.2:{port}"):
            await penstock.create_tcp_listener(local_host="two.test", local_port=port)


async def test_without_ipv6_every_interface_means_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo

    def ipv4_only(*args: Any) -> Any:
        return [info for info in look_up(*args) if info[0] == socket.AF_INET]

    monkeypatch.setattr(socket, "getaddrinfo", ipv4_only)
    async with await penstock.create_tcp_listener() as listener:
        assert listener.extra(SocketAttribute.local_address)[0] == "0.0.0.0"


async def test_without_dual_stack_each_family_has_a_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    async with await penstock.create_tcp_listener() as multi:
        port = port_of(multi)
        assert addresses_of(multi) == [("0.0.0.0", port), ("::", port)]
        assert await address_of_one_connection(multi, HOST) == HOST
        assert await address_of_one_connection(multi, "::1") == "::1"


# -- options of the accepted connections ---------------------------------------------------


async def test_accepted_connections_have_the_options_of_their_listener() -> None:
    options = {
        "nodelay": False,
        "keepalive": 77,
        "user_timeout": 12.5,
        "send_buffer_size": 50_000,
        "receive_buffer_size": 60_000,
    }
    async with await penstock.create_tcp_listener(local_host=HOST, **options) as multi:  # type: ignore[arg-type]
        with socket.create_connection((HOST, port_of(multi))):
            async with await multi.listeners[0].accept() as stream:  # type: ignore[attr-defined]
                raw = raw_socket_of(stream)
                assert not raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77
                assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 12_500
                assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 100_000  # doubled
                assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 120_000


@pytest.mark.parametrize("options", [{"keepalive": 0}, {"user_timeout": -1}], ids=repr)
async def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        await penstock.create_tcp_listener(local_host=HOST, **options)
