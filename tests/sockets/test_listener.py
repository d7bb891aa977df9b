"""Listening for TCP connections: where, how, and what stands in the way."""

from __future__ import annotations

import errno
import logging
import socket
import time
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
import trio.testing
from socket_peers import (
    HOST,
    listening,
    no_free_descriptor,
    open_descriptors,
    port_of,
    raw_socket_of,
    reset,
)
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import ClosedResourceError
from penstock.abc import SocketAttribute
from penstock.lowlevel import checkpoint


async def address_of_one_connection(listener: Any, host: str) -> Any:
    """Connect to ``host`` and return the address of the client, as the listener sees it."""
    with socket.create_connection((host, port_of(listener))):
        async with await listener.accept() as stream:
            return stream.extra(SocketAttribute.remote_address)[0]


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


# -- accepting -----------------------------------------------------------------------------


async def test_accept_waits_for_a_connection() -> None:
    streams = []

    async def accept() -> None:
        streams.append(await listener.accept())

    async with listening() as (listener, port):
        async with penstock.create_task_group() as tg:
            tg.start_soon(accept)
            await penstock.wait_all_tasks_blocked()
            assert streams == []
            peer = socket.create_connection((HOST, port))
        with peer:
            async with streams[0] as stream:
                peer.sendall(b"x")
                assert await stream.receive() == b"x"


async def test_every_queued_connection_is_accepted_in_order() -> None:
    async with listening() as (listener, port):
        peers = [socket.create_connection((HOST, port)) for _ in range(300)]
        for peer in peers:
            async with await listener.accept() as stream:
                remote = stream.extra(SocketAttribute.remote_address)
                assert remote == peer.getsockname()
            peer.close()


async def test_small_answers_are_not_delayed() -> None:
    async with listening() as (listener, port):
        async with await penstock.connect_tcp(HOST, port) as client:
            async with await listener.accept() as server:
                for stream in (client, server):
                    raw = raw_socket_of(stream)
                    assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_sockets_are_not_inherited_by_child_programs() -> None:
    async with listening() as (listener, port):
        async with await penstock.connect_tcp(HOST, port) as client:
            async with await listener.accept() as server:
                for thing in (listener, client, server):
                    assert not raw_socket_of(thing).get_inheritable()
                    assert raw_socket_of(thing).gettimeout() == 0


# -- P7: an exhausted system, peers that leave ---------------------------------------------


async def test_a_connection_aborted_in_the_queue_is_broken_and_the_next_one_well() -> None:
    async with listening() as (listener, port):
        reset(socket.create_connection((HOST, port)))
        with socket.create_connection((HOST, port)) as peer:
            peer.sendall(b"well")
            broken = await listener.accept()
            async with broken:
                with pytest.raises(penstock.BrokenResourceError):
                    await broken.receive()
            async with await listener.accept() as stream:
                assert await stream.receive() == b"well"


async def test_accept_survives_the_lack_of_descriptors(caplog: pytest.LogCaptureFixture) -> None:
    streams = []

    async def accept() -> None:
        streams.append(await listener.accept())

    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)) as peer:
            async with penstock.create_task_group() as tg:
                with no_free_descriptor():
                    tg.start_soon(accept)
                    began, worked = time.monotonic(), time.thread_time()
                    await penstock.sleep(0.3)  # the work that is done meanwhile is what counts
                    worked = time.thread_time() - worked
                    assert worked < (time.monotonic() - began) / 3
                    assert streams == []
            peer.sendall(b"served")
            async with streams[0] as stream:
                assert await stream.receive() == b"served"
    records = [r for r in caplog.records if r.name == "penstock.listener"]
    assert [record.levelno for record in records] == [logging.ERROR]
    assert "Too many open files" in records[0].getMessage()


async def test_closing_ends_the_pause_of_accept() -> None:
    outcomes = []

    async def accept() -> None:
        with pytest.raises(ClosedResourceError):
            await listener.accept()
        outcomes.append(time.monotonic())

    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)):
            async with penstock.create_task_group() as tg:
                with no_free_descriptor():
                    tg.start_soon(accept)
                    await penstock.sleep(0.15)  # the pause that begins by then is a longer one
                    await listener.aclose()
                    for _ in range(3):
                        await checkpoint()
                    assert len(outcomes) == 1


async def test_the_pause_of_accept_can_be_cancelled_and_loses_nothing() -> None:
    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)):
            with no_free_descriptor():
                for _ in range(3):
                    with penstock.move_on_after(0.02) as scope:
                        await listener.accept()
                    assert scope.cancelled_caught
            async with await listener.accept():
                pass


async def test_a_second_accept_during_the_pause_is_busy() -> None:
    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)), no_free_descriptor():
            async with penstock.create_task_group() as tg:
                tg.start_soon(listener.accept)
                await penstock.wait_all_tasks_blocked()
                with pytest.raises(penstock.BusyResourceError):
                    await listener.accept()
                tg.cancel_scope.cancel()


def test_a_long_lack_of_descriptors_costs_a_try_a_second_and_a_line_in_five(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with listening() as (listener, port):
            with socket.create_connection((HOST, port)):
                with no_free_descriptor(), penstock.move_on_after(60):
                    await listener.accept()

    clock = trio.testing.MockClock(autojump_threshold=0)
    penstock.run(main, backend="trio", backend_options={"clock": clock})
    counts = [r.args[1] for r in caplog.records if r.name == "penstock.listener"]
    assert 10 <= len(counts) <= 13
    assert 45 <= sum(counts) <= 70


async def test_a_listener_that_the_system_has_broken_is_broken() -> None:
    async with listening() as (listener, _):
        raw_socket_of(listener).shutdown(socket.SHUT_RDWR)
        with pytest.raises(penstock.BrokenResourceError) as caught:
            await listener.accept()
        assert isinstance(caught.value.__cause__, OSError)
