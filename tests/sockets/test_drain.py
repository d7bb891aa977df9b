"""Draining: the listener closes, and its handlers have until a deadline."""

from __future__ import annotations

import math
import socket
from contextlib import ExitStack
from typing import Any

import pytest
from backends import BackendUnderTest
from socket_peers import HOST, listening, port_of, receive_all, until
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import ClosedResourceError
from penstock.abc import SocketStream
from penstock.streams.stapled import MultiListener


async def echo(stream: SocketStream) -> None:
    async with stream:
        async for data in stream:
            await stream.send(data)


async def stubborn(stream: SocketStream) -> None:
    """Run until cancelled, and do not even close the stream."""
    await penstock.sleep_forever()


def soon() -> float:
    return penstock.current_time() + 0.05


def much_later() -> float:
    return penstock.current_time() + 60


async def run_serve(listener: Any, handler: Any, outcomes: list[str], *group: Any) -> None:
    await listener.serve(handler, *group)
    outcomes.append("returned")


@pytest.mark.parametrize("given", [False, True], ids=["own group", "given group"])
async def test_drain_waits_for_the_handlers_and_serve_returns(given: bool) -> None:
    outcomes: list[Any] = []

    async def drain() -> None:
        outcomes.append(await listener.drain(much_later()))

    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(run_serve, listener, echo, outcomes, *([tg] if given else []))
        with socket.create_connection((HOST, port)) as peer:
            await until(lambda: listener.statistics().open_handlers)
            tg.start_soon(drain)
            await penstock.wait_all_tasks_blocked()
            assert outcomes == (["returned"] if given else [])
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((HOST, port))
            peer.sendall(b"still served")
            await penstock.wait_all_tasks_blocked()
            assert receive_all(peer, 12) == b"still served"
            peer.shutdown(socket.SHUT_WR)
        await until(lambda: len(outcomes) == 2)
        assert sorted(outcomes, key=str) == [0, "returned"]
        with pytest.raises(ClosedResourceError):
            await listener.serve(echo)


@pytest.mark.parametrize("given", [False, True], ids=["own group", "given group"])
async def test_drain_cancels_what_still_runs_at_the_deadline(given: bool) -> None:
    outcomes: list[str] = []
    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(run_serve, listener, stubborn, outcomes, *([tg] if given else []))
        with socket.create_connection((HOST, port)) as first:
            with socket.create_connection((HOST, port)) as second:
                await until(lambda: listener.statistics().open_handlers == 2)
                assert await listener.drain(soon()) == 2
                assert listener.statistics().open_handlers == 0
                assert listener.statistics().cancelled_handlers == 2
                for peer in (first, second):
                    assert receive_all(peer, 1) == b""
        await until(lambda: outcomes)


@pytest.mark.parametrize("deadline", [-math.inf, 0])
async def test_a_deadline_in_the_past_cancels_at_once(deadline: float) -> None:
    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(listener.serve, stubborn)
        with socket.create_connection((HOST, port)):
            await until(lambda: listener.statistics().open_handlers)
            assert await listener.drain(deadline) == 1


async def test_drain_reaches_a_handler_that_has_not_begun() -> None:
    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(listener.serve, stubborn)
        with socket.create_connection((HOST, port)):
            while not listener.statistics().open_handlers:
                await penstock.lowlevel.checkpoint()
            assert await listener.drain(-math.inf) == 1


async def test_a_second_drain_sets_another_deadline() -> None:
    results = []

    async def drain(deadline: float) -> None:
        results.append(await listener.drain(deadline))

    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(listener.serve, stubborn)
        with socket.create_connection((HOST, port)):
            await until(lambda: listener.statistics().open_handlers)
            tg.start_soon(drain, math.inf)
            await penstock.wait_all_tasks_blocked()
            tg.start_soon(drain, soon())
    assert results == [1, 1]


async def test_a_cancelled_drain_leaves_the_handlers_their_time() -> None:
    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(listener.serve, echo)
        with socket.create_connection((HOST, port)) as peer:
            await until(lambda: listener.statistics().open_handlers)
            with penstock.move_on_after(0.02) as scope:
                await listener.drain(much_later())
            assert scope.cancelled_caught
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((HOST, port))
            peer.sendall(b"x")
            await penstock.wait_all_tasks_blocked()
            assert receive_all(peer, 1) == b"x"


async def test_drain_in_a_cancelled_scope_does_nothing() -> None:
    async with listening() as (listener, port):
        with penstock.CancelScope() as scope:
            scope.cancel()
            await listener.drain(0)
        assert scope.cancelled_caught
        with socket.create_connection((HOST, port)):
            async with await listener.accept():
                pass


async def test_drain_ends_a_serve_that_is_at_its_limit() -> None:
    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(lambda: listener.serve(echo, max_connections=1))
        with socket.create_connection((HOST, port)) as peer:
            with socket.create_connection((HOST, port)) as queued:
                await until(lambda: listener.statistics().open_handlers)
                await penstock.wait_all_tasks_blocked()
                tg.start_soon(listener.drain, math.inf)
                await penstock.wait_all_tasks_blocked()
                with pytest.raises(ConnectionResetError):  # it was never accepted
                    queued.recv(1)
                peer.shutdown(socket.SHUT_WR)
        assert listener.statistics().accepted == 1


async def test_a_handler_may_drain_its_own_listener() -> None:
    """It waits for itself, until the deadline."""
    results = []

    async def handler(stream: SocketStream) -> None:
        async with stream:
            try:
                await listener.drain(soon())
            finally:
                results.append("ended")

    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)):
            await listener.serve(handler)
    assert results == ["ended"]
    assert listener.statistics().cancelled_handlers == 1


async def test_draining_a_listener_that_nobody_serves_closes_it() -> None:
    async with listening() as (listener, port):
        assert await listener.drain(math.inf) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port))
        assert await listener.drain(math.inf) == 0


async def test_drain_of_several_listeners_adds_up() -> None:
    multi = MultiListener([await penstock.create_tcp_listener(local_host=HOST) for _ in range(3)])
    async with multi, penstock.create_task_group() as tg:
        tg.start_soon(multi.serve, stubborn)
        ports = [port_of(listener) for listener in multi.listeners]
        with ExitStack() as stack:
            for port in ports:
                stack.enter_context(socket.create_connection((HOST, port)))
            await until(lambda: multi.statistics().open_handlers == 3)
            assert await multi.drain(soon()) == 3


@pytest.mark.parametrize(
    ("deadline", "error"), [(math.nan, ValueError), ("soon", TypeError), (None, TypeError)]
)
async def test_a_deadline_that_is_none_is_refused(deadline: Any, error: type[Exception]) -> None:
    async with listening() as (listener, port):
        with pytest.raises(error, match="deadline"):
            await listener.drain(deadline)
        with pytest.raises(error, match="deadline"):
            await MultiListener([listener]).drain(deadline)
        socket.create_connection((HOST, port)).close()  # it listens as before


async def test_no_connection_is_accepted_and_dropped_whenever_drain_comes() -> None:
    """Every connection is either handled or was never accepted."""
    for turns in range(12):
        handled = []

        async def handler(stream: SocketStream) -> None:
            async with stream:
                handled.append(stream)  # noqa: B023

        async with listening() as (listener, port), penstock.create_task_group() as tg:
            tg.start_soon(listener.serve, handler)
            await penstock.wait_all_tasks_blocked()
            peers = []
            for turn in range(turns):
                if turn % 2:
                    peers.append(socket.create_connection((HOST, port)))
                await penstock.lowlevel.checkpoint()
            peers.append(socket.create_connection((HOST, port)))
            assert await listener.drain(much_later()) == 0
            assert len(handled) == listener.statistics().accepted
            for peer in peers:
                peer.close()


def test_a_run_that_ends_in_the_middle_of_a_drain_leaves_nothing(
    backend: BackendUnderTest,
) -> None:
    async def main() -> None:
        async with listening() as (listener, port), penstock.create_task_group() as tg:
            tg.start_soon(listener.serve, stubborn)
            with socket.create_connection((HOST, port)):
                await until(lambda: listener.statistics().open_handlers)
                tg.start_soon(listener.drain, math.inf)
                await penstock.wait_all_tasks_blocked()
                raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError):
        backend.run(main)
