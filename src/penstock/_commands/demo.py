"""``python -m penstock demo``: a line server and its clients, on every runtime found.

Lives here: the server, the clients and the checking of every answer.  How it looks lives in
``display``.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from typing import TypeAlias

import penstock
from penstock._backends.runtimes import RUNTIMES
from penstock._commands.display import Display
from penstock.abc import SocketAttribute, SocketStream
from penstock.streams.buffered import BufferedByteStream
from penstock.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

__all__ = ("main",)

CLIENTS = 16
WORKERS = 4
LINE = 64  # bytes of a line, its end included
WINDOW = 16  # lines that a client sends before it reads their answers
PATIENCE = 30.0  # seconds beyond the given time after which something hangs

#: A line, and the connection that its answer goes to.
Job: TypeAlias = "tuple[SocketStream, bytes]"


@dataclass
class Tally:
    """What one run has done so far."""

    lines: int = 0  # sent, answered and found right
    wall: float = 0.0  # seconds
    cpu: float = 0.0  # seconds
    wrong: list[str] = field(default_factory=list)


def main(options: Namespace) -> int:
    """Run everything, show it, and return 1 if any answer was wrong."""
    found = [runtime for runtime in RUNTIMES if runtime.installed]
    missing = [runtime.name for runtime in RUNTIMES if not runtime.installed]
    seconds = options.seconds / len(found)
    display = Display(sys.stdout, seconds)
    display.introduce(
        f"A TCP line server with {WORKERS} workers and {CLIENTS} clients on 127.0.0.1, "
        f"{LINE}-byte lines; every answer is checked."
    )
    tallies = {}
    for runtime in found:
        tally = tallies[runtime.name] = Tally()
        display.start(runtime.name)
        try:
            penstock.run(
                measure,
                tally,
                seconds,
                display.progress,
                backend=runtime.backend,
                backend_options=runtime.options,
            )
        except TimeoutError:
            tally.wrong.append(f"an answer is missing after {seconds + PATIENCE:g} s")
        display.finish(tally.lines)
        if tally.wrong or not tally.lines:
            problem = tally.wrong[0] if tally.wrong else "no line was answered"
            print(f"penstock demo: WRONG on {runtime.name}: {problem}", file=sys.stderr)
            return 1
    display.table({name: (tally.lines, tally.wall, tally.cpu) for name, tally in tallies.items()})
    if missing:
        display.note(f"Not installed here: {', '.join(missing)}.")
    return 0


async def measure(tally: Tally, seconds: float, progress: Callable[[int, float], None]) -> None:
    """Let the clients talk to the server for ``seconds``, and fill in ``tally``."""
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    wall, cpu = time.perf_counter(), time.process_time()

    async def show_progress() -> None:
        while True:
            progress(tally.lines, time.perf_counter() - wall)
            await penstock.sleep(0.1)

    with penstock.fail_after(seconds + PATIENCE):
        async with listener, penstock.create_task_group() as server:
            with ExitStack() as queues:
                inputs = []
                for _ in range(WORKERS):
                    send, receive = penstock.create_memory_object_stream[Job](2 * WINDOW)
                    inputs.append(queues.enter_context(send))
                    server.start_soon(work, queues.enter_context(receive))
                turns = cycle(inputs)
                server.start_soon(listener.serve, lambda stream: serve(stream, next(turns)))
                server.start_soon(show_progress)
                async with penstock.create_task_group() as clients:
                    for number in range(CLIENTS):
                        clients.start_soon(talk, port, number, wall + seconds, tally)
                tally.wall, tally.cpu = time.perf_counter() - wall, time.process_time() - cpu
                server.cancel_scope.cancel()


async def serve(stream: SocketStream, jobs: MemoryObjectSendStream[Job]) -> None:
    """Cut what a client sends into lines and hand them to a worker.

    One worker answers all lines of a connection: so its answers keep their order, and no two
    tasks send on it at once.
    """
    async with stream:
        lines = BufferedByteStream(stream)
        while True:
            try:
                line = await lines.receive_until(b"\n", LINE)
            except penstock.IncompleteRead:  # the client has closed
                return
            await jobs.send((stream, line))


async def work(jobs: MemoryObjectReceiveStream[Job]) -> None:
    """Answer the lines that come in."""
    async for stream, line in jobs:
        try:
            await stream.send(answer(line) + b"\n")
        except (penstock.BrokenResourceError, penstock.ClosedResourceError):
            pass  # whoever is owed this answer finds it missing


def answer(line: bytes) -> bytes:
    """Return what the server makes of a line: the line backwards."""
    return line[::-1]


async def talk(port: int, number: int, until: float, tally: Tally) -> None:
    """Be one client: send windows of lines and check every answer."""
    stream = await penstock.connect_tcp("127.0.0.1", port)
    sent = 0
    async with BufferedByteStream(stream) as answers:
        while time.perf_counter() < until and not tally.wrong:
            texts = [
                f"client {number} line {sent + n} ".ljust(LINE - 1, ".") for n in range(WINDOW)
            ]
            sent += WINDOW
            await answers.send("".join(f"{text}\n" for text in texts).encode())
            for text in texts:
                expected = "".join(reversed(text)).encode()
                received = await receive_answer(answers)
                if received != expected:
                    tally.wrong.append(f"sent {text!r}, expected {expected!r}, got {received!r}")
                    return
                tally.lines += 1


async def receive_answer(answers: BufferedByteStream) -> bytes | None:
    """Return the next answer, None if the connection ends before it."""
    try:
        return await answers.receive_until(b"\n", LINE)
    except (penstock.IncompleteRead, penstock.DelimiterNotFound, penstock.BrokenResourceError):
        return None
