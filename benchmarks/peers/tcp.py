"""The TCP and TLS echo measurements: server and load generator, each on a core of its own.

The server is a process that does nothing else; the generator (load.c) compares every byte that
comes back and reads the server's CPU clock at both ends of each timed window.  Linux only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peers.contenders import Contender

CONNECTIONS = 50
BYTES = 1024
WINDOWS = 6
#: How long a server may take to listen, in seconds.
PATIENCE = 30.0
TLS_FLAGS = ("-DTLS", "-lssl", "-lcrypto")
HERE = Path(__file__).parent


def compiled(name: str, directory: str, *flags: str) -> str:
    """Compile ``name``.c and return the path of the program."""
    program = os.path.join(directory, name)
    source = HERE / f"{name}.c"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", program, source, *flags], check=True)
    return program


def pinned_to(cpu: int) -> Callable[[], None]:
    """Return what a child calls before it becomes another program."""
    return lambda: os.sched_setaffinity(0, {cpu})


def last_line(text: str) -> str:
    """Return what a program said in the end."""
    return (text.strip().splitlines() or ["no message"])[-1]


@contextmanager
def server(command: list[str], cpu: int) -> Iterator[tuple[int, int]]:
    """Run an echo server; give its process id and the port that it prints."""
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, preexec_fn=pinned_to(cpu), text=True
        ) as process,
    ):
        try:
            output = cast("IO[str]", process.stdout)
            ready, _, _ = select([output], [], [], PATIENCE)
            port = output.readline() if ready else ""
            if port:
                yield process.pid, int(port)
        finally:
            process.kill()
        if not port:
            log.seek(0)
            raise RuntimeError(f"the server did not start: {last_line(log.read())}")


def measure(
    contender: Contender, loop: str, seconds: float, *, tls: bool = False
) -> dict[str, Any]:
    """Return the CPU of the server per request, in the timed window that was disturbed least.

    Args:
        contender: Who serves.
        loop: On which event loop.
        seconds: All windows together; a warm-up as long as one of them comes before.
        tls: Whether the connections are encrypted; needs OpenSSL's headers.

    Raises:
        RuntimeError: the server did not start, or gave back something else than it was sent.
    """
    cpus = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as directory:
        if contender.adapter:
            command = [sys.executable, "-m", "peers.serve", contender.name, loop]
            if tls:
                command.append("tls")
        else:
            command = [compiled(contender.name, directory)]
        load = compiled("load", directory, *(TLS_FLAGS if tls else ()))
        with server(command, cpus[0]) as (pid, port):
            arguments = (port, CONNECTIONS, BYTES, pid, WINDOWS, seconds / WINDOWS)
            report = subprocess.run(
                [load, *map(str, arguments)],
                capture_output=True,
                preexec_fn=pinned_to(cpus[-1]),
                text=True,
                timeout=60 + 2 * seconds,
            )
    if report.returncode:
        raise RuntimeError(last_line(report.stderr))
    windows = [json.loads(line) for line in report.stdout.splitlines()]
    cost = min(window["cpu_ns"] / window["requests"] for window in windows)
    return {"ns": cost, "windows": windows}
