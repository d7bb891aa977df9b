"""The runtimes that a person can choose from: a backend with the options that pick its loop.

Lives here: their names and what :func:`penstock.run` needs for each, for the command line and for
whoever wants to try something on all of them.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

__all__ = ("RUNTIMES", "Runtime")


@dataclass(frozen=True)
class Runtime:
    """One way to run an async function.

    Args:
        name: What people call it.
        backend: The ``backend`` of :func:`penstock.run`.
        package: What has to be installed for it, None if nothing.
        options: The ``backend_options`` of :func:`penstock.run`.
    """

    name: str
    backend: str
    package: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def installed(self) -> bool:
        """Whether it can be run here."""
        return self.package is None or find_spec(self.package) is not None


#: Every runtime that penstock runs on with this version of Python, the default first.
RUNTIMES = [Runtime("asyncio", "asyncio")]

if sys.version_info >= (3, 12):

    def _new_eager_loop() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        return loop

    RUNTIMES.append(Runtime("asyncio+eager", "asyncio", options={"loop_factory": _new_eager_loop}))

RUNTIMES += [
    Runtime("uvloop", "asyncio", "uvloop", {"use_uvloop": True}),
    Runtime("trio", "trio", "trio"),
]
