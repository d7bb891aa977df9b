"""Address families that no stream of penstock knows."""

import os
import socket as stdlib
import struct

import pytest
from low_peers import blocked, every_descriptor_is_closed, fill, outcome, pair  # noqa: F401

from penstock import socket

RTM_NEWLINK, RTM_GETLINK, NLMSG_DONE = 16, 18, 3
RTM_GETROUTE, RTM_NEWROUTE = 26, 24
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
IFLA_IFNAME = 3


def available(family, kind, proto=0):
    try:
        stdlib.socket(family, kind, proto).close()
    except OSError:
        return False
    return True


def dump_request(kind, sequence=1):
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)
    return (
        struct.pack("=LHHLL", 16 + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0) + body
    )


def messages(data):
    while data:
        size, kind, _, sequence, _ = struct.unpack_from("=LHHLL", data)
        yield kind, sequence, data[16:size]
        data = data[(size + 3) & ~3 :]


def name_of(link):
    attributes = link[16:]
    while attributes:
        size, kind = struct.unpack_from("=HH", attributes)
        if kind == IFLA_IFNAME:
            return attributes[4 : size - 1].decode()
        attributes = attributes[(size + 3) & ~3 :]
    raise AssertionError("a link without a name")


async def dump(sock, request, sequence):
    """Send a request and collect the messages of its answer."""
    await sock.sendto(request, (0, 0))
    found = []
    while True:
        data, (sender, _) = await sock.recvfrom(1 << 16)
        assert sender == 0  # the kernel
        for kind, number, body in messages(data):
            assert number == sequence
            if kind == NLMSG_DONE:
                return found
            found.append((kind, body))


async def test_netlink_tells_the_names_of_the_interfaces():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        assert sock.getsockname()[0] > 0
        for sequence in (1, 2):  # again, when the flags of readiness have been through it
            links = await dump(sock, dump_request(RTM_GETLINK, sequence), sequence)
            assert {kind for kind, _ in links} == {RTM_NEWLINK}
            assert {name_of(body) for _, body in links} == {n for _, n in socket.if_nameindex()}


async def test_netlink_tells_the_routes():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        await sock.connect((0, 0))
        routes = await dump(sock, dump_request(RTM_GETROUTE, 7), 7)
        with stdlib.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as theirs:
            theirs.sendto(dump_request(RTM_GETROUTE, 7), (0, 0))
            expected = []
            while not expected or expected[-1][0] != NLMSG_DONE:
                expected += [(kind, body) for kind, _, body in messages(theirs.recv(1 << 16))]
        assert [kind for kind, _ in routes] == [RTM_NEWROUTE] * (len(expected) - 1)


async def test_netlink_waits_for_what_does_not_come():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        request = dump_request(RTM_GETLINK)
        with sock.dup() as again:
            data = await blocked(sock.recv, 1 << 16, then=lambda: os.write(again.fileno(), request))
        assert next(messages(data))[0] == RTM_NEWLINK


@pytest.mark.skipif(
    not available(socket.AF_PACKET, socket.SOCK_RAW), reason="for the superuser alone"
)
async def test_packets_of_the_loopback_interface():
    own = 0x88B5  # IEEE 802, "local experimental": no other program's packets
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(own)) as near,
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(own)) as far,
    ):
        far.bind(("lo", own))
        for _ in range(2):
            assert await near.sendto(b"needle", ("lo", own)) == 6
            packet, (interface, kind, *_) = await far.recvfrom(1 << 16)
            assert (packet, interface, kind) == (b"needle", "lo", own)


async def test_abstract_names():
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as near:
        listening.bind(b"\0penstock %d" % listening.fileno())
        listening.listen()
        await near.connect(listening.getsockname())
        far, _ = await listening.accept()
        with far:
            await far.send(b"abc")
            assert await near.recv(100) == b"abc"


async def test_credentials_come_with_a_message():
    with pair() as (ours, peer):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        peer.send(b"x")
        _, ((level, kind, data),), _, _ = await ours.recvmsg(1, socket.CMSG_SPACE(12))
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS)
        assert struct.unpack("=iii", data) == (os.getpid(), os.getuid(), os.getgid())


async def test_records_of_seqpacket_keep_their_bounds():
    with pair(type=socket.SOCK_SEQPACKET) as (ours, peer):
        for size in (1, 3, 2):
            assert await ours.send(b"x" * size) == size
        assert [peer.recv(100) for _ in range(3)] == [b"x", b"xxx", b"xx"]
        peer.send(b"abc")
        peer.send(b"def")
        assert await ours.recv(1) == b"a"
        assert await ours.recv(9) == b"def"


async def test_multipath_tcp_falls_back_to_tcp():
    if not available(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP):
        pytest.skip("no multipath TCP here")
    with (
        stdlib.create_server(("127.0.0.1", 0)) as server,
        socket.socket(proto=socket.IPPROTO_MPTCP) as sock,
    ):
        await sock.connect(server.getsockname())
        peer, _ = server.accept()
        with peer:
            assert await blocked(sock.recv, 9, then=lambda: peer.send(b"x")) == b"x"
            await fill(sock)
            assert isinstance(await outcome(sock.send, b"x", socket.MSG_DONTWAIT), BlockingIOError)
