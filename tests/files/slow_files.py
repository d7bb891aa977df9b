"""Files that stop inside a call until the test lets them go on."""

from __future__ import annotations

import io
import threading
from typing import Any

import penstock
from penstock import to_thread


class Gate:
    """Where a thread waits, seen from the event loop."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._opened = threading.Event()

    def wait(self) -> None:
        self._reached.set()
        assert self._opened.wait(60)

    def open(self) -> None:
        self._opened.set()

    async def reached(self) -> None:
        limiter = penstock.CapacityLimiter(1)
        with penstock.CancelScope(shield=True):
            assert await to_thread.run_sync(self._reached.wait, 60, limiter=limiter)


class SlowFile(io.BytesIO):
    """A file in memory, each of whose calls passes a gate first."""

    def __init__(self, initial: bytes = b"") -> None:
        super().__init__(initial)
        self.gates: dict[str, Gate] = {}
        self.calls: list[str] = []

    def gate(self, name: str) -> Gate:
        """Let the next call of ``name`` wait."""
        gate = self.gates[name] = Gate()
        return gate

    def _pass(self, name: str) -> None:
        self.calls.append(name)
        gate = self.gates.pop(name, None)
        if gate is not None:
            gate.wait()

    def read(self, size: Any = -1) -> bytes:
        self._pass("read")
        return super().read(size)

    def read1(self, size: Any = -1) -> bytes:
        self._pass("read1")
        return super().read1(size)

    def write(self, data: Any) -> int:
        self._pass("write")
        return super().write(data)

    def seek(self, *args: Any) -> int:
        self._pass("seek")
        return super().seek(*args)

    def tell(self) -> int:
        self._pass("tell")
        return super().tell()

    def close(self) -> None:
        if not self.closed:
            self._pass("close")
        super().close()
