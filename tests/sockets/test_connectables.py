"""Objects that know where to connect to."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest
from connecting_peers import one_port
from socket_peers import HOST, listening, open_descriptors
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import ConnectionFailed, TCPConnectable, as_connectable
from penstock.abc import (
    ByteStream,
    ByteStreamConnectable,
    ObjectStreamConnectable,
    SocketAttribute,
)
from penstock.streams.buffered import BufferedByteStream, BufferedConnectable


@pytest.fixture
def refusing_port() -> Iterator[int]:
    with one_port(HOST) as (port, _):
        yield port


@pytest.mark.parametrize("host", [HOST, IPv4Address(HOST), "localhost"], ids=repr)
async def test_a_tcp_connectable_connects(host: Any) -> None:
    async with listening() as (listener, port):
        async with await TCPConnectable(host, port).connect() as stream:
            async with await listener.accept() as accepted:
                assert accepted.extra(SocketAttribute.remote_address) == stream.extra(
                    SocketAttribute.local_address
                )


async def test_it_connects_as_often_as_it_is_asked_to() -> None:
    async with listening() as (_, port):
        connectable = TCPConnectable(HOST, port)
        async with await connectable.connect() as one, await connectable.connect() as other:
            assert one is not other


async def test_a_failure_is_connection_failed_with_its_cause(refusing_port: int) -> None:
    connectable = TCPConnectable(HOST, refusing_port)
    with pytest.raises(
        ConnectionFailed, match=f"error connecting to {HOST}:{refusing_port}: "
    ) as caught:
        await connectable.connect()
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    with pytest.raises(ConnectionFailed) as caught:
        await TCPConnectable("no.such.host.invalid", 80).connect()
    assert isinstance(caught.value.__cause__, socket.gaierror)


async def test_a_cancelled_connect_leaves_nothing() -> None:
    async with listening() as (_, port):
        before = open_descriptors()
        with penstock.CancelScope() as scope:
            scope.cancel()
            await TCPConnectable(HOST, port).connect()
        assert scope.cancelled_caught
        assert open_descriptors() == before


@pytest.mark.parametrize("port", [0, -1, 65536, 10**30])
def test_a_port_out_of_range_is_a_value_error(port: int) -> None:
    with pytest.raises(ValueError, match=f"TCP port number out of range: {port}"):
        TCPConnectable(HOST, port)


def test_a_port_or_host_of_another_type_is_a_type_error() -> None:
    for port in ("80", None, 80.0):
        with pytest.raises(TypeError, match="port must be an integer"):
            TCPConnectable(HOST, port)  # type: ignore[arg-type]
    for host in (b"localhost", None, 5):
        with pytest.raises(TypeError, match="host must be"):
            TCPConnectable(host, 80)  # type: ignore[arg-type]


def test_connectables_say_what_they_are_and_compare() -> None:
    assert TCPConnectable(HOST, 80) == TCPConnectable(HOST, 80) != TCPConnectable(HOST, 81)
    assert repr(TCPConnectable(HOST, 80)) == "TCPConnectable(host='127.0.0.1', port=80)"
    assert isinstance(TCPConnectable(HOST, 80), ByteStreamConnectable)


@pytest.mark.parametrize("cls", [ByteStreamConnectable, ObjectStreamConnectable])
def test_the_contracts_cannot_be_made(cls: Any) -> None:
    with pytest.raises(TypeError, match="abstract"):
        cls()


# -- as_connectable ------------------------------------------------------------------------


def test_a_connectable_is_its_own() -> None:
    connectable = TCPConnectable(HOST, 80)
    assert as_connectable(connectable) is connectable
    buffered = BufferedConnectable(connectable)
    assert as_connectable(buffered) is buffered


def test_host_and_port_are_tcp() -> None:
    assert as_connectable((HOST, 80)) == TCPConnectable(HOST, 80)
    assert as_connectable((IPv4Address(HOST), 80)) == TCPConnectable(IPv4Address(HOST), 80)
    with pytest.raises(ValueError, match="out of range"):
        as_connectable((HOST, 0))


@pytest.mark.parametrize("remote", [5, None, (HOST,), (HOST, 80, 1), [HOST, 80]], ids=repr)
def test_anything_else_is_a_type_error(remote: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot convert .* to a connectable"):
        as_connectable(remote)


# -- buffered ------------------------------------------------------------------------------


async def test_a_buffered_connectable_gives_a_buffered_stream() -> None:
    async with listening() as (listener, port):
        connectable = BufferedConnectable(TCPConnectable(HOST, port))
        async with await connectable.connect() as stream, await listener.accept() as peer:
            assert type(stream) is BufferedByteStream
            await peer.send(b"line\nrest")
            assert await stream.receive_until(b"\n", 100) == b"line"
            await stream.send(b"answer")
            assert await peer.receive() == b"answer"


async def test_a_buffered_connectable_fails_as_the_other_does(refusing_port: int) -> None:
    connectable = BufferedConnectable(TCPConnectable(HOST, refusing_port))
    assert connectable.connectable == TCPConnectable(HOST, refusing_port)
    with pytest.raises(ConnectionFailed):
        await connectable.connect()


async def test_a_program_may_bring_a_connectable_of_its_own() -> None:
    class Local(ByteStreamConnectable):
        async def connect(self) -> ByteStream:
            left, self.right = socket.socketpair()
            return await penstock.abc.SocketStream.from_socket(left)

    local = Local()
    async with await BufferedConnectable(local).connect() as stream:
        with local.right:
            local.right.sendall(b"12345")
            assert await stream.receive_exactly(5) == b"12345"
