"""How chaos ends: what the peers of each kind of stream see of a reset, and the end of sending."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from pairs import stapled, stapled_memory, tcp, tls, unix, wrapped

from penstock import (
    BrokenResourceError,
    BusyResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    create_task_group,
    wait_all_tasks_blocked,
)
from penstock.lowlevel import checkpoint
from penstock.streams.buffered import BufferedByteStream
from penstock.testing import (
    ChaosEvent,
    ChaosStream,
    MemoryReceiveStream,
    MemorySendStream,
    MemoryStream,
    lockstep_stream_pair,
    memory_stream_pair,
)

DATA = b"0123456789" * 100


async def memory() -> tuple[Any, Any]:
    return memory_stream_pair()


async def lockstep() -> tuple[Any, Any]:
    return lockstep_stream_pair()


def doomed(
    near: Any, fault: Any, direction: str = "send", *, faults: Any = (), at: int | None = None
) -> ChaosStream:
    """Give a stream the first seed that brings the fault in this direction, at this offset."""
    for seed in range(10_000):
        chaos = ChaosStream(near, seed, faults=[fault, *faults], within=len(DATA) // 2)
        fate = chaos.fate
        assert fate is not None
        if fate.direction == direction and (fate.offset == at or (at is None and fate.offset)):
            return chaos
    raise AssertionError("no such seed")


async def receive_until_broken(stream: Any) -> tuple[bytes, BrokenResourceError]:
    received = b""
    try:
        while True:
            received += await stream.receive()
    except BrokenResourceError as exc:
        return received, exc


# -- resets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        tcp,
        memory,
        lockstep,
        stapled(tcp),
        stapled(memory),
        wrapped(tcp, BufferedByteStream),
        wrapped(memory, BufferedByteStream),
    ],
    ids=["TCP", "memory", "lockstep", "stapled TCP", "stapled memory", "over TCP", "over memory"],
)
@pytest.mark.parametrize("direction", ["send", "receive"])
async def test_peer_sees_the_reset_behind_what_was_sent(make: Any, direction: str) -> None:
    near, far = await make()
    async with near, far, create_task_group() as tg:
        chaos = doomed(near, "reset", direction)
        caught: list[Any] = []

        async def be_the_peer() -> None:
            if direction == "receive":
                with pytest.raises(BrokenResourceError):
                    for start in range(0, len(DATA), 10):
                        await far.send(DATA[start : start + 10])
                        await checkpoint()
                    await far.receive()
                caught.append(await receive_until_broken(far))
            else:
                caught.append(await receive_until_broken(far))
                with pytest.raises(BrokenResourceError):
                    while True:  # the other end may still be closing
                        await far.send(b"x")
                        await checkpoint()

        tg.start_soon(be_the_peer)
        with pytest.raises(BrokenResourceError) as own:
            await (chaos.send(DATA) if direction == "send" else receive_until_broken(chaos))
            await chaos.receive()
        assert own.value.__cause__.errno == errno.ECONNRESET  # type: ignore[union-attr]
    ((received, exc),) = caught
    assert DATA.startswith(received)
    if direction == "send":
        assert exc.__cause__.errno == errno.ECONNRESET  # type: ignore[union-attr]
        if make in (memory, lockstep):
            assert len(received) == chaos.fate.offset  # type: ignore[union-attr]


async def test_reset_of_memory_is_told_at_once_and_for_ever() -> None:
    near, far = await memory()
    chaos = doomed(near, "reset")
    with pytest.raises(BrokenResourceError):
        await chaos.send(DATA)
    assert len(await far.receive()) == chaos.fate.offset  # type: ignore[union-attr]
    for _ in range(2):
        with pytest.raises(BrokenResourceError):
            await far.receive()
    await far.aclose()
    with pytest.raises(ClosedResourceError):
        await far.receive()


async def test_who_holds_the_other_end_gets_the_reset() -> None:
    near = MemoryStream(MemorySendStream(), MemoryReceiveStream())
    chaos = doomed(near, "reset", at=3)
    with pytest.raises(BrokenResourceError):
        await chaos.send(b"abcdef")
    assert near.send_stream.get_data_nowait() == b"abc"
    with pytest.raises(BrokenResourceError):
        near.send_stream.get_data_nowait()
    with pytest.raises(BrokenResourceError):
        await near.send_stream.get_data()


async def test_unix_peer_gets_a_reset_if_something_was_not_received() -> None:
    near, far = await unix()
    async with near, far:
        chaos = doomed(near, "reset")
        await far.send(b"not received")
        with pytest.raises(BrokenResourceError):
            await chaos.send(DATA)
        received, exc = await receive_until_broken(far)
        assert received == DATA[: chaos.fate.offset]  # type: ignore[union-attr]
        assert exc.__cause__.errno == errno.ECONNRESET  # type: ignore[union-attr]


@pytest.mark.parametrize("make", [unix, wrapped(stapled_memory(99), BufferedByteStream)])
async def test_peer_that_cannot_be_told_sees_the_end(make: Any) -> None:
    near, far = await make()
    async with near, far:
        chaos = doomed(near, "reset")
        with pytest.raises(BrokenResourceError):
            await chaos.send(DATA)
        received = b"".join([data async for data in far])
        assert received == DATA[: chaos.fate.offset]  # type: ignore[union-attr]
        with pytest.raises(BrokenResourceError):
            await far.send(b"x")


@pytest.mark.parametrize("make", [tcp, unix, memory], ids=["TCP", "UNIX", "memory"])
async def test_tls_peer_sees_that_the_end_was_not_announced(make: Any) -> None:
    near, far = await tls(make, announced=True)()
    async with near, far:
        chaos = doomed(near, "reset")
        with pytest.raises(BrokenResourceError):
            await chaos.send(DATA)
        received, _ = await receive_until_broken(far)
        assert DATA.startswith(received)


# -- the end of sending --------------------------------------------------------------------------


async def test_end_of_sending_is_late_at_times() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    counts: dict[bool, list[int]] = {False: [], True: []}
    async with create_task_group() as tg:
        tg.start_soon(count)
        await checkpoint()
        for seed in range(40):
            near, far = await memory()
            chaos = ChaosStream(near, seed, faults=["delay"])
            await chaos.send(b"abc")
            before = turns
            await chaos.send_eof()
            late = ChaosEvent("send", 3, "delay", 0) in chaos.history
            counts[late].append(turns - before)
            before = turns
            await chaos.send_eof()
            assert turns - before <= 1, chaos  # late once
            assert await far.receive() == b"abc"
            with pytest.raises(EndOfStream):
                await far.receive()
        tg.cancel_scope.cancel()
    assert max(counts[False]) <= 1  # by the ready budget
    assert len(set(counts[True])) >= 3


async def test_same_seed_has_the_same_end() -> None:
    histories = []
    for step in (1, 100):
        near, _far = await memory()
        chaos = ChaosStream(near, 5)
        for start in range(0, 1000, step):
            await chaos.send(DATA[start : start + step])
        await chaos.send_eof()
        histories.append(list(chaos.history))
    assert histories[0] == histories[1]


async def test_cancelled_end_was_not_told_and_can_be_told_again() -> None:
    for seed in range(40):
        near, far = await memory()
        chaos = ChaosStream(near, seed, faults=["delay"])
        scope = CancelScope()

        async def end(scope: Any = scope, chaos: Any = chaos) -> None:
            with scope:
                await chaos.send_eof()

        async with create_task_group() as tg:
            tg.start_soon(end)
            await checkpoint()
            scope.cancel()
        if scope.cancelled_caught:
            await chaos.send(b"more")
            assert await far.receive() == b"more"
        await chaos.send_eof()
        with pytest.raises(EndOfStream):
            await far.receive()


async def test_stall_holds_the_end_up_too() -> None:
    near, far = await memory()
    chaos = doomed(near, "stall", at=5)
    await chaos.send(b"12345")
    assert not chaos.struck.is_set()
    async with create_task_group() as tg:

        async def end() -> None:
            with pytest.raises(ClosedResourceError):
                await chaos.send_eof()

        async def be_told() -> None:
            assert await far.receive() == b"12345"
            with pytest.raises(EndOfStream):
                await far.receive()
            assert chaos.struck.is_set()

        tg.start_soon(be_told)
        tg.start_soon(end)
        await chaos.struck.wait()
        await wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError):
            await chaos.send(b"x")
        await chaos.aclose()


async def test_end_where_an_end_was_fated_is_that_end() -> None:
    near, far = await memory()
    chaos = doomed(near, "eof", at=2)
    await chaos.send(b"12")
    await chaos.send_eof()
    assert await far.receive() == b"12"
    with pytest.raises(EndOfStream):
        await far.receive()
    with pytest.raises((BrokenResourceError, ClosedResourceError)):
        await chaos.send(b"3")


async def test_reset_strikes_before_the_end() -> None:
    near, far = await memory()
    chaos = doomed(near, "reset", at=1)
    await chaos.send(b"1")
    with pytest.raises(BrokenResourceError):
        await chaos.send_eof()
    assert await far.receive() == b"1"
    with pytest.raises(BrokenResourceError):
        await far.receive()
