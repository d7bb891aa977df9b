"""Random programs of scopes, groups, shields, deadlines and native cancellations, step by step.

A model foretells what each step leads to: who is interrupted, which scope catches, what leaves
which block, what ``task.cancelling()`` says.  A program without native cancellations has to do
just that on every event loop, Trio's included.  No clock is involved.
"""

from __future__ import annotations

import asyncio
import math
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scope_model import Model, Step

import penstock
from penstock.lowlevel import checkpoint

STEPS = 50
EXAMPLES = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
CHOICES = st.lists(st.integers(0, 2**20), min_size=STEPS, max_size=STEPS)


def plan(choices: list[int], native: bool) -> tuple[list[Step], list[Any]]:
    """Turn numbers into the steps of a program, and foretell what is seen after each."""
    model = Model(native)
    steps: list[Step] = []
    seen = []
    for choice in choices:
        step = model.choose(choice)
        if step is None:
            break
        model.do(step)
        steps.append(step)
        seen.append(model.seen())
    for step in model.last_steps():
        model.do(step)
        steps.append(step)
        seen.append(model.seen())
    assert all(task.ended for task in model.tasks)
    return steps, seen


class Actor:
    """A task that waits for a step, does it, and waits again; inside ever more blocks."""

    def __init__(self, program: Program, group: penstock.abc.TaskGroup | None) -> None:
        self.program = program
        self.number = len(program.actors)
        self.group = group
        self.notes: list[Any] = []
        self.ended = False
        self.deaf = 0
        self.mixes = False
        self.scopes: list[penstock.abc.CancelScope] = []
        self.groups: list[penstock.abc.TaskGroup] = []
        self.task: asyncio.Task[Any] | None = None
        self.step: Step | None = None
        program.actors.append(self)

    async def run(self) -> None:
        if self.program.asyncio:
            self.task = asyncio.current_task()
        while not self.ended:  # the first one begins again
            outcome = None
            try:
                await self.block()
            except BaseException as exc:
                outcome = describe(exc)
                if self.group is not None:
                    raise
            finally:
                self.ended = self.ended or self.group is not None
                self.notes.append(("ended", outcome))

    async def next_step(self) -> Step:
        while True:
            try:
                return await self.wait()
            except penstock.get_cancelled_exc_class() as exc:
                self.notes.append("interrupted")
                if self.deaf:
                    self.deaf -= 1
                    continue
                if self.mixes:
                    self.mixes = False
                    raise BaseExceptionGroup("mixed", [exc, ValueError()]) from None
                raise

    async def wait(self) -> Step:
        # Every other task of asyncio waits for what knows nothing of scopes.
        if self.program.asyncio and self.number % 2:
            future = asyncio.get_running_loop().create_future()
            self.wake = lambda: future.set_result(None)
            await future
        else:
            event = penstock.Event()
            self.wake = event.set
            await event.wait()
        assert self.step is not None
        return self.step

    async def block(self) -> None:
        """Do what comes, until it is to leave this block."""
        while True:
            name, _, *rest = await self.next_step()
            if name in ("leave", "stop"):
                self.ended = name == "stop"
                return
            if name == "enter":
                await self.inside_scope(*rest)
            elif name == "open":
                await self.inside_group()
            elif name == "spawn":
                group = self.groups[-1]
                group.start_soon(Actor(self.program, group).run)
            elif name == "checkpoint":
                await checkpoint()
                self.notes.append("passed")
            elif name == "cancel own":
                self.scopes[-1].cancel()
            elif name == "deafen":
                (self.deaf,) = rest
            elif name == "mix":
                self.mixes = True
            elif name == "uncancel":
                assert self.task is not None
                self.task.uncancel()
            else:
                assert name == "fail"
                raise ValueError

    async def inside_scope(self, kind: str) -> None:
        scope = penstock.CancelScope(
            shield="shield" in kind, deadline=-math.inf if kind == "late" else math.inf
        )
        if "cancelled" in kind:
            scope.cancel()
        with Noting(self, scope), scope:
            self.scopes.append(scope)
            await self.block()

    async def inside_group(self) -> None:
        self.mixes = False
        group = penstock.create_task_group()
        with Noting(self, group.cancel_scope, of_group=True):
            async with group:
                self.scopes.append(group.cancel_scope)
                self.groups.append(group)
                await self.block()


class Noting:
    """Gives a scope its number, and notes how the block of an actor was left, once it was."""

    def __init__(
        self, actor: Actor, scope: penstock.abc.CancelScope, of_group: bool = False
    ) -> None:
        self.actor = actor
        self.number = len(actor.program.scopes)
        self.depth, self.groups = len(actor.scopes), len(actor.groups)
        actor.program.scopes.append(scope)
        if not of_group:  # what a group's has caught is for the tests of groups
            actor.program.seen_scopes.append(scope)

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: Any, exc: BaseException | None, _tb: Any) -> None:
        del self.actor.scopes[self.depth :], self.actor.groups[self.groups :]
        self.actor.notes.append(("left", self.number, None if exc is None else describe(exc)))


def describe(exc: BaseException) -> str:
    cancelled = penstock.get_cancelled_exc_class()
    if isinstance(exc, cancelled):
        return "cancelled"
    if isinstance(exc, BaseExceptionGroup):
        return "group" if exc.subgroup(cancelled) is None else "mixed"
    assert isinstance(exc, ValueError), exc
    return "error"


class Program:
    """Actors, and whoever tells them what to do."""

    def __init__(self, asyncio: bool) -> None:
        self.asyncio = asyncio
        self.actors: list[Actor] = []
        self.scopes: list[penstock.abc.CancelScope] = []
        self.seen_scopes: list[penstock.abc.CancelScope] = []

    async def run(self, steps: list[Step], foretold: list[Any]) -> list[Any]:
        """Have the steps done, as long as what is seen is foretold; return what was seen."""
        seen: list[Any] = []
        async with penstock.create_task_group() as tg:
            tg.start_soon(Actor(self, None).run)
            await penstock.wait_all_tasks_blocked()
            while len(seen) < len(steps) and seen == foretold[: len(seen)]:
                self.do(steps[len(seen)])
                await penstock.wait_all_tasks_blocked()
                seen.append(self.seen())
            for scope in self.scopes:  # in case that it was not what was foretold
                scope.shield = False
            for actor in self.actors:
                actor.ended = True
            tg.cancel_scope.cancel()
        return seen

    def do(self, step: Step) -> None:
        name, number, *rest = step
        if name == "cancel":
            self.scopes[number].cancel()
        elif name == "expire":
            self.scopes[number].deadline = -math.inf
            assert self.scopes[number].cancel_called
        elif name == "shield":
            (self.scopes[number].shield,) = rest
        elif name == "native":
            task = self.actors[number].task
            assert task is not None
            task.cancel()
        else:
            self.actors[number].step = step
            self.actors[number].wake()

    def seen(self) -> tuple[Any, ...]:
        return (
            [
                (
                    list(actor.notes),
                    None if actor.ended else actor.task.cancelling() if actor.task else 0,
                )
                for actor in self.actors
            ],
            [(scope.cancel_called, scope.cancelled_caught) for scope in self.seen_scopes],
        )


def check(backend: Any, choices: list[int], native: bool) -> None:
    steps, foretold = plan(choices, native)
    program = Program(backend.name == "asyncio")
    seen = backend.run(program.run, steps, foretold)
    assert seen[-1] == foretold[len(seen) - 1], f"after {steps[: len(seen)]}"
    assert len(seen) == len(foretold)


@EXAMPLES
@given(choices=CHOICES)
def test_programs_do_what_the_model_says(backend: Any, choices: list[int]) -> None:
    check(backend, choices, native=False)


@EXAMPLES
@given(choices=CHOICES)
def test_programs_with_native_cancellations_do_what_the_model_says(
    asyncio_backend: Any, choices: list[int]
) -> None:
    check(asyncio_backend, choices, native=True)


def test_programs_are_about_something() -> None:
    """They have every kind of step in them, and every way of leaving a block."""
    reached: set[object] = set()
    random = Random(1)
    for _ in range(200):
        steps, seen = plan([random.randrange(2**20) for _ in range(STEPS)], native=True)
        reached.update(step[0] for step in steps)
        for notes, _ in seen[-1][0]:
            reached.update(note if isinstance(note, str) else (note[0], note[-1]) for note in notes)
        reached.update(seen[-1][1])
    names = "enter open spawn leave cancel expire shield checkpoint deafen mix native uncancel stop"
    assert {*names.split(), "cancel own", "fail", "interrupted", "passed"} <= reached
    outcomes = (None, "cancelled", "error", "group", "mixed")
    assert {("left", outcome) for outcome in outcomes} <= reached
    assert {("ended", outcome) for outcome in outcomes} <= reached
    assert {(False, False), (True, False), (True, True)} <= reached
