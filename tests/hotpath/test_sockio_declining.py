"""When the calls of a Registration decline, asked of each twin in turn."""

import os

import pytest
from fakes import Loop, Wait, fill, in_thread, park

KIBIBYTES_256 = 262_144
RECEIVE = {
    "recv": lambda registration: registration.recv(100),
    "recv_into": lambda registration: registration.recv_into(bytearray(100)),
    "recvfrom": lambda registration: registration.recvfrom(100),
    "recvmsg": lambda registration: registration.recvmsg(100, 0),
    "read_with": lambda registration: registration.read_with(registration.sock.recv, 100),
    "accept": lambda registration: registration.accept(),
}
SEND = {
    "send": lambda registration: registration.send(b"abc", 0),
    "sendmsg": lambda registration: registration.sendmsg([b"ab", b"c"], 0, 0),
    "sendto": lambda registration: registration.sendto(b"abc", registration.sock.getpeername()),
    "write_with": lambda registration: registration.write_with(registration.sock.send, b"abc"),
}
DECLINED = (None, -1)


def ready(loop, pair, name):
    """Register a socket for which the call called ``name`` would succeed."""
    near, far = pair("udp" if name == "sendto" else "unix")
    far.send(b"abc")
    return loop.register(near), far


def attempt(registration, name):
    return (RECEIVE | SEND)[name](registration)


calls = pytest.mark.parametrize("name", [name for name in RECEIVE | SEND if name != "accept"])


@calls
def test_ready_call_takes_one_from_the_budget(twin, pair, name):
    loop = Loop(twin, 5)
    registration, _ = ready(loop, pair, name)
    assert attempt(registration, name) not in DECLINED
    assert loop.budget.left == 4


@calls
def test_used_up_budget_declines_and_moves_nothing(twin, pair, name):
    loop = Loop(twin, 1)
    registration, far = ready(loop, pair, name)
    assert attempt(registration, name) in DECLINED
    assert (registration.readable, registration.writable) == (True, True)
    with pytest.raises(BlockingIOError):
        far.recv(100)
    loop.budget.grant()
    assert attempt(registration, name) not in DECLINED


@pytest.mark.parametrize("name", ["recv", "recv_into", "send", "sendmsg"])
def test_256_kib_of_byte_work_use_the_budget_up(twin, pair, name):
    loop = Loop(twin)
    loop.budget.refill()  # unlike most tests, count bytes
    near, far = pair()
    registration = loop.register(near)
    data, moved, calls = bytes(32_768), 0, 0
    while not loop.budget.exhausted:
        if name in RECEIVE:
            far.send(data)
        buffer = bytearray(32_768)
        call = {
            "recv": lambda: len(registration.recv(32_768)),
            "recv_into": lambda buffer=buffer: registration.recv_into(buffer),
            "send": lambda: len(data) - registration.send(data, 0),
            "sendmsg": lambda: registration.sendmsg([data], 0, 0),
        }[name]
        moved += call()
        calls += 1
        if name in SEND:
            far.recv(32_768)
    assert (moved, calls) == (KIBIBYTES_256, 8)


@calls
def test_another_thread_is_declined_and_moves_nothing(loop, pair, name):
    registration, _ = ready(loop, pair, name)
    assert in_thread(lambda: attempt(registration, name)) in DECLINED
    assert attempt(registration, name) not in DECLINED


@calls
def test_direction_in_which_a_task_waits_is_declined(loop, pair, name):
    registration, _ = ready(loop, pair, name)
    setattr(registration, "reader" if name in RECEIVE else "writer", Wait())
    assert attempt(registration, name) in DECLINED
    other = "send" if name in RECEIVE else "recv"
    assert attempt(registration, other) not in DECLINED


def test_send_that_is_declined_for_another_sender_leaves_its_count_alone(loop, pair):
    registration = loop.register(pair()[0])
    registration.sent, registration.total = 3, 10
    registration.writer = Wait()
    assert registration.send(b"abcd", 1) == -1
    assert (registration.sent, registration.total) == (3, 10)


@pytest.mark.parametrize("name", [*RECEIVE, "send", "sendmsg"])
def test_closed_registration_declines(loop, pair, name):
    registration, _ = ready(loop, pair, name)
    registration.close()
    assert attempt(registration, name) in DECLINED
    assert registration.sendto(b"abc", "address") == -1


@pytest.mark.parametrize("direction", ["reader", "writer"])
def test_parking_is_declined_while_the_call_is_worth_a_try(loop, pair, direction):
    assert park(loop.register(pair()[0]), direction) is None


@pytest.mark.parametrize("direction", ["reader", "writer"])
def test_parking_is_declined_for_a_second_task_another_thread_and_want_of_budget(
    loop, pair, direction
):
    registration = loop.register(pair()[0])
    registration.recv(1)
    fill(registration)
    assert in_thread(lambda: park(registration, direction)) is None
    loop.budget.hold()
    assert park(registration, direction) is None
    loop.budget.release()
    wait = park(registration, direction)
    assert isinstance(wait, Wait)
    assert getattr(registration, direction) is wait
    assert park(registration, direction) is None


def test_parking_leaves_the_budget_alone(twin, pair):
    loop = Loop(twin, 5)
    registration = loop.register(pair()[0])
    registration.recv(1)
    assert loop.budget.left == 4
    park(registration)
    assert loop.budget.left == 4


def test_what_the_poller_refuses_to_watch_for_is_not_waited_for(loop, pair):
    near, _ = pair()
    registration = loop.register(near)
    kept = os.dup(loop.poller.fd)
    with open(os.devnull) as other:
        os.dup2(other.fileno(), loop.poller.fd, inheritable=False)  # where epoll_ctl is an error
    try:
        with pytest.raises(OSError, match="Invalid argument"):
            registration.clear_writable()
        assert registration.writable
        assert registration.park_writer() is None
    finally:
        os.dup2(kept, loop.poller.fd, inheritable=False)
        os.close(kept)
    registration.clear_writable()
    assert not registration.writable
