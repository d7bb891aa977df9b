"""What all checks share: tables of named checks, how one is run, and how it fails.

Lives here: nothing that knows what a stream or a listener has to do.  A check is a small function
with a name of its own; the first line of its docstring says what is expected, and is what the
author of a stream reads when it fails.  Plain ``assert`` is not used: it is not there under ``-O``.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from inspect import getdoc
from typing import Any, NoReturn, TypeAlias

from penstock._backends import Backend, current_backend
from penstock._eventloop import get_cancelled_exc_class, wait_all_tasks_blocked
from penstock._resources import aclose_forcefully
from penstock._synchronization import Event
from penstock._tasks import create_task_group, move_on_after
from penstock.abc import AsyncResource, CancelScope, TaskGroup
from penstock.lowlevel import checkpoint, ready_budget, set_ready_budget

__all__ = (
    "DOORS",
    "Attempt",
    "Calls",
    "Check",
    "Checks",
    "Door",
    "Maker",
    "attempts",
    "cancelled",
    "counted_turns",
    "fail",
    "raises",
    "require",
    "run_checks",
)

#: Makes what one check is about: two objects, fresh for each check.
Maker: TypeAlias = Callable[[], Awaitable[tuple[Any, Any]]]
#: A way to close something.
Door: TypeAlias = Callable[[AsyncResource], Awaitable[None]]


# -- how a check fails -------------------------------------------------------------------------


def fail(message: str) -> NoReturn:
    raise AssertionError(message)


def require(condition: object, message: str) -> None:
    """Fail unless ``condition`` is true."""
    if not condition:
        fail(message)


@contextmanager
def raises(what: str, *expected: type[BaseException]) -> Iterator[None]:
    """Fail unless the block, which does ``what``, raises one of ``expected``."""
    names = " or ".join(exception.__name__ for exception in expected)
    try:
        yield
    except expected:
        return
    except Exception as exc:
        raise AssertionError(f"{what} raised {exc!r}, not {names}") from exc
    fail(f"{what} did not raise {names}")


def _scope() -> CancelScope:
    return move_on_after(None)


@contextmanager
def cancelled(what: str) -> Iterator[None]:
    """Run the block, which does ``what``, in a scope that is cancelled; fail if it goes through."""
    with _scope() as scope:
        scope.cancel()
        yield
        fail(f"{what} took no notice of a pending cancellation")
    require(scope.cancelled_caught, f"{what} took no notice of a pending cancellation")


# -- tasks -------------------------------------------------------------------------------------


@dataclass(eq=False)
class Attempt:
    """A call in a task of its own, and what has become of it."""

    what: str
    value: Any = None
    error: Exception | None = None
    #: Whether a cancellation has ended it.
    was_cancelled: bool = False
    _ended: Event = field(default_factory=Event)
    _scope: CancelScope = field(default_factory=_scope)
    _backend: Backend = field(default_factory=current_backend)
    _task: Any = None

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    async def run(self, func: Callable[..., Awaitable[Any]], args: Sequence[Any]) -> None:
        self._task = self._backend.current_task()
        try:
            with self._scope:
                try:
                    self.value = await func(*args)
                except get_cancelled_exc_class():
                    self.was_cancelled = True
                    raise
                except Exception as exc:
                    self.error = exc
        finally:
            self._ended.set()

    def cancel(self, *, natively: bool = False) -> None:
        """Cancel the call by its scope, or as the event loop's own library does it."""
        if natively and hasattr(self._task, "cancel"):
            self._task.cancel()
        else:
            self._scope.cancel()

    async def ended(self) -> None:
        await self._ended.wait()

    async def returned(self) -> Any:
        """Wait until the call has returned, and return its value."""
        await self._ended.wait()
        if self.error is not None:
            raise AssertionError(f"{self.what} raised {self.error!r}") from self.error
        require(not self.was_cancelled, f"{self.what} was cancelled")
        return self.value

    async def raised(self, *expected: type[Exception]) -> None:
        """Wait until the call has raised one of ``expected``."""
        await self._ended.wait()
        with raises(self.what, *expected):
            if self.error is not None:
                raise self.error


class Calls:
    """What begins calls in tasks of their own."""

    def __init__(self, group: TaskGroup) -> None:
        self._group = group

    def start(self, func: Callable[..., Awaitable[Any]], *args: Any) -> Attempt:
        """Start ``func(*args)``; it runs when the caller waits next."""
        attempt = Attempt(getattr(func, "__name__", repr(func)) + "()")
        self._group.start_soon(attempt.run, func, args)
        return attempt

    async def begin(self, func: Callable[..., Awaitable[Any]], *args: Any) -> Attempt:
        """Start ``func(*args)``, and wait until it has ended or waits for something."""
        attempt = self.start(func, *args)
        return await self.settled(attempt)

    @staticmethod
    async def settled(attempt: Attempt) -> Attempt:
        """Wait until the call has ended or waits for something."""
        await wait_all_tasks_blocked()
        return attempt


@asynccontextmanager
async def attempts() -> AsyncIterator[Calls]:
    """Give what begins calls; those that still run when the block is left are cancelled."""
    async with create_task_group() as group:
        yield Calls(group)
        group.cancel_scope.cancel()


@asynccontextmanager
async def counted_turns() -> AsyncIterator[Callable[[], int]]:
    """Give a function that says how often other tasks could run since the block began."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with create_task_group() as group:
        group.start_soon(count)
        await checkpoint()
        before = turns
        yield lambda: turns - before
        group.cancel_scope.cancel()


# -- closing -----------------------------------------------------------------------------------


async def _aclose(resource: AsyncResource) -> None:
    result: object = await resource.aclose()  # type: ignore[func-returns-value]
    require(result is None, f"aclose() returned {result!r}, not None")


async def _leave(resource: AsyncResource) -> None:
    async with resource as entered:
        require(entered is resource, f"`async with` gave {entered!r}, not the object itself")


async def _cancelled_aclose(resource: AsyncResource) -> None:
    with _scope() as scope:
        scope.cancel()
        await resource.aclose()


#: Every way to close something.
DOORS: dict[str, Door] = {
    "aclose": _aclose,
    "async with": _leave,
    "cancelled aclose": _cancelled_aclose,
    "aclose_forcefully": aclose_forcefully,
}


# -- tables ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """A named check."""

    name: str
    #: What is expected, in one sentence.
    expectation: str
    func: Callable[..., Awaitable[None]]


class Checks(list[Check]):
    """A table of checks, in the order in which they are run: simple facts first."""

    def add(self, func: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Decorate a check."""
        self.append(Check(func.__name__, _expectation(func), func))
        return func

    def add_for_each(
        self, variants: dict[str, Any]
    ) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., Awaitable[None]]]:
        """Decorate a check that is done in several variants; it gets each as its last argument."""

        def decorate(func: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
            for name, variant in variants.items():
                self.append(
                    Check(f"{func.__name__}[{name}]", _expectation(func), _bind(func, variant))
                )
            return func

        return decorate


def _bind(func: Callable[..., Awaitable[None]], variant: Any) -> Callable[..., Awaitable[None]]:
    async def check(subject: Any) -> None:
        await func(subject, variant)

    return check


def _expectation(func: object) -> str:
    return " ".join((getdoc(func) or "").split("\n\n")[0].split())


async def run_checks(
    checks: Iterable[Check],
    maker: Maker,
    subject_of: Callable[[Any, Any], Any],
    *,
    about: str,
    without: Collection[str],
    timeout: float,
) -> None:
    """Run checks at a ready budget of 1 and at the event loop's own, each on fresh objects.

    Args:
        checks: What to run.
        maker: Makes the two objects that a check is about.
        subject_of: Makes of these two the argument of a check.
        about: Which of several runs this is, for messages.
        without: Names of checks to leave out; a name covers its variants as well.
        timeout: How long one check may take, in seconds.

    Raises:
        AssertionError: A check has failed; its name comes first.
    """
    before = ready_budget()
    try:
        for budget in dict.fromkeys((1, before)):
            set_ready_budget(budget)
            for check in checks:
                if check.name in without or check.name.partition("[")[0] in without:
                    continue
                where = f"{about}, ready budget {budget}"
                await _run(check, maker, subject_of, where, timeout)
    finally:
        set_ready_budget(before)


def refuse_unknown(without: Collection[str], *tables: Iterable[Check]) -> None:
    """Raise ValueError where ``without`` names a check that is in none of the tables."""
    known = {check.name for table in tables for check in table}
    known |= {name.partition("[")[0] for name in known}
    unknown = sorted(set(without) - known)
    if unknown:
        raise ValueError(f"there are no such checks: {', '.join(unknown)}")


async def _run(
    check: Check, maker: Maker, subject_of: Callable[[Any, Any], Any], where: str, timeout: float
) -> None:
    failure: Exception | None = None
    ends: tuple[Any, ...] = ()
    try:
        with move_on_after(timeout) as scope:
            try:
                ends = await maker()
                await check.func(subject_of(*ends))
            except Exception as exc:
                failure = _alone(exc)
        if scope.cancelled_caught:
            failure = failure or TimeoutError(f"it hung, and was given up after {timeout} s")
    finally:
        for end in ends:
            if isinstance(end, AsyncResource):
                with move_on_after(None, shield=True):
                    try:
                        await aclose_forcefully(end)
                    except Exception as exc:
                        failure = failure or exc
    if failure is not None:
        said = str(failure) if isinstance(failure, (AssertionError, TimeoutError)) else ""
        raise AssertionError(
            f"{check.name} ({where}): expected: {check.expectation}  "
            f"But {said or f'the check ran into {failure!r}'}"
        ) from failure


def _alone(exc: Exception) -> Exception:
    """Take a lone exception out of the groups that it is in."""
    while isinstance(exc, ExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    return exc
