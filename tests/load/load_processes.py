"""Processes that one program has work for it, each with an event loop of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Coroutine
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from backends import BackendUnderTest
from load_measuring import raise_descriptor_limit

import penstock

__all__ = ("Boss", "Worker")

#: How long a worker may take for anything, in seconds.
PATIENCE = 600


class Boss:
    """What a worker is told, and tells, the program that has started it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def listen(self) -> Any:
        """Wait for what the program says.

        Raises:
            EOFError: It has ended.
        """
        await penstock.wait_readable(self._connection.fileno())
        return self._connection.recv()

    def say(self, message: object) -> None:
        self._connection.send(message)


class Worker:
    """A process that runs ``func(boss, *args)`` on an event loop."""

    def __init__(
        self,
        backend: BackendUnderTest,
        func: Callable[..., Coroutine[Any, Any, None]],
        *args: object,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, end = context.Pipe()
        self._process = context.Process(target=_work, args=(end, backend, func, args), daemon=True)
        self._process.start()
        end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()
        if exc is not None:
            self._process.terminate()
        self._process.join()
        self._process.close()

    def say(self, message: object) -> None:
        self._connection.send(message)

    def listen(self) -> Any:
        """Return what it says next.

        Raises:
            EOFError: It has ended; why, it has printed.
            TimeoutError: It has said nothing for a long time.
        """
        if not self._connection.poll(PATIENCE):
            raise TimeoutError(f"{self._process.name} has said nothing for {PATIENCE} s")
        return self._connection.recv()

    def ask(self, message: object) -> Any:
        self.say(message)
        return self.listen()


def _work(
    connection: Connection,
    backend: BackendUnderTest,
    func: Callable[..., Coroutine[Any, Any, None]],
    args: tuple[object, ...],
) -> None:
    raise_descriptor_limit()
    with connection:
        backend.run(func, Boss(connection), *args)
