"""Accepting connections, and what stands in the way."""

from __future__ import annotations

import logging
import socket
import time

import pytest
import trio.testing
from socket_peers import (
    HOST,
    listening,
    no_free_descriptor,
    raw_socket_of,
    reset,
)
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import ClosedResourceError
from penstock.abc import SocketAttribute
from penstock.lowlevel import checkpoint


async def test_accept_waits_for_a_connection() -> None:
    streams = []

    async def accept() -> None:
        streams.append(await listener.accept())

    async with listening() as (listener, port):
        async with penstock.create_task_group() as tg:
            tg.start_soon(accept)
            await penstock.wait_all_tasks_blocked()
            assert streams == []
            peer = socket.create_connection((HOST, port))
        with peer:
            async with streams[0] as stream:
                peer.sendall(b"x")
                assert await stream.receive() == b"x"


async def test_every_queued_connection_is_accepted_in_order() -> None:
    async with listening() as (listener, port):
        peers = [socket.create_connection((HOST, port)) for _ in range(300)]
        for peer in peers:
            async with await listener.accept() as stream:
                remote = stream.extra(SocketAttribute.remote_address)
                assert remote == peer.getsockname()
            peer.close()


async def test_small_answers_are_not_delayed() -> None:
    async with listening() as (listener, port):
        async with await penstock.connect_tcp(HOST, port) as client:
            async with await listener.accept() as server:
                for stream in (client, server):
                    raw = raw_socket_of(stream)
                    assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_sockets_are_not_inherited_by_child_programs() -> None:
    async with listening() as (listener, port):
        async with await penstock.connect_tcp(HOST, port) as client:
            async with await listener.accept() as server:
                for thing in (listener, client, server):
                    assert not raw_socket_of(thing).get_inheritable()
                    assert raw_socket_of(thing).gettimeout() == 0


# -- P7: an exhausted system, peers that leave ---------------------------------------------


async def test_a_connection_aborted_in_the_queue_is_broken_and_the_next_one_well() -> None:
    async with listening() as (listener, port):
        reset(socket.create_connection((HOST, port)))
        with socket.create_connection((HOST, port)) as peer:
            peer.sendall(b"well")
            broken = await listener.accept()
            async with broken:
                with pytest.raises(penstock.BrokenResourceError):
                    await broken.receive()
            async with await listener.accept() as stream:
                assert await stream.receive() == b"well"


async def test_accept_survives_the_lack_of_descriptors(caplog: pytest.LogCaptureFixture) -> None:
    streams = []

    async def accept() -> None:
        streams.append(await listener.accept())

    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)) as peer:
            async with penstock.create_task_group() as tg:
                with no_free_descriptor():
                    tg.start_soon(accept)
                    began, worked = time.monotonic(), time.thread_time()
                    await penstock.sleep(0.3)  # the work that is done meanwhile is what counts
                    worked = time.thread_time() - worked
                    assert worked < (time.monotonic() - began) / 3
                    assert streams == []
            peer.sendall(b"served")
            async with streams[0] as stream:
                assert await stream.receive() == b"served"
    records = [r for r in caplog.records if r.name == "penstock.listener"]
    assert [record.levelno for record in records] == [logging.ERROR]
    assert "Too many open files" in records[0].getMessage()


async def test_closing_ends_the_pause_of_accept() -> None:
    outcomes = []

    async def accept() -> None:
        with pytest.raises(ClosedResourceError):
            await listener.accept()
        outcomes.append(time.monotonic())

    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)):
            async with penstock.create_task_group() as tg:
                with no_free_descriptor():
                    tg.start_soon(accept)
                    await penstock.sleep(0.15)  # the pause that begins by then is a longer one
                    await listener.aclose()
                    for _ in range(3):
                        await checkpoint()
                    assert len(outcomes) == 1


async def test_the_pause_of_accept_can_be_cancelled_and_loses_nothing() -> None:
    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)):
            with no_free_descriptor():
                for _ in range(3):
                    with penstock.move_on_after(0.02) as scope:
                        await listener.accept()
                    assert scope.cancelled_caught
            async with await listener.accept():
                pass


async def test_a_second_accept_during_the_pause_is_busy() -> None:
    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)), no_free_descriptor():
            async with penstock.create_task_group() as tg:
                tg.start_soon(listener.accept)
                await penstock.wait_all_tasks_blocked()
                with pytest.raises(penstock.BusyResourceError):
                    await listener.accept()
                tg.cancel_scope.cancel()


def test_a_long_lack_of_descriptors_costs_a_try_a_second_and_a_line_in_five(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with listening() as (listener, port):
            with socket.create_connection((HOST, port)):
                with no_free_descriptor(), penstock.move_on_after(60):
                    await listener.accept()

    clock = trio.testing.MockClock(autojump_threshold=0)
    penstock.run(main, backend="trio", backend_options={"clock": clock})
    counts = [r.args[1] for r in caplog.records if r.name == "penstock.listener"]
    assert 10 <= len(counts) <= 13
    assert 45 <= sum(counts) <= 70


async def test_a_listener_that_the_system_has_broken_is_broken() -> None:
    async with listening() as (listener, _):
        raw_socket_of(listener).shutdown(socket.SHUT_RDWR)
        with pytest.raises(penstock.BrokenResourceError) as caught:
            await listener.accept()
        assert isinstance(caught.value.__cause__, OSError)
