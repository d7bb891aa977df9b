"""How much is accepted at once, and what is done with those who cannot be served."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
import trio.testing
from socket_peers import HOST, listening, no_free_descriptor, open_descriptors, reset, until
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock.abc import SocketStream


async def test_a_turn_accepts_several_connections_but_not_all() -> None:
    """Handlers start when the accepting task yields; none of these two numbers is 1 or 256."""
    rounds: list[int] = []
    started = 0

    async def handler(stream: SocketStream) -> None:
        nonlocal started
        started += 1
        await stream.aclose()

    async def watch() -> None:
        seen = 0
        while started < 300:
            if started > seen:
                rounds.append(started - seen)
                seen = started
            await penstock.lowlevel.checkpoint()

    async with listening() as (listener, port), penstock.create_task_group() as tg:
        with ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(socket.create_connection((HOST, port)))
            async with penstock.create_task_group() as watching:
                watching.start_soon(watch)
                tg.start_soon(listener.serve, handler)
            tg.cancel_scope.cancel()
    assert max(rounds) <= 2 * 65
    assert len(rounds) <= 8


async def test_accepting_yields_at_least_every_64_connections() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await penstock.lowlevel.checkpoint()
            turns += 1

    async with listening() as (listener, port), penstock.create_task_group() as tg:
        with ExitStack() as stack:
            for _ in range(256):
                stack.enter_context(socket.create_connection((HOST, port)))
            tg.start_soon(count)
            await penstock.lowlevel.checkpoint()
            before = turns
            for _ in range(256):
                await (await listener.accept()).aclose()
            assert 2 <= turns - before <= 40  # 0 or 1 if they counted as one operation each
            tg.cancel_scope.cancel()


# -- the descriptor in reserve -------------------------------------------------------------


def at_once(func: Callable[[], Any]) -> None:
    """Run on Trio, on a clock that jumps whenever nothing else is to be done."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    penstock.run(func, backend="trio", backend_options={"clock": clock})


def test_a_lack_of_descriptors_that_lasts_turns_connections_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with listening() as (listener, port):
            with ExitStack() as stack:
                peers = []
                for _ in range(100):
                    peer = stack.enter_context(socket.create_connection((HOST, port)))
                    peer.settimeout(0)
                    peers.append(peer)
                with no_free_descriptor(), penstock.move_on_after(0.5):
                    await listener.accept()
                with pytest.raises(BlockingIOError):  # a short lack is waited out
                    peers[0].recv(1)
                with no_free_descriptor(), penstock.move_on_after(3):
                    await listener.accept()
                for peer in peers:
                    assert peer.recv(1) == b""
                assert listener.statistics().turned_away == 100
                assert listener.statistics().accepted == 0
                assert listener.statistics().accept_failures >= 100
            with socket.create_connection((HOST, port)):
                async with await listener.accept():  # well again
                    assert listener.statistics().accepted == 1

    at_once(main)
    assert len([r for r in caplog.records if r.name == "penstock.listener"]) == 1


def test_after_a_lack_has_passed_the_next_one_is_waited_out_again() -> None:
    async def main() -> None:
        async with listening() as (listener, port):
            for _ in range(2):
                with socket.create_connection((HOST, port)) as peer:
                    with no_free_descriptor(), penstock.move_on_after(0.5):
                        await listener.accept()
                    peer.settimeout(0)
                    with pytest.raises(BlockingIOError):
                        peer.recv(1)
                    async with await listener.accept():
                        pass
                with socket.create_connection((HOST, port)) as peer:
                    with no_free_descriptor(), penstock.move_on_after(3):
                        await listener.accept()
                    peer.settimeout(0)
                    assert peer.recv(1) == b""
                with socket.create_connection((HOST, port)):
                    async with await listener.accept():
                        pass
            assert listener.statistics().turned_away == 2

    at_once(main)


async def test_turning_away_does_not_spin_where_every_operation_yields() -> None:
    async with listening() as (listener, port):
        penstock.lowlevel.set_ready_budget(1)
        with socket.create_connection((HOST, port)):
            with no_free_descriptor():
                worked = time.thread_time()
                with penstock.move_on_after(1.8):
                    await listener.accept()
                assert time.thread_time() - worked < 0.3
        assert listener.statistics().turned_away == 1
        assert listener.statistics().accept_failures < 20


def test_a_listener_without_a_reserve_waits() -> None:
    async def main() -> None:
        async with listening() as (first, _):  # the poller is there
            with socket.create_server((HOST, 0)) as server:
                with no_free_descriptor():
                    listener = await type(first).from_socket(server.detach())
            async with listener:
                port = listener.extra(penstock.abc.SocketAttribute.local_port)
                with socket.create_connection((HOST, port)) as peer:
                    with no_free_descriptor(), penstock.move_on_after(1.6):
                        await listener.accept()
                    peer.settimeout(0)
                    with pytest.raises(BlockingIOError):
                        peer.recv(1)
                    assert listener.statistics().turned_away == 0
                    # Now one is to be had, the highest in use: so the streams stay open.
                    async with await listener.accept():
                        with socket.create_connection((HOST, port)) as late_peer:
                            with no_free_descriptor(), penstock.move_on_after(3):
                                await listener.accept()
                            late_peer.settimeout(0)
                            assert late_peer.recv(1) == b""

    at_once(main)


async def test_a_closed_listener_has_no_reserve() -> None:
    async with listening():  # the poller is there
        before = open_descriptors()
        listener = await penstock.create_tcp_listener(local_host=HOST)
        assert len(open_descriptors() - before) == 2
        await listener.aclose()
        assert open_descriptors() == before


async def test_what_is_logged_of_a_lack_counts_it(caplog: pytest.LogCaptureFixture) -> None:
    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)), no_free_descriptor():
            with penstock.move_on_after(0.05):
                await listener.accept()
        assert listener.statistics().accept_failures > 0
    (record,) = [r for r in caplog.records if r.name == "penstock.listener"]
    assert record.levelno == logging.ERROR
    assert record.getMessage().endswith("(1 times since the last such line)")


async def test_a_peer_that_resets_at_once_is_accepted_and_closed_without_a_trace() -> None:
    async with listening() as (listener, port):
        for _ in range(20):
            reset(socket.create_connection((HOST, port)))
        for _ in range(20):
            await (await listener.accept()).aclose()
        await until(lambda: listener.statistics().accepted == 20)
