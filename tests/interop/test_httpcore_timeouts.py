"""Timeouts of httpcore's calls: whatever they meet with, the connection goes on and is whole."""

from __future__ import annotations

import asyncio
import os
import select
import time
from contextlib import asynccontextmanager

import httpcore
import pytest
from tls_peers import client_context, server_context

import penstock
from penstock.abc import ByteStream, SocketAttribute
from penstock.interop.httpcore import PenstockBackend
from penstock.streams.tls import TLSStream

#: In seconds: so short that it passes, so long that it does not.
SHORT, LONG = 0.005, 60.0


@pytest.fixture(params=["tcp", "unix", "tls"])
def kind(request):
    return request.param


class Transport(ByteStream):
    """What the peer's TLS is over; told to, it keeps a record back behind its first bytes."""

    def __init__(self, stream):
        self.stream = stream
        self.cutting = False
        self.kept = b""

    async def receive(self, max_bytes=65_536):
        return await self.stream.receive(max_bytes)

    async def send(self, item):
        item = self.kept + item
        await self.stream.send(item[:3] if self.cutting else item)
        self.kept = item[3:] if self.cutting else b""

    async def send_eof(self):
        await self.stream.send_eof()

    async def aclose(self):
        await self.stream.aclose()

    @property
    def extra_attributes(self):
        return self.stream.extra_attributes


@asynccontextmanager
async def connected(kind, path):
    """Connect as httpcore does; give its stream and the peer's, for some seconds."""
    with penstock.fail_after(10):
        async with _connected(kind, path) as pair:
            yield pair


@asynccontextmanager
async def _connected(kind, path):
    backend = PenstockBackend()
    if kind == "unix":
        async with await penstock.create_unix_listener(path / "socket") as listener:
            stream = await backend.connect_unix_socket(str(path / "socket"))
            peer = await listener.accept()
    else:
        async with await penstock.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(SocketAttribute.local_port)
            stream = await backend.connect_tcp("127.0.0.1", port)
            peer = await listener.listeners[0].accept()
    if kind == "tls":
        wrapped = {}

        async def wrap():
            wrapped["peer"] = await TLSStream.wrap(
                Transport(peer), ssl_context=server_context(), standard_compatible=False
            )

        async with penstock.create_task_group() as tasks:
            tasks.start_soon(wrap)
            stream = await stream.start_tls(client_context(), "localhost")
        peer = wrapped["peer"]
    async with peer:
        yield stream, peer
        await stream.aclose()


async def read_all(stream, size):
    """Read ``size`` bytes, whatever the kind."""
    data = b""
    while len(data) < size:
        data += await stream.read(65_536, LONG)
    return data


async def fill(stream, data):
    """Write ``data`` until a write has timed out; return how much of it has gone out."""
    written = 0
    with pytest.raises(httpcore.WriteTimeout):
        while True:
            await stream.write(data[written : written + 300_000], SHORT)
            written += 300_000
    partial = stream.stream.partial_send
    assert partial is not None
    return written + partial


async def test_stream_goes_on_after_reads_that_timed_out(kind, tmp_path):
    async with connected(kind, tmp_path) as (stream, peer):
        for n in range(3):
            with pytest.raises(httpcore.ReadTimeout, match=f"{SHORT} seconds"):
                await stream.read(10, SHORT)
            await peer.send(b"%d" % n)
            assert await stream.read(10, LONG) == b"%d" % n


async def test_timeout_of_zero_takes_nothing_of_what_is_there(kind, tmp_path):
    async with connected(kind, tmp_path) as (stream, peer):
        await peer.send(b"here")
        await penstock.wait_readable(stream.get_extra_info("socket"))
        with pytest.raises(httpcore.ReadTimeout):
            await stream.read(10, 0)
        assert await stream.read(10, LONG) == b"here"


async def test_data_and_the_end_of_the_time_in_one_turn(kind, tmp_path):
    async with connected(kind, tmp_path) as (stream, peer):
        data = b""

        async def late(n):
            await peer.send(b"%d" % n)
            time.sleep(2 * SHORT)  # nobody else runs: the loop finds both at once

        for n in range(10):
            async with penstock.create_task_group() as tasks:
                tasks.start_soon(late, n)
                try:
                    data += await stream.read(10, SHORT)
                except httpcore.ReadTimeout:
                    pass
        await peer.send(b".")
        assert data + await read_all(stream, 11 - len(data)) == b"0123456789."


async def test_half_a_record_and_the_end_of_the_time_in_one_turn(tmp_path):
    async with connected("tls", tmp_path) as (stream, peer):

        async def send_half():
            peer.transport_stream.cutting = True
            await peer.send(b"whole")
            time.sleep(2 * SHORT)

        for _ in range(6):  # which of them the event loop sees first may be left to chance
            async with penstock.create_task_group() as tasks:
                tasks.start_soon(send_half)
                with pytest.raises(httpcore.ReadTimeout):
                    await stream.read(10, SHORT)
            peer.transport_stream.cutting = False
            await peer.transport_stream.send(b"")
            assert await stream.read(10, LONG) == b"whole"


async def test_cancellation_and_the_end_of_the_time_in_one_turn(kind, tmp_path):
    async with connected(kind, tmp_path) as (stream, peer):
        for first in (SHORT, SHORT + 0.001) * 3:

            async def block():
                await penstock.lowlevel.checkpoint()
                time.sleep(3 * SHORT)

            async with penstock.create_task_group() as tasks:
                tasks.start_soon(block)
                with penstock.move_on_after(first) as scope:
                    with pytest.raises(httpcore.ReadTimeout):
                        await stream.read(10, SHORT)
                    await penstock.sleep_forever()
                assert scope.cancelled_caught
        await penstock.sleep(0)  # no interruption is left
        await peer.send(b"whole")
        assert await stream.read(10, LONG) == b"whole"


async def test_cancelled_read_leaves_no_timeout_behind(kind, tmp_path):
    async with connected(kind, tmp_path) as (stream, peer):
        with penstock.move_on_after(SHORT) as scope:
            await stream.read(10, 2 * SHORT)
        assert scope.cancelled_caught
        await penstock.sleep(3 * SHORT)
        await peer.send(b"whole")
        await penstock.wait_readable(stream.get_extra_info("socket"))
        assert await stream.read(10, SHORT) == b"whole"
        await penstock.sleep(2 * SHORT)  # nor does one that has come to its end


async def test_write_that_timed_out_goes_on_where_it_was_cut(kind, tmp_path):
    data = os.urandom(100_000) * 150
    async with connected(kind, tmp_path) as (stream, peer):
        sent = await fill(stream, data)
        assert 0 < sent < len(data)
        received = bytearray()

        async def drain():
            while len(received) < len(data):
                received.extend(await peer.receive())

        async with penstock.create_task_group() as tasks:
            tasks.start_soon(drain)
            await stream.write(data[sent:], LONG)
        assert received == data


async def test_read_times_out_while_something_is_stuck_on_its_way_out(kind, tmp_path):
    async with connected(kind, tmp_path) as (stream, peer):
        await fill(stream, bytes(15_000_000))
        for _ in range(2):  # a TLS stream sends meanwhile, in a task of its own
            with pytest.raises(httpcore.ReadTimeout):
                await stream.read(10, SHORT)
        await peer.send(b"whole")
        assert await stream.read(10, LONG) == b"whole"


def drain_for_ever(sock):
    """Take what comes, also ciphertext, until there is an end."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    while poll.poll() and sock.recv(1_000_000):
        pass


async def test_write_that_never_has_to_wait_is_a_timeout_too(kind, tmp_path):
    async def delay():
        while True:
            await penstock.lowlevel.checkpoint()
            time.sleep(SHORT)  # the peer's thread makes room meanwhile

    async with connected(kind, tmp_path) as (stream, peer), penstock.create_task_group() as tasks:
        sock = peer.extra(SocketAttribute.raw_socket)
        tasks.start_soon(penstock.to_thread.run_sync, drain_for_ever, sock)
        tasks.start_soon(delay)
        penstock.lowlevel.set_ready_budget(1)  # before each piece, the others run
        try:
            with pytest.raises(httpcore.WriteTimeout):
                await stream.write(bytes(30_000_000), 2 * SHORT)
            assert stream.stream.partial_send
        finally:
            await penstock.aclose_forcefully(stream)  # which is what the thread waits for
            tasks.cancel_scope.cancel()


async def test_each_connection_has_its_own_time(kind, tmp_path):
    over = []

    async def wait(stream, timeout):
        with pytest.raises(httpcore.ReadTimeout):
            await stream.read(10, timeout)
        over.append(timeout)

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with (
        connected(kind, tmp_path) as (first, peer),
        connected(kind, tmp_path / "a") as (second, _),
        connected(kind, tmp_path / "b") as (third, _),
        penstock.create_task_group() as tasks,
    ):
        tasks.start_soon(wait, second, 6 * SHORT)
        tasks.start_soon(wait, third, SHORT)

        async def send():
            await penstock.sleep(12 * SHORT)
            await peer.send(b"at last")

        tasks.start_soon(send)
        assert await first.read(10, LONG) == b"at last"
    assert sorted(over) == [SHORT, 6 * SHORT]


async def test_one_task_reads_while_another_writes(kind, tmp_path):
    async with connected(kind, tmp_path) as (stream, peer):

        async def echo():
            for _ in range(20):
                await peer.send(await peer.receive(1))

        async def write():
            for n in range(20):
                await penstock.lowlevel.checkpoint()
                await stream.write(b"%c" % n, LONG)

        async with penstock.create_task_group() as tasks:
            tasks.start_soon(echo)
            tasks.start_soon(write)
            assert await read_all(stream, 20) == bytes(range(20))


def test_native_cancellation_is_no_timeout(kind, tmp_path, asyncio_backend):
    async def read(stream):
        await stream.read(10, LONG)

    async def read_too_late(stream):
        asyncio.get_running_loop().call_soon(end_time, asyncio.current_task())
        await stream.read(10, SHORT)

    async def read_cancelled_before(stream):
        asyncio.current_task().cancel()
        await stream.read(10, SHORT)

    async def read_under_a_new_shield(stream):
        with penstock.CancelScope() as outside, penstock.CancelScope() as shield:
            outside.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(LONG)
            shield.shield = True
            await read_too_late(stream)

    def end_time(task):
        time.sleep(2 * SHORT)  # nobody else runs: both come in one turn
        asyncio.get_running_loop().call_later(0, task.cancel)

    async def main():
        async with connected(kind, tmp_path) as (stream, peer):
            for way in (read, read_too_late, read_cancelled_before, read_under_a_new_shield):
                task = asyncio.create_task(way(stream))
                if way is read_cancelled_before:
                    asyncio.get_running_loop().call_soon(time.sleep, 2 * SHORT)
                await asyncio.sleep(0)
                if way is read:
                    task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert task.cancelling() == 1
            await peer.send(b"whole")
            assert await stream.read(10, LONG) == b"whole"

    asyncio_backend.run(main)
