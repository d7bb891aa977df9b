"""The stream with faults: each does what it is for, and the seed brings all of them back."""

import errno
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import (
    BrokenResourceError,
    BusyResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    connect_tcp,
    create_task_group,
    create_tcp_listener,
    wait_all_tasks_blocked,
)
from penstock.abc import SocketAttribute
from penstock.lowlevel import checkpoint
from penstock.testing import (
    ChaosStream,
    check_byte_stream,
    check_half_close,
    lockstep_stream_pair,
    memory_stream_pair,
)

DATA = bytes(range(256)) * 300


async def transfer(source, sink, data=DATA):
    """Send, and return the chunks that came until the end."""
    chunks = []

    async def send():
        for start in range(0, len(data), 5_000):
            await source.send(data[start : start + 5_000])
        await source.send_eof()

    async with create_task_group() as tg:
        tg.start_soon(send)
        async for chunk in sink:
            chunks.append(chunk)
    return chunks


async def tcp_pair():
    async with await create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
        client = await connect_tcp("127.0.0.1", port)
        return client, await listener.listeners[0].accept()


def doomed(make, fault, direction, within=1_000, faults=()):
    """Return the first pair whose fate is this one, as chance would have it."""
    for seed in range(1_000):
        near, far = make()
        chaos = ChaosStream(near, seed, faults=(fault, *faults), within=within)
        if chaos.fate.direction == direction and chaos.fate.offset > 0:
            return chaos, far
    raise AssertionError("no such seed")


# -- harmless faults -----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [memory_stream_pair, lockstep_stream_pair])
@pytest.mark.parametrize("side", ["send", "receive"])
async def test_every_byte_arrives(make, side):
    for seed in range(3):
        near, far = make()
        chaos = ChaosStream(near, seed)
        chunks = await (transfer(chaos, far) if side == "send" else transfer(far, chaos))
        assert b"".join(chunks) == DATA, chaos


@given(st.integers(0, 2**64))
@settings(max_examples=20, deadline=None)
def test_every_byte_arrives_whatever_the_seed(asyncio_backend_once, seed):
    async def main():
        near, far = memory_stream_pair()
        chaos, other = ChaosStream(near, seed), ChaosStream(far, seed + 1)
        data = DATA[:20_000]
        assert b"".join(await transfer(chaos, other, data)) == data

    asyncio_backend_once.run(main)


@pytest.fixture(scope="module")
def asyncio_backend_once():
    from backends import BACKENDS

    return BACKENDS[0]


@pytest.mark.parametrize(("fault", "longest"), [("dribble", 1), ("split", 64)])
@pytest.mark.parametrize("side", ["send", "receive"])
async def test_bytes_are_cut(fault, longest, side):
    near, far = lockstep_stream_pair()
    chaos = ChaosStream(near, 5, faults=[fault])
    chunks = await (transfer(chaos, far) if side == "send" else transfer(far, chaos))
    struck = [event for event in chaos.history if event.offset + event.nbytes < len(DATA)]
    assert {event.fault for event in struck} == {fault}
    starts = set()
    offset = 0
    lengths = {}
    for chunk in chunks:
        lengths[offset] = len(chunk)
        starts.add(offset)
        offset += len(chunk)
    for event in struck:
        if event.offset in starts:
            assert lengths[event.offset] <= min(longest, event.nbytes), event
    assert sum(event.offset in starts for event in struck) > len(struck) // 2


async def test_sent_buffers_are_merged():
    near, far = lockstep_stream_pair()
    chaos = ChaosStream(near, 0, faults=())
    async with create_task_group() as tg:
        tg.start_soon(chaos.send_many, [b"a", b"b", memoryview(b"cdef").cast("H")])
        assert await far.receive() == b"abcdef"


async def test_merging_waits_for_what_is_still_sent():
    for seed in range(100):
        near, far = memory_stream_pair()
        chaos = ChaosStream(near, seed, faults=["merge"])
        async with create_task_group() as tg:

            async def send(far=far):
                await far.send(b"a")
                await checkpoint()
                await far.send(b"b")

            tg.start_soon(send)
            await checkpoint()
            if await chaos.receive() == b"ab":
                return
    pytest.fail("no seed merges")


async def test_delay_lets_others_have_their_turn():
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    near, far = memory_stream_pair()
    chaos = ChaosStream(near, 1, faults=["delay"])
    async with create_task_group() as tg:
        tg.start_soon(count)
        await transfer(chaos, far, DATA * 4)
        tg.cancel_scope.cancel()
    assert turns >= len(chaos.history) > 3


def maker(make):
    async def chaotic():
        near, far = make()
        return ChaosStream(near, 1), ChaosStream(far, 2)

    return chaotic


async def test_passes_the_checks():
    await check_byte_stream(maker(memory_stream_pair))


async def test_passes_the_checks_of_sends_that_wait():
    await check_half_close(maker(lockstep_stream_pair), maker(lockstep_stream_pair))


# -- the seed ------------------------------------------------------------------------------------


async def test_same_seed_has_the_same_faults():
    courses = []
    harmless = ChaosStream.HARMLESS
    # However the bytes are cut on the way to it, and the faults are given.
    for step, faults in ((7, harmless), (7_000, harmless), (7, harmless[::-1])):
        near, far = memory_stream_pair()
        chaos = ChaosStream(near, 42, faults=faults)

        async def send(far=far, step=step):
            for start in range(0, 50_000, step):
                await far.send(DATA[start : min(start + step, 50_000)])
            await far.send_eof()

        async with create_task_group() as tg:
            tg.start_soon(send)
            async for _ in chaos:
                pass
        courses.append(list(chaos.history))
    assert courses[0] == courses[1]
    assert courses[0] == courses[2]
    assert courses[0]


async def test_fates_differ_by_seed_and_are_within():
    fates = [
        ChaosStream(memory_stream_pair()[0], seed, faults=ChaosStream.FATAL, within=9).fate
        for seed in range(300)
    ]
    assert {fate.fault for fate in fates} == set(ChaosStream.FATAL)
    assert {fate.direction for fate in fates} == {"receive", "send"}
    assert {fate.offset for fate in fates} == set(range(9 + 1))


async def test_stream_says_what_it_did():
    near, far = memory_stream_pair()
    chaos = ChaosStream(near, 43, faults=["split"], within=7)
    assert "43, faults=('split',), within=7)" in repr(chaos)
    assert "no faults" in repr(chaos)
    await far.send(b"x")
    await chaos.receive()
    assert "faults=('split',), within=7): received 1 bytes, sent 0; split at receive 0>" in repr(
        chaos
    )


async def test_no_seed_is_a_new_one():
    assert ChaosStream(memory_stream_pair()[0]).seed != ChaosStream(memory_stream_pair()[0]).seed


async def test_arguments_that_are_none():
    with pytest.raises(ValueError, match="no such fault: 'flood'"):
        ChaosStream(memory_stream_pair()[0], faults=["flood"])
    with pytest.raises(ValueError, match="within must be at least 0, not -1"):
        ChaosStream(memory_stream_pair()[0], within=-1)


# -- fatal faults --------------------------------------------------------------------------------


async def test_end_while_receiving():
    chaos, far = doomed(memory_stream_pair, "eof", "receive")
    await far.send(DATA)
    assert b"".join([chunk async for chunk in chaos]) == DATA[: chaos.fate.offset]
    for _ in range(2):
        with pytest.raises(EndOfStream):
            await chaos.receive()
    await chaos.send(b"still")
    assert await far.receive() == b"still"
    assert chaos.history[-1] == chaos.fate


async def test_end_while_sending():
    chaos, far = doomed(memory_stream_pair, "eof", "send")
    for _ in range(2):
        with pytest.raises(BrokenResourceError) as caught:
            await chaos.send(DATA)
        assert caught.value.__cause__.errno == errno.EPIPE
        assert chaos.partial_send in (chaos.fate.offset, 0)
    assert b"".join([chunk async for chunk in far]) == DATA[: chaos.fate.offset]
    await far.send(b"still")
    assert await chaos.receive() == b"still"


@pytest.mark.parametrize("direction", ["send", "receive"])
async def test_reset_breaks_both_directions(direction):
    chaos, far = doomed(memory_stream_pair, "reset", direction)
    await far.send(DATA)
    with pytest.raises(BrokenResourceError) as caught:
        if direction == "send":
            await chaos.send(DATA)
        else:
            while True:
                await chaos.receive()
    assert caught.value.__cause__.errno == errno.ECONNRESET
    if direction == "send":
        assert chaos.partial_send == chaos.fate.offset
    for operate in (chaos.receive, lambda: chaos.send(b"x"), chaos.send_eof):
        with pytest.raises(BrokenResourceError):
            await operate()
    with pytest.raises(BrokenResourceError):
        await far.send(b"x")
    await chaos.aclose()
    with pytest.raises(ClosedResourceError):
        await chaos.receive()


async def test_reset_breaks_who_waits_in_the_other_direction():
    chaos, _far = doomed(memory_stream_pair, "reset", "send")

    async def reader():
        with pytest.raises(BrokenResourceError) as caught:
            await chaos.receive()
        assert caught.value.__cause__.errno == errno.ECONNRESET

    async with create_task_group() as tg:
        tg.start_soon(reader)
        await wait_all_tasks_blocked()
        with pytest.raises(BrokenResourceError):
            await chaos.send(DATA)


async def test_tcp_peer_gets_a_reset():
    client, server = await tcp_pair()
    async with server:
        for seed in range(1_000):
            with warnings.catch_warnings():
                chaos = ChaosStream(client, seed, faults=["reset"], within=100)
            if chaos.fate.direction == "send":
                break
        with pytest.raises(BrokenResourceError):
            await chaos.send(DATA)
        with pytest.raises(BrokenResourceError) as caught:
            while True:
                await server.receive()
        assert caught.value.__cause__.errno == errno.ECONNRESET


@pytest.mark.parametrize("direction", ["send", "receive"])
async def test_stall_lasts_until_the_stream_is_closed(direction):
    chaos, far = doomed(memory_stream_pair, "stall", direction)
    await far.send(DATA)
    got = []

    async def use():
        if direction == "send":
            await chaos.send(DATA)
        else:
            while True:
                got.append(await chaos.receive())

    for ending in ("cancelled", "closed"):
        scope = CancelScope()

        async def stalled(scope=scope, ending=ending):
            with scope:
                if ending == "closed":
                    with pytest.raises(ClosedResourceError):
                        await use()
                else:
                    await use()

        async with create_task_group() as tg:
            tg.start_soon(stalled)
            await wait_all_tasks_blocked()
            with pytest.raises(BusyResourceError):
                await (chaos.send(b"x") if direction == "send" else chaos.receive())
            if ending == "cancelled":
                scope.cancel()
            else:
                await chaos.aclose()
        assert scope.cancelled_caught is (ending == "cancelled")
        if direction == "send":
            assert chaos.partial_send == (chaos.fate.offset if ending == "cancelled" else 0)
    if direction == "receive":
        assert b"".join(got) == DATA[: chaos.fate.offset]


async def test_cancelled_send_tells_how_much_went_out():
    near, far = lockstep_stream_pair()
    chaos = ChaosStream(near, 3)
    scope = CancelScope()

    async def send():
        with scope:
            await chaos.send(DATA)

    received = b""
    async with create_task_group() as tg:
        tg.start_soon(send)
        while len(received) < 30_001:
            received += await far.receive(min(501, 30_001 - len(received)))
        await wait_all_tasks_blocked()
        scope.cancel()
    assert chaos.partial_send == 30_001
    async with create_task_group() as tg:
        tg.start_soon(chaos.send, DATA[30_001:])
        while len(received) < len(DATA):
            received += await far.receive()
    assert received == DATA
    assert chaos.partial_send is None


async def test_cancelled_receive_loses_nothing():
    near, far = memory_stream_pair()
    chaos = ChaosStream(near, 3, faults=["delay"])
    await far.send(DATA)
    await far.send_eof()
    got, cancelled = [], 0
    while True:
        with CancelScope() as scope:
            if len(got) % 2 == cancelled % 2:
                scope.cancel()
            try:
                got.append(await chaos.receive())
            except EndOfStream:
                break
        cancelled += scope.cancelled_caught
    assert cancelled >= 2
    assert b"".join(got) == DATA
