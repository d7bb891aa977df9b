"""The memory measurement: what a TCP server needs for each connection that it holds.

Every connection is used once, then left alone; the server collects its garbage before its
resident set is read, with few connections and with many.
"""

from __future__ import annotations

import os
import re
import signal
from contextlib import ExitStack
from pathlib import Path
from socket import create_connection, socket
from typing import TYPE_CHECKING, Any

from benchmarks.peers.processes import PATIENCE, allow_descriptors, server, serving

if TYPE_CHECKING:
    from benchmarks.peers.contenders import Contender

__all__ = ("measure",)

#: Connections that are there before it is measured for the first time.
WARM_UP = 100


def use(connection: socket) -> None:
    """Have the server answer on one connection."""
    message = os.urandom(64)
    connection.sendall(message)
    answer = b""
    while len(answer) < len(message):
        if not (data := connection.recv(len(message))):
            raise RuntimeError("the server has ended a connection")
        answer += data
    if answer != message:
        raise RuntimeError("the server answered with something else than it got")


def resident(pid: int, connection: socket) -> int:
    """Return the bytes that a server has in memory, its garbage collected."""
    os.kill(pid, signal.SIGUSR1)
    use(connection)  # the handler of the signal has run before the answer
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * int(re.findall(r"^Rss: +(\d+) kB$", rollup, re.MULTILINE)[0])


def measure(contender: Contender, loop: str, count: int) -> dict[str, Any]:
    """Return the bytes of memory per connection, of ``count`` that are held.

    Raises:
        RuntimeError: the server did not start, or answered something wrong.
        OSError: a limit of this system on descriptors is too low.
    """
    allow_descriptors()
    with server(serving(contender, loop, "tcp")) as (pid, port), ExitStack() as connections:

        def connect() -> socket:
            connection = create_connection(("127.0.0.1", int(port)), PATIENCE)
            connections.enter_context(connection)
            use(connection)
            return connection

        first = connect()
        for _ in range(WARM_UP):
            connect()
        before = resident(pid, first)
        for _ in range(count):
            connect()
        after = resident(pid, first)
    return {"cost": (after - before) / count, "resident": [before, after]}
