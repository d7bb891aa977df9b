"""A thousand event loops come and go, and leave nothing behind: no descriptor, no object."""

import asyncio
import gc
import os
import socket

import pytest
import uvloop

import penstock
from penstock import _readiness
from penstock._backends import current_backend
from penstock._backends.asyncio import loop as asyncio_backend
from penstock.abc import SocketAttribute


def descriptors():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


async def use_streams():
    """Wait on a memory stream and on a TCP connection of one event loop."""
    send, receive = penstock.create_memory_object_stream[bytes](0)
    [listener] = (await penstock.create_tcp_listener(local_host="127.0.0.1")).listeners
    client = await penstock.connect_tcp("127.0.0.1", listener.extra(SocketAttribute.local_port))
    server = await listener.accept()
    async with penstock.create_task_group() as group:

        async def relay():
            await send.send(await server.receive())

        group.start_soon(relay)
        await client.send(b"abc")
        assert await receive.receive() == b"abc"
    for resource in (client, server, listener, send, receive):
        await resource.aclose()


def test_thousand_loops_leave_nothing_behind(backend):
    backend.run(use_streams)
    before, polling = descriptors(), len(_readiness._polling)
    for _ in range(1000):
        backend.run(use_streams)
    assert descriptors() == before
    assert len(_readiness._polling) == polling
    assert asyncio_backend._backends == {}


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_loops_closed_without_shutting_down_leave_nothing_behind(new_loop):
    def use_a_loop():
        loop = new_loop()
        loop.run_until_complete(use_streams())
        loop.close()

    use_a_loop()
    before = descriptors()
    for _ in range(100):
        use_a_loop()
        assert len(asyncio_backend._backends) == 1  # the last one is let go of by the next
    assert descriptors() == before
    penstock.run(penstock.sleep, 0)
    assert asyncio_backend._backends == {}
    assert descriptors() <= before


def test_loop_that_ends_with_a_socket_registered_leaves_no_poller(backend):
    async def leave_it():
        return _readiness.poller_of(current_backend()).register(near)

    before = descriptors()
    near, far = socket.socketpair()
    near.setblocking(False)
    registration = backend.run(leave_it)
    far.close()
    registration.close()
    del registration
    assert descriptors() == before


# asyncio says so of any asynchronous generator, and penstock has one for each loop.
@pytest.mark.filterwarnings("ignore:asynchronous generator .* was scheduled:ResourceWarning")
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_stream_of_a_loop_that_was_shut_down_and_runs_again_is_refused(new_loop):
    async def connect():
        [listener] = (await penstock.create_tcp_listener(local_host="127.0.0.1")).listeners
        port = listener.extra(SocketAttribute.local_port)
        return listener, await penstock.connect_tcp("127.0.0.1", port)

    async def use(listener, client):
        with pytest.raises(RuntimeError, match="belongs to another event loop or thread"):
            await client.receive()
        with pytest.raises(RuntimeError, match="belongs to another event loop or thread"):
            await listener.accept()
        await client.aclose()
        await listener.aclose()
        await use_streams()

    loop = new_loop()
    streams = loop.run_until_complete(connect())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(use(*streams))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_objects_do_not_grow_with_loops(backend):
    for _ in range(5):
        backend.run(use_streams)
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(20):
        backend.run(use_streams)
    gc.collect()
    assert len(gc.get_objects()) - before < 100
