"""Short reads of UNIX byte streams while many sockets have events at a time.

The pure twin then asks the system once for all that lies behind short reads, instead of at each.
Nothing may be lost by that, and no event may come again and again where nobody takes the bytes.
"""

import os
import socket

import pytest
from fakes import fill, park

MANY = 12


@pytest.fixture
def many(loop, pair):
    """Register UNIX streams; read each short, having had events of all of them at a time."""
    pairs = [pair("unix") for _ in range(MANY)]
    registered = [(loop.register(near), far) for near, far in pairs]
    loop.drain()
    for registration, _ in registered:
        assert registration.recv(100) is None
    echo(loop, registered)
    return registered


def echo(loop, registered):
    """Carry a message to each registration, where a task waits for it, and let that task read."""
    waits = [park(registration) for registration, _ in registered]
    for _, far in registered:
        far.send(b"abc")
    assert loop.poll() == MANY
    for wait, (registration, _) in zip(waits, registered, strict=True):
        assert wait.woken
        registration.reader = None
        assert registration.recv(100) == b"abc"
        assert not registration.readable


def no_more_events(loop):
    """Assert that events end, though nobody reads."""
    assert 0 in [loop.poll_now() for _ in range(4)]


def test_each_message_wakes_who_waits_for_it(loop, many):
    for _ in range(3):
        echo(loop, many)
    no_more_events(loop)


def test_what_lies_behind_descriptors_is_told_of(loop, many):
    """Nobody has to send again: each of these ends a read short."""
    for _, far in many:
        far.send(b"a")
        socket.send_fds(far, [b"b"], [0])
        socket.send_fds(far, [b"c"], [0])
        far.send(b"d")
    received = [b""] * MANY
    while received != [b"abcd"] * MANY:
        waits = [park(registration) for registration, _ in many]
        assert loop.poll() == MANY
        for number, (registration, _) in enumerate(many):
            assert waits[number].woken
            registration.reader = None
            received[number] += registration.recv(100)


def test_bytes_that_nobody_takes_are_no_endless_events(loop, many):
    for _, far in many:
        far.send(b"abc")
    assert loop.poll() == MANY
    no_more_events(loop)
    for registration, _ in many:
        assert registration.recv(100) == b"abc"
    echo(loop, many)


def test_task_that_was_woken_and_does_not_run_is_no_endless_event(loop, many):
    registration, far = many[0]
    wait = park(registration)
    far.send(b"abc")
    assert loop.poll() == 1
    assert wait.woken
    no_more_events(loop)
    registration.reader = None
    assert registration.recv(100) == b"abc"


def test_end_of_stream_that_nobody_takes_is_no_endless_event(loop, many):
    for _, far in many:
        far.shutdown(socket.SHUT_WR)
    assert loop.poll() == MANY
    no_more_events(loop)
    for registration, _ in many:
        assert registration.recv(100) == b""


def test_room_to_send_is_no_endless_event(loop, many):
    registration, far = many[0]
    fill(registration)
    echo(loop, many)
    assert not registration.writable
    while not registration.writable:
        far.recv(1 << 20, socket.MSG_DONTWAIT)
        loop.poll_now()
    no_more_events(loop)
    echo(loop, many)


def test_few_events_at_a_time_change_nothing(loop, many):
    registration, far = many[0]
    for _ in range(3):
        wait = park(registration)
        far.send(b"abc")
        assert loop.poll() == 1
        assert wait.woken
        registration.reader = None
        assert registration.recv(100) == b"abc"
        assert not registration.readable
    no_more_events(loop)


def test_detached_socket_is_no_endless_event(loop, many):
    registration, far = many[0]
    fd = registration.sock.detach()
    try:
        registration.close()
        far.send(b"abc")
        no_more_events(loop)
        assert os.read(fd, 100) == b"abc"
    finally:
        os.close(fd)
    echo_rest = many[1:]
    waits = [park(registration) for registration, _ in echo_rest]
    for _, far in echo_rest:
        far.send(b"abc")
    assert loop.poll() == MANY - 1
    assert all(wait.woken for wait in waits)
