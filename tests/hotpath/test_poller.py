"""What Poller promises about readiness, waits and descriptors, asked of each twin in turn."""

import gc
import os
import select
import socket

import pytest
from fakes import KINDS, STREAMS, Loop, fill, park, socket_pair, waiting_reader

kinds = pytest.mark.parametrize("kind", KINDS)


# -- waiting -------------------------------------------------------------------------------


@kinds
def test_data_wakes_who_waits_to_receive(loop, pair, kind):
    near, far = pair(kind)
    registration, wait = waiting_reader(loop, near)
    assert not registration.readable
    far.send(b"abc")
    loop.poll()
    assert wait.woken
    assert registration.readable
    registration.reader = None
    assert registration.recv(100) == b"abc"


@pytest.mark.parametrize("kind", [*STREAMS, "seqpacket"])
def test_end_of_stream_wakes_who_waits_to_receive(loop, pair, kind):
    near, far = pair(kind)
    _, wait = waiting_reader(loop, near)
    far.close()
    loop.poll()
    assert wait.woken


@pytest.mark.parametrize("kind", [*STREAMS, "datagram", "seqpacket"])
def test_room_wakes_who_waits_to_send(loop, pair, kind):
    near, far = pair(kind)
    registration = loop.register(near)
    fill(registration)
    loop.drain()
    if registration.writable:  # what was full is told of as it was
        fill(registration)
    assert not registration.writable
    wait = park(registration, "writer")
    assert not wait.woken
    read_all(far)
    loop.poll()
    assert wait.woken
    assert registration.writable
    registration.writer = None
    assert registration.send(b"abc", 0) == 0


def read_all(sock):
    try:
        while sock.recv(1 << 20):
            pass
    except BlockingIOError:
        pass


@pytest.mark.parametrize("kind", ["tcp", "unix", "seqpacket"])
def test_room_wakes_again_and_again(loop, pair, kind):
    near, far = pair(kind)
    registration = loop.register(near)
    for _ in range(5):
        fill(registration)
        wait = park(registration, "writer")
        while not wait.woken:
            read_all(far)
            loop.poll()
        registration.writer = None


def test_one_event_wakes_both_directions(loop, pair):
    near, far = pair()
    registration = loop.register(near)
    loop.drain()
    fill(registration)
    registration.recv(1)
    waits = park(registration), park(registration, "writer")
    far.close()
    loop.poll()
    assert [wait.woken for wait in waits] == [True, True]


def test_wait_that_was_cancelled_loses_nothing(loop, pair):
    near, far = pair()
    registration, wait = waiting_reader(loop, near)
    wait.cancelled = True
    registration.reader = None
    far.send(b"abc")
    loop.poll()
    assert registration.recv(100) == b"abc"


def test_wait_that_was_woken_and_cancelled_loses_nothing(loop, pair):
    near, far = pair()
    registration, wait = waiting_reader(loop, near)
    far.send(b"abc")
    loop.poll()
    wait.cancelled = True
    registration.reader = None
    assert registration.readable
    assert park(registration) is None
    assert registration.recv(100) == b"abc"


def test_events_of_many_sockets_come_in_several_looks(loop, pair):
    parked = []
    for _ in range(300):
        near, far = pair()
        parked.append((*waiting_reader(loop, near), far))
    for _, _, far in parked:
        far.send(b"a")
    assert loop.poll() == 256
    assert loop.poll() == 44
    assert all(wait.woken for _, wait, _ in parked)


def test_poll_lets_the_budget_start_anew(twin, pair):
    loop = Loop(twin, 5)
    loop.budget.spend()
    assert loop.poll_now() == 0
    assert loop.budget.left == 5


# -- registering ---------------------------------------------------------------------------


def test_registered_socket_is_known_until_closed(loop, pair):
    near, far = pair()
    registrations = [loop.register(near), loop.register(far)]
    assert len(loop.poller) == 2
    assert (registrations[0].fd, registrations[0].sock) == (near.fileno(), near)
    assert registrations[0].budget is loop.budget
    registrations[0].close()
    assert len(loop.poller) == 1
    assert registrations[0].fd == -1
    registrations[1].close()
    assert len(loop.poller) == 0


@pytest.mark.parametrize("timeout", [None, 1.0])
def test_register_socket_that_blocks_is_a_value_error(loop, pair, timeout):
    near, _ = pair()
    near.settimeout(timeout)
    with pytest.raises(ValueError, match=r"a non-blocking socket, not <socket\.socket fd="):
        loop.register(near)
    assert len(loop.poller) == 0


def test_register_closed_socket_is_an_os_error(loop, pair):
    near, _ = pair()
    near.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        loop.register(near)
    assert len(loop.poller) == 0


def test_register_socket_twice_is_an_os_error_and_leaves_the_first(loop, pair):
    near, far = pair()
    registration, wait = waiting_reader(loop, near)
    with pytest.raises(FileExistsError):
        loop.register(near)
    assert len(loop.poller) == 1
    far.send(b"abc")
    loop.poll()
    assert wait.woken
    assert registration.readable


def test_register_something_that_the_system_cannot_watch_is_an_os_error(loop, tmp_path):
    class NoSocket(socket.socket):
        def fileno(self):
            return self.number

    with open(tmp_path / "file", "wb") as file, NoSocket() as sock:
        sock.setblocking(False)
        sock.number = file.fileno()
        with pytest.raises(PermissionError):
            loop.register(sock)
        assert len(loop.poller) == 0
        assert loop.poll_now() == 0


# -- the end -------------------------------------------------------------------------------


def test_closed_poller_has_no_descriptor_and_no_events(loop, pair):
    number = loop.poller.fd
    assert number >= 0
    loop.poller.close()
    loop.poller.close()
    assert loop.poller.fd == -1
    assert loop.poll_now() == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_closed_poller_leaves_the_sockets_open(loop, pair):
    near, far = pair()
    registration = loop.register(near)
    loop.poller.close()
    assert registration.send(b"abc", 0) == 0
    assert far.recv(100) == b"abc"
    far.close()
    assert registration.recv(100) == b""
    registration.clear_writable()
    registration.close()
    assert near.fileno() == -1


def test_closed_poller_registers_nothing_more(loop, pair):
    loop.poller.close()
    with pytest.raises(RuntimeError, match="this poller is closed"):
        loop.register(pair()[0])


def test_poller_is_not_inherited_by_child_programs(loop):
    assert not os.get_inheritable(loop.poller.fd)


def test_poller_that_is_dropped_closes_its_descriptor(twin):
    loop = Loop(twin)
    number = loop.poller.fd
    del loop
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_poller_in_a_cycle_with_its_sockets_is_collected(twin):
    loop = Loop(twin)
    near, far = socket_pair("unix")
    registration = loop.register(near)
    registration.reader = [registration, loop]
    numbers = [loop.poller.fd]
    far.close()
    near.close()
    del loop, registration
    gc.collect()
    for number in numbers:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)


def test_host_loop_sees_events_until_they_are_taken(loop, pair):
    near, far = pair()
    waiting_reader(loop, near)
    assert not select.select([loop.poller.fd], [], [], 0)[0]
    far.send(b"abc")
    for _ in range(2):
        assert select.select([loop.poller.fd], [], [], 10)[0]
    loop.poll()
    assert not select.select([loop.poller.fd], [], [], 0)[0]
