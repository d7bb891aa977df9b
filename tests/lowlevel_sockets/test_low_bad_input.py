"""Bad input gets what the standard library's blocking socket says to it."""

import select
import socket as stdlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from low_peers import every_descriptor_is_closed  # noqa: F401

import penstock
from penstock import socket

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-2, 70),
    st.floats(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.builds(bytearray, st.binary(max_size=3)),
    st.lists(st.one_of(st.integers(), st.builds(bytearray, st.binary(max_size=3))), max_size=2),
    st.builds(object),
    st.sampled_from([("127.0.0.1", 9), ("::1", 9), "\0nobody", b"\0nobody"]),
    st.builds(lambda data: memoryview(data)[::2], st.binary(min_size=2, max_size=4)),
)
ASYNCHRONOUS = [
    "recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into",
    "send", "sendall", "sendto", "sendmsg", "connect", "accept",
]  # fmt: skip
SYNCHRONOUS = ["bind", "listen", "shutdown", "getsockopt", "setsockopt", "getsockname"]
PEER = "the address of the peer"
FAMILIES = [(socket.AF_UNIX, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_DGRAM)]


def made(family, kind):
    """A blocking socket with something to receive, and its peer."""
    if family == socket.AF_UNIX:
        sock, peer = stdlib.socketpair(family, kind)
    else:
        peer = stdlib.socket(family, kind)
        peer.bind(("127.0.0.1", 0))
        sock = stdlib.socket(family, kind)
        sock.connect(peer.getsockname())
        peer.connect(sock.getsockname())
    peer.send(b"abcdef")
    assert select.select([sock], [], [], 30)[0]  # MSG_DONTWAIT is among the arguments
    return sock, peer


async def judged(call, *args):
    """The type of what a call raises, or what it returns."""
    try:
        result = call(*args)
        if hasattr(result, "__await__"):
            result = await result
    except Exception as exc:
        if isinstance(exc, OSError):
            return type(exc), exc.errno
        # Which of two wrong arguments is told of is no promise.
        return TypeError if isinstance(exc, BufferError | OverflowError) else type(exc)
    return result


def failed(result):
    kind = result[0] if isinstance(result, tuple) else result
    return isinstance(kind, type) and issubclass(kind, Exception)


def makes_up_bytes(flags):
    """Whether CPython returns as many bytes as there were, and not as it has received."""
    return isinstance(flags, int) and bool(flags & socket.MSG_TRUNC)


def few(args):
    """Whether no call blocks for ever, or asks for gigabytes: those are not about types."""
    return all(not isinstance(x, int) or x < 2**20 or x >= 2**63 for x in args)


@pytest.mark.parametrize("name", ASYNCHRONOUS)
@pytest.mark.parametrize(("family", "kind"), FAMILIES)
def test_what_a_call_makes_of_any_arguments(name, family, kind):
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(ANYTHING, max_size=4).filter(few))
    def compare(args):
        if name.startswith("recv") and any(makes_up_bytes(x) for x in args[1:]):
            return

        async def main():
            theirs, their_peer = made(family, kind)
            sock, peer = made(family, kind)
            theirs.settimeout(0.05)
            with theirs, their_peer, peer, socket.from_stdlib_socket(sock) as ours:
                expected = await judged(getattr(theirs, name), *args)
                if expected == (TimeoutError, None):
                    return
                with penstock.fail_after(30):
                    result = await judged(getattr(ours, name), *args)
                if isinstance(result, tuple):
                    result = tuple(PEER if x == peer.getsockname() else x for x in result)
                    expected = tuple(PEER if x == their_peer.getsockname() else x for x in expected)
                if name == "sendmsg" and TypeError in (result, expected):
                    assert failed(result)  # of two wrong arguments, of which is no promise
                    assert failed(expected)
                else:
                    assert result == expected

        penstock.run(main)

    compare()


@pytest.mark.parametrize("name", SYNCHRONOUS)
def test_what_a_synchronous_call_makes_of_any_arguments(name):
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(ANYTHING, max_size=4).filter(few))
    def compare(args):
        async def main():
            with stdlib.socket() as theirs, socket.socket() as ours:
                expected = await judged(getattr(theirs, name), *args)
                if name == "bind" and expected is None:
                    return  # a port for two
                assert await judged(getattr(ours, name), *args) == expected

        penstock.run(main)

    compare()
