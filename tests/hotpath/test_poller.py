"""What Poller promises about readiness, waits and descriptors, asked of each twin in turn."""

import gc
import os
import select
import socket

import pytest
from fakes import KINDS, STREAMS, Loop, fill, in_thread, park, socket_pair

kinds = pytest.mark.parametrize("kind", KINDS)


def waiting_reader(loop, sock):
    """Register ``sock`` and wait for it; return registration and wait."""
    registration = loop.register(sock)
    loop.drain()
    assert registration.recv(100) is None
    return registration, park(registration)


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
    with pytest.raises(
        ValueError, match=r"expected a non-blocking socket, not <socket\.socket fd="
    ):
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


# -- closing -------------------------------------------------------------------------------


def test_close_wakes_who_waits_and_closes_the_socket(loop, pair):
    near, _ = pair()
    registration = loop.register(near)
    registration.recv(100)
    fill(registration)
    waits = park(registration), park(registration, "writer")
    registration.close()
    assert [wait.woken for wait in waits] == [True, True]
    assert near.fileno() == -1
    assert (registration.readable, registration.writable) == (False, False)
    loop.poller._check()


def test_close_again_does_nothing(loop, pair):
    near, far = pair()
    registration = loop.register(near)
    registration.close()
    other = loop.register(far)
    registration.close()
    assert len(loop.poller) == 1
    loop.poller._check()
    assert other.fd == far.fileno()


def test_close_in_another_thread_closes_and_wakes_nobody(loop, pair):
    registration, wait = waiting_reader(loop, pair()[0])
    in_thread(registration.close)
    assert not wait.woken
    assert registration.fd == -1


def test_clear_writable_of_a_closed_registration_does_nothing(loop, pair):
    registration = loop.register(pair()[0])
    registration.close()
    registration.clear_writable()
    assert not registration.writable


def test_pending_event_of_a_closed_socket_leaves_the_next_of_its_number_alone(loop, pair):
    near, far = pair()
    registration, _ = waiting_reader(loop, near)
    number = near.fileno()
    far.send(b"abc")  # an event is due
    registration.close()
    again, _ = socket_at(number, pair)
    _, wait = waiting_reader(loop, again)
    assert not wait.woken
    loop.drain()
    assert not wait.woken


def socket_at(number, pair):
    """Return a pair whose first socket has the descriptor ``number``, which is free."""
    near, far = pair()
    if near.fileno() != number:
        os.dup2(near.fileno(), number)
        near.close()
        near = socket.socket(fileno=number)
        near.setblocking(False)
    return near, far


def test_socket_closed_behind_the_poller_leaves_the_next_of_its_number_alone(loop, pair):
    near, far = pair()
    registration, old_wait = waiting_reader(loop, near)
    number = near.fileno()
    far.send(b"abc")
    near.close()
    again, other = socket_at(number, pair)
    new, wait = waiting_reader(loop, again)
    registration.close()
    assert old_wait.woken
    assert again.fileno() == number
    assert not wait.woken
    other.send(b"abc")
    loop.poll()
    assert wait.woken
    new.close()
    loop.poller._check()


def test_descriptor_closed_behind_the_socket_leaves_the_poller_whole(loop, pair):
    registration, wait = waiting_reader(loop, pair()[0])
    os.close(registration.fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        registration.close()
    assert wait.woken
    assert (registration.fd, len(loop.poller)) == (-1, 0)
    registration.close()
    loop.poller._check()


def test_duplicate_that_outlives_the_close_has_no_more_events(loop, pair):
    near, far = pair()
    registration, _ = waiting_reader(loop, near)
    with near.dup():
        registration.close()
        far.send(b"abc")
        assert loop.poll_now() == 0


def test_duplicate_that_outlives_a_close_behind_the_poller_wakes_nobody_else(loop, pair):
    near, far = pair()
    _, old_wait = waiting_reader(loop, near)
    number = near.fileno()
    duplicate = near.dup()
    near.close()
    again, other = socket_at(number, pair)
    registration, wait = waiting_reader(loop, again)
    far.send(b"abc")
    loop.poll()  # of a description that nobody here can name any more
    registration.reader = None
    assert registration.recv(100) is None  # at worst a call that would block
    wait = park(registration)
    other.send(b"def")
    loop.poll()
    assert wait.woken
    registration.reader = None
    assert registration.recv(100) == b"def"
    assert not old_wait.cancelled
    duplicate.close()


def test_slots_are_used_again_and_tell_their_users_apart(loop, pair):
    for _ in range(50):
        near, far = pair()
        registration, wait = waiting_reader(loop, near)
        keep, _ = pair()
        kept = loop.register(keep)
        far.send(b"abc")
        loop.poll()
        assert wait.woken
        registration.close()
        kept.close()
    assert len(loop.poller) == 0


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
