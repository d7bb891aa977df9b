"""A pipeline of jobs on memory and broadcast streams: what sha256sum prints, of a whole folder.

    python examples/jobs.py src --workers 4 > sums    # and: --backend uvloop, --backend trio
    sha256sum --check --quiet sums

A producer finds files and sends their paths; workers receive them and send results; a writer prints
these.  Every stream is bounded: the slowest part sets the pace, and a folder of any size takes
little memory.  SIGTERM or Ctrl-C: nothing more is produced, and what was is done; the exit status
is 1.  SIGHUP: all workers start over.

A worker that is cancelled has lost nothing: a cancelled ``receive`` has taken no job, a cancelled
``send`` has sent no result, and the job in hand is kept in :attr:`Worker.job`.  See jobs_redis.py
for the same workers on several machines.
"""

import argparse
import hashlib
import os
import signal
import sys
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

import penstock
from penstock import CancelScope
from penstock.abc import UnreliableObjectReceiveStream, UnreliableObjectSendStream
from penstock.streams.broadcast import BroadcastReceiveStream, BroadcastSendStream
from penstock.streams.file import FileReadStream
from penstock.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream


class Result(NamedTuple):
    path: str
    digest: str | None
    error: str = ""


@dataclass
class Worker:
    """Receives jobs, does them and sends the results, until there are no more jobs."""

    name: str
    jobs: UnreliableObjectReceiveStream[str]
    results: UnreliableObjectSendStream[Result]
    progress: BroadcastSendStream[str]
    #: What was received and has no result yet.
    job: str | None = None
    scope: CancelScope | None = None

    async def run(self) -> None:
        async with self.jobs, self.results:
            while True:
                with CancelScope() as self.scope:
                    return await self.work()
                await self.progress.send(f"{self.name} starts over with {self.job}")

    def start_over(self) -> None:
        """Cancel what the worker is doing; it goes on with the job that it has in hand."""
        if self.scope is not None:
            self.scope.cancel("starting over")

    async def work(self) -> None:
        while True:
            if self.job is None:
                try:
                    self.job = await self.jobs.receive()
                except penstock.EndOfStream:
                    return
            try:
                result = Result(self.job, await digest_of(self.job))
            except OSError as exc:
                result = Result(self.job, None, str(exc))
            await self.results.send(result)
            self.job = None  # nothing can be cancelled between these two
            await self.progress.send(f"{self.name} has done {result.path}")


async def digest_of(path: str) -> str:
    """Return the SHA-256 of a file, which is read in pieces, in threads."""
    digest = hashlib.sha256()
    async with await FileReadStream.from_path(path) as file:
        async for data in file:
            digest.update(data)
    return digest.hexdigest()


async def produce(folder: str, jobs: MemoryObjectSendStream[str], stop: CancelScope) -> None:
    """Send the path of every file, until all are sent or ``stop`` is cancelled."""
    folders = os.walk(folder)
    async with jobs:
        with stop:
            while found := await penstock.to_thread.run_sync(next, folders, None):
                directory, _, names = found
                for name in sorted(names):
                    await jobs.send(os.path.join(directory, name))


async def write(results: MemoryObjectReceiveStream[Result]) -> None:
    async with results:
        async for path, digest, error in results:
            if digest is None:
                print(error, file=sys.stderr, flush=True)
            else:
                print(f"{digest}  {path}", flush=True)


async def log(progress: BroadcastReceiveStream[str], file: IO[str]) -> None:
    async with progress:
        async for message in progress:
            print(message, file=file)


async def obey(workers: list[Worker], producing: CancelScope) -> None:
    with penstock.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for signum in signals:
            if signum == signal.SIGHUP:
                for worker in workers:
                    worker.start_over()
            else:
                producing.cancel("told to stop")


async def main(folder: str, count: int, log_file: IO[str]) -> bool:
    """Return whether nobody has stopped it."""
    send_jobs, jobs = penstock.create_memory_object_stream[str](count)
    send_results, results = penstock.create_memory_object_stream[Result](count)
    progress = BroadcastSendStream[str]()
    with jobs, send_results:  # the last worker to close its clones ends the stream of results
        workers = [
            Worker(f"worker {number}", jobs.clone(), send_results.clone(), progress)
            for number in range(count)
        ]
    producing = CancelScope()
    async with penstock.create_task_group() as others:
        control = others.start_soon(obey, workers, producing)
        others.start_soon(log, progress.subscribe(100), log_file)
        async with progress, penstock.create_task_group() as tasks:
            tasks.start_soon(produce, folder, send_jobs, producing)
            for worker in workers:
                tasks.start_soon(worker.run)
            tasks.start_soon(write, results)
        control.cancel()  # all is done; the log sees the end of the progress
    return not producing.cancelled_caught


BACKENDS: dict[str, dict[str, Any]] = {
    "asyncio": {"backend": "asyncio"},
    "uvloop": {"backend": "asyncio", "backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--log", default=os.devnull, help="a file for the progress")
    parser.add_argument("--backend", choices=BACKENDS, default="asyncio")
    options = parser.parse_args()
    with open(options.log, "w") as log_file:
        arguments = (options.folder, options.workers, log_file)
        raise SystemExit(not penstock.run(main, *arguments, **BACKENDS[options.backend]))
