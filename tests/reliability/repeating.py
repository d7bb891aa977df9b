"""Operations that leave nothing behind, however often they are repeated: what their tables share.

Each entry of ``OPERATIONS`` makes what is used all along, once, and yields what is called again and
again.  The entries are in the ``repeated_*`` modules; how they are watched is in ``leaks.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

from penstock import create_task_group, wait_all_tasks_blocked

Repeat = Callable[[], Awaitable[None]]
Setup = Callable[[], AsyncIterator[Repeat]]

#: Name of an operation to what makes it ready.
OPERATIONS: dict[str, Callable[[], AbstractAsyncContextManager[Repeat]]] = {}


def operation(name: str) -> Callable[[Setup], Setup]:
    def note(setup: Setup) -> Setup:
        assert name not in OPERATIONS
        OPERATIONS[name] = asynccontextmanager(setup)
        return setup

    return note


class Item:
    """Something that the garbage collector knows, and that may refer to what holds it."""

    held: Any = None


@contextmanager
def raising(*expected: type[BaseException]) -> Iterator[None]:
    try:
        yield
    except expected:
        return
    raise AssertionError(f"{expected} is not raised")


async def swallow(expected: type[BaseException], func: Callable[..., Awaitable[Any]], *args: Any):
    """Call ``func``, which must raise ``expected``."""
    with raising(expected):
        await func(*args)


async def cancelled(func: Callable[..., Awaitable[Any]], *args: Any) -> None:
    """Call ``func``, and cancel it as it waits."""
    async with create_task_group() as tg:
        tg.start_soon(func, *args)
        await wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
