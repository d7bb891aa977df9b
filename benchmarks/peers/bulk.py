"""The bulk measurements: a TCP server that takes, or gives, as much as one connection carries.

The generator (bulk.c) is on another core.  Its first connection carries a pattern that is compared
byte by byte, by the server or by the generator; the second is timed.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Awaitable, Callable, Iterator
from itertools import repeat
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.peers.processes import compiled, loaded, server, serving

if TYPE_CHECKING:
    from benchmarks.peers.contenders import Contender

__all__ = ("Transfer", "measure")

WINDOWS = 6
#: Words of the pattern: no multiple of any piece.  As in bulk.c.
WORDS = 1_049_999
FACTOR = 0x9E3779B97F4A7C15

Receive = Callable[[int], Awaitable[bytes]]
Send = Callable[[bytes], Awaitable[object]]


def measure(
    direction: str, piece: int, contender: Contender, loop: str, length: int
) -> dict[str, Any]:
    """Return the CPU of the server per MB, and the MB per second: medians of the timed windows.

    The least would not do: while the server is held up, bytes go into the system's buffers for
    which it pays in another window.

    Args:
        direction: "in": the server receives; "out": it sends.
        piece: Bytes that it asks for, or sends, at a time.
        contender: Who serves.
        loop: On which event loop.
        length: All windows together, in ms; a warm-up as long as one of them comes before.

    Raises:
        RuntimeError: the server did not start, or took or gave something wrong.
    """
    seconds = length / 1000
    with tempfile.TemporaryDirectory() as directory:
        load = compiled("bulk", directory)
        with server(serving(contender, loop, direction, piece)) as (pid, address):
            arguments = (direction, address, pid, WINDOWS, seconds / WINDOWS)
            windows = loaded([load, *map(str, arguments)], seconds)
    cost = median(window["cpu_ns"] / window["bytes"] for window in windows) * 1e6
    rate = median(window["bytes"] / window["seconds"] for window in windows) / 1e6
    return {"cost": cost, "rate": rate, "windows": windows}


class Transfer:
    """What a bulk server does with its connections, one after the other."""

    def __init__(self, direction: str, piece: int) -> None:
        self.incoming = direction == "in"
        self.piece = piece
        self._pattern = array("Q", [n * FACTOR & (1 << 64) - 1 for n in range(WORDS)]).tobytes()
        self._begun = False

    def begin(self) -> bool:
        """Begin with a connection; tell whether it is the first, which is verified."""
        first, self._begun = not self._begun, True
        return first

    def pieces(self, verify: bool) -> Iterator[bytes]:
        """Return what to send."""
        if not verify:
            return repeat(bytes(self.piece))
        starts = range(0, len(self._pattern), self.piece)
        return (self._pattern[start : start + self.piece] for start in starts)

    def check(self, chunks: list[bytes]) -> None:
        """Compare what came over a connection that is verified."""
        if b"".join(chunks) != self._pattern:
            raise ValueError("the server did not receive what was sent to it")

    async def over(self, receive: Receive, send: Send, end: type[Exception] = EOFError) -> None:
        """Receive until the end, ``end`` or no bytes, and say how much it was; or send."""
        verify = self.begin()
        if not self.incoming:
            for data in self.pieces(verify):
                await send(data)
            return
        total = 0
        chunks = []
        try:
            while data := await receive(self.piece):
                total += len(data)
                if verify:
                    chunks.append(data)
        except end:
            pass
        if verify:
            self.check(chunks)
        await send(total.to_bytes(8, "little"))
