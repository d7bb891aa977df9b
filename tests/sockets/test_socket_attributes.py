"""The typed attributes of TCP streams and listeners."""

from __future__ import annotations

import socket

import pytest
from socket_peers import HOST, accepted, connected, listening
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import ClosedResourceError, TypedAttributeLookupError
from penstock.abc import SocketAttribute


async def test_attributes_of_a_connected_stream() -> None:
    async with connected() as (stream, peer):
        assert stream.extra(SocketAttribute.family) is socket.AF_INET
        assert stream.extra(SocketAttribute.local_address) == peer.getpeername()
        assert stream.extra(SocketAttribute.local_port) == peer.getpeername()[1]
        assert stream.extra(SocketAttribute.remote_address) == peer.getsockname()
        assert stream.extra(SocketAttribute.remote_port) == peer.getsockname()[1]
        assert isinstance(stream.extra(SocketAttribute.raw_socket), socket.socket)


async def test_attributes_of_an_accepted_stream() -> None:
    async with accepted() as (stream, peer):
        assert stream.extra(SocketAttribute.local_address) == peer.getpeername()
        assert stream.extra(SocketAttribute.remote_address) == peer.getsockname()


async def test_ipv6_addresses_have_two_parts() -> None:
    async with await penstock.create_tcp_listener(local_host="::1") as listener:
        host, port = listener.extra(SocketAttribute.local_address)
        assert host == "::1"
        async with await penstock.connect_tcp("::1", port) as stream:
            assert stream.extra(SocketAttribute.family) is socket.AF_INET6
            assert stream.extra(SocketAttribute.remote_address) == ("::1", port)
            assert stream.extra(SocketAttribute.remote_port) == port


async def test_attributes_of_a_listener() -> None:
    async with listening() as (listener, port):
        assert listener.extra(SocketAttribute.family) is socket.AF_INET
        assert listener.extra(SocketAttribute.local_address) == (HOST, port)
        assert listener.extra(SocketAttribute.local_port) == port
        with pytest.raises(TypedAttributeLookupError):
            listener.extra(SocketAttribute.remote_address)
        assert listener.extra(SocketAttribute.remote_port, None) is None


async def test_attributes_after_closing_say_closed() -> None:
    async with connected() as (stream, _), listening() as (listener, _):
        await stream.aclose()
        await listener.aclose()
        for thing in (stream, listener):
            for attribute in (
                SocketAttribute.family,
                SocketAttribute.local_address,
                SocketAttribute.local_port,
                SocketAttribute.raw_socket,
                SocketAttribute.remote_address,
            ):
                with pytest.raises(ClosedResourceError):
                    thing.extra(attribute)
