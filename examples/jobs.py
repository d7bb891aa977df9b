"""A pipeline of jobs on memory and broadcast streams: what sha256sum prints, of a whole folder.

    python examples/jobs.py src --workers 4 > sums    # and: --backend uvloop, --backend trio
    sha256sum --check --quiet sums

A producer finds files and sends their paths; workers receive them and send results; a writer prints
these.  Every stream is bounded: the slowest part sets the pace, and a folder of any size takes
little memory.  Observers see the progress, each as it likes: the log gets all of it, the display
the latest.  SIGTERM or Ctrl-C: nothing more is produced, and what was is done; the exit status is
1.  SIGHUP: all workers start over.

A worker that is cancelled has lost nothing: a cancelled ``receive`` has taken no job, a cancelled
``send`` has sent no result, and the job in hand is kept in :attr:`Worker.job`.  See jobs_redis.py
for the same workers on several machines.
"""

import argparse
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import penstock
from penstock.abc import UnreliableObjectReceiveStream, UnreliableObjectSendStream
from penstock.streams.broadcast import BroadcastReceiveStream, BroadcastSendStream
from penstock.streams.file import FileReadStream
from penstock.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream


class Result(NamedTuple):
    path: str
    digest: str | None
    error: str = ""


class Worker:
    """Receives jobs, does them and sends the results, until there are no more jobs."""

    def __init__(
        self,
        name: str,
        jobs: UnreliableObjectReceiveStream[str],
        results: UnreliableObjectSendStream[Result],
        progress: BroadcastSendStream[str],
    ) -> None:
        self.name = name
        self.jobs, self.results, self.progress = jobs, results, progress
        #: What was received and has no result yet.
        self.job: str | None = None
        self._scope: penstock.CancelScope | None = None

    async def run(self) -> None:
        async with self.jobs, self.results:
            while True:
                with penstock.CancelScope() as scope:
                    self._scope = scope
                    await self._work()
                    return
                await self.progress.send(f"{self.name} starts over with {self.job}")

    def start_over(self) -> None:
        """Cancel what the worker is doing; it goes on with the job that it has in hand."""
        if self._scope is not None:
            self._scope.cancel("starting over")

    async def _work(self) -> None:
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


async def produce(
    folder: str, jobs: MemoryObjectSendStream[str], scope: penstock.CancelScope
) -> None:
    """Send the path of every file, until all are sent or ``scope`` is cancelled."""
    async with jobs:
        with scope:
            for path in files_below(folder):
                await jobs.send(path)


def files_below(folder: str) -> Iterator[str]:
    for directory, _, names in os.walk(folder):
        yield from (os.path.join(directory, name) for name in sorted(names))


async def write(results: MemoryObjectReceiveStream[Result]) -> None:
    async with results:
        async for path, digest, error in results:
            if digest is None:
                print(error, file=sys.stderr, flush=True)
            else:
                print(f"{digest}  {path}", flush=True)


async def log(progress: BroadcastReceiveStream[str], file: Any) -> None:
    """See all there is to see: who sends waits until it has."""
    async with progress:
        async for message in progress:
            print(message, file=file)


async def display(progress: BroadcastReceiveStream[str]) -> None:
    """Show the latest, a few times a second; what comes between is dropped."""
    async with progress:
        async for message in progress:
            print(f"\r\x1b[K{message}", end="", file=sys.stderr, flush=True)
            await penstock.sleep(0.25)
        print(f"\r\x1b[K{progress.dropped} messages were not shown", file=sys.stderr)


async def obey(
    signals: AsyncIterator[signal.Signals], workers: list[Worker], producing: penstock.CancelScope
) -> None:
    async for signum in signals:
        if signum == signal.SIGHUP:
            for worker in workers:
                worker.start_over()
        else:
            producing.cancel("told to stop")


async def main(folder: str, count: int, log_file: str, interactive: bool) -> bool:
    """Return whether nobody has stopped it."""
    send_jobs, jobs = penstock.create_memory_object_stream[str](count)
    send_results, results = penstock.create_memory_object_stream[Result](count)
    progress = BroadcastSendStream[str]()
    # The last worker to close its clones ends the stream of results.
    workers = [
        Worker(f"worker {number}", jobs.clone(), send_results.clone(), progress)
        for number in range(count)
    ]
    jobs.close()
    send_results.close()
    producing = penstock.CancelScope()
    with (
        open(log_file, "w") as file,
        penstock.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals,
    ):
        async with penstock.create_task_group() as others:
            control = others.start_soon(obey, signals, workers, producing)
            others.start_soon(log, progress.subscribe(100), file)
            if interactive:
                others.start_soon(display, progress.subscribe(1, when_full="drop_oldest"))
            async with progress, penstock.create_task_group() as tasks:
                tasks.start_soon(produce, folder, send_jobs, producing)
                for worker in workers:
                    tasks.start_soon(worker.run)
                tasks.start_soon(write, results)
            control.cancel()  # all is done; the observers see the end of the progress
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
    parser.add_argument("--log", default=os.devnull, help="a file for all messages")
    parser.add_argument("--backend", choices=BACKENDS, default="asyncio")
    options = parser.parse_args()
    arguments = (options.folder, options.workers, options.log, sys.stderr.isatty())
    raise SystemExit(not penstock.run(main, *arguments, **BACKENDS[options.backend]))
