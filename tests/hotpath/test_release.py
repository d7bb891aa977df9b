"""Sockets that leave their poller and stay open: in each twin."""

from fakes import fill, in_thread, park, waiting_reader


def test_release_wakes_who_waits_and_leaves_the_socket_open(loop, pair):
    near, far = pair()
    registration = loop.register(near)
    registration.recv(100)
    fill(registration)
    waits = park(registration), park(registration, "writer")
    registration.release()
    assert [wait.woken for wait in waits] == [True, True]
    assert (registration.fd, registration.readable, registration.writable) == (-1, False, False)
    assert len(loop.poller) == 0
    far.send(b"abc")
    assert near.recv(100) == b"abc"
    loop.poller._check()


def test_released_socket_can_be_registered_again(loop, pair):
    near, far = pair()
    loop.register(near).release()
    again, wait = waiting_reader(loop, near)
    far.send(b"abc")
    loop.drain()
    assert wait.woken
    again.reader = None
    assert again.recv(100) == b"abc"
    loop.poller._check()


def test_release_again_and_close_after_it_do_nothing(loop, pair):
    near, _ = pair()
    registration = loop.register(near)
    registration.release()
    again = loop.register(near)
    registration.release()
    registration.close()
    assert near.fileno() >= 0
    assert again.fd == near.fileno()
    assert len(loop.poller) == 1


def test_release_in_another_thread_wakes_nobody(loop, pair):
    registration, wait = waiting_reader(loop, pair()[0])
    in_thread(registration.release)
    assert not wait.woken
    assert registration.fd == -1
