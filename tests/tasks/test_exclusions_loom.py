"""Small programs of tasks that share a lock or the like, each task cancelled at each of its turns.

Enumerated, not sampled: every task of a program, every way to cancel it, every turn of the loop,
and every place of the one who cancels among the tasks of that turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cancelling import Cancellable, ways
from exclusions import tasks_waiting

import penstock
from penstock import CapacityLimiter, Condition, Lock, Semaphore, WouldBlock
from penstock.lowlevel import checkpoint, set_ready_budget

#: By then a program has ended.
TURNS = 9

#: What is shared, and how many it lets in.
SHARED: dict[str, tuple[Callable[[], Any], int]] = {
    "Lock": (Lock, 1),
    "fast Lock": (lambda: Lock(fast_acquire=True), 1),
    "Semaphore(1)": (lambda: Semaphore(1), 1),
    "Semaphore(2)": (lambda: Semaphore(2), 2),
    "CapacityLimiter(2)": (lambda: CapacityLimiter(2), 2),
}

#: Each task of a program: how often it goes in, and for how many turns each time.
PROGRAMS = {
    "short": ((1, 0), (1, 0), (2, 0)),
    "long": ((1, 2), (1, 1), (1, 0), (1, 1)),
    "again": ((3, 1), (2, 1), (2, 0)),
}


class Model:
    """Who is inside, who has asked, and what must be true of them."""

    def __init__(self, capacity: int, in_order: bool) -> None:
        self.capacity = capacity
        self.in_order = in_order
        self.asking: list[int] = []  # by the order in which they asked
        self.inside: set[int] = set()
        self.cancelled: int | None = None  # may have given up, and has had no chance to say so

    def ask(self, number: int) -> None:
        if number != self.cancelled:
            self.asking.append(number)

    def cancel(self, number: int) -> None:
        self.give_up(number)
        self.cancelled = number

    def enter(self, number: int) -> None:
        if number != self.cancelled:
            # Those who were let in together run in any order.
            assert not self.in_order or number in self.asking[: self.capacity], "overtaken"
            self.asking.remove(number)
        self.inside.add(number)
        assert len(self.inside) <= self.capacity, "too many"

    def leave(self, number: int) -> None:
        self.inside.remove(number)

    def give_up(self, number: int) -> None:
        if number in self.asking:
            self.asking.remove(number)


async def go_in(thing: Any, model: Model, number: int, turns: int) -> None:
    model.ask(number)
    try:
        await thing.acquire()
    except BaseException:
        model.give_up(number)
        raise
    model.enter(number)
    try:
        for _ in range(turns):
            await checkpoint()
    finally:
        model.leave(number)
        thing.release()


async def run_program(
    thing: Any, model: Model, program: Any, victim: int, way: str, turn: int, place: int
) -> bool:
    """Run ``program``; cancel task ``victim`` after ``turn`` turns, from ``place`` in the order.

    Returns:
        Whether the victim was still there to be cancelled.
    """
    tasks = [Cancellable() for _ in program]
    ended = []
    reached = False

    async def act(number: int) -> None:
        times, turns = program[number]

        async def func() -> None:
            for _ in range(times):
                await go_in(thing, model, number, turns)

        try:
            await tasks[number].run(way if number == victim else "scope", func)
        finally:
            ended.append(number)

    async def cancel() -> None:
        nonlocal reached
        for _ in range(turn):
            await checkpoint()
        reached = tasks[victim].running
        model.cancel(victim)
        tasks[victim].cancel()

    async with penstock.create_task_group() as tg:
        for number in range(len(program) + 1):
            if number == place:
                tg.start_soon(cancel)
            if number < len(program):
                tg.start_soon(act, number)
        await penstock.wait_all_tasks_blocked()
        if len(ended) < len(program):  # instead of a hang
            tg.cancel_scope.cancel()
    assert sorted(ended) == list(range(len(program))), "a wake-up was lost"
    return reached


async def check_nothing_was_lost(thing: Any, capacity: int) -> None:
    assert tasks_waiting(thing) == 0
    async with penstock.create_task_group() as tg:

        async def hold() -> None:
            thing.acquire_nowait()
            await penstock.sleep_forever()

        for _ in range(capacity):
            tg.start_soon(hold)
        await penstock.wait_all_tasks_blocked()
        with pytest.raises(WouldBlock):
            thing.acquire_nowait()
        tg.cancel_scope.cancel()


@pytest.mark.parametrize("budget", [1, 10**6])  # of each operation that is ready, and of none
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("shared", SHARED)
async def test_nothing_is_lost_wherever_a_task_is_cancelled(
    backend: Any, shared: str, name: str, budget: int
) -> None:
    make, capacity = SHARED[shared]
    program = PROGRAMS[name]
    set_ready_budget(budget)
    runs = 0
    for victim in range(len(program)):
        for way in ways(backend.name):
            for turn in range(TURNS):
                reached = False
                for place in range(len(program) + 1):
                    thing, model = make(), Model(capacity, in_order=budget > 1)
                    here = await run_program(thing, model, program, victim, way, turn, place)
                    assert not model.inside
                    assert not model.asking
                    await check_nothing_was_lost(thing, capacity)
                    reached = reached or here
                    runs += 1
                if turn > 2 and not reached:
                    break
    assert runs >= len(program) * 4 * 3 * (len(program) + 1)


#: What takes part in a program about a condition, besides the consumers: in this order.
NOTIFIERS = {
    "one by one": ("notify", "notify"),
    "held": ("notify", "hold", "notify"),
    "twice": ("notify 2", "hold"),
}
CONSUMERS = 4


async def run_condition(actors: tuple[str, ...], victim: int, way: str, turn: int) -> bool:
    """Let consumers wait, and others notify; cancel ``victim`` after ``turn`` turns."""
    condition = Condition()
    names = ("consume",) * CONSUMERS + actors
    tasks = [Cancellable() for _ in names]
    inside: set[int] = set()
    notified = returned = 0
    reached = False

    async def consume(number: int) -> None:
        nonlocal returned
        async with condition:
            try:
                await condition.wait()
                returned += 1
            finally:
                assert not inside, "wait() ended without the lock"
                inside.add(number)
                inside.remove(number)

    async def notify(number: int, n: int) -> None:
        nonlocal notified
        async with condition:
            inside.add(number)
            condition.notify(n)
            notified += n
            inside.remove(number)

    async def hold(number: int) -> None:
        async with condition:
            inside.add(number)
            try:
                for _ in range(3):
                    await checkpoint()
            finally:
                inside.remove(number)

    async def act(number: int) -> None:
        async def func() -> None:
            name = names[number]
            if name == "consume":
                await consume(number)
            elif name == "hold":
                await hold(number)
            else:
                await notify(number, 2 if name == "notify 2" else 1)

        await tasks[number].run(way if number == victim else "scope", func)

    async with penstock.create_task_group() as tg:
        for number in range(CONSUMERS):
            tg.start_soon(act, number)
        await penstock.wait_all_tasks_blocked()
        for number in range(CONSUMERS, len(names)):
            tg.start_soon(act, number)
        for _ in range(turn):
            await checkpoint()
        reached = tasks[victim].running
        tasks[victim].cancel()
        await penstock.wait_all_tasks_blocked()
        statistics = condition.statistics()
        assert not statistics.lock_statistics.locked
        assert statistics.tasks_waiting >= 1
        assert returned == notified, "a notification was lost, or doubled"
        async with condition:
            condition.notify_all()
        await penstock.wait_all_tasks_blocked()
        assert condition.statistics().tasks_waiting == 0
        assert not any(task.running for task in tasks)
    return reached


@pytest.mark.parametrize("budget", [1, 64])
@pytest.mark.parametrize("name", NOTIFIERS)
async def test_no_notification_is_lost_wherever_a_task_is_cancelled(
    backend: Any, name: str, budget: int
) -> None:
    actors = NOTIFIERS[name]
    set_ready_budget(budget)
    for victim in range(CONSUMERS + len(actors)):
        for way in ways(backend.name):
            for turn in range(TURNS):
                reached = await run_condition(actors, victim, way, turn)
                if turn > 4 and not reached:
                    break
