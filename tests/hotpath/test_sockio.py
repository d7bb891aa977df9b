"""What the calls of a Registration promise, asked of each twin in turn."""

import os
import re
import socket
from array import array
from contextlib import suppress

import pytest
from fakes import KINDS, STREAMS, reset

MEBIBYTE = 1 << 20
kinds = pytest.mark.parametrize("kind", KINDS)
streams = pytest.mark.parametrize("kind", STREAMS)


# -- receiving -----------------------------------------------------------------------------


@kinds
def test_receive_gives_what_came(loop, pair, kind):
    near, far = pair(kind)
    registration = loop.register(near)
    loop.drain()
    far.send(b"abc")
    loop.poll()
    assert registration.recv(100) == b"abc"


@kinds
def test_call_by_read_with_returns_what_it_returned(loop, pair, kind):
    near, far = pair(kind)
    registration = loop.register(near)
    far.send(b"abcdef")
    loop.poll()
    assert registration.read_with(near.recv, 3, socket.MSG_PEEK) == b"abc"
    with pytest.raises(TypeError):
        registration.read_with(near.recv, "3")
    assert registration.readable


@kinds
def test_call_by_read_with_that_finds_nothing_clears_the_flag(loop, pair, kind):
    near, far = pair(kind)
    registration = loop.register(near)
    assert registration.read_with(near.recv, 3) is None
    assert not registration.readable
    far.send(b"abc")
    loop.poll()
    assert registration.read_with(near.recv, 3) == b"abc"


@streams
def test_call_by_write_with_that_has_no_room_clears_the_flag(loop, pair, kind):
    near, far = pair(kind)
    registration = loop.register(near)
    while registration.write_with(near.send, bytes(65_536)) is not None:
        pass
    assert not registration.writable
    while True:
        try:
            far.recv(1 << 20)
        except BlockingIOError:
            break
    loop.poll()
    assert registration.write_with(near.send, b"abc") == 3


@kinds
def test_receive_with_nothing_there_is_declined_and_says_so(loop, pair, kind):
    registration = loop.register(pair(kind)[0])
    assert registration.readable
    assert registration.recv(100) is None
    assert not registration.readable


@streams
def test_receive_at_the_end_of_the_stream_is_empty(loop, pair, kind):
    near, far = pair(kind)
    registration = loop.register(near)
    far.close()
    loop.poll()
    assert registration.recv(100) == b""
    assert registration.recv_into(bytearray(100)) == 0


@pytest.mark.parametrize("size", [1, 1000, 65_536, 65_537, 200_000])
def test_receive_gives_at_most_what_was_asked_for(loop, pair, size):
    near, far = pair("unix")
    for sock in (near, far):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    registration = loop.register(near)
    content = os.urandom(size + 10)
    assert far.send(content) == len(content)
    received = b""
    while len(received) < size:
        received += registration.recv(size - len(received))
    assert received == content[:size]


def test_receive_into_fills_the_memory_of_the_caller(loop, pair):
    near, far = pair()
    registration = loop.register(near)
    far.send(b"abcdef")
    buffer = bytearray(b"........")
    assert registration.recv_into(memoryview(buffer)[2:6]) == 4
    assert buffer == b"..abcd.."


def test_receive_into_items_wider_than_a_byte_counts_bytes(loop, pair):
    near, far = pair()
    registration = loop.register(near)
    items = array("I", [1, 2])
    far.send(items.tobytes())
    target = array("I", [0, 0, 0])
    assert registration.recv_into(target) == 8
    assert target[:2] == items


@pytest.mark.parametrize("buffer", [b"abc", "abc", None, memoryview(bytearray(8))[::2]])
def test_receive_into_something_else_is_a_type_error(loop, pair, buffer):
    near, far = pair()
    registration = loop.register(near)
    far.send(b"abc")
    message = re.escape(f"expected contiguous writable memory, not {buffer!r}")
    with pytest.raises(TypeError, match=message):
        registration.recv_into(buffer)
    assert registration.recv(100) == b"abc"


def test_receive_into_empty_buffer_is_a_value_error(loop, pair):
    with pytest.raises(ValueError, match="cannot receive into an empty buffer"):
        loop.register(pair()[0]).recv_into(bytearray())


@pytest.mark.parametrize("name", ["recv", "recvfrom", "recvmsg"])
@pytest.mark.parametrize(
    ("size", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (None, TypeError)]
)
def test_receive_of_wrong_size_is_an_error(loop, pair, name, size, error):
    near, far = pair()
    registration = loop.register(near)
    far.send(b"abc")
    with pytest.raises(error, match=f"max_bytes must be .* not {size}"):
        getattr(registration, name)(size, *([0] if name == "recvmsg" else []))
    assert registration.recv(100) == b"abc"


def test_receive_of_more_than_any_counter_holds_receives(loop, pair):
    near, far = pair()
    registration = loop.register(near)
    far.send(b"abc")
    assert registration.recv(10**30) == b"abc"


def test_recvfrom_gives_the_address_too(loop, pair):
    near, far = pair("datagram")
    registration = loop.register(near)
    far.send(b"abc")
    assert registration.recvfrom(100) == (b"abc", None)


def test_recvmsg_gives_descriptors_that_are_not_inherited(loop, pair):
    near, far = pair()
    registration = loop.register(near)
    socket.send_fds(far, [b"abc"], [far.fileno()])
    data, [(level, kind, payload)], _, _ = registration.recvmsg(100, socket.CMSG_SPACE(4))
    assert (data, level, kind) == (b"abc", socket.SOL_SOCKET, socket.SCM_RIGHTS)
    (fd,) = array("i", payload)
    try:
        assert not os.get_inheritable(fd)
    finally:
        os.close(fd)


def test_accept_gives_a_descriptor_that_neither_blocks_nor_is_inherited(loop):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        registration = loop.register(server)
        assert registration.accept() == -1
        assert not registration.readable
        with socket.create_connection(server.getsockname()):
            loop.poll()
            fd = registration.accept()
            try:
                assert not os.get_blocking(fd)
                assert not os.get_inheritable(fd)
            finally:
                os.close(fd)
        registration.close()


def test_reset_by_the_peer_is_an_os_error(loop, pair):
    near, far = pair("tcp")
    registration = loop.register(near)
    reset(far)
    loop.poll()
    with pytest.raises(ConnectionResetError):
        registration.recv(100)


# -- sending -------------------------------------------------------------------------------


@kinds
@pytest.mark.parametrize("offset", [0, 2])
def test_send_sends_from_the_offset_on(loop, pair, kind, offset):
    near, far = pair(kind)
    registration = loop.register(near)
    assert registration.send(b"abcdef", offset) == 0
    assert (registration.sent, registration.total) == (6, 6)
    far.setblocking(True)
    assert far.recv(100) == b"abcdef"[offset:]


@streams
def test_send_of_more_than_there_is_room_for_says_what_is_left(loop, pair, kind):
    near, far = pair(kind)
    registration = loop.register(near)
    content = os.urandom(20_000_000)
    left, received = len(content), bytearray()
    while left:
        left_after = registration.send(content, registration.sent if received else 0)
        if left_after >= 0:
            left = left_after
            assert (registration.sent, registration.total) == (len(content) - left, len(content))
        far.setblocking(True)
        received += far.recv(1 << 20)
        while loop.poll_now():
            pass
    while len(received) < len(content):
        received += far.recv(1 << 20)
    assert received == content


@pytest.mark.parametrize("name", ["send", "sendmsg"])
def test_send_moves_at_most_1_mib(loop, pair, name):
    near, far = pair("tcp")
    far.setblocking(False)
    registration = loop.register(near)
    data = bytes(MEBIBYTE - 1)
    most = tries = 0
    while most < MEBIBYTE and (tries := tries + 1) < 1000:  # the system's buffers grow with use
        loop.poll_now()
        registration.budget.grant()
        if name == "send":
            left = registration.send(data + b"xyz", 0)
            most = max(most, len(data) + 3 - left if left >= 0 else 0)
        else:
            most = max(most, registration.sendmsg([data, b"xy", b"z"], 0, 0))
        with suppress(BlockingIOError):
            while far.recv(MEBIBYTE):
                pass
    assert most == MEBIBYTE


@pytest.mark.parametrize("data", [bytearray(b"abc"), memoryview(b"xabcx")[1:4], b"abc"])
def test_send_takes_bytes_like_data(loop, pair, data):
    near, far = pair()
    registration = loop.register(near)
    assert registration.send(data, 0) == 0
    assert registration.sendmsg([data], 0, 1) == 2
    assert far.recv(100) == b"abcbc"


def test_send_of_items_wider_than_a_byte_counts_bytes(loop, pair):
    near, far = pair()
    registration = loop.register(near)
    items = array("I", [1, 2, 3])
    assert registration.send(items, 4) == 0
    assert registration.sendmsg([items, items], 0, 4) == 20
    assert far.recv(100) == items.tobytes()[4:] * 2 + items.tobytes()


@pytest.mark.parametrize("data", ["abc", 5, None, memoryview(b"abcdef")[::2]])
def test_send_of_something_else_is_a_type_error_and_sends_nothing(loop, pair, data):
    near, far = pair()
    registration = loop.register(near)
    message = re.escape(f"expected contiguous bytes-like data, not {data!r}")
    with pytest.raises(TypeError, match=message):
        registration.send(data, 0)
    with pytest.raises(TypeError, match=message):
        registration.sendmsg([b"abc", data], 0, 0)
    with pytest.raises(BlockingIOError):
        far.recv(100)


@pytest.mark.parametrize("offset", [-1, 4])
def test_send_from_outside_of_the_data_is_a_value_error(loop, pair, offset):
    near, far = pair()
    registration = loop.register(near)
    message = f"offset must be between 0 and 3, not {offset}"
    with pytest.raises(ValueError, match=message):
        registration.send(b"abc", offset)
    with pytest.raises(ValueError, match=message):
        registration.sendmsg([b"abc", b"def"], 0, offset)
    with pytest.raises(BlockingIOError):
        far.recv(100)


@pytest.mark.parametrize("first", [-1, 2, 5000])
def test_sendmsg_from_outside_of_the_buffers_is_a_value_error(loop, pair, first):
    registration = loop.register(pair()[0])
    with pytest.raises(ValueError, match=f"first must be between 0 and 1, not {first}"):
        registration.sendmsg([b"abc", b"def"], first, 0)


def test_sendmsg_of_more_buffers_than_one_call_takes_goes_on_where_it_stopped(loop, pair):
    near, far = pair()
    registration = loop.register(near)
    buffers = [b"%05d" % number for number in range(3000)]
    content, sent = b"".join(buffers), 0
    while sent < len(content):
        nbytes = registration.sendmsg(buffers, sent // 5, sent % 5)
        assert 0 < nbytes <= 5 * 1024
        sent += nbytes
    received = b""
    while len(received) < sent:
        received += far.recv(100_000)
    assert received == content


def test_sendmsg_starts_at_first_and_offset(loop, pair):
    near, far = pair()
    registration = loop.register(near)
    assert registration.sendmsg([b"abc", b"def", b"", b"ghi"], 1, 2) == 4
    assert far.recv(100) == b"fghi"


def test_sendto_sends_one_datagram(loop, pair, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as target:
        target.bind(str(tmp_path / "target"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            registration = loop.register(sock)
            assert registration.sendto(b"abc", target.getsockname()) == 3
            assert target.recv(100) == b"abc"
            registration.close()


@streams
@pytest.mark.parametrize("name", ["send", "sendmsg"])
def test_send_to_a_peer_that_is_gone_is_an_os_error_and_no_signal(loop, pair, kind, name):
    near, _ = pair(kind)
    registration = loop.register(near)
    near.shutdown(socket.SHUT_WR)
    with pytest.raises(BrokenPipeError):
        registration.send(b"abc", 0) if name == "send" else registration.sendmsg([b"abc"], 0, 0)


def test_buffers_are_let_go_of(loop, pair):
    registration = loop.register(pair()[0])
    for call in (
        lambda data: registration.send(data, 0),
        lambda data: registration.sendmsg([data, data], 0, 1),
        lambda data: registration.recv_into(data),
    ):
        data = bytearray(b"abc")
        call(data)
        data.clear()


def test_buffers_are_let_go_of_when_a_send_fails(loop, pair):
    near, _ = pair()
    registration = loop.register(near)
    near.shutdown(socket.SHUT_WR)
    for call in (
        lambda data: registration.send(data, 0),
        lambda data: registration.sendmsg([data, data], 0, 1),
        lambda data: registration.sendmsg([data, None], 0, 1),
    ):
        data = bytearray(b"abc")
        with pytest.raises((BrokenPipeError, TypeError)) as caught:
            call(data)
        data.clear()
        del caught
