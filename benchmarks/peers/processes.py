"""Servers under test and the programs that load them, as processes of their own.

Lives here: how they are built, started, placed and asked.  What is measured of them lives in
``echo``, ``bulk`` and ``idle``.  Linux only.
"""

from __future__ import annotations

import json
import os
import resource
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

    from benchmarks.peers.contenders import Contender

__all__ = ("allow_descriptors", "compiled", "loaded", "server", "serving")

#: How long a server may take to listen, in seconds.
PATIENCE = 30.0
HERE = Path(__file__).parent


def compiled(name: str, directory: str, *flags: str) -> str:
    """Compile ``name``.c and return the path of the program."""
    program = os.path.join(directory, name)
    source = HERE / f"{name}.c"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", program, source, *flags], check=True)
    return program


def serving(contender: Contender, loop: str, *what: object) -> list[str]:
    """Return the command that serves ``what``, by serve.py."""
    return [sys.executable, "-m", "benchmarks.peers.serve", contender.name, loop, *map(str, what)]


def allow_descriptors() -> None:
    """Allow this process, and the servers that it starts, all the descriptors that it may have."""
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))


def pinned_to(cpu: int) -> Callable[[], None]:
    """Return what a child calls before it becomes another program."""
    return lambda: os.sched_setaffinity(0, {cpu})


def last_line(text: str) -> str:
    """Return what a program said in the end."""
    return (text.strip().splitlines() or ["no message"])[-1]


@contextmanager
def server(command: list[str]) -> Iterator[tuple[int, str]]:
    """Run a server on the first core; give its process id and the address that it prints."""
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            preexec_fn=pinned_to(min(os.sched_getaffinity(0))),
            text=True,
        ) as process,
    ):
        try:
            output = cast("IO[str]", process.stdout)
            ready, _, _ = select([output], [], [], PATIENCE)
            address = output.readline().rstrip() if ready else ""
            if address:
                yield process.pid, address
        finally:
            process.kill()
        if not address:
            log.seek(0)
            raise RuntimeError(f"the server did not start: {last_line(log.read())}")


def loaded(command: list[str], seconds: float) -> list[dict[str, Any]]:
    """Run a load generator for ``seconds`` on the last core; return what it says of each window.

    Raises:
        RuntimeError: the server gave back something else than it should.
    """
    report = subprocess.run(
        command,
        capture_output=True,
        preexec_fn=pinned_to(max(os.sched_getaffinity(0))),
        text=True,
        timeout=60 + 2 * seconds,
    )
    if report.returncode:
        raise RuntimeError(last_line(report.stderr))
    return [json.loads(line) for line in report.stdout.splitlines()]
