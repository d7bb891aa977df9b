"""How sockets come to be, and their options at first."""

import os
import socket as stdlib
import ssl

import pytest
from low_peers import HOST, every_descriptor_is_closed, open_descriptors, pair  # noqa: F401

from penstock import socket

NONBLOCK = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC


def reuses(sock):
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


def v6only(sock):
    return sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_socket_is_tcp_over_ipv4_by_default():
    with socket.socket() as sock:
        assert (sock.family, sock.type, sock.proto) == (socket.AF_INET, socket.SOCK_STREAM, 0)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_new_socket_reuses_addresses(family, kind):
    with socket.socket(family, kind) as sock:
        assert reuses(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, False)
        assert not reuses(sock)


def test_new_ipv6_socket_is_dual_stack_whatever_the_system_says():
    with socket.socket(socket.AF_INET6) as sock:
        assert not v6only(sock)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
        assert v6only(sock)


def test_ipv6_socket_hears_ipv4_peers():
    with socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::", 0))
        sock.listen()
        with stdlib.create_connection((HOST, sock.getsockname()[1])):
            pass


def test_options_of_a_socket_that_exists_stay_as_they_are():
    with stdlib.socket(socket.AF_INET6) as theirs:
        theirs.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        ours = socket.from_stdlib_socket(theirs)
        assert (reuses(ours), v6only(ours)) == (0, 1)
        with socket.fromfd(theirs.fileno(), theirs.family, theirs.type) as ours:
            assert (reuses(ours), v6only(ours)) == (0, 1)
        with socket.socket(fileno=os.dup(theirs.fileno())) as ours:
            assert (reuses(ours), v6only(ours)) == (0, 1)


def test_accepted_type_bits_are_not_part_of_the_type():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | NONBLOCK) as sock:
        assert sock.type == socket.SOCK_STREAM
        assert not sock.get_inheritable()


def test_every_socket_is_non_blocking_and_not_inherited_whatever_the_default_timeout(monkeypatch):
    stdlib.setdefaulttimeout(5)
    try:
        left, right = socket.socketpair()
    finally:
        stdlib.setdefaulttimeout(None)
    with left, right, right.dup() as again:
        for sock in (left, right, again):
            assert not os.get_blocking(sock.fileno())
            assert not sock.get_inheritable()


def test_inheritance_can_be_changed():
    with socket.socket() as sock:
        sock.set_inheritable(True)
        assert sock.get_inheritable()


@pytest.mark.parametrize("family", [None, socket.AF_UNIX])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
async def test_socketpair_is_connected(family, kind):
    left, right = socket.socketpair(family, kind)
    with left, right:
        assert left.type == right.type == kind
        await left.send(b"abc")
        assert await right.recv(100) == b"abc"


def test_descriptor_tells_family_type_and_protocol():
    with stdlib.socket(socket.AF_INET6, socket.SOCK_DGRAM) as theirs:
        with socket.socket(fileno=os.dup(theirs.fileno())) as ours:
            assert (ours.family, ours.type, ours.proto) == (
                socket.AF_INET6,
                socket.SOCK_DGRAM,
                socket.IPPROTO_UDP,
            )
        with socket.fromfd(theirs.fileno(), socket.AF_INET, socket.SOCK_STREAM) as ours:
            assert (ours.family, ours.type) == (socket.AF_INET6, socket.SOCK_DGRAM)


def test_fromfd_leaves_the_descriptor_to_the_caller():
    with stdlib.socket() as theirs:
        with socket.fromfd(theirs.fileno(), socket.AF_INET, socket.SOCK_STREAM) as ours:
            assert ours.fileno() != theirs.fileno()
        assert theirs.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM


def test_descriptor_that_is_no_socket_is_refused_and_stays_open(tmp_path):
    with open(tmp_path / "file", "wb") as file:
        for make in (
            lambda: socket.socket(fileno=file.fileno()),
            lambda: socket.fromfd(file.fileno(), socket.AF_INET, socket.SOCK_STREAM),
        ):
            before = open_descriptors()
            with pytest.raises(OSError, match="non-socket"):
                make()
            assert open_descriptors() == before
            os.fstat(file.fileno())


@pytest.mark.parametrize("fd", [-1, 2**40, 1.5, "3"])
def test_what_is_no_descriptor_is_refused_as_the_standard_library_does(fd):
    with pytest.raises(Exception) as theirs:  # noqa: PT011  of whatever type
        stdlib.socket(fileno=fd)
    with pytest.raises(type(theirs.value)):
        socket.socket(fileno=fd)
    with pytest.raises(type(theirs.value)):
        socket.fromfd(fd, socket.AF_INET, socket.SOCK_STREAM)


def test_from_stdlib_socket_takes_nothing_but_plain_sockets():
    left, right = stdlib.socketpair()
    with left, right, socket.socket() as ours:
        context = ssl.create_default_context()
        with context.wrap_socket(
            left, do_handshake_on_connect=False, server_hostname="x"
        ) as wrapped:
            for wrong in (wrapped, ours, 3, None):
                with pytest.raises(TypeError, match=r"expected a socket\.socket, not"):
                    socket.from_stdlib_socket(wrong)


def test_from_stdlib_socket_refuses_a_closed_one():
    sock = stdlib.socket()
    sock.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        socket.from_stdlib_socket(sock)


def test_is_async_socket_knows_ours():
    with socket.socket() as ours, stdlib.socket() as theirs:
        assert socket.is_async_socket(ours)
        assert not socket.is_async_socket(theirs)
        assert not socket.is_async_socket(None)


def test_repr_says_whose_socket_it_is():
    with socket.socket() as sock:
        assert repr(sock).startswith(f"<penstock.socket.socket fd={sock.fileno()}, ")


async def test_dup_shares_the_connection():
    with pair() as (ours, peer), ours.dup() as again:
        ours.shutdown(socket.SHUT_RD)
        assert again.fileno() != ours.fileno()
        ours.close()
        await again.send(b"abc")
        assert peer.recv(100) == b"abc"


def test_did_shutdown_is_not_the_duplicate_s():
    with pair() as (ours, _):
        assert ours.did_shutdown_SHUT_WR is False
        ours.shutdown(socket.SHUT_RD)
        assert ours.did_shutdown_SHUT_WR is False
        ours.shutdown(socket.SHUT_WR)
        assert ours.did_shutdown_SHUT_WR is True
        with ours.dup() as again:
            assert again.did_shutdown_SHUT_WR is False
            again.shutdown(socket.SHUT_RDWR)
            assert again.did_shutdown_SHUT_WR is True


def test_shutdown_that_fails_was_none():
    with socket.socket() as sock:
        with pytest.raises(OSError, match="not connected"):
            sock.shutdown(socket.SHUT_WR)
        assert not sock.did_shutdown_SHUT_WR


def test_options_as_integers_and_bytes():
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, b"\1\0\0\0")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 4) == b"\1\0\0\0"
        with pytest.raises(OSError, match=r"Bad address|Invalid argument"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, None, 4)


def test_closed_socket_is_refused_by_the_standard_library():
    sock = socket.socket()
    sock.close()
    sock.close()
    assert sock.fileno() == -1
    for call in (sock.getsockname, sock.getpeername, sock.listen, sock.dup):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call()
    with pytest.raises(OSError, match="Bad file descriptor"):
        sock.bind((HOST, 0))
