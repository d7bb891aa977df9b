"""What every datagram socket does: receiving, sending, closing, cancellation, wrong loops."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from backends import BackendUnderTest
from datagram_peers import KINDS, datagram_pair, outcome_of, raw_socket_of
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed
from socket_peers import until

import penstock
from penstock import BrokenResourceError, BusyResourceError, ClosedResourceError
from penstock.abc import SocketAttribute
from penstock.lowlevel import checkpoint, set_ready_budget

#: An operation here takes at most this many turns, unless it waits for good.
TURNS = 8

RECEIVES: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "receive": lambda sock: sock.receive(),
    "receive_many": lambda sock: sock.receive_many(10),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
unix_kinds = pytest.mark.parametrize("kind", ["unix", "connected unix"])
every_receive = pytest.mark.parametrize("receive", RECEIVES.values(), ids=RECEIVES)


# -- datagrams -----------------------------------------------------------------------------


@every_kind
async def test_datagrams_come_whole_and_in_order(kind: str, tmp_path: Path) -> None:
    sent = [b"abc", b"", b"x" * 10_000, b"", b"end"]
    async with datagram_pair(kind, tmp_path) as pair:
        pair.arrive(*sent)
        assert [await pair.sock.receive() for _ in sent] == [pair.item(data) for data in sent]


@every_kind
@pytest.mark.parametrize("data", [b"", b"abc", bytearray(b"abc"), memoryview(b"abc")])
async def test_datagrams_go_whole(kind: str, tmp_path: Path, data: Any) -> None:
    async with datagram_pair(kind, tmp_path) as pair:
        await pair.send(data)
        assert pair.peer.recv(100) == bytes(data)


@every_kind
async def test_iteration_gives_datagram_after_datagram(kind: str, tmp_path: Path) -> None:
    async with datagram_pair(kind, tmp_path) as pair:
        pair.arrive(b"a", b"", b"b")
        received = []
        async for item in pair.sock:
            received.append(item)
            if len(received) == 3:
                break
        assert received == [pair.item(data) for data in (b"a", b"", b"b")]


@every_kind
@every_receive
async def test_receiving_waits_for_the_first_datagram(
    kind: str, receive: Any, tmp_path: Path
) -> None:
    outcomes: list[Any] = []
    async with datagram_pair(kind, tmp_path) as pair, penstock.create_task_group() as tg:
        tg.start_soon(outcome_of, receive(pair.sock), outcomes)
        await penstock.wait_all_tasks_blocked()
        assert outcomes == []
        pair.arrive(b"abc")
        await until(lambda: outcomes)
        assert outcomes in ([pair.item(b"abc")], [[pair.item(b"abc")]])


@every_kind
async def test_batch_is_what_has_come_and_no_more_than_asked_for(kind: str, tmp_path: Path) -> None:
    async with datagram_pair(kind, tmp_path) as pair:
        sent = [b"%d" % number for number in range(8)]  # a UNIX queue holds eleven
        pair.arrive(*sent)
        items = [pair.item(data) for data in sent]
        assert await pair.sock.receive_many(3) == items[:3]
        assert await pair.sock.receive_many(100) == items[3:]


@every_kind
@pytest.mark.parametrize("max_packets", [0, -1, 1.5, None, "1"])
async def test_size_of_a_batch_is_checked(kind: str, tmp_path: Path, max_packets: Any) -> None:
    async with datagram_pair(kind, tmp_path) as pair:
        pair.arrive(b"abc")
        with pytest.raises((TypeError, ValueError), match="max_packets must be"):
            await pair.sock.receive_many(max_packets)
        assert await pair.sock.receive() == pair.item(b"abc")


@every_kind
async def test_hundreds_of_datagrams_are_kept_by_the_system_and_none_by_us(
    kind: str, tmp_path: Path
) -> None:
    count = 8 if "unix" in kind else 250
    async with datagram_pair(kind, tmp_path) as pair:
        for number in range(count):
            pair.arrive(b"%d" % number)
            if number % 50 == 0:
                await checkpoint()
        received = [await pair.sock.receive() for _ in range(count)]
        assert received == [pair.item(b"%d" % number) for number in range(count)]


@every_kind
async def test_longest_datagram_comes_whole(kind: str, tmp_path: Path) -> None:
    size = {"udp6": 65_527, "udp": 65_507, "connected udp": 65_507}.get(kind, 400_000)
    data = bytes(range(256)) * (size // 256 + 1)
    async with datagram_pair(kind, tmp_path) as pair:
        for sock in (pair.peer, raw_socket_of(pair.sock)):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        for receive in RECEIVES.values():
            pair.arrive(data[:size])
            assert await receive(pair.sock) in (
                pair.item(data[:size]),
                [pair.item(data[:size])],
            )
        await pair.send(data[:size])
        assert pair.peer.recv(1 << 20) == data[:size]


@every_kind
async def test_oversize_datagram_is_an_error_and_the_socket_goes_on(
    kind: str, tmp_path: Path
) -> None:
    async with datagram_pair(kind, tmp_path) as pair:
        with pytest.raises(BrokenResourceError) as caught:
            await pair.send(bytes(2_000_000))
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.EMSGSIZE
        await pair.send(b"abc")
        assert pair.peer.recv(100) == b"abc"


@every_kind
@pytest.mark.parametrize("data", ["text", None, 1, memoryview(b"abcd")[::2]])
async def test_data_that_is_no_bytes_is_a_type_error(kind: str, tmp_path: Path, data: Any) -> None:
    async with datagram_pair(kind, tmp_path) as pair:
        with pytest.raises(TypeError, match="expected contiguous bytes-like data, not"):
            await pair.send(data)


@pytest.mark.parametrize("kind", ["udp", "unix"])
@pytest.mark.parametrize("item", [b"", b"abc", None, (b"abc",), (b"abc", "a", 1)])
async def test_item_without_an_address_is_a_type_error(
    kind: str, tmp_path: Path, item: Any
) -> None:
    async with datagram_pair(kind, tmp_path) as pair:
        with pytest.raises(TypeError, match="expected \\(data, "):
            await pair.sock.send(item)


# -- typed attributes ----------------------------------------------------------------------


@every_kind
async def test_typed_attributes(kind: str, tmp_path: Path) -> None:
    async with datagram_pair(kind, tmp_path) as pair:
        raw = raw_socket_of(pair.sock)
        local = raw.getsockname()
        is_path = isinstance(local, str)
        assert pair.sock.extra(SocketAttribute.family) == raw.family
        assert pair.sock.extra(SocketAttribute.local_address) == (local if is_path else local[:2])
        assert pair.sock.extra(SocketAttribute.local_port, None) == (None if is_path else local[1])
        remote = pair.peer_address if pair.connected else None
        assert pair.sock.extra(SocketAttribute.remote_address, None) == remote
        port = remote[1] if pair.connected and not is_path else None
        assert pair.sock.extra(SocketAttribute.remote_port, None) == port
    with pytest.raises(ClosedResourceError):
        pair.sock.extra(SocketAttribute.family)


# -- closing, and two at once --------------------------------------------------------------


@every_kind
@every_receive
async def test_closing_wakes_who_receives(kind: str, receive: Any, tmp_path: Path) -> None:
    outcomes: list[Any] = []
    async with datagram_pair(kind, tmp_path) as pair, penstock.create_task_group() as tg:
        tg.start_soon(outcome_of, receive(pair.sock), outcomes)
        await penstock.wait_all_tasks_blocked()
        await pair.sock.aclose()
        await until(lambda: outcomes)
        assert outcomes == [ClosedResourceError]


@unix_kinds
async def test_closing_wakes_who_sends(kind: str, tmp_path: Path) -> None:
    outcomes: list[Any] = []
    async with datagram_pair(kind, tmp_path) as pair, penstock.create_task_group() as tg:
        pair.fill()
        tg.start_soon(outcome_of, pair.send(b"abc"), outcomes)
        await checkpoint()
        await checkpoint()
        assert outcomes == []
        await pair.sock.aclose()
        await until(lambda: outcomes)
        assert outcomes == [ClosedResourceError]


@every_kind
async def test_closed_socket_says_so_and_closing_again_is_silent(kind: str, tmp_path: Path) -> None:
    async with datagram_pair(kind, tmp_path) as pair:
        pair.arrive(b"abc")
        item = pair.item(b"abc")
        await pair.sock.aclose()
        await pair.sock.aclose()
        for operation in (*RECEIVES.values(), lambda sock: sock.send(item)):
            with pytest.raises(ClosedResourceError):
                await operation(pair.sock)
        with pytest.raises(ClosedResourceError):
            await anext(pair.sock)


@every_kind
@every_receive
async def test_second_receiver_is_refused(kind: str, receive: Any, tmp_path: Path) -> None:
    outcomes: list[Any] = []
    async with datagram_pair(kind, tmp_path) as pair, penstock.create_task_group() as tg:
        tg.start_soon(outcome_of, pair.sock.receive(), outcomes)
        await penstock.wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError, match="already reading from"):
            await receive(pair.sock)
        pair.arrive(b"abc")
        await until(lambda: outcomes)
        assert outcomes == [pair.item(b"abc")]


@unix_kinds
async def test_second_sender_is_refused(kind: str, tmp_path: Path) -> None:
    outcomes: list[Any] = []
    async with datagram_pair(kind, tmp_path) as pair, penstock.create_task_group() as tg:
        filled = pair.fill()
        tg.start_soon(outcome_of, pair.send(b"first"), outcomes)
        await checkpoint()
        await checkpoint()
        with pytest.raises(BusyResourceError, match="already writing to"):
            await pair.send(b"second")
        assert [pair.peer.recv(10) for _ in range(filled)] == [b"fill"] * filled
        await until(lambda: outcomes)
        assert (outcomes, pair.peer.recv(10)) == ([None], b"first")


async def test_socket_that_nobody_closes_is_told_of() -> None:
    sock: Any = await penstock.create_udp_socket(local_host="127.0.0.1")
    with pytest.warns(ResourceWarning, match="Unclosed <.*UDPDatagrams"):
        del sock
        gc.collect()


# -- cancellation --------------------------------------------------------------------------

Operation = Callable[[], Awaitable[Any]]


async def by_scope(operation: Operation, turns: int, meanwhile: Callable[[int], None]) -> list[Any]:
    results = []

    async def run() -> None:
        results.append(await operation())

    async with penstock.create_task_group() as tg:
        tg.start_soon(run)
        for turn in range(turns):
            meanwhile(turn)
            await checkpoint()
        tg.cancel_scope.cancel()
    return results


async def by_task(operation: Operation, turns: int, meanwhile: Callable[[int], None]) -> list[Any]:
    async def run() -> Any:
        return await operation()

    task = asyncio.create_task(run())
    for turn in range(turns):
        meanwhile(turn)
        await checkpoint()
    task.cancel()
    try:
        return [await task]
    except asyncio.CancelledError:
        return []


async def every_receive_is_cancelled(cancel: Any, receive: Any, kind: str, directory: Path) -> None:
    async with datagram_pair(kind, directory) as pair:
        for turns in range(TURNS):
            for arrival in range(turns + 1):

                def arrive(turn: int, arrival: int = arrival) -> None:
                    if turn == arrival:
                        pair.arrive(b"abc")

                received = await cancel(lambda: receive(pair.sock), turns, arrive)
                arrive(arrival) if arrival == turns else None
                if not received:
                    received = [await receive(pair.sock)]
                assert received in ([pair.item(b"abc")], [[pair.item(b"abc")]])


@every_kind
@every_receive
async def test_receive_cancelled_by_a_scope_loses_no_datagram(
    kind: str, receive: Any, tmp_path: Path
) -> None:
    await every_receive_is_cancelled(by_scope, receive, kind, tmp_path)


@every_kind
@every_receive
def test_receive_cancelled_natively_loses_no_datagram(
    asyncio_backend: BackendUnderTest, kind: str, receive: Any, tmp_path: Path
) -> None:
    asyncio_backend.run(every_receive_is_cancelled, by_task, receive, kind, tmp_path)


async def every_send_is_cancelled(cancel: Any, kind: str, directory: Path) -> None:
    async with datagram_pair(kind, directory) as pair:
        for turns in range(TURNS):
            filled = pair.fill()
            results = await cancel(lambda: pair.send(b"abc"), turns, lambda turn: None)
            assert results == []
            received = [pair.peer.recv(10) for _ in range(filled)]
            pair.peer.setblocking(False)
            with suppress(BlockingIOError):
                received.append(pair.peer.recv(10))
            pair.peer.settimeout(30)
            assert received == [b"fill"] * filled
            await pair.send(b"abc")
            assert pair.peer.recv(10) == b"abc"


@unix_kinds
async def test_send_cancelled_by_a_scope_has_sent_nothing(kind: str, tmp_path: Path) -> None:
    await every_send_is_cancelled(by_scope, kind, tmp_path)


@unix_kinds
def test_send_cancelled_natively_has_sent_nothing(
    asyncio_backend: BackendUnderTest, kind: str, tmp_path: Path
) -> None:
    asyncio_backend.run(every_send_is_cancelled, by_task, kind, tmp_path)


@every_kind
@every_receive
async def test_pending_cancellation_is_noticed_and_nothing_is_taken(
    kind: str, receive: Any, tmp_path: Path
) -> None:
    async with datagram_pair(kind, tmp_path) as pair:
        pair.arrive(b"abc")
        item = pair.item(b"xyz")
        with penstock.CancelScope() as scope:
            scope.cancel()
            await receive(pair.sock)
        assert scope.cancelled_caught
        with penstock.CancelScope() as scope:
            scope.cancel()
            await pair.sock.send(item)
        assert scope.cancelled_caught
        assert await receive(pair.sock) in (pair.item(b"abc"), [pair.item(b"abc")])
        pair.peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            pair.peer.recv(10)


@every_kind
async def test_ready_operations_yield_once_in_every_budget(kind: str, tmp_path: Path) -> None:
    set_ready_budget(4)
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with datagram_pair(kind, tmp_path) as pair, penstock.create_task_group() as tg:
        tg.start_soon(count_turns)
        for _ in range(20):
            await pair.send(b"a")
            pair.arrive(b"b")
            pair.peer.recv(10)
            await pair.sock.receive()
        assert turns >= 40 // 4 - 2  # Trio runs them in any order
        tg.cancel_scope.cancel()


# -- other loops ---------------------------------------------------------------------------


@every_kind
async def test_use_from_another_thread_is_refused(kind: str, tmp_path: Path) -> None:
    async with datagram_pair(kind, tmp_path) as pair:
        pair.arrive(b"abc")
        refused: list[str] = []

        async def use() -> None:
            for operation in (*RECEIVES.values(), lambda sock: sock.send(pair.item(b"x"))):
                with pytest.raises(RuntimeError, match="another event loop") as caught:
                    await operation(pair.sock)
                refused.append(str(caught.value))
            with pytest.raises(RuntimeError, match="another thread"):
                await pair.sock.aclose()

        thread = Thread(target=lambda: penstock.run(use))
        thread.start()
        while thread.is_alive():
            await checkpoint()
        assert len(refused) == 3
        assert await pair.sock.receive() == pair.item(b"abc")
