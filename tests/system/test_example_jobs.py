"""The pipeline of examples/, checked by sha256sum; workers that are cancelled all the time."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from system_programs import EXAMPLES, SECONDS, running

import penstock
from penstock.streams.broadcast import BroadcastSendStream

sys.path.append(str(EXAMPLES))
from jobs import Result, Worker

Program = Callable[[str], str]

JOBS = (sys.executable, str(EXAMPLES / "jobs.py"))


def make_files(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"file {number:03}" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(b"%d " % number * (1000 if number else 100_000))
    return paths


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_sha256sum_agrees(program: Program, tmp_path: Path, backend: str) -> None:
    """Also when all workers have to start over in the middle."""
    paths = make_files(tmp_path / "files", 200)
    options = ("--backend", backend, "--log", str(tmp_path / "log"))
    command = (*JOBS, str(tmp_path / "files"), *options)
    with running(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        sums = process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        sums += process.stdout.read()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(SECONDS) == 0
    found = sorted(line.partition(b"  ")[2].decode() for line in sums.splitlines())
    assert found == [str(path) for path in paths]
    check = (program("sha256sum"), "--check", "--quiet")
    assert subprocess.run(check, input=sums, timeout=SECONDS, check=True).returncode == 0
    log = (tmp_path / "log").read_text()
    # Who starts over with no job may have been cancelled between sending a result and saying so.
    assert log.count(" has done ") >= len(paths) - log.count(" starts over with None")
    assert " starts over with " in log


def test_what_cannot_be_read_is_said_and_the_rest_is_done(tmp_path: Path) -> None:
    paths = make_files(tmp_path / "files", 3)
    (tmp_path / "files" / "broken").symlink_to("nowhere")
    done = subprocess.run(
        [*JOBS, str(tmp_path / "files")], capture_output=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0
    assert b"No such file or directory" in done.stderr
    assert len(done.stdout.splitlines()) == len(paths)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_stopping_finishes_what_was_begun(tmp_path: Path, backend: str) -> None:
    """One of the files is a pipe: its worker is at it until somebody has written to it."""
    paths = make_files(tmp_path / "files", 20)
    os.mkfifo(tmp_path / "files" / "a pipe")  # first in the order of names
    command = (*JOBS, str(tmp_path / "files"), "--workers", "1", "--backend", backend)
    with running(*command, stdout=subprocess.PIPE) as process:
        with (tmp_path / "files" / "a pipe").open("wb") as pipe:  # once it is being read
            process.send_signal(signal.SIGTERM)
            pipe.write(b"in time")
        assert process.stdout is not None
        sums = process.stdout.read().splitlines()
        assert process.wait(SECONDS) == 1
    assert sums[0].startswith(hashlib.sha256(b"in time").hexdigest().encode())
    assert len(sums) < len(paths)


async def test_cancelled_workers_lose_and_double_nothing(tmp_path: Path) -> None:
    paths = [str(path) for path in make_files(tmp_path / "files", 60)]
    send_jobs, jobs = penstock.create_memory_object_stream[str](3)
    send_results, results = penstock.create_memory_object_stream[Result](3)
    progress = BroadcastSendStream[str]()
    seen = progress.subscribe(1000)
    workers = [
        Worker(str(number), jobs.clone(), send_results.clone(), progress) for number in range(3)
    ]
    found: list[str] = []

    async def produce() -> None:
        async with send_jobs:
            for path in paths:
                await send_jobs.send(path)

    async def consume() -> None:
        async for result in results:
            assert result.digest == hashlib.sha256(Path(result.path).read_bytes()).hexdigest()
            found.append(result.path)

    with ExitStack() as stack:
        stack.enter_context(seen)
        stack.enter_context(results)
        with penstock.fail_after(SECONDS):
            async with penstock.create_task_group() as tasks:
                tasks.start_soon(produce)
                tasks.start_soon(consume)
                for worker in workers:
                    tasks.start_soon(worker.run)
                jobs.close()
                send_results.close()
                for pause in range(20):  # longer and longer ones: some time a job gets done
                    await penstock.sleep(pause / 1000)
                    for worker in workers:
                        worker.start_over()
        await progress.aclose()
        messages = [message async for message in seen]
    assert sorted(found) == paths
    assert any(" starts over with /" in message for message in messages)
