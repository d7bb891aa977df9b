"""Running an event loop, and what every task may ask of it: time, sleep, its own kind."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import sniffio

from penstock._backends import (
    BACKENDS,
    TaskInfo,
    available_backends,
    backend_class,
    current_backend,
)

__all__ = (
    "current_time",
    "get_all_backends",
    "get_available_backends",
    "get_cancelled_exc_class",
    "get_current_task",
    "get_running_tasks",
    "run",
    "sleep",
    "sleep_forever",
    "sleep_until",
    "wait_all_tasks_blocked",
)

T = TypeVar("T")


def run(
    func: Callable[..., Awaitable[T]],
    *args: Any,
    backend: str = "asyncio",
    backend_options: dict[str, Any] | None = None,
) -> T:
    """Run ``func(*args)`` in a new event loop and return what it returns.

    Args:
        func: A coroutine function.
        args: Its positional arguments.
        backend: ``"asyncio"`` or ``"trio"``.
        backend_options: For asyncio ``debug``, ``loop_factory`` and ``use_uvloop``, as for
            :class:`asyncio.Runner`; for Trio whatever :func:`trio.run` takes.

    Raises:
        RuntimeError: An event loop is already running in this thread.
        LookupError: There is no backend of that name here.
    """
    try:
        running = sniffio.current_async_library()
    except sniffio.AsyncLibraryNotFoundError:
        pass
    else:
        raise RuntimeError(f"Already running {running} in this thread")
    return backend_class(backend).run(func, args, backend_options or {})


async def sleep(delay: float) -> None:
    """Wait for ``delay`` seconds; 0 yields once.  If cancelled, stop waiting.

    Raises:
        ValueError: ``delay`` is negative, or NaN.
    """
    if not delay >= 0:
        raise ValueError(f"delay must be a non-negative number, not {delay!r}")
    await current_backend().sleep(delay)


async def sleep_forever() -> None:
    """Wait until cancelled."""
    await current_backend().sleep(math.inf)


async def sleep_until(deadline: float) -> None:
    """Wait until the event loop's clock reaches ``deadline``; yield once if it has.

    If cancelled, stop waiting.
    """
    backend = current_backend()
    await backend.sleep(max(deadline - backend.current_time(), 0))


def current_time() -> float:
    """Read the event loop's clock, in seconds; where it starts is not defined."""
    return current_backend().current_time()


def get_all_backends() -> tuple[str, ...]:
    """Return the names of all backends, whether their libraries are installed or not."""
    return BACKENDS


def get_available_backends() -> tuple[str, ...]:
    """Return the names of the backends that :func:`run` can use here."""
    return available_backends()


def get_cancelled_exc_class() -> type[BaseException]:
    """Return the exception that cancels a task of the running event loop."""
    return current_backend().cancelled_exception


def get_current_task() -> TaskInfo:
    """Describe the current task.

    Raises:
        RuntimeError: A callback of the event loop runs, and no task.
    """
    backend = current_backend()
    task = backend.current_task()
    if task is None:
        raise RuntimeError("a callback of the event loop is no task")
    return backend.task_info(task)


def get_running_tasks() -> list[TaskInfo]:
    """Describe every task of the event loop that has not ended."""
    backend = current_backend()
    return [backend.task_info(task) for task in backend.running_tasks()]


async def wait_all_tasks_blocked() -> None:
    """Wait until every other task of the event loop waits for something.

    If cancelled, stop waiting.
    """
    await current_backend().wait_all_tasks_blocked()
