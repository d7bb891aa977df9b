"""Data that is left behind a short read is there for the next one, whatever events come.

Events are edge-triggered: where nothing new arrives, none comes, and a task that waited for one
would wait for ever, unless it was asked for (on UNIX byte streams).  Asked of each twin in turn,
for every type of socket.
"""

import os
import select
import socket
from array import array

import pytest
from fakes import STREAMS, fill, reset

TCP = [kind for kind in STREAMS if kind != "unix"]


@pytest.fixture
def receiving(loop, pair):
    """Make a pair; return its registered end, whose first event is taken, and the other one."""

    def receiving(kind):
        near, far = pair(kind)
        registration = loop.register(near)
        loop.drain()
        assert registration.recv(100) is None
        return registration, far

    return receiving


def no_event(loop):
    """Take no event: what follows must not need one."""
    assert loop.poll_now() == 0


def test_descriptors_in_flight_end_a_unix_read_short(loop, receiving):
    registration, far = receiving("unix")
    far.send(b"a")
    socket.send_fds(far, [b"b"], [0])
    far.send(b"c")
    loop.drain()
    received = [registration.recv(100)]
    while loop.poll_now():  # the system tells of what is left
        received.append(registration.recv(100))
    assert b"".join(data for data in received if data) == b"abc"
    assert len(received) > 1  # or the test does not test anything


def test_short_read_leaves_the_wait_for_room(loop, receiving):
    registration, far = receiving("unix")
    fill(registration)
    far.send(b"a")
    loop.poll()
    assert registration.recv(100) == b"a"
    loop.drain()
    assert not registration.writable
    while not registration.writable:
        far.recv(1 << 20, socket.MSG_DONTWAIT)
        loop.poll_now()
    assert registration.send(b"b", 0) == 0


def test_descriptors_in_flight_end_a_unix_recvmsg_short(loop, receiving):
    registration, far = receiving("unix")
    for letter in (b"a", b"b"):
        socket.send_fds(far, [letter], [0])
    loop.drain()
    for letter in (b"a", b"b"):
        data, [(_, _, payload)], _, _ = registration.recvmsg(100, socket.CMSG_SPACE(64))
        for fd in array("i", payload):
            os.close(fd)
        assert data == letter
        assert loop.poll_now() == (letter == b"a")  # the system tells of what is left


@pytest.mark.parametrize("kind", TCP)
@pytest.mark.parametrize("poll_before_read", [True, False])
def test_urgent_byte_ends_a_tcp_read_short(loop, receiving, kind, poll_before_read):
    registration, far = receiving(kind)
    if poll_before_read:  # an urgent byte is told of once, whatever is done about it
        far.send(b"!", socket.MSG_OOB)
        loop.poll()
        loop.drain()
        assert registration.recv(100) is None
    far.send(b"ab")
    far.send(b"!", socket.MSG_OOB)
    far.send(b"cd")
    assert select.select([], [], [registration.sock], 10)[2]
    loop.poll()
    assert registration.recv(100) == b"ab"
    no_event(loop)
    assert registration.recv(100) == b"cd"


@pytest.mark.parametrize("kind", ["udp", "datagram", "seqpacket"])
@pytest.mark.parametrize("call", ["recv", "recv_into", "recvfrom", "recvmsg"])
def test_three_datagrams_are_three_receives(loop, receiving, kind, call):
    registration, far = receiving(kind)
    for letter in (b"a", b"b", b"c"):
        far.send(letter)
    loop.poll()
    loop.drain()
    for letter in (b"a", b"b", b"c"):
        buffer = bytearray(1)
        received = {
            "recv": lambda: registration.recv(100),
            "recv_into": lambda buffer=buffer: bytes(buffer[: registration.recv_into(buffer)]),
            "recvfrom": lambda: registration.recvfrom(100)[0],
            "recvmsg": lambda: registration.recvmsg(100, 0)[0],
        }[call]()
        assert received == letter
        no_event(loop)


@pytest.mark.parametrize("kind", ["udp", "datagram", "seqpacket"])
def test_datagram_that_is_empty_leaves_the_next_one(loop, receiving, kind):
    registration, far = receiving(kind)
    far.send(b"")
    far.send(b"a")
    loop.poll()
    assert registration.recv(100) == b""
    no_event(loop)
    assert registration.recv(100) == b"a"


def test_two_queued_connections_are_two_accepts(loop):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        registration = loop.register(server)
        loop.drain()
        assert registration.accept() == -1
        with (
            socket.create_connection(server.getsockname()),
            socket.create_connection(server.getsockname()),
        ):
            loop.poll()
            for _ in range(2):
                fd = registration.accept()
                assert fd >= 0
                os.close(fd)
                no_event(loop)
            assert registration.accept() == -1
        registration.close()


@pytest.mark.parametrize("kind", STREAMS)
def test_end_of_stream_behind_data_follows_at_once(loop, receiving, kind):
    registration, far = receiving(kind)
    far.send(b"abc")
    far.shutdown(socket.SHUT_WR)
    loop.poll()
    loop.drain()
    assert registration.recv(100) == b"abc"
    no_event(loop)
    assert registration.recv(100) == b""


def test_end_of_stream_in_the_same_segment_as_data_follows_at_once(loop, receiving):
    registration, far = receiving("tcp")
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    far.send(b"abc")
    far.shutdown(socket.SHUT_WR)
    loop.poll()
    assert registration.recv(100) == b"abc"
    no_event(loop)
    assert registration.recv(100) == b""


def test_reset_behind_data_follows_at_once(loop, receiving):
    registration, far = receiving("tcp")
    far.send(b"abc")
    loop.poll()
    reset(far)
    loop.poll()
    no_event(loop)
    assert registration.recv(100) == b"abc"
    no_event(loop)
    with pytest.raises(ConnectionResetError):
        registration.recv(100)
    no_event(loop)
    assert registration.recv(100) == b""


def test_end_of_stream_after_the_data_was_read_comes_with_an_event(loop, receiving):
    registration, far = receiving("tcp")
    far.send(b"abc")
    loop.poll()
    assert registration.recv(100) == b"abc"
    far.shutdown(socket.SHUT_WR)
    loop.poll()
    assert registration.recv(100) == b""


@pytest.mark.parametrize("kind", STREAMS)
def test_full_read_leaves_the_rest(loop, receiving, kind):
    registration, far = receiving(kind)
    far.send(b"abcdef")
    loop.poll()
    assert registration.recv(4) == b"abcd"
    no_event(loop)
    assert registration.recv(4) == b"ef"


def test_read_that_was_cut_to_256_kib_leaves_the_rest(loop, pair):
    near, far = pair("unix")
    far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    registration = loop.register(near)
    content = bytes(262_144 + 10)
    assert far.send(content) == len(content)
    loop.drain()
    received = b""
    while (data := registration.recv(1 << 20)) is not None:
        received += data
        no_event(loop)
    assert received == content


@pytest.mark.parametrize("kind", STREAMS)
def test_short_read_of_a_stream_saves_the_call_that_would_block(loop, receiving, kind):
    registration, far = receiving(kind)
    far.send(b"abc")
    loop.poll()
    assert registration.recv(100) == b"abc"
    assert not registration.readable


@pytest.mark.parametrize("kind", ["udp", "datagram", "seqpacket"])
def test_short_read_of_another_socket_says_nothing(loop, receiving, kind):
    registration, far = receiving(kind)
    far.send(b"abc")
    loop.poll()
    assert registration.recv(100) == b"abc"
    assert registration.readable
