"""Both twins convert every address as the socket module does, in both directions."""

import os
import socket

import pytest
from fakes import Loop
from hypothesis import given
from hypothesis import strategies as st

from penstock import _compiled, _pure

TWINS = (_pure, _compiled)

loopback = st.integers(1, (1 << 24) - 2).map(
    lambda host: f"127.{host >> 16}.{host >> 8 & 255}.{host & 255}"
)
names = st.binary(min_size=1, max_size=100).map(lambda name: b"\0penst" + name)
paths = st.binary(max_size=120).filter(lambda path: path[:1] != b"\0")


def exchange(twin, family, near_address, far_address):
    """Send from one address to the other; check what the receiver and the registration see."""
    loop = Loop(twin)
    with socket.socket(family, socket.SOCK_DGRAM) as near:
        with socket.socket(family, socket.SOCK_DGRAM) as far:
            for end, address in ((near, near_address), (far, far_address)):
                end.setblocking(False)
                end.bind(address)
            registration = loop.register(near)
            assert registration.sendto(b"abc", far.getsockname()) == 3
            assert far.recvfrom(10) == (b"abc", near.getsockname())
            for _ in range(2):
                far.sendto(b"xyz", near.getsockname())
            assert registration.recvfrom(10) == (b"xyz", far.getsockname())
            assert registration.recvfrom_many(9, 10) == [(b"xyz", far.getsockname())]
            registration.close()
    loop.poller.close()


@given(near=loopback, far=loopback)
def test_any_ipv4_address_is_converted_both_ways(near, far):
    for twin in TWINS:
        exchange(twin, socket.AF_INET, (near, 0), (far, 0))


@given(near=names, far=names)
def test_any_abstract_name_is_converted_both_ways(near, far):
    for twin in TWINS:
        exchange(twin, socket.AF_UNIX, near + b"1", far + b"2")


@given(path=paths | paths.map(os.fsdecode))
def test_path_where_nobody_is_is_refused_as_by_the_socket_module(path):
    for twin in TWINS:
        loop = Loop(twin)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as near:
            near.setblocking(False)
            registration = loop.register(near)
            outcomes = []
            for call in (registration.sendto, near.sendto):
                try:
                    outcomes.append(call(b"x", path))
                except (OSError, ValueError) as exc:
                    outcomes.append((type(exc), str(exc)))
            assert outcomes[0] == outcomes[1]
            registration.close()
        loop.poller.close()


@given(host=st.text(max_size=6), port=st.integers(0, 65_535))
def test_any_text_that_is_no_ipv4_address_is_a_value_error(host, port):
    for twin in TWINS:
        loop = Loop(twin)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near:
            near.setblocking(False)
            registration = loop.register(near)
            with pytest.raises(ValueError, match="numeric"):
                registration.sendto(b"x", (host, port))
            registration.close()
        loop.poller.close()
