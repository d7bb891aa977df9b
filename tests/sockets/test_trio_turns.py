"""What an event of a socket costs a run of Trio, and that it comes in every kind of run."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Any

import trio
from outcome import Outcome
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock

ROUNDS = 50


class Steps(trio.abc.Instrument):
    """Count the steps of each task."""

    def __init__(self) -> None:
        self.of: Counter[trio.lowlevel.Task] = Counter()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.of[task] += 1


async def steps_of_an_echo() -> tuple[int, int]:
    """Return the steps of the two tasks of an echo, and those of all others meanwhile."""
    steps, own = Steps(), [trio.lowlevel.current_task()]
    near, far = penstock.socket_stream_pair()

    async def echo() -> None:
        own.append(trio.lowlevel.current_task())
        async for data in far:
            await far.send(data)

    async with near, far, penstock.create_task_group() as group:
        group.start_soon(echo)
        for number in range(ROUNDS + 1):
            await near.send(b"%d" % number)
            assert await near.receive() == b"%d" % number
            if not number:  # what the first wait makes has been made
                trio.lowlevel.add_instrument(steps)
        trio.lowlevel.remove_instrument(steps)
        group.cancel_scope.cancel()
    return sum(steps.of.pop(task) for task in own), sum(steps.of.values())


def test_an_event_resumes_the_task_that_waits_and_no_other() -> None:
    own, others = trio.run(steps_of_an_echo)
    assert own >= 2 * ROUNDS
    assert others == 0


def test_events_come_where_trio_drops_no_notes_of_descriptors() -> None:
    class Notes(defaultdict[int, Any]):
        def __delitem__(self, fd: int) -> None:
            pass

    async def main() -> tuple[int, int]:
        manager: Any = trio._core._run.GLOBAL_RUN_CONTEXT.runner.io_manager
        manager._registered = Notes(manager._registered.default_factory, manager._registered)
        return await steps_of_an_echo()

    own, others = trio.run(main)
    assert own >= 2 * ROUNDS
    assert others >= ROUNDS


def test_events_come_in_a_run_that_is_a_guest() -> None:
    async def host() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        end: asyncio.Future[Outcome[tuple[int, int]]] = loop.create_future()
        trio.lowlevel.start_guest_run(
            steps_of_an_echo,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=end.set_result,
        )
        return (await end).unwrap()

    own, others = asyncio.run(host())
    assert own >= 2 * ROUNDS
    assert others == 0
