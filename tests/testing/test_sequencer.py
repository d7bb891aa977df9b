"""The sequencer: the order of blocks, and what breaks it."""

import pytest

from penstock import CancelScope, create_task_group, wait_all_tasks_blocked
from penstock.testing import Sequencer


async def test_blocks_run_in_the_order_of_their_numbers():
    seq = Sequencer()
    record = []

    async def task(*positions):
        for position in positions:
            async with seq(position):
                record.append(position)
                await wait_all_tasks_blocked()
                record.append(position)

    async with create_task_group() as tg:
        tg.start_soon(task, 2, 5)
        tg.start_soon(task, 1, 4)
        tg.start_soon(task, 0, 3)
    assert record == [n for n in range(6) for _ in range(2)]


async def test_block_that_raises_lets_the_next_one_begin():
    seq = Sequencer()
    with pytest.raises(KeyError):
        async with seq(0):
            raise KeyError
    async with seq(1):
        pass


async def test_block_that_is_cancelled_lets_the_next_one_begin():
    seq = Sequencer()
    with CancelScope() as scope:
        async with seq(0):
            scope.cancel()
            await wait_all_tasks_blocked()
    assert scope.cancelled_caught
    async with seq(1):
        pass


async def test_number_that_was_used_before():
    seq = Sequencer()
    async with seq(0):
        pass
    with pytest.raises(RuntimeError, match="position 0 of this sequence was used before"):
        async with seq(0):
            pytest.fail("it began")


async def test_cancelled_wait_breaks_the_sequence_for_everybody():
    seq = Sequencer()
    errors = []
    scope = CancelScope()

    async def waiting(position):
        with pytest.raises(RuntimeError, match="the sequence is broken") as caught:
            async with seq(position):
                pytest.fail("it began")
        errors.append((position, caught.value.__cause__ is not None))

    async def cancelled():
        with scope:
            await waiting(1)

    async with create_task_group() as tg:
        tg.start_soon(waiting, 2)
        tg.start_soon(cancelled)
        await wait_all_tasks_blocked()
        scope.cancel()
    assert sorted(errors) == [(1, True), (2, False)]
    with pytest.raises(RuntimeError, match="the sequence is broken"):
        async with seq(3):
            pytest.fail("it began")


@pytest.mark.parametrize(("position", "error"), [(-1, ValueError), (1.0, TypeError)])
async def test_position_that_is_no_number_of_a_block(position, error):
    with pytest.raises(error, match="position must be"):
        async with Sequencer()(position):
            pytest.fail("it began")
