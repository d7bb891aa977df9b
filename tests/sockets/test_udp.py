"""What UDP sockets alone do: addresses, refusals, broadcast, multicast, how they are made."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from datagram_peers import HOST, outcome_of, raw_socket_of
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed
from socket_peers import until

import penstock
from penstock import BrokenResourceError, create_connected_udp_socket, create_udp_socket
from penstock.abc import ConnectedUDPSocket, SocketAttribute, UDPSocket

GROUP, GROUP6 = "239.255.7.7", "ff15::7"


def port_of(sock: Any) -> int:
    port: int = sock.extra(SocketAttribute.local_port)
    return port


@contextmanager
def peer(host: str = HOST) -> Iterator[socket.socket]:
    """A blocking UDP socket of the standard library."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(30)
        yield sock


def free_port() -> int:
    with peer() as sock:
        port: int = sock.getsockname()[1]
        return port


# -- making --------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")])
async def test_local_port_is_honoured_without_a_host(family: int, host: str) -> None:
    port = free_port()
    async with await create_udp_socket(family=family, local_port=port) as sock:
        assert sock.extra(SocketAttribute.local_address) == (host, port)
    async with await create_connected_udp_socket(
        {"::": "::1"}.get(host, HOST), 9, local_port=port
    ) as connected:
        assert port_of(connected) == port


@pytest.mark.parametrize("host", [HOST, IPv4Address(HOST), "::1", IPv6Address("::1"), "localhost"])
async def test_local_host_gives_the_family(host: Any) -> None:
    async with await create_udp_socket(local_host=host) as sock:
        address, port = sock.extra(SocketAttribute.local_address)
        assert address in ("::1", HOST)
        assert port > 0


async def test_local_address_of_a_connected_socket_can_be_chosen() -> None:
    with peer() as far:
        async with await create_connected_udp_socket(
            *far.getsockname(), local_host="127.0.0.2"
        ) as sock:
            await sock.send(b"abc")
            assert far.recvfrom(10) == (b"abc", ("127.0.0.2", port_of(sock)))


async def test_several_sockets_share_a_port_if_all_say_so() -> None:
    async with await create_udp_socket(local_host=HOST, reuse_port=True) as first:
        port = port_of(first)
        async with await create_udp_socket(local_host=HOST, local_port=port, reuse_port=True):
            pass
        with pytest.raises(OSError, match=rf"Address already in use: {HOST}:{port}"):
            await create_udp_socket(local_host=HOST, local_port=port)


@pytest.mark.parametrize(
    ("kind", "message", "arguments"),
    [
        (ValueError, 'Either "family" or "local_host" must be given', {}),
        (ValueError, "family must be .*, not 1", {"family": 1}),
        (TypeError, "family must be an integer, not 'x'", {"family": "x"}),
        (ValueError, "local_port must be .* not 65536", {"local_host": HOST, "local_port": 65536}),
        (TypeError, "local_port must be .* not '9'", {"local_host": HOST, "local_port": "9"}),
        (TypeError, "host must be .* not 1", {"local_host": 1}),
        (
            ValueError,
            "multicast_ttl must be .* not 256",
            {"local_host": HOST, "multicast_ttl": 256},
        ),
        (TypeError, "multicast_ttl must be .* not '1'", {"local_host": HOST, "multicast_ttl": "1"}),
        (OSError, "no such interface: 'no0'", {"local_host": HOST, "multicast_interface": "no0"}),
        (OSError, "no such interface: 9999", {"local_host": HOST, "multicast_interface": 9999}),
        (TypeError, "interface must be", {"local_host": HOST, "multicast_interface": 1.5}),
        (OSError, r"203\.0\.113\.1:0", {"local_host": "203.0.113.1"}),
        (OSError, "no.such.host.invalid", {"local_host": "no.such.host.invalid"}),
    ],
)
async def test_bad_arguments_are_told_of_and_leave_nothing_open(
    kind: type[Exception], message: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(kind, match=message):
        await create_udp_socket(**arguments)
    if "local_host" in arguments:
        with pytest.raises(kind, match=message):
            await create_connected_udp_socket(HOST, 9, **arguments)


@pytest.mark.parametrize(
    ("kind", "host", "port"),
    [
        (ValueError, HOST, 0),
        (ValueError, HOST, 65_536),
        (TypeError, HOST, "9"),
        (TypeError, None, 9),
        (OSError, "no.such.host.invalid", 9),
        (OSError, "255.255.255.255", 9),
    ],
)
async def test_bad_peers_are_told_of(kind: type[Exception], host: Any, port: Any) -> None:
    value = host if kind is OSError or host is None else port
    with pytest.raises(kind, match=str(value)):
        await create_connected_udp_socket(host, port)


# -- addresses -----------------------------------------------------------------------------


@pytest.mark.parametrize("host", [HOST, "localhost", IPv4Address(HOST), "127.1"])
async def test_every_form_of_an_address_can_be_sent_to(host: Any) -> None:
    with peer() as far:
        async with await create_udp_socket(local_host=HOST) as sock:
            await sock.sendto(b"a", host, far.getsockname()[1])
            await sock.send((b"b", (host, far.getsockname()[1])))
            assert (far.recv(10), far.recv(10)) == (b"a", b"b")


async def test_scope_of_an_ipv6_address_is_kept() -> None:
    index = socket.if_nametoindex("lo")
    async with await create_udp_socket(local_host="::1") as sock:
        await sock.sendto(b"a", f"::1%{index}", port_of(sock))
        assert await sock.receive() == (b"a", ("::1", port_of(sock)))


async def test_dual_stack_socket_talks_to_ipv4() -> None:
    with peer() as far:
        async with await create_udp_socket(family=socket.AF_INET6) as sock:
            await sock.sendto(b"a", HOST, far.getsockname()[1])
            data, address = far.recvfrom(10)
            assert (data, address) == (b"a", (HOST, port_of(sock)))
            far.sendto(b"b", address)
            assert await sock.receive() == (b"b", (f"::ffff:{HOST}", far.getsockname()[1]))


@pytest.mark.parametrize(
    ("kind", "host", "port"),
    [
        (ValueError, HOST, -1),
        (ValueError, HOST, 65_536),
        (TypeError, HOST, "9"),
        (TypeError, None, 9),
        (TypeError, 1, 9),
        (ValueError, "a\0b", 9),
        (BrokenResourceError, "no.such.host.invalid", 9),
        (BrokenResourceError, "255.255.255.255", 9),  # broadcasting was not asked for
        (BrokenResourceError, "::1", 9),
    ],
)
async def test_bad_address_is_told_of_and_the_socket_goes_on(
    kind: type[Exception], host: Any, port: Any
) -> None:
    async with await create_udp_socket(local_host=HOST) as sock:
        with pytest.raises(kind) as caught:
            await sock.sendto(b"x", host, port)
        if kind is BrokenResourceError:
            assert isinstance(caught.value.__cause__, OSError)
        await sock.sendto(b"y", HOST, port_of(sock))
        assert await sock.receive() == (b"y", (HOST, port_of(sock)))


# -- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["receive", "receive_many", "send"])
async def test_refusal_by_the_peer_is_raised_and_the_socket_stays_usable(operation: str) -> None:
    with peer() as far:
        address = far.getsockname()
    async with await create_connected_udp_socket(*address) as sock:
        await sock.send(b"into the void")
        arguments: tuple[Any, ...] = {"receive": (), "receive_many": (10,)}.get(operation, (b"x",))
        with pytest.raises(BrokenResourceError) as caught:
            while True:  # the message of the refusal comes in its own time
                await getattr(sock, operation)(*arguments)
        assert isinstance(caught.value.__cause__, ConnectionRefusedError)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(address)
            again.settimeout(30)
            await sock.send(b"abc")
            data, sender = again.recvfrom(10)
            assert data == b"abc"
            again.sendto(b"xyz", sender)
            assert await sock.receive() == b"xyz"


async def test_refusal_ends_a_receive_that_waits() -> None:
    outcomes: list[Any] = []
    with peer() as far:
        address = far.getsockname()
    async with await create_connected_udp_socket(*address) as sock:
        async with penstock.create_task_group() as tg:
            tg.start_soon(outcome_of, sock.receive(), outcomes)
            await penstock.wait_all_tasks_blocked()
            await sock.send(b"into the void")
            await until(lambda: outcomes)
        assert outcomes == [BrokenResourceError]


async def test_strangers_do_not_reach_a_connected_socket() -> None:
    with peer() as far, peer() as stranger:
        async with await create_connected_udp_socket(*far.getsockname()) as sock:
            address = raw_socket_of(sock).getsockname()
            stranger.sendto(b"stranger", address)
            far.sendto(b"peer", address)
            assert await sock.receive_many(10) == [b"peer"]


# -- broadcast and multicast ---------------------------------------------------------------


async def test_broadcast_is_sent_where_it_was_asked_for() -> None:
    async with await create_udp_socket(family=socket.AF_INET) as receiver:
        async with await create_udp_socket(family=socket.AF_INET, broadcast=True) as sock:
            await sock.sendto(b"all", "127.255.255.255", port_of(receiver))
            data, _ = await receiver.receive()
            assert data == b"all"


async def test_group_is_joined_and_left() -> None:
    async with (
        await create_udp_socket(family=socket.AF_INET) as receiver,
        await create_udp_socket(family=socket.AF_INET, multicast_interface="lo") as sock,
    ):
        for interface in ("lo", socket.if_nametoindex("lo")):
            receiver.join_multicast_group(GROUP, interface)
            await sock.sendto(b"all", GROUP, port_of(receiver))
            assert (await receiver.receive())[0] == b"all"
            receiver.leave_multicast_group(IPv4Address(GROUP), interface)
            await sock.sendto(b"nobody", GROUP, port_of(receiver))
        await sock.sendto(b"you", HOST, port_of(receiver))
        assert [data for data, _ in await receiver.receive_many(10)] == [b"you"]


async def test_connected_socket_sends_to_a_group() -> None:
    async with await create_udp_socket(family=socket.AF_INET) as receiver:
        receiver.join_multicast_group(GROUP, "lo")
        async with await create_connected_udp_socket(
            GROUP, port_of(receiver), multicast_interface="lo"
        ) as sock:
            await sock.send(b"all")
            assert (await receiver.receive())[0] == b"all"


def memberships6() -> set[tuple[str, str]]:
    """The IPv6 groups that this machine has joined, by interface."""
    with open("/proc/net/igmp6") as lines:
        return {(fields[1], fields[2]) for fields in map(str.split, lines)}


async def test_ipv6_group_is_joined_and_left() -> None:
    membership = ("lo", IPv6Address(GROUP6).packed.hex())
    async with await create_udp_socket(family=socket.AF_INET6) as receiver:
        receiver.join_multicast_group(GROUP6, "lo")
        assert membership in memberships6()
        receiver.leave_multicast_group(GROUP6, "lo")
        assert membership not in memberships6()
        receiver.join_multicast_group(GROUP6, "lo")
    assert membership not in memberships6()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_options_of_sending_to_groups_reach_the_system(family: int) -> None:
    six = family == socket.AF_INET6
    level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
    ttl = socket.IPV6_MULTICAST_HOPS if six else socket.IP_MULTICAST_TTL
    loop = socket.IPV6_MULTICAST_LOOP if six else socket.IP_MULTICAST_LOOP
    async with await create_udp_socket(
        family=family, multicast_interface="lo", multicast_ttl=7, multicast_loop=False
    ) as sock:
        raw = raw_socket_of(sock)
        assert (raw.getsockopt(level, ttl), raw.getsockopt(level, loop)) == (7, 0)
        if six:
            index = raw.getsockopt(level, socket.IPV6_MULTICAST_IF)
            assert index == socket.if_nametoindex("lo")
    async with await create_udp_socket(family=family) as sock:
        raw = raw_socket_of(sock)
        assert (raw.getsockopt(level, ttl), raw.getsockopt(level, loop)) == (1, 1)


@pytest.mark.parametrize("group", [HOST, "::1", GROUP6, "name", ""])
async def test_group_must_be_a_multicast_address_of_the_family(group: str) -> None:
    async with await create_udp_socket(local_host=HOST) as sock:
        for method in (sock.join_multicast_group, sock.leave_multicast_group):
            with pytest.raises(ValueError, match=f"{group!r}"):
                method(group)


async def test_group_that_cannot_be_left_or_joined_twice_is_told_of() -> None:
    async with await create_udp_socket(local_host=HOST) as sock:
        with pytest.raises(BrokenResourceError) as caught:
            sock.leave_multicast_group(GROUP, "lo")
        assert isinstance(caught.value.__cause__, OSError)
        sock.join_multicast_group(GROUP, "lo")
        with pytest.raises(BrokenResourceError):
            sock.join_multicast_group(GROUP, "lo")
        with pytest.raises(OSError, match="no such interface: 'no0'"):
            sock.join_multicast_group(GROUP, "no0")
    with pytest.raises(penstock.ClosedResourceError):
        sock.join_multicast_group(GROUP, "lo")


# -- from_socket ---------------------------------------------------------------------------


@pytest.mark.parametrize("as_fd", [True, False])
async def test_bound_socket_is_adopted(as_fd: bool) -> None:
    with peer() as far:
        raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        raw.bind((HOST, 0))
        async with await UDPSocket.from_socket(raw.detach() if as_fd else raw) as sock:
            await sock.sendto(b"abc", *far.getsockname())
            assert far.recvfrom(10) == (b"abc", (HOST, port_of(sock)))


@pytest.mark.parametrize("as_fd", [True, False])
async def test_connected_socket_is_adopted(as_fd: bool) -> None:
    with peer() as far:
        raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        raw.connect(far.getsockname())
        async with await ConnectedUDPSocket.from_socket(raw.detach() if as_fd else raw) as sock:
            await sock.send(b"abc")
            assert far.recv(10) == b"abc"


@pytest.mark.parametrize("cls", [UDPSocket, ConnectedUDPSocket])
async def test_what_is_no_udp_socket_is_refused_and_stays_the_callers(cls: Any) -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.bind(b"\0penstock-udp-%d" % os.getpid())
    unbound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    need = "connected" if cls is ConnectedUDPSocket else "bound to a local address"
    reader, writer = os.pipe()
    with near, far, unbound, socket.create_server((HOST, 0)) as listening:
        with socket.create_connection(listening.getsockname()) as stream:
            for wrong, kind, message in (
                (near, ValueError, "address family mismatch: expected AF_INET or AF_INET6, got"),
                (near.fileno(), ValueError, "address family mismatch: expected AF_INET"),
                (stream, ValueError, "socket type mismatch: expected SOCK_DGRAM, got SOCK_STREAM"),
                (unbound, ValueError, f"the socket must be {need}"),
                (unbound.fileno(), ValueError, f"the socket must be {need}"),
                (reader, ValueError, "the file descriptor does not refer to a socket"),
                ("socket", TypeError, "expected an int or socket, got str instead"),
            ):
                with pytest.raises(kind, match=message):
                    await cls.from_socket(wrong)
            for sock in (near, unbound, stream):
                assert sock.fileno() >= 0
                os.fstat(sock.fileno())
    os.close(reader)
    os.close(writer)


# -- failures ------------------------------------------------------------------------------


async def test_failed_operation_leaves_no_reference_cycle() -> None:
    async def fail() -> None:
        with pytest.raises(OSError, match=r"255\.255"):
            await create_connected_udp_socket("255.255.255.255", 9)
        async with await create_udp_socket(local_host=HOST) as sock:
            for host in ("::1", "255.255.255.255"):
                with pytest.raises(BrokenResourceError):
                    await sock.sendto(b"x", host, 9)

    await fail()  # fills what is filled once
    gc.collect()
    gc.disable()
    try:
        await fail()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        garbage = [it for it in gc.garbage if isinstance(it, BaseException)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert garbage == []
