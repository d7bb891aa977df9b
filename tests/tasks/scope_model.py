"""A simple model of tasks, task groups and cancel scopes: what a program of them must do.

Written from the rules alone: it knows no event loop.  Tasks wait, always, for the next step of the
program; whoever is in a cancelled scope then is interrupted, and so on until nobody is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

__all__ = ("Model", "Step")

#: What is done, and the numbers of what it is done to or with.
Step = tuple[Any, ...]

#: What leaves a block: "cancelled", "error", a "group" of errors, "mixed" if there is a
#: cancellation among them; None is nothing.
Outcome = str | None

#: How a scope is entered.
KINDS = ("plain", "shield", "cancelled", "late", "shield cancelled")


@dataclass(eq=False)
class Scope:
    number: int
    shield: bool = False
    cancelled: bool = False
    caught: bool = False
    #: The native cancellations of the task when it entered.
    base: int = 0
    #: Set for the scope of a task group.
    group: Group | None = None


@dataclass(eq=False)
class Group:
    #: The host, and how many scopes of it are around the group's.
    host: Task
    depth: int
    children: list[Task] = field(default_factory=list)
    errors: int = 0
    child_cancelled: bool = False
    closing: bool = False
    #: What the block was left with.
    left_by: Outcome = None


@dataclass(eq=False)
class Task:
    number: int
    #: The group that it is a child of.
    group: Group | None = None
    scopes: list[Scope] = field(default_factory=list)
    notes: list[Any] = field(default_factory=list)
    ended: bool = False
    #: So many interruptions it will swallow, and whether it turns the next into a mixed group.
    deaf: int = 0
    mixes: bool = False
    #: How often it was cancelled natively, and whether that is still to come.
    natively: int = 0
    pending: bool = False

    @property
    def closing(self) -> bool:
        """Whether it waits for the children of its innermost group."""
        group = self.scopes[-1].group if self.scopes else None
        return group is not None and group.closing

    def inside_out(self, depth: int) -> Iterator[Scope]:
        """Go through the scopes around its ``depth`` outermost ones, and those around the task."""
        yield from reversed(self.scopes[:depth])
        if self.group is not None:
            yield from self.group.host.inside_out(self.group.depth + 1)

    def feels(self, depth: int) -> bool:
        """Whether a cancellation is felt inside its ``depth`` outermost scopes."""
        for scope in self.inside_out(depth):
            if scope.cancelled:
                return True
            if scope.shield:
                return False
        return False


class Model:
    """The state of a program, the steps that are possible, and what each leads to."""

    def __init__(self, native: bool) -> None:
        self.native = native
        self.numbers = count()
        self.tasks = [Task(0)]
        self.scopes: list[Scope] = []

    # -- which steps there are -------------------------------------------------------------

    def steps(self) -> Iterator[list[Step]]:
        """List the steps that are possible now, by kind."""
        waiting = [task for task in self.tasks if not task.ended and not task.closing]
        inside = [task for task in waiting if task.scopes]
        places = [(task, depth) for task in self.tasks for depth in range(len(task.scopes))]
        scopes = [task.scopes[depth].number for task, depth in places]
        # A shield that goes up after the cancellation came in does not undo what it has done;
        # whether a group then still ends by it is nobody's business.
        open_to = [task.scopes[depth].number for task, depth in places if not task.feels(depth)]
        yield [("enter", task.number, kind) for task in waiting for kind in KINDS]
        yield [("open", task.number) for task in waiting]
        yield [("spawn", task.number) for task in waiting if innermost_group(task)]
        yield [("leave", task.number) for task in waiting if task.scopes or task.group]
        yield [("cancel", number) for number in scopes]
        yield [("expire", number) for number in scopes]
        yield [("shield", number, True) for number in open_to]
        yield [("shield", number, False) for number in scopes]
        yield [("checkpoint", task.number) for task in waiting]
        yield [("cancel own", task.number) for task in inside]
        yield [("fail", task.number) for task in waiting if task.scopes or task.group]
        yield [("deafen", task.number, times) for task in waiting for times in (1, 2)]
        yield [("mix", task.number) for task in inside if can_mix(task)]
        if self.native:
            yield [("native", task.number) for task in self.tasks if not task.ended]
            yield [("uncancel", task.number) for task in waiting if task.natively]

    def choose(self, number: int) -> Step | None:
        """Turn any number into a step that is possible, if there is one."""
        kinds = [steps for steps in self.steps() if steps]
        if not kinds:
            return None
        number, kind = divmod(number, len(kinds))
        return kinds[kind][number % len(kinds[kind])]

    # -- what they do ----------------------------------------------------------------------

    def do(self, step: Step) -> None:
        name, number, *rest = step
        act: Callable[..., None] = getattr(self, "do_" + name.replace(" ", "_"))
        act(number, *rest)
        going = True
        while going:
            going = any(self.go_on(task) for task in self.tasks)

    def do_enter(self, number: int, kind: str) -> None:
        self.enter(self.tasks[number], "shield" in kind, "cancelled" in kind or "late" in kind)

    def do_open(self, number: int) -> None:
        task = self.tasks[number]
        task.mixes = False
        group = Group(task, len(task.scopes))
        self.enter(task, False, False).group = group

    def enter(self, task: Task, shield: bool, cancelled: bool) -> Scope:
        scope = Scope(len(self.scopes), shield, cancelled, base=task.natively)
        self.scopes.append(scope)
        task.scopes.append(scope)
        return scope

    def do_spawn(self, number: int) -> None:
        group = innermost_group(self.tasks[number])
        assert group is not None
        child = Task(len(self.tasks), group)
        group.children.append(child)
        self.tasks.append(child)

    def do_leave(self, number: int) -> None:
        task = self.tasks[number]
        if task.scopes:
            self.unwind(task, None)
        else:
            self.end(task, None)

    def do_cancel(self, number: int) -> None:
        self.scopes[number].cancelled = True

    do_expire = do_cancel

    def do_cancel_own(self, number: int) -> None:
        self.tasks[number].scopes[-1].cancelled = True

    def do_shield(self, number: int, up: bool) -> None:
        self.scopes[number].shield = up

    def do_checkpoint(self, number: int) -> None:
        self.tasks[number].notes.append("passed")

    def do_fail(self, number: int) -> None:
        self.unwind(self.tasks[number], "error")

    def do_stop(self, number: int) -> None:
        self.tasks[number].ended = True
        self.tasks[number].notes.append(("ended", None))

    def do_deafen(self, number: int, times: int) -> None:
        self.tasks[number].deaf = times

    def do_mix(self, number: int) -> None:
        self.tasks[number].mixes = True

    def do_native(self, number: int) -> None:
        self.tasks[number].natively += 1
        self.tasks[number].pending = True

    def do_uncancel(self, number: int) -> None:
        self.tasks[number].natively -= 1

    # -- what follows from it --------------------------------------------------------------

    def go_on(self, task: Task) -> bool:
        """Let ``task`` do what it can; return whether it did anything."""
        if task.ended:
            return False
        if task.closing:
            return self.close(task)
        if not (task.pending or task.feels(len(task.scopes))):
            return False
        task.pending = False
        task.notes.append("interrupted")
        if task.deaf:
            task.deaf -= 1
        else:
            task.deaf = 0
            mixes, task.mixes = task.mixes, False
            self.unwind(task, "mixed" if mixes else "cancelled")
        return True

    def close(self, task: Task) -> bool:
        """Leave the innermost group of ``task`` if its children have ended."""
        scope = task.scopes[-1]
        group = scope.group
        assert group is not None
        if task.pending:
            task.pending = False
            scope.cancelled = True
            group.left_by = "cancelled"
            return True
        if not all(child.ended for child in group.children):
            return False
        outcome = group.left_by
        if group.errors:
            outcome = "group"
            task.pending = task.natively > scope.base
        elif outcome is None and group.child_cancelled and task.feels(len(task.scopes)):
            outcome = "cancelled"
        outcome = self.exit(task, outcome)
        if outcome is not None:
            self.unwind(task, outcome)
        return True

    def unwind(self, task: Task, outcome: Outcome) -> None:
        """Let ``outcome`` leave the blocks of ``task``, as far as it goes; None leaves one."""
        while task.scopes:
            scope = task.scopes[-1]
            if scope.group is not None:
                self.begin_to_close(scope, scope.group, outcome)
                return
            outcome = self.exit(task, outcome)
            if outcome is None:
                return
        self.end(task, outcome)

    def begin_to_close(self, scope: Scope, group: Group, outcome: Outcome) -> None:
        group.closing = True
        scope.cancelled = scope.cancelled or outcome is not None
        if outcome == "cancelled":
            group.left_by = outcome
        elif outcome is not None:
            group.errors += 1

    def exit(self, task: Task, outcome: Outcome) -> Outcome:
        """Take ``task`` out of its innermost scope; return what goes on from there."""
        scope = task.scopes.pop()
        if (
            outcome in ("cancelled", "mixed")
            and scope.cancelled
            and (scope.shield or not task.feels(len(task.scopes)))
            and task.natively <= scope.base
        ):
            scope.caught = True
            outcome = "group" if outcome == "mixed" else None
        task.notes.append(("left", scope.number, outcome))
        return outcome

    def end(self, task: Task, outcome: Outcome) -> None:
        task.notes.append(("ended", outcome))
        group = task.group
        if group is None:
            return  # the first task begins again
        task.ended = True
        if outcome is None:
            return
        if outcome == "cancelled":
            group.child_cancelled = True
        else:
            group.errors += 1
            group.host.scopes[group.depth].cancelled = True

    # -- what is seen of it ----------------------------------------------------------------

    def last_steps(self) -> Iterator[Step]:
        """Give the steps that end the program, each when the one before was done."""
        for number in range(len(self.scopes)):
            for step in (("shield", number, False), ("cancel", number)):
                if any(scope.number == number for task in self.tasks for scope in task.scopes):
                    yield step
        yield ("stop", 0)

    def seen(self) -> tuple[Any, ...]:
        """Return what can be seen of tasks and scopes from outside."""
        return (
            [(list(task.notes), None if task.ended else task.natively) for task in self.tasks],
            [(scope.cancelled, scope.caught) for scope in self.scopes if scope.group is None],
        )


def innermost_group(task: Task) -> Group | None:
    return next((scope.group for scope in reversed(task.scopes) if scope.group), None)


def can_mix(task: Task) -> bool:
    """Whether a mixed group would meet no task group, which has rules of its own for it."""
    return task.group is None and not any(scope.group for scope in task.scopes)
