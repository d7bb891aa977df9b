"""Which event loop runs here: the only place that asks.

Asking costs 100 ns and more, so it is done when something is created or must wait, never for an
operation that is ready.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

import sniffio

from penstock._backends._base import Backend as Backend
from penstock._backends._base import Wait as Wait
from penstock._backends._tasks import TaskInfo as TaskInfo
from penstock._exceptions import NoEventLoopError
from penstock._hotpath import ReadyBudget

__all__ = (
    "BACKENDS",
    "Backend",
    "LoopBound",
    "TaskInfo",
    "Wait",
    "available_backends",
    "backend_class",
    "bound_backend",
    "current_backend",
    "has_ended",
)

#: The names of all backends, the default first.
BACKENDS = ("asyncio", "trio")


def backend_class(name: str) -> type[Backend]:
    """Return the backend called ``name``, importing it if need be.

    Raises:
        LookupError: There is none of that name, or its library is not installed.
    """
    if name not in BACKENDS:
        raise LookupError(f"No such backend: {name!r}; there are {', '.join(BACKENDS)}")
    try:
        backend: type[Backend] = import_module(f"penstock._backends.{name}").BACKEND
    except ModuleNotFoundError as exc:
        raise LookupError(
            f"No such backend: {name!r} is not installed here; "
            f"there are {', '.join(available_backends())}"
        ) from exc
    return backend


def available_backends() -> tuple[str, ...]:
    """Return the names of the backends whose libraries are installed."""
    return tuple(name for name in BACKENDS if find_spec(name) is not None)


def current_backend() -> Backend:
    """Return the backend object of the event loop that runs the caller.

    Raises:
        NoEventLoopError: No event loop that penstock knows is running here.
    """
    global _find_on_asyncio
    if sniffio.thread_local.name is None:  # Trio sets it for each step of a task
        backend = _find_on_asyncio()
        if backend is not None:
            return backend
    try:
        name = sniffio.current_async_library()
    except sniffio.AsyncLibraryNotFoundError:
        raise NoEventLoopError(
            "Not currently running on any asynchronous event loop. Available async backends: "
            + ", ".join(available_backends())
        ) from None
    current = _CURRENT.get(name)
    if current is None:
        if name not in BACKENDS:
            raise NoEventLoopError(
                f"penstock does not run on {name!r}; there are {', '.join(BACKENDS)}"
            )
        module = import_module(f"penstock._backends.{name}")
        current = _CURRENT[name] = module.current
        if name == "asyncio":
            _find_on_asyncio = module.find
    return current()


class LoopBound(Protocol):
    """A kernel object whose ready operations count on the budget of one event loop."""

    @property
    def budget(self) -> ReadyBudget | None: ...
    def bind(self, budget: ReadyBudget) -> None: ...


def bound_backend(kernel: LoopBound, known: Backend | None = None) -> Backend:
    """Return the backend of the running loop, after binding ``kernel`` to it if it is free.

    A kernel object belongs to the first event loop that uses it, until that loop has ended.

    Args:
        kernel: What is about to be used.
        known: What this function returned for it before: asking is cheaper then.

    Raises:
        RuntimeError: It belongs to another event loop, or to one in another thread.
        NoEventLoopError: No event loop is running here.
    """
    budget = kernel.budget
    if known is not None and known.budget is budget and known.is_current():
        return known
    backend = current_backend()
    if budget is not backend.budget:
        if budget is not None and not has_ended(budget):
            raise RuntimeError("this stream belongs to another event loop or thread")
        kernel.bind(backend.budget)
    return backend


def has_ended(budget: ReadyBudget) -> bool:
    """Whether the event loop that ``budget`` serves has ended, be it without a word about it."""
    if not budget.retired:
        for backends in Backend.__subclasses__():
            backends.retire_ended()
    return budget.retired


def _find_on_asyncio() -> Backend | None:
    """Return what sniffio would find on asyncio, in a quarter of the time.

    This one stands in until asyncio is used, so that nobody imports it for nothing.
    """
    return None


#: Backend name -> the function that finds the object of the running loop.
_CURRENT: dict[str, Callable[[], Backend]] = {}
