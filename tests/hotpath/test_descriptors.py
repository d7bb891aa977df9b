"""Sockets that are closed, their numbers reused, their duplicates alive: in each twin."""

import os
import socket

import pytest
from fakes import fill, in_thread, park, waiting_reader


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
