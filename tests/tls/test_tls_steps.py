"""However much a peer makes a TLS stream work, other tasks get their turns meanwhile.

Turns are counted, not timed: what one step may do is bounded by records.
"""

from __future__ import annotations

import pytest
from tls_peers import counting_turns, receive_exactly
from tls_records import DATA, HANDSHAKE, sealed_pair

import penstock
from penstock.streams.tls._engine import EFFORT, FRUITLESS, HANDED

FLOOD = 2427  # KeyUpdates of 27 bytes, in 64 KiB
#: A step ends when the engine's effort is used up, with the records that it was handed then.
IN_A_STEP = EFFORT // (FRUITLESS + 1) + HANDED


@pytest.mark.parametrize("peer", ["client", "server"])
@pytest.mark.parametrize("requested", [False, True])
async def test_key_updates_hold_nobody(peer, requested):
    async with sealed_pair(peer=peer) as (stream, hand, sealer):
        flood = [sealer.key_update(requested=requested) for _ in range(FLOOD)]
        await hand.stream.send(b"".join(flood) + sealer.seal(DATA, b"at last"))
        async with counting_turns() as turns:
            assert await stream.receive() == b"at last"
        assert turns[0] >= FLOOD // IN_A_STEP
        await stream.send(b"with whatever keys")
        assert await hand.receive() == b"with whatever keys"


async def test_closing_over_key_updates_holds_nobody():
    async with sealed_pair(peer="client") as (stream, hand, sealer):
        await hand.stream.send(
            b"".join(sealer.key_update() for _ in range(FLOOD)) + sealer.seal(DATA, b"x")
        )
        async with counting_turns() as turns, penstock.create_task_group() as group:
            group.start_soon(stream.aclose)  # which looks for the peer's announcement
            assert await hand.receive() == b""
            await hand.stream.aclose()
        assert turns[0] >= FLOOD // IN_A_STEP


async def test_key_updates_among_data_hold_nobody():
    async with sealed_pair() as (stream, hand, sealer):
        mixed = []
        for _ in range(40):  # each receive finds something, and much that is nothing
            mixed += [sealer.key_update() for _ in range(50)]
            mixed.append(sealer.seal(DATA, b"x"))
        await hand.stream.send(b"".join(mixed))
        async with counting_turns() as turns:
            assert await receive_exactly(stream, 40) == b"x" * 40
        assert turns[0] >= 40 * 50 // IN_A_STEP - 1


async def test_tiny_records_hold_nobody():
    async with sealed_pair() as (stream, hand, sealer):
        await hand.stream.send(b"".join(sealer.seal(DATA, b"x") for _ in range(2800)))
        sizes = []
        async with counting_turns() as turns:
            while sum(sizes) < 2800:
                sizes.append(len(await stream.receive()))
        assert max(sizes) <= EFFORT + HANDED
        assert turns[0] >= 1


@pytest.mark.parametrize("cut", range(1, 28))
async def test_records_of_all_kinds_may_be_split_anywhere(cut):
    async with sealed_pair() as (stream, hand, sealer):
        for _ in range(3):
            wire = (
                sealer.key_update()
                + sealer.seal(DATA, b"hello")
                + sealer.key_update(requested=True)
            )
            await hand.stream.send(wire[:cut])
            async with penstock.create_task_group() as group:
                receiving = group.create_task(stream.receive())
                await penstock.wait_all_tasks_blocked()
                for place in range(cut, len(wire), cut):
                    await hand.stream.send(wire[place : place + cut])
                assert await receiving == b"hello"


async def test_message_that_is_split_over_records_is_one():
    async with sealed_pair(peer="client") as (stream, hand, sealer):
        # RFC 8446, 5.1 lets a message span records, and no other may come in between.
        wire = sealer.seal(HANDSHAKE, b"\x18\0\0") + sealer.seal(DATA, b"in between")
        await hand.stream.send(wire)
        with pytest.raises(penstock.BrokenResourceError):
            await stream.receive()
