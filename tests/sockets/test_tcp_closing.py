"""Closing TCP streams and listeners, and using one direction of them twice at once."""

from __future__ import annotations

import gc
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from backends import BackendUnderTest
from raised import public_type
from socket_peers import (
    HOST,
    accepted,
    connected,
    drain,
    fill,
    listening,
    open_descriptors,
    port_of,
    raw_socket_of,
    receive_all,
    reset,
)
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import BusyResourceError, ClosedResourceError
from penstock.lowlevel import checkpoint, set_ready_budget

READS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "receive": lambda stream: stream.receive(),
    "receive_into": lambda stream: stream.receive_into(bytearray(10)),
}
SENDS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "send": lambda stream: stream.send(bytes(1 << 20)),
    "send_many": lambda stream: stream.send_many([bytes(1 << 20), b"x"]),
}
WAITS = READS | SENDS

one_of_reads = pytest.mark.parametrize("operation", READS.values(), ids=READS)
one_of_sends = pytest.mark.parametrize("operation", SENDS.values(), ids=SENDS)
one_of_waits = pytest.mark.parametrize("operation", WAITS.values(), ids=WAITS)


async def outcome_of(awaitable: Awaitable[Any], outcomes: list[Any]) -> None:
    try:
        outcomes.append(await awaitable)
    except Exception as exc:
        outcomes.append(public_type(exc))


async def one_turn() -> None:
    """Come back when every task that is ready now has run."""
    await checkpoint()
    await checkpoint()  # Trio runs them in any order


# -- P5: closing wakes ---------------------------------------------------------------------


@one_of_waits
async def test_closing_wakes_who_waits_within_one_turn(operation: Any) -> None:
    outcomes: list[Any] = []
    async with connected() as (stream, _):
        await fill(stream)
        async with penstock.create_task_group() as tg:
            tg.start_soon(outcome_of, operation(stream), outcomes)
            await penstock.wait_all_tasks_blocked()
            assert outcomes == []
            await stream.aclose()
            await one_turn()
            assert outcomes == [ClosedResourceError]


async def test_closing_a_listener_wakes_who_accepts_within_one_turn() -> None:
    outcomes: list[Any] = []
    async with listening() as (listener, _), penstock.create_task_group() as tg:
        tg.start_soon(outcome_of, listener.accept(), outcomes)
        await penstock.wait_all_tasks_blocked()
        await listener.aclose()
        await one_turn()
        assert outcomes == [ClosedResourceError]


@one_of_waits
async def test_closing_reaches_a_task_that_was_just_woken(operation: Any) -> None:
    outcomes: list[Any] = []
    async with connected() as (stream, peer):
        await fill(stream)
        async with penstock.create_task_group() as tg:
            tg.start_soon(outcome_of, operation(stream), outcomes)
            await penstock.wait_all_tasks_blocked()
            reset(peer)  # readiness in both directions is due
            await stream.aclose()
    assert outcomes == [ClosedResourceError]


@one_of_waits
async def test_closing_reaches_a_task_in_its_yield(operation: Any) -> None:
    set_ready_budget(1)
    outcomes: list[Any] = []
    async with connected() as (stream, peer):
        peer.sendall(b"x")
        async with penstock.create_task_group() as tg:
            tg.start_soon(outcome_of, operation(stream), outcomes)
            tg.start_soon(stream.aclose)
    assert outcomes in ([ClosedResourceError], [b"x"], [1], [None])


async def test_closing_twice_is_silent() -> None:
    async with connected() as (stream, _):
        await stream.aclose()
        await stream.aclose()
    async with listening() as (listener, _):
        await listener.aclose()
        await listener.aclose()


async def test_using_what_is_closed() -> None:
    async with connected() as (stream, _), listening() as (listener, _):
        await stream.aclose()
        await listener.aclose()
        for operation in WAITS.values():
            with pytest.raises(ClosedResourceError):
                await operation(stream)
        with pytest.raises(ClosedResourceError):
            await stream.send(b"")
        with pytest.raises(ClosedResourceError):
            await stream.send_many([])
        with pytest.raises(ClosedResourceError):
            await stream.send_eof()
        with pytest.raises(ClosedResourceError):
            await listener.accept()


async def test_closing_in_a_cancelled_scope_closes() -> None:
    async with connected() as (stream, peer), listening() as (listener, port):
        with penstock.CancelScope() as scope:
            scope.cancel()
            await stream.aclose()
        with penstock.CancelScope() as scope:
            scope.cancel()
            await listener.aclose()
        assert peer.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port))


async def test_closing_after_a_reset_raises_nothing() -> None:
    async with connected() as (stream, peer):
        reset(peer)
        await stream.aclose()
    async with connected() as (stream, peer):
        reset(peer)
        with pytest.raises(penstock.BrokenResourceError):
            await stream.receive()
        await stream.aclose()


async def test_closing_is_complete_when_it_returns() -> None:
    async with connected() as (stream, _), listening() as (listener, _):
        descriptors = {raw_socket_of(stream).fileno(), raw_socket_of(listener).fileno()}
        await stream.aclose()
        await listener.aclose()
        assert not descriptors & open_descriptors()


async def test_closing_delivers_what_was_sent_before() -> None:
    async with connected() as (stream, peer):
        await stream.send(b"bye")
        await stream.aclose()
        assert peer.recv(10) == b"bye"
        assert peer.recv(10) == b""


@pytest.mark.filterwarnings("always::ResourceWarning")
async def test_a_forgotten_stream_warns_and_closes() -> None:
    with socket.create_server((HOST, 0)) as server:
        stream = await penstock.connect_tcp(HOST, server.getsockname()[1])
        peer, _ = server.accept()
    with peer:
        with pytest.warns(ResourceWarning, match=r"Unclosed .*ConnectedSocketStream"):
            del stream
        assert peer.recv(1) == b""


@pytest.mark.filterwarnings("always::ResourceWarning")
async def test_a_forgotten_listener_warns_and_closes() -> None:
    listener = await penstock.create_tcp_listener(local_host=HOST)
    port = port_of(listener)
    with pytest.warns(ResourceWarning, match=r"Unclosed .*ListeningSocket"):
        del listener
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_forgotten_stream_is_closed_where_the_warning_is_an_error() -> None:
    with socket.create_server((HOST, 0)) as server:
        stream = await penstock.connect_tcp(HOST, server.getsockname()[1])
        peer, _ = server.accept()
    with peer:
        del stream
        gc.collect()
        assert peer.recv(1) == b""


def test_a_generator_that_the_loop_closes_at_its_end_can_close_its_stream(
    backend: BackendUnderTest,
) -> None:
    left: list[AsyncGenerator[bytes, None]] = []

    async def chunks(port: int) -> AsyncGenerator[bytes, None]:
        async with await penstock.connect_tcp(HOST, port) as stream:
            while True:
                yield await stream.receive()

    async def main() -> None:
        with socket.create_server((HOST, 0)) as server:
            left.append(chunks(server.getsockname()[1]))
            with socket.socket() as peer:
                async with penstock.create_task_group() as tg:
                    tg.start_soon(left[0].__anext__)
                    await penstock.wait_all_tasks_blocked()
                    peer, _ = server.accept()
                    peer.sendall(b"x")
                peer.close()

    backend.run(main)
    left.clear()


# -- two tasks in one direction ------------------------------------------------------------


@one_of_reads
async def test_a_second_reader_is_busy_and_the_first_unharmed(operation: Any) -> None:
    outcomes: list[Any] = []
    async with connected() as (stream, peer):
        async with penstock.create_task_group() as tg:
            tg.start_soon(outcome_of, stream.receive(), outcomes)
            await penstock.wait_all_tasks_blocked()
            for _ in range(2):
                with pytest.raises(BusyResourceError, match="already reading from"):
                    await operation(stream)
            peer.sendall(b"for the first")
            while not outcomes:  # among others when it was woken and has not run
                with pytest.raises(BusyResourceError):
                    await operation(stream)
                await checkpoint()
        assert outcomes == [b"for the first"]


@one_of_sends
async def test_a_second_sender_is_busy_and_the_first_unharmed(operation: Any) -> None:
    data = bytes(1 << 24)
    outcomes: list[Any] = []
    async with connected() as (stream, peer):
        async with penstock.create_task_group() as tg:
            tg.start_soon(outcome_of, stream.send(data), outcomes)
            await penstock.wait_all_tasks_blocked()
            for _ in range(2):
                with pytest.raises(BusyResourceError, match="already writing to"):
                    await operation(stream)
            with pytest.raises(BusyResourceError):
                await stream.send_eof()
            received = 0
            while not outcomes:
                with pytest.raises(BusyResourceError):
                    await operation(stream)
                received += len(drain(peer))
                await checkpoint()
        assert outcomes == [None]
        assert received + len(receive_all(peer, len(data) - received)) == len(data)
        await stream.send(b"end")
        assert peer.recv(10) == b"end"


async def test_a_second_accept_is_busy_and_the_first_unharmed() -> None:
    outcomes: list[Any] = []
    async with listening() as (listener, port):
        async with penstock.create_task_group() as tg:
            tg.start_soon(outcome_of, listener.accept(), outcomes)
            await penstock.wait_all_tasks_blocked()
            with pytest.raises(BusyResourceError, match="already accepting connections from"):
                await listener.accept()
            with socket.create_connection((HOST, port)):
                while not outcomes:
                    with pytest.raises(BusyResourceError):
                        await listener.accept()
                    await checkpoint()
        async with outcomes[0]:
            pass


@pytest.mark.parametrize("direction", ["receive", "send", "send_many", "accept"])
async def test_an_operation_in_its_yield_is_busy(direction: str) -> None:
    """With a budget of 1 each operation yields before it takes effect; both tasks do at once."""
    set_ready_budget(1)
    outcomes: list[Any] = []
    async with accepted() as (stream, peer), listening() as (listener, port):
        peer.sendall(b"hello")
        with socket.create_connection((HOST, port)):
            operation = {
                "receive": stream.receive,
                "send": lambda: stream.send(b"x"),
                "send_many": lambda: stream.send_many([b"x"]),
                "accept": listener.accept,
            }[direction]
            async with penstock.create_task_group() as tg:
                tg.start_soon(outcome_of, operation(), outcomes)
                tg.start_soon(outcome_of, operation(), outcomes)
        assert outcomes[0] is BusyResourceError  # at once; the other one ends after its yield
        assert outcomes[1] is not BusyResourceError
        if direction == "accept":
            await outcomes[1].aclose()


async def test_receiving_and_sending_at_once_is_not_busy() -> None:
    outcomes: list[Any] = []
    async with connected() as (stream, peer):
        async with penstock.create_task_group() as tg:
            tg.start_soon(outcome_of, stream.receive(), outcomes)
            await penstock.wait_all_tasks_blocked()
            await stream.send(b"question")
            assert peer.recv(100) == b"question"
            peer.sendall(b"answer")
        assert outcomes == [b"answer"]


async def test_a_direction_is_free_after_a_cancelled_wait() -> None:
    async with connected() as (stream, peer):
        for operation in (stream.receive, lambda: stream.receive_into(bytearray(1))):
            async with penstock.create_task_group() as tg:
                tg.start_soon(operation)
                await penstock.wait_all_tasks_blocked()
                tg.cancel_scope.cancel()
        peer.sendall(b"x")
        assert await stream.receive() == b"x"
