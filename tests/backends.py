"""The event loops that tests run on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import penstock

T = TypeVar("T")


@dataclass(frozen=True)
class BackendUnderTest:
    """An event loop to run a test on."""

    id: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def run(self, func: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run ``func(*args)`` on it."""
        return penstock.run(func, *args, backend=self.name, backend_options=self.options)


def new_eager_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


ASYNCIO_BACKENDS = [
    BackendUnderTest("asyncio", "asyncio"),
    BackendUnderTest("asyncio+uvloop", "asyncio", {"use_uvloop": True}),
]
if sys.version_info >= (3, 12):
    ASYNCIO_BACKENDS.append(
        BackendUnderTest("asyncio+eager", "asyncio", {"loop_factory": new_eager_loop})
    )
BACKENDS = [*ASYNCIO_BACKENDS, BackendUnderTest("trio", "trio")]
