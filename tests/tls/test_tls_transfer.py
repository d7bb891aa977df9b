"""Bytes that go through a TLS stream come out as they went in, whatever it is wrapped around."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tls_peers import (
    client_context,
    objects,
    peer_pair,
    receive_all,
    receive_exactly,
    server_context,
    shake_hands,
    tcp,
    tls_pair,
    wires,
)

import penstock
from penstock.abc import SocketAttribute
from penstock.streams.buffered import BufferedByteStream
from penstock.streams.stapled import StapledByteStream
from penstock.streams.tls import TLSAttribute, TLSStream

PAYLOAD = Random(1).randbytes(300_000)


async def over_tcp():
    return await tcp()


async def over_lockstep_wires():
    return wires(0, piece=777)


async def over_wires():
    return wires(1)


async def over_objects():
    return objects(1000)


async def over_unbuffered_objects():
    return objects(0)


async def over_buffered_streams():
    return [BufferedByteStream(end) for end in wires()]


async def over_buffered_objects():
    return [BufferedByteStream(end) for end in objects(0)]


async def over_stapled_streams():
    near, far = wires(1)
    return StapledByteStream(near, near), StapledByteStream(far, far)


async def over_tls():
    return await shake_hands(*wires(0))


async def over_tls_in_tls_of_another_version():
    return await shake_hands(*await shake_hands(*await tcp(), version="1.2"))


TRANSPORTS = [
    over_tcp,
    over_wires,
    over_lockstep_wires,
    over_objects,
    over_unbuffered_objects,
    over_buffered_streams,
    over_buffered_objects,
    over_stapled_streams,
    over_tls,
    over_tls_in_tls_of_another_version,
]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_both_directions_at_once_and_an_orderly_end(transport, version):
    client, server = await shake_hands(*await transport(), version=version)

    async def send(stream):
        await stream.send(PAYLOAD)

    async with penstock.create_task_group() as group:
        group.start_soon(send, client)
        group.start_soon(send, server)
        received = group.create_task(receive_exactly(server, len(PAYLOAD)))
        assert await receive_exactly(client, len(PAYLOAD)) == PAYLOAD
        assert await received == PAYLOAD
    async with penstock.create_task_group() as group:
        group.start_soon(client.aclose)
        with pytest.raises(penstock.EndOfStream):
            await server.receive()
        with pytest.raises(penstock.EndOfStream):
            await server.receive()
        await server.aclose()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("first", ["client", "server"])
async def test_tickets_of_a_server_block_nobody(transport, first):
    client, server = await shake_hands(*await transport())
    one, other = (client, server) if first == "client" else (server, client)
    async with penstock.create_task_group() as group:
        group.start_soon(one.send, b"ping")
        assert await other.receive() == b"ping"
        group.start_soon(other.send, b"pong")
        assert await one.receive() == b"pong"
        group.start_soon(one.aclose)
        await other.aclose()


async def test_half_close_lets_the_peer_go_on():
    async with tls_pair() as (client, server):
        await client.send(b"question")
        await client.send_eof()
        await client.send_eof()
        assert await receive_all(server) == b"question"
        await server.send(b"answer")
        assert await client.receive() == b"answer"
        with pytest.raises(penstock.ClosedResourceError):
            await client.send(b"more")
        await server.send_eof()
        with pytest.raises(penstock.EndOfStream):
            await client.receive()


async def test_half_close_keeps_what_was_there_before():
    async with tls_pair() as (client, server):
        await server.send(PAYLOAD)
        assert await client.receive(1) == PAYLOAD[:1]
        await client.send_eof()
        assert await receive_exactly(client, len(PAYLOAD) - 1) == PAYLOAD[1:]


async def test_half_close_is_not_for_older_versions():
    async with tls_pair("1.2") as (client, _):
        with pytest.raises(NotImplementedError, match=r"requires at least TLSv1\.3.*TLSv1\.2"):
            await client.send_eof()
        await client.send(b"still usable")


async def test_receive_returns_all_that_is_at_hand():
    async with peer_pair() as (stream, peer):
        data = PAYLOAD[:50_000]
        await peer.stream.send(
            b"".join(peer.encrypt(data[n : n + 100]) for n in range(0, 50_000, 100))
        )
        assert await stream.receive() == data


@pytest.mark.parametrize("max_bytes", [1, 2, 16383, 16384, 16385, 30_000])
async def test_receive_returns_at_most_max_bytes(max_bytes):
    async with peer_pair() as (stream, peer):
        await peer.stream.send(peer.encrypt(PAYLOAD[:40_000]))
        assert await stream.receive(max_bytes) == PAYLOAD[:max_bytes]
        assert await stream.receive(100) == PAYLOAD[max_bytes : max_bytes + 100]


async def test_receive_into_memory_of_the_caller():
    async with tls_pair() as (client, server):
        await client.send(b"hello")
        buffer = bytearray(10)
        assert await server.receive_into(buffer) == 5
        assert buffer == b"hello" + bytes(5)
        with pytest.raises(ValueError, match="empty"):
            await server.receive_into(bytearray())


async def test_send_many_puts_small_buffers_into_one_record():
    async with peer_pair() as (stream, peer):
        await stream.send_many([b"a", bytearray(b"b"), memoryview(b"c")])
        assert await peer.receive() == b"abc"
        await stream.send_many([PAYLOAD[:100_000], b"", PAYLOAD[100_000:200_000]])
        received = bytearray()
        while len(received) < 200_000:
            received += await peer.receive()
        assert received == PAYLOAD[:200_000]


@pytest.mark.parametrize("item", [b"", bytearray(), memoryview(b"")])
async def test_nothing_is_sent_for_nothing(item):
    async with tls_pair() as (client, server):
        await client.send(item)
        await client.send_many([item, item])
        await client.send(b"x")
        assert await server.receive() == b"x"


@pytest.mark.parametrize("item", ["text", None, 5, memoryview(b"abcd")[::2]])
async def test_what_is_not_bytes_is_refused(item):
    async with tls_pair() as (client, _):
        with pytest.raises(TypeError, match="bytes-like"):
            await client.send(item)
        with pytest.raises(TypeError, match="bytes-like"):
            await client.send_many([b"not sent", item])


@pytest.mark.parametrize("max_bytes", [0, -1])
async def test_bad_sizes_are_refused(max_bytes):
    async with tls_pair() as (client, _):
        with pytest.raises(ValueError, match=f"positive integer, not {max_bytes}"):
            await client.receive(max_bytes)
        with pytest.raises(TypeError, match=r"must be an integer, not 1\.5"):
            await client.receive(1.5)


async def test_starttls_takes_over_what_was_buffered():
    near, far = wires()
    client = TLSStream.wrap
    buffered = BufferedByteStream(far)
    hello = client_hello = None
    async with penstock.create_task_group() as group:

        async def speak():
            nonlocal hello
            await near.send(b"STARTTLS\r\n")
            stream = await client(near, hostname="localhost", ssl_context=client_context())
            await stream.send(b"secret")
            hello = stream

        group.start_soon(speak)
        await penstock.wait_all_tasks_blocked()
        # The greeting and the client's hello come in one piece.
        client_hello = await buffered.receive_until(b"\r\n", 100)
        assert client_hello == b"STARTTLS"
        server = await TLSStream.wrap(buffered, ssl_context=server_context())
        assert await server.receive() == b"secret"
    assert hello is not None
    await near.aclose()
    await far.aclose()


async def test_attributes_tell_about_the_connection():
    client, server = await shake_hands(*await tcp(), version="1.2")
    async with client, server:
        assert client.extra(TLSAttribute.tls_version) == "TLSv1.2"
        assert client.extra(TLSAttribute.server_side) is False
        assert server.extra(TLSAttribute.server_side) is True
        assert client.extra(TLSAttribute.cipher) == server.extra(TLSAttribute.cipher)
        assert client.extra(TLSAttribute.shared_ciphers) is None
        assert client.extra(TLSAttribute.cipher) in server.extra(TLSAttribute.shared_ciphers)
        assert client.extra(TLSAttribute.alpn_protocol) is None
        names = client.extra(TLSAttribute.peer_certificate)["subjectAltName"]
        assert names == (("DNS", "localhost"),)
        assert isinstance(client.extra(TLSAttribute.peer_certificate_binary), bytes)
        assert server.extra(TLSAttribute.peer_certificate_binary) is None
        assert server.extra(TLSAttribute.peer_certificate) is None
        binding = client.extra(TLSAttribute.channel_binding_tls_unique)
        assert binding == server.extra(TLSAttribute.channel_binding_tls_unique) != b""
        assert client.extra(TLSAttribute.standard_compatible) is True
        assert client.extra(TLSAttribute.ssl_object).version() == "TLSv1.2"
        port = client.extra(SocketAttribute.remote_port)
        assert port == server.extra(SocketAttribute.local_port)
        async with penstock.create_task_group() as group:
            group.start_soon(client.aclose)
            await server.aclose()


async def test_sending_much_takes_little_memory():
    client, server = await shake_hands(*await tcp())
    async with client, server, penstock.create_task_group() as group:
        piece = bytes(4 << 20)

        async def swallow():
            nbytes = 0
            while nbytes < 16 * len(piece):
                nbytes += len(await server.receive())

        await client.send(piece[:1000])
        await server.receive()
        gc.collect()
        tracemalloc.start()
        try:
            swallowed = group.create_task(swallow())
            for _ in range(16):
                await client.send(piece)
            await swallowed
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < 1 << 20
        group.start_soon(client.aclose)


async def test_no_step_of_a_huge_send_is_long():
    class Instant:
        """Takes everything at once, so that only the encryption is left."""

        def __init__(self, wire):
            self.wire = wire
            self.longest = 0.0
            self.last = None

        def hook(self):
            now = time.thread_time()
            if self.last is not None:
                self.longest = max(self.longest, now - self.last)
            self.last = now

    near, far = wires(100_000)
    client, _ = await shake_hands(near, far)
    near.hook = (watch := Instant(near)).hook
    await client.send(bytes(16 << 20))
    near.hook = None
    assert watch.longest < 0.005 or sys.gettrace() is not None
    await near.aclose()
    await far.aclose()


@given(data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_chunking_gives_the_same_bytes(backend, data):
    version = data.draw(st.sampled_from(["1.2", "1.3"]))
    sends = data.draw(st.lists(st.integers(0, 40_000), max_size=8))
    piece = data.draw(st.integers(100, 70_000))
    sizes = data.draw(st.lists(st.integers(1, 70_000), min_size=1, max_size=5))

    async def main():
        near, far = wires(data.draw(st.sampled_from([0, 1, 1000])), piece)
        client, server = await shake_hands(near, far, version=version)
        expected = PAYLOAD[: sum(sends)]
        received = bytearray()
        async with penstock.create_task_group() as group:

            async def send():
                start = 0
                for nbytes in sends:
                    await client.send(expected[start : start + nbytes])
                    start += nbytes

            group.start_soon(send)
            turn = 0
            while len(received) < len(expected):
                size = sizes[turn % len(sizes)]
                chunk = await server.receive(size)
                assert 0 < len(chunk) <= size
                received += chunk
                turn += 1
        assert received == expected
        await near.aclose()
        await far.aclose()

    backend.run(main)


async def test_use_on_another_event_loop_is_refused(backend):
    other = type("Other", (), {})()

    def run():
        async def use():
            for method in (other.stream.receive, lambda: other.stream.send(b"x")):
                with pytest.raises(RuntimeError, match="another event loop"):
                    await method()

        backend.run(use)

    async with tls_pair() as (client, _):
        other.stream = client
        await penstock.to_thread.run_sync(run)
