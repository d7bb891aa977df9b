"""The workers of examples/ on one port, under curl; and when one of them dies."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable

import pytest
from system_programs import SECONDS, ExampleServer, example_server

Program = Callable[[str], str]


def workers_of(server: ExampleServer, count: int) -> set[int]:
    """Wait until so many workers are there, and return their process ids."""
    assert server.process.stdout is not None
    said = b""
    while said.count(b"is there") < count:
        line = server.process.stdout.readline()
        assert line
        said += line  # lines of several processes may be mixed
    return {int(pid) for pid in re.findall(rb"worker (\d+) is there", said)}


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_the_system_spreads_connections_over_workers(program: Program, backend: str) -> None:
    with example_server("workers.py", "--workers", "2", "--backend", backend) as server:
        workers = workers_of(server, 2)
        assert len(workers) == 2
        command = (program("curl"), "-sSf", "--parallel", "--parallel-immediate")
        url = f"http://127.0.0.1:{server.port}/[1-40]"  # at once: on a connection each
        done = subprocess.run([*command, url], capture_output=True, timeout=SECONDS, check=True)
        answers = [int(pid) for pid in re.findall(rb"worker (\d+)\n", done.stdout)]
        assert len(answers) == 40
        assert set(answers) == workers  # as good as certain, of 40
    counts = {
        int(pid): int(count)
        for pid, count in re.findall(rb"worker (\d+): (\d+) connections", server.said)
    }
    assert counts == {pid: answers.count(pid) for pid in workers}


def test_all_workers_stop_when_one_dies() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"workers\.py has ended with 1: $"):
        with example_server("workers.py", "--workers", "2") as server:
            victim, other = workers_of(server, 2)
            os.kill(victim, signal.SIGKILL)
            server.process.wait(SECONDS)
            with pytest.raises(ProcessLookupError):
                os.kill(other, 0)
