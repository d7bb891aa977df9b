"""What the datagram calls of a Registration promise, asked of each twin in turn."""

import os
import socket
from contextlib import ExitStack

import pytest
from fakes import Loop, has_ipv6, in_thread

KIBIBYTES_256 = 262_144
FAMILIES = ["ipv4", "path", "abstract", *(["ipv6"] if has_ipv6() else [])]
families = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture
def sock(tmp_path):
    """Make bound, non-blocking datagram sockets, which are closed after the test."""
    with ExitStack() as stack:
        names = iter("abcdefgh")

        def sock(family):
            name = next(names)
            number, address = {
                "ipv4": (socket.AF_INET, ("127.0.0.1", 0)),
                "ipv6": (socket.AF_INET6, ("::1", 0)),
                "path": (socket.AF_UNIX, str(tmp_path / name)),
                "abstract": (socket.AF_UNIX, f"\0penstock-{os.getpid()}-{name}"),
                "unnamed": (socket.AF_UNIX, None),
            }[family]
            made = stack.enter_context(socket.socket(number, socket.SOCK_DGRAM))
            made.setblocking(False)
            if address is not None:
                made.bind(address)
            return made

        yield sock


# -- receiving -----------------------------------------------------------------------------


@families
@pytest.mark.parametrize("max_bytes", [100, 65_536, 100_000])
def test_address_is_what_the_socket_module_gives(loop, sock, family, max_bytes):
    near, far = sock(family), sock(family)
    registration = loop.register(near)
    far.sendto(b"abc", near.getsockname())
    far.sendto(b"abc", near.getsockname())
    assert registration.recvfrom(max_bytes) == near.recvfrom(max_bytes)
    far.sendto(b"abc", near.getsockname())
    far.sendto(b"abc", near.getsockname())
    assert registration.recvfrom_many(1, max_bytes) == [near.recvfrom(max_bytes)]


def test_sender_without_a_name_has_no_address(loop, sock):
    near, far = sock("path"), sock("unnamed")
    registration = loop.register(near)
    for _ in range(2):
        far.sendto(b"abc", near.getsockname())
    assert registration.recvfrom(100) == (b"abc", None)
    assert registration.recvfrom_many(10, 100) == [(b"abc", None)]


def test_stream_socket_has_no_address_to_receive_from(loop, pair):
    for kind in ("tcp", "unix"):
        near, far = pair(kind)
        registration = loop.register(near)
        far.send(b"abcdef")
        loop.poll()
        assert registration.recvfrom(3) == (b"abc", None)


@families
def test_batch_is_all_that_has_come_in_order(loop, sock, family):
    near, far = sock(family), sock(family)
    registration = loop.register(near)
    sent = [b"", b"a", b"bb", b"", b"c" * 1000]
    for data in sent:
        far.sendto(data, near.getsockname())
    packets = registration.recvfrom_many(100, 65_536)
    assert packets == [(data, far.getsockname()) for data in sent]
    assert registration.recvfrom_many(100, 65_536) is None
    assert not registration.readable


def test_batch_of_a_connected_socket_has_no_addresses(loop, pair):
    near, far = pair("udp")
    registration = loop.register(near)
    for data in (b"a", b"b"):
        far.send(data)
    assert registration.recv_many(100, 65_536) == [b"a", b"b"]


@pytest.mark.parametrize("max_packets", [1, 2, 31, 32, 33, 64, 70])
def test_batch_has_at_most_what_was_asked_for(loop, sock, max_packets):
    near, far = sock("ipv4"), sock("ipv4")
    registration = loop.register(near)
    for number in range(70):
        far.sendto(b"%d" % number, near.getsockname())
    received = []
    while packets := registration.recvfrom_many(max_packets, 65_536):
        assert len(packets) == min(max_packets, 70 - len(received))
        received += packets
    assert [data for data, _ in received] == [b"%d" % number for number in range(70)]


def test_batch_ends_behind_256_kib(loop, sock):
    near = sock("path")
    registration = loop.register(near)
    for _ in range(3):
        far = sock("unnamed")
        far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        for _ in range(2):
            far.sendto(bytes(150_000), near.getsockname())
    for _ in range(3):
        assert registration.recv_many(100, 1 << 20) == [bytes(150_000)] * 2
    assert registration.recv_many(100, 1 << 20) is None


@pytest.mark.parametrize("family", ["ipv4", "path"])
def test_datagram_that_is_too_long_is_an_error_and_the_others_are_not_lost(loop, sock, family):
    near, far = sock(family), sock(family)
    registration = loop.register(near)
    for size in (10, 11, 9):
        far.sendto(bytes(size), near.getsockname())
    packets = registration.recvfrom_many(100, 10)
    assert [len(data) for data, _ in packets] == [10, 9]
    with pytest.raises(OSError, match="Message too long"):
        registration.recvfrom_many(100, 10)
    assert registration.recvfrom_many(100, 10) is None


def test_datagram_that_is_too_long_is_an_error_at_once_where_it_is_alone(loop, sock):
    near, far = sock("path"), sock("path")
    registration = loop.register(near)
    far.sendto(bytes(11), near.getsockname())
    with pytest.raises(OSError, match="Message too long"):
        registration.recv_many(100, 10)
    assert registration.recv_many(100, 10) is None


def refuse(loop, sock):
    """Connect a socket to a port that nobody has; return it when it has been told so."""
    near, far = sock("ipv4"), sock("ipv4")
    near.connect(far.getsockname())
    far.connect(near.getsockname())
    registration = loop.register(near)
    loop.drain()
    return registration, far


@pytest.mark.parametrize("call", ["recv", "recvfrom", "recv_many", "recvfrom_many", "send"])
def test_refusal_is_an_error_once(loop, sock, call):
    registration, far = refuse(loop, sock)
    far.close()
    assert registration.sendto(b"abc", None) == 3
    loop.poll()
    arguments = {"send": (b"x", 0), "recv": (10,), "recvfrom": (10,)}.get(call, (10, 10))
    with pytest.raises(ConnectionRefusedError):
        getattr(registration, call)(*arguments)
    assert registration.recv_many(10, 10) is None


def test_error_behind_a_batch_is_raised_by_the_next_receive(loop, sock):
    # The system reports an error before what has come; only one that comes in between is late,
    # and that is how it looks then.
    registration, far = refuse(loop, sock)
    for _ in range(2):
        far.send(bytes(20))
    far.send(bytes(10))
    assert registration.recv_many(10, 10) == [bytes(10)]
    assert registration.readable
    with pytest.raises(OSError, match="Message too long"):
        registration.recv(10)
    assert registration.recv(10) is None


@pytest.mark.parametrize("bad", [0, -1, 1.5, None, "1"])
def test_size_of_a_batch_is_checked(loop, sock, bad):
    registration = loop.register(sock("ipv4"))
    kind = ValueError if isinstance(bad, int) else TypeError
    for call in (registration.recv_many, registration.recvfrom_many):
        with pytest.raises(kind, match=r"max_packets must be .* not " + repr(bad)):
            call(bad, 10)
        with pytest.raises(kind, match=r"max_bytes must be .* not " + repr(bad)):
            call(10, bad)


def test_batch_counts_as_one_operation_and_by_its_bytes(twin, pair):
    loop = Loop(twin, 5)
    loop.budget.refill()
    near, far = pair("datagram")
    for _ in range(3):
        far.send(b"abc")
    registration = loop.register(near)
    assert registration.recv_many(10, 10) == [b"abc"] * 3
    assert loop.budget.left == 4
    for _ in range(2):
        far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        far.send(bytes(KIBIBYTES_256 // 2))
    loop.poll()
    assert len(registration.recv_many(10, 1 << 20)) == 2
    assert loop.budget.exhausted


def test_another_family_goes_through_the_socket_module(loop):
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    with netlink:
        netlink.setblocking(False)
        netlink.bind((0, 0))
        registration = loop.register(netlink)
        # An RTM_GETLINK for every interface: rtnetlink(7).
        request = bytes([20, 0, 0, 0, 18, 0, 1, 3, *bytes(8), 0, 0, 0, 0])
        assert registration.sendto(request, (0, 0)) == 20
        loop.poll()
        data, address = registration.recvfrom(65_536)
        assert (len(data) > 16, address) == (True, (0, 0))
        [(data, address)] = registration.recvfrom_many(1, 65_536)
        assert (len(data) > 16, address) == (True, (0, 0))
        with pytest.raises(TypeError):
            registration.sendto(request, "somewhere")


# -- sending -------------------------------------------------------------------------------


@families
@pytest.mark.parametrize("data", [b"", b"abc", bytearray(b"abc"), memoryview(b"abc")])
def test_datagram_arrives_whole(loop, sock, family, data):
    near, far = sock(family), sock(family)
    registration = loop.register(near)
    assert registration.sendto(data, far.getsockname()) == len(data)
    assert far.recvfrom(100) == (bytes(data), near.getsockname())


def test_every_form_of_an_ipv6_address_is_taken(loop, sock):
    if "ipv6" not in FAMILIES:
        return
    near, far = sock("ipv6"), sock("ipv6")
    port = far.getsockname()[1]
    registration = loop.register(near)
    for address in (
        ("::1", port),
        ("::1", port, 7),
        ("0::1", port, 0, 0),
        (f"::1%{socket.if_nametoindex('lo')}", port),
    ):
        assert registration.sendto(b"abc", address) == 3
        assert far.recv(100) == b"abc"


def test_path_is_taken_as_bytes_and_in_any_encoding(loop, sock, tmp_path):
    registration = loop.register(sock("unnamed"))
    path = os.path.join(os.fsencode(tmp_path), b"\xff\xfe")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as far:
        far.bind(path)
        for address in (path, os.fsdecode(path), bytearray(path)):
            assert registration.sendto(b"abc", address) == 3
            assert far.recv(100) == b"abc"
        back = loop.register(sock("path"))
        far.sendto(b"x", back.sock.getsockname())
        assert back.recvfrom(10) == (b"x", os.fsdecode(path))


@pytest.mark.parametrize("size", [107, 108, 109])
@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_longest_address(loop, sock, kind, size):
    address = (b"\0" if kind == "abstract" else b"/") + b"x" * (size - 1)
    registration = loop.register(sock("unnamed"))
    with pytest.raises(OSError) as caught:  # noqa: PT011  # its number is what is tested
        registration.sendto(b"abc", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as plain:
        with pytest.raises(OSError) as expected:  # noqa: PT011
            plain.sendto(b"abc", address)
    assert (type(caught.value), str(caught.value)) == (type(expected.value), str(expected.value))


@pytest.mark.parametrize(
    "host", ["localhost", "", "<broadcast>", "127.1", "127.0.0.1\0x", b"127.0.0.1", None, 1]
)
def test_host_that_would_be_looked_up_is_a_value_error(loop, sock, host):
    registration = loop.register(sock("ipv4"))
    with pytest.raises(ValueError, match="host must be a numeric address, not") as caught:
        registration.sendto(b"abc", (host, 9))
    assert repr(host) in str(caught.value)


@pytest.mark.parametrize(
    "address", [(), ("127.0.0.1",), ("127.0.0.1", "9"), ("127.0.0.1", 9, 0), "127.0.0.1", 9]
)
def test_what_is_no_address_is_refused(loop, sock, address):
    registration = loop.register(sock("ipv4"))
    with pytest.raises((TypeError, ValueError)):
        registration.sendto(b"abc", address)


@pytest.mark.parametrize("port", [-1, 65_536, 1 << 70])
def test_port_out_of_range_is_an_overflow(loop, sock, port):
    registration = loop.register(sock("ipv4"))
    with pytest.raises(OverflowError):
        registration.sendto(b"abc", ("127.0.0.1", port))


@pytest.mark.parametrize("data", ["abc", None, memoryview(b"abcd")[::2]])
def test_data_that_is_no_bytes_is_a_type_error(loop, pair, data):
    registration = loop.register(pair("udp")[0])
    with pytest.raises(TypeError, match="expected contiguous bytes-like data, not "):
        registration.sendto(data, None)


def test_oversize_datagram_is_an_error(loop, sock):
    near, far = sock("ipv4"), sock("ipv4")
    registration = loop.register(near)
    with pytest.raises(OSError, match="Message too long"):
        registration.sendto(bytes(65_508), far.getsockname())
    assert registration.sendto(bytes(65_507), far.getsockname()) == 65_507


def test_full_queue_of_the_peer_is_no_room(loop, sock):
    near, far = sock("unnamed"), sock("path")
    registration = loop.register(near)
    while registration.sendto(b"x", far.getsockname()) == 1:
        pass
    assert not registration.writable
    loop.drain()  # says that the socket has room, which its peer has not
    far.recv(10)
    registration.set_writable()
    assert registration.writable
    assert registration.sendto(b"x", far.getsockname()) == 1


def test_writability_of_a_closed_registration_cannot_be_set(loop, sock):
    registration = loop.register(sock("ipv4"))
    registration.close()
    registration.set_writable()
    assert not registration.writable


@pytest.mark.parametrize("call", ["recv_many", "recvfrom_many", "sendto"])
def test_another_thread_and_a_closed_registration_are_declined(loop, pair, call):
    near, far = pair("udp")
    registration = loop.register(near)
    far.send(b"abc")
    arguments = (b"abc", None) if call == "sendto" else (10, 10)
    assert in_thread(lambda: getattr(registration, call)(*arguments)) in (None, -1)
    registration.close()
    assert getattr(registration, call)(*arguments) in (None, -1)
