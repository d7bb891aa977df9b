"""For those who write their own primitives: checkpoints, the ready budget, what a run owns."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

from penstock._backends import current_backend

__all__ = (
    "EventLoopToken",
    "RunVar",
    "RunvarToken",
    "cancel_shielded_checkpoint",
    "checkpoint",
    "checkpoint_if_cancelled",
    "current_token",
    "ready_budget",
    "set_ready_budget",
)

T = TypeVar("T")
D = TypeVar("D")


async def checkpoint() -> None:
    """Let other tasks run, and raise a pending cancellation."""
    await current_backend().checkpoint()


async def checkpoint_if_cancelled() -> None:
    """Raise a pending cancellation; let other tasks run only in order to do so."""
    await current_backend().checkpoint_if_cancelled()


async def cancel_shielded_checkpoint() -> None:
    """Let other tasks run, and leave a pending cancellation for later."""
    await current_backend().cancel_shielded_checkpoint()


def ready_budget() -> int:
    """Return how many ready operations the running event loop does between two yields."""
    return current_backend().budget.size


def set_ready_budget(operations: int) -> None:
    """Change how many ready operations the running event loop does between two yields.

    Args:
        operations: At least 1, which makes every operation yield, as Trio's and AnyIO's do.

    Raises:
        TypeError: ``operations`` is not an integer.
        ValueError: ``operations`` is below 1.
    """
    current_backend().budget.resize(operations)


@dataclass(frozen=True, slots=True)
class EventLoopToken:
    """Tells one running event loop apart from every other; two of the same loop are equal."""

    backend: str
    """The backend's name."""
    native_token: object
    """The asyncio event loop, or the :class:`trio.lowlevel.TrioToken`."""


def current_token() -> EventLoopToken:
    """Return the token of the running event loop."""
    backend = current_backend()
    return EventLoopToken(backend.name, backend.native_token)


#: Stands where no value was set, and where no default was given.
_UNSET: Any = object()


class RunVar(Generic[T]):
    """A variable with one value in each running event loop, which ends with it.

    Args:
        name: For messages.
        default: What :meth:`get` returns where no value was set.
    """

    __slots__ = ("_default", "_name")

    def __init__(self, name: str, default: T = _UNSET) -> None:
        self._name = name
        self._default = default

    @overload
    def get(self) -> T: ...

    @overload
    def get(self, default: D) -> T | D: ...

    def get(self, default: Any = _UNSET) -> Any:
        """Return the value in the running event loop.

        Args:
            default: What to return where no value was set; it beats the variable's own default.

        Raises:
            LookupError: No value was set, and there is no default.
        """
        for value in (current_backend().run_vars.get(self, _UNSET), default, self._default):
            if value is not _UNSET:
                return value
        raise LookupError(f'Run variable "{self._name}" has no value and no default set')

    def set(self, value: T) -> RunvarToken[T]:
        """Set the value in the running event loop.

        Args:
            value: The value, which other event loops do not see.

        Returns:
            What :meth:`reset` takes; as a context manager it resets the variable on exit.
        """
        values = current_backend().run_vars
        token = RunvarToken(self, values.get(self, _UNSET))
        values[self] = value
        return token

    def reset(self, token: RunvarToken[T]) -> None:
        """Set the value to what it was before the :meth:`set` that returned ``token``.

        Raises:
            ValueError: ``token`` is another variable's, or was used.
        """
        if token._var is not self:
            raise ValueError("This token does not belong to this RunVar")
        if token._used:
            raise ValueError("This token has already been used")
        values = current_backend().run_vars
        token._used = True
        if token._value is _UNSET:
            values.pop(self, None)
        else:
            values[self] = token._value

    def __repr__(self) -> str:
        return f"<RunVar name={self._name!r}>"


class RunvarToken(Generic[T]):
    """What a :class:`RunVar` was before it was set."""

    __slots__ = ("_used", "_value", "_var")

    def __init__(self, var: RunVar[T], value: T) -> None:
        self._var = var
        self._value = value
        self._used = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self._var.reset(self)
