"""What wakes an asyncio event loop when a signal comes.

A stock asyncio loop sleeps on where the system tells another thread than the main one of a
signal, unless somebody has given Python a descriptor to write to (``signal.set_wakeup_fd``).
uvloop has given it one of its own.
"""

from __future__ import annotations

import signal
import socket
from asyncio import AbstractEventLoop
from types import TracebackType

__all__ = ("SignalWakeup",)


class SignalWakeup:
    """A context manager, to be entered in the main thread; while any is inside, signals wake.

    Args:
        loop: What they wake.
    """

    # I1  _pair is set while somebody is inside and nobody else has given Python a descriptor
    __slots__ = ("_inside", "_loop", "_pair")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._inside = 0
        self._pair: tuple[socket.socket, socket.socket] | None = None

    def __enter__(self) -> None:
        self._inside += 1
        if self._pair is None:
            self._begin()

    def _begin(self) -> None:
        others = signal.set_wakeup_fd(-1)
        if others != -1:
            signal.set_wakeup_fd(others, warn_on_full_buffer=False)
            return
        self._pair = reader, writer = socket.socketpair()
        for sock in self._pair:
            sock.setblocking(False)
        self._loop.add_reader(reader, reader.recv, 4096)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self._inside -= 1
        if self._inside or self._pair is None:
            return
        reader, writer = self._pair
        self._pair = None
        current = signal.set_wakeup_fd(-1)
        if current != writer.fileno():  # somebody has put another in its place meanwhile
            signal.set_wakeup_fd(current, warn_on_full_buffer=False)
        self._loop.remove_reader(reader)
        reader.close()
        writer.close()
