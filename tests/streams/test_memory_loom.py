"""Small programs of producers and consumers, each task cancelled at each of its turns.

Enumerated, not sampled: every task of a program, every way to cancel it, every turn of the loop,
and every place of the one who cancels among the tasks of that turn.
"""

import pytest
from cancelling import Cancellable, ways
from ledger import Ledger

from penstock import (
    create_memory_object_stream,
    create_task_group,
    wait_all_tasks_blocked,
)
from penstock.lowlevel import checkpoint, set_ready_budget

#: By then a program has ended, or its tasks wait for ever.
TURNS = 8

#: Each task of a program: (kind, operations); an operation is None or the size of a batch.
PROGRAMS = {
    "1 to 1": (("send", (None, None)), ("receive", (None, None))),
    "2 to 1": (("send", (None,)), ("send", (None, None)), ("receive", (None, None, None))),
    "1 to 2": (("receive", (None,)), ("receive", (None,)), ("send", (None, None))),
    "2 to 2": (
        ("send", (None,)),
        ("receive", (None, None)),
        ("send", (None,)),
        ("receive", (None,)),
    ),
    "many": (("send", (3,)), ("receive", (2, 2))),
    "many, 2 to 2": (("receive", (2,)), ("send", (3,)), ("send", (None,)), ("receive", (2, None))),
}


async def run_program(program, size, victim, way, turn, place):
    """Run ``program``; cancel task ``victim`` after ``turn`` turns, from ``place`` in the order.

    Returns:
        Whether the victim was still there to be cancelled, and the ledger.
    """
    ledger = Ledger()
    send, receive = create_memory_object_stream(size)
    tasks = [Cancellable() for _ in program]
    reached = False

    async def act(number):
        kind, operations = program[number]
        with (send if kind == "send" else receive).clone() as stream:
            for operation in operations:
                if kind == "send":

                    async def func(operation=operation):
                        await ledger.send(stream, number, way, operation)
                else:

                    async def func(operation=operation):
                        await ledger.receive(stream, operation)

                await tasks[number].run(way if number == victim else "scope", func)

    async def cancel():
        nonlocal reached
        for _ in range(turn):
            await checkpoint()
        reached = tasks[victim].running
        tasks[victim].cancel()

    with send, receive:
        async with create_task_group() as tg:
            for number in range(len(program) + 1):
                if number == place:
                    tg.start_soon(cancel)
                if number < len(program):
                    tg.start_soon(act, number)
            await wait_all_tasks_blocked()
            # What is left over: receivers that wait for what was withdrawn, senders for others.
            send.close()
            while ledger.receive_nowait(receive):
                await wait_all_tasks_blocked()
        while ledger.receive_nowait(receive):
            pass
        statistics = receive.statistics()
        assert statistics.current_buffer_used == 0
        assert statistics.tasks_waiting_send == statistics.tasks_waiting_receive == 0
        assert statistics.open_send_streams == 0
        assert statistics.open_receive_streams == 1
    return reached, ledger


@pytest.mark.parametrize("budget", [1, 64])
@pytest.mark.parametrize("size", [0, 1, 2])
@pytest.mark.parametrize("name", PROGRAMS)
async def test_no_item_is_lost_wherever_a_task_is_cancelled(backend, name, size, budget):
    program = PROGRAMS[name]
    runs = 0
    set_ready_budget(budget)
    for victim in range(len(program)):
        for way in ways(backend.name):
            for turn in range(TURNS):
                reached = False
                for place in range(len(program) + 1):
                    here, ledger = await run_program(program, size, victim, way, turn, place)
                    ledger.check()
                    reached = reached or here
                    runs += 1
                if turn > 2 and not reached:
                    break
    assert runs >= len(program) * 4 * 3 * (len(program) + 1)
