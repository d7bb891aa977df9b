"""The assertions about checkpoints: each half of a checkpoint, on its own and together."""

import math

import pytest

from penstock import CancelScope, Event, create_memory_object_stream, create_task_group, sleep
from penstock.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint,
    checkpoint_if_cancelled,
    set_ready_budget,
)
from penstock.testing import assert_checkpoints, assert_no_checkpoints


async def nothing():
    pass


async def shielded_then_not():
    await cancel_shielded_checkpoint()
    await checkpoint()


async def look_and_yield():
    await checkpoint_if_cancelled()
    await cancel_shielded_checkpoint()


async def nap():
    await sleep(0.001)


async def wait_for_another_task():
    event = Event()

    async def child():
        await cancel_shielded_checkpoint()
        event.set()

    async with create_task_group() as tg:
        tg.start_soon(child)
        await event.wait()


@pytest.mark.parametrize(
    ("operate", "both", "neither"),
    [
        (nothing, False, True),
        (checkpoint, True, False),
        (checkpoint_if_cancelled, False, False),
        (cancel_shielded_checkpoint, False, False),
        (shielded_then_not, True, False),
        (look_and_yield, True, False),
        (nap, True, False),
        (wait_for_another_task, True, False),
    ],
)
async def test_what_counts_as_a_checkpoint(operate, both, neither):
    for assertion, holds in ((assert_checkpoints, both), (assert_no_checkpoints, neither)):
        failed = False
        try:
            with assertion():
                await operate()
        except AssertionError:
            failed = True
        assert failed is not holds, assertion


async def test_shield_around_the_block_does_not_matter():
    with CancelScope(shield=True), assert_checkpoints():
        await checkpoint()


async def test_what_others_do_does_not_count():
    async def others():
        while True:
            await checkpoint_if_cancelled()
            await checkpoint()

    async with create_task_group() as tg:
        tg.start_soon(others)
        await checkpoint()
        for _ in range(20):
            with assert_no_checkpoints():
                pass
            with pytest.raises(AssertionError), assert_checkpoints():
                await cancel_shielded_checkpoint()
        tg.cancel_scope.cancel()


async def test_block_that_raises_is_not_judged():
    with pytest.raises(KeyError), assert_checkpoints():
        raise KeyError
    with pytest.raises(KeyError), assert_no_checkpoints():
        await checkpoint()
        raise KeyError


async def test_ready_operation_is_a_checkpoint_with_a_budget_of_1():
    send, receive = create_memory_object_stream(math.inf)
    with send, receive:
        await send.send(1)
        with pytest.raises(AssertionError, match="ready budget is 256"), assert_checkpoints():
            await send.send(1)
        with assert_no_checkpoints():
            await send.send(1)
        set_ready_budget(1)
        for _ in range(5):
            with assert_checkpoints():
                await send.send(1)
            with assert_checkpoints():
                await receive.receive()
            with pytest.raises(AssertionError), assert_no_checkpoints():
                await send.send(1)
