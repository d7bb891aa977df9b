"""Connecting to TCP servers: names, addresses, refusals."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from socket_peers import HOST, open_descriptors
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock.abc import SocketAttribute


@contextmanager
def one_port_of_both_addresses() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Bind two sockets to one port of ``::1`` and ``127.0.0.1``; nobody listens there."""
    for _ in range(100):  # somebody else may have the port in the other family
        with socket.socket(socket.AF_INET6) as sock6, socket.socket() as sock:
            sock6.bind(("::1", 0))
            try:
                sock.bind((HOST, sock6.getsockname()[1]))
            except OSError:
                continue
            yield sock6, sock
            return
    raise AssertionError("no port is free in both families")


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """A port of both loopback addresses that is bound, and where nobody listens."""
    with one_port_of_both_addresses() as (sock, _):
        yield sock.getsockname()[1]


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name that stands for both loopback addresses, IPv6 first, as ``localhost`` often does."""
    look_up = socket.getaddrinfo

    def with_one_more_name(host: Any, *args: Any) -> Any:
        if host != b"both.test":
            return look_up(host, *args)
        return [*look_up("::1", *args), *look_up(HOST, *args)]

    def only_numbers_at_first(host: Any, *args: Any) -> Any:
        if host == b"both.test" and args[-1] & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "no number")
        return with_one_more_name(host, *args)

    monkeypatch.setattr(socket, "getaddrinfo", only_numbers_at_first)
    return "both.test"


@pytest.mark.parametrize(
    ("host", "bound"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        (IPv4Address("127.0.0.1"), "127.0.0.1"),
        (IPv6Address("::1"), "::1"),
        ("localhost", "127.0.0.1"),
        ("\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54", "127.0.0.1"),  # IDNA maps it
    ],
    ids=repr,
)
async def test_connect_takes_names_and_addresses(host: Any, bound: str) -> None:
    family = socket.AF_INET6 if ":" in bound else socket.AF_INET
    with socket.create_server((bound, 0), family=family) as server:
        port = server.getsockname()[1]
        async with await penstock.connect_tcp(host, port) as stream:
            assert stream.extra(SocketAttribute.remote_address) == (bound, port)


@pytest.mark.parametrize("bound", ["::1", "127.0.0.1"])
async def test_addresses_of_a_name_are_tried_in_turn(two_addresses: str, bound: str) -> None:
    family = socket.AF_INET6 if ":" in bound else socket.AF_INET
    with socket.create_server((bound, 0), family=family) as server:
        port = server.getsockname()[1]
        async with await penstock.connect_tcp(two_addresses, port) as stream:
            assert stream.extra(SocketAttribute.remote_address) == (bound, port)


async def test_the_first_address_that_works_is_taken(two_addresses: str) -> None:
    with one_port_of_both_addresses() as servers:
        for server in servers:
            server.listen()
        port = servers[0].getsockname()[1]
        async with await penstock.connect_tcp(two_addresses, port) as stream:
            assert stream.extra(SocketAttribute.remote_address) == ("::1", port)


async def test_refused_says_the_address(refusing_port: int) -> None:
    with pytest.raises(ConnectionRefusedError, match=rf"127\.0\.0\.1:{refusing_port}") as caught:
        await penstock.connect_tcp(HOST, refusing_port)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    with pytest.raises(ConnectionRefusedError, match=rf"\[::1\]:{refusing_port}"):
        await penstock.connect_tcp("::1", refusing_port)


async def test_refused_everywhere_carries_every_refusal(
    two_addresses: str, refusing_port: int
) -> None:
    with pytest.raises(OSError, match=f"{two_addresses}:{refusing_port}") as caught:
        await penstock.connect_tcp(two_addresses, refusing_port)
    cause = caught.value.__cause__
    assert isinstance(cause, ExceptionGroup)
    assert [type(exc) for exc in cause.exceptions] == [ConnectionRefusedError] * 2
    assert ["::1" in str(exc) for exc in cause.exceptions] == [True, False]


async def test_connection_to_a_peer_that_resets_at_once_is_a_connection() -> None:
    with socket.create_server((HOST, 0)) as server:
        stream = await penstock.connect_tcp(HOST, server.getsockname()[1])
    async with stream:  # the queue it was in is gone
        with pytest.raises(penstock.BrokenResourceError):
            await stream.receive()


@pytest.mark.parametrize(
    "host", ["no.such.host.invalid", "a" * 300, "a..b", "", " ", "1.2.3.4.5"], ids=ascii
)
async def test_an_unknown_host_is_an_os_error_with_its_name(host: str) -> None:
    with pytest.raises(socket.gaierror) as caught:
        await penstock.connect_tcp(host, 80)
    assert repr(host) in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


async def test_a_name_of_impossible_characters_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="2603"):
        await penstock.connect_tcp("\u2603.example", 80)


@pytest.mark.parametrize("host", [None, b"127.0.0.1", 2130706433, (HOST, 80)], ids=repr)
async def test_a_bad_host_is_a_type_error(host: Any) -> None:
    with pytest.raises(TypeError, match="host must be"):
        await penstock.connect_tcp(host, 80)


@pytest.mark.parametrize(
    ("port", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (65536, ValueError),
        (10**30, ValueError),
        ("80", TypeError),
        (80.0, TypeError),
        (None, TypeError),
    ],
    ids=repr,
)
async def test_a_bad_port_is_refused(port: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"remote_port must be .*{port}"):
        await penstock.connect_tcp(HOST, port)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", IPv4Address(HOST), IPv6Address("::1")])
async def test_an_address_needs_no_thread(host: Any) -> None:
    family = socket.AF_INET6 if ":" in str(host) else socket.AF_INET
    with socket.create_server((str(host), 0), family=family) as server:
        before = set(threading.enumerate())
        async with await penstock.connect_tcp(host, server.getsockname()[1]):
            assert set(threading.enumerate()) <= before


async def test_a_failed_connect_leaves_no_descriptor(refusing_port: int) -> None:
    before = open_descriptors()
    with pytest.raises(ConnectionRefusedError):
        await penstock.connect_tcp(HOST, refusing_port)
    first = open_descriptors()  # with the poller
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            await penstock.connect_tcp(HOST, refusing_port)
    assert open_descriptors() == first
    assert before <= first


def test_connect_outside_an_event_loop_says_so() -> None:
    coroutine = penstock.connect_tcp(HOST, 80)
    with pytest.raises(penstock.NoEventLoopError):
        coroutine.send(None)


async def test_host_with_a_null_character_is_refused() -> None:
    with socket.create_server((HOST, 0)) as server:
        with pytest.raises(ValueError, match="null character"):
            await penstock.connect_tcp(f"{HOST}\0.example", server.getsockname()[1])
