"""Both twins of Poller and Registration do the same: results, readiness, exceptions, texts.

Each drives a pair of sockets of its own, of the same kind, with the same writes and reads.
"""

import fcntl
import select
import socket
import termios
from array import array

import pytest
from fakes import Loop, socket_pair
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import _compiled, _pure

sizes = st.sampled_from([1, 5, 100, 70_000])
bad = st.sampled_from([0, -1, 1.5, None, "1"])
offsets = st.integers(-1, 6)
operations = st.one_of(
    st.tuples(st.just("peer_send"), st.integers(1, 40)),
    st.sampled_from([("peer_recv",), ("peer_end",), ("poll",), ("refill",), ("hold",), ("close",)]),
    st.sampled_from([("peer_send", 10), ("poll",), ("refill",), ("clear_writable",)]),
    st.tuples(st.sampled_from(["recv", "recvfrom", "recvmsg", "recv_into"]), sizes | bad),
    st.tuples(st.just("send"), st.sampled_from([b"", b"a", bytearray(b"abcd"), "text"]), offsets),
    st.tuples(
        st.just("sendmsg"),
        st.lists(st.sampled_from([b"abcd", b"", bytearray(b"efg"), None]), max_size=4),
        st.integers(-1, 3),
        offsets,
    ),
    st.tuples(st.sampled_from(["park", "run", "cancel"]), st.sampled_from(["reader", "writer"])),
)


class Driver:
    """Does to one twin what an operation says, and tells what came of it."""

    def __init__(self, twin, kind):
        self.near, self.far = socket_pair(kind)
        self.stream = kind in ("tcp", "unix")
        self.loop = Loop(twin, operations=8)
        self.registration = self.loop.register(self.near)
        self.waits = {}
        self.held = False
        self.ended = False

    def __call__(self, name, *arguments):
        try:
            result = self.perform(name, *arguments)
        except Exception as exc:
            # Descriptors and addresses in memory are each twin's own.
            result = type(exc), str(exc) if "0x" not in str(exc) else ""
        registration, budget = self.registration, self.loop.budget
        self.loop.poller._check()
        budget._check()
        return (
            result,
            (registration.readable, registration.writable, registration.fd < 0),
            (registration.sent, registration.total, len(self.loop.poller)),
            (budget.left, budget.exhausted),
            {name: wait.woken for name, wait in self.waits.items()},
        )

    def perform(self, name, *arguments):
        registration = self.registration
        match name:
            case "peer_send":
                if not self.ended and registration.fd >= 0:
                    unread = self.unread()
                    self.far.send(b"x" * arguments[0])
                    while self.unread() == unread and self.stream:
                        pass  # the loopback interface delivers in its own time
            case "peer_recv":
                return self.received_by_peer()
            case "peer_end":
                if self.stream and not self.ended and registration.fd >= 0:
                    self.ended = True
                    self.far.shutdown(socket.SHUT_WR)
                    ended = select.poll()
                    ended.register(self.near, select.POLLRDHUP)
                    ended.poll(10_000)
            case "poll":
                return self.loop.poll_now()
            case "refill":
                return self.loop.budget.refill()
            case "hold":
                self.held = not self.held
                return self.loop.budget.hold() if self.held else self.loop.budget.release()
            case "recv_into":
                size = arguments[0]
                target = bytearray(size) if isinstance(size, int) and size >= 0 else size
                return registration.recv_into(target), bytes(target)
            case "recvfrom":
                return (registration.recvfrom(*arguments) or (None,))[0]
            case "recvmsg":
                return (registration.recvmsg(*arguments, 0) or (None,))[:3]
            case "park":
                wait = getattr(registration, f"park_{arguments[0]}")()
                if wait is not None:
                    self.waits[arguments[0]] = wait
                return wait is not None
            case "run":  # a task that was woken goes on
                wait = self.waits.get(arguments[0])
                if wait is not None and wait.woken:
                    return self.leave(arguments[0])
            case "cancel":
                if arguments[0] in self.waits:
                    self.waits[arguments[0]].cancelled = True
                    return self.leave(arguments[0])
            case _:
                return getattr(registration, name)(*arguments)
        return None

    def leave(self, direction):
        del self.waits[direction]
        setattr(self.registration, direction, None)
        return direction

    def unread(self):
        (there,) = array("i", fcntl.ioctl(self.near, termios.FIONREAD, b"\0\0\0\0"))
        return there

    def received_by_peer(self):
        try:
            return self.far.recv(1 << 20)
        except OSError as exc:
            return type(exc)

    def close(self):
        self.registration.close()
        self.loop.poller.close()
        self.far.close()


@pytest.mark.parametrize("kind", ["tcp", "unix", "datagram", "seqpacket"])
@settings(max_examples=300, deadline=None)
@given(steps=st.lists(operations, max_size=50) | st.lists(operations, min_size=50, max_size=50))
def test_both_twins_do_the_same(kind, steps):
    pure, compiled = Driver(_pure, kind), Driver(_compiled, kind)
    try:
        for step in steps:
            assert pure(*step) == compiled(*step)
    finally:
        pure.close()
        compiled.close()
