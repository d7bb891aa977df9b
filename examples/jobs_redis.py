"""The pipeline of jobs.py, with its streams on a broker: workers on any number of machines.

    redis-server --port 6379 --save "" &
    python examples/jobs_redis.py work &                # start as many as you like, also later
    python examples/jobs_redis.py submit README.md docs/*.md
    python examples/jobs_redis.py collect --count 10    # prints what sha256sum would

A job is delivered at least once.  It stays with the broker until its worker asks for the next one;
if the worker dies before that, another one gets it, ``--claim-after`` seconds later.  So nothing is
lost, but a job may be done twice, and come late: that is what ``UnreliableObjectReceiveStream``
stands for, and the collector drops results that it has seen.  SIGTERM or Ctrl-C: a worker finishes
its job.

The ``redis`` package (``pip install redis``) runs on asyncio and uvloop alone, and so does this.
"""

import argparse
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import redis.asyncio
from jobs import Result, Worker

import penstock
from penstock.abc import UnreliableObjectReceiveStream, UnreliableObjectSendStream
from penstock.streams.broadcast import BroadcastSendStream

T = TypeVar("T")

PATIENCE = 10.0  # seconds for the broker to do what is not to be cut short
NAP = 0.05  # seconds; Redis wakes nobody when a stream gets shorter
BLOCK = 500  # milliseconds for which the broker is asked to wait for an item


@contextmanager
def broker_errors() -> Iterator[None]:
    """Raise what streams raise."""
    try:
        yield
    except (redis.RedisError, TimeoutError) as exc:
        raise penstock.BrokenResourceError(str(exc)) from exc


@dataclass
class RedisSendStream(UnreliableObjectSendStream[T]):
    """Send what JSON can say to a Redis stream; wait while ``max_length`` items are there."""

    client: redis.asyncio.Redis
    key: str
    max_length: int = 1000
    closed: bool = False

    async def send(self, item: T) -> None:
        if self.closed:
            raise penstock.ClosedResourceError
        with broker_errors():
            while await self.client.xlen(self.key) >= self.max_length:
                await penstock.sleep(NAP)
            # From here on it is sent, whoever is cancelled: nobody may be in doubt.
            with penstock.fail_after(PATIENCE, shield=True):
                await self.client.xadd(self.key, {"item": json.dumps(item)})

    async def aclose(self) -> None:
        self.closed = True


class RedisReceiveStream(UnreliableObjectReceiveStream[T]):
    """Receive as one consumer of a group: each item goes to one of them.

    Receiving an item acknowledges the one before.  What was received and not acknowledged goes to
    another consumer after ``claim_after`` seconds, which have to be more than any job takes.  No
    two consumers that live may have the same ``name``.
    """

    def __init__(
        self, client: redis.asyncio.Redis, key: str, group: str, name: str, claim_after: float
    ) -> None:
        self.client, self.key, self.who, self.claim_after = client, key, (group, name), claim_after
        self.closed = self.ended = False
        self.guard = penstock.ResourceGuard("receiving from")
        self.current: str | None = None  # the id of what was received last
        # Whether the broker may have given us what we never got: to a call that was cancelled, or
        # to a process of this name that has died.
        self.unsure = True
        self.claim_at = 0.0

    @classmethod
    async def join(
        cls, client: redis.asyncio.Redis, key: str, group: str, name: str, claim_after: float = 60
    ) -> "RedisReceiveStream[T]":
        """Make the stream and the group, unless they exist, and return a receiver."""
        with broker_errors():
            try:
                await client.xgroup_create(key, group, id="0", mkstream=True)
            except redis.ResponseError as exc:
                if "BUSYGROUP" not in str(exc):
                    raise
        return cls(client, key, group, name, claim_after)

    async def receive(self) -> T:
        with self.guard, broker_errors():
            await self.acknowledge()
            while not self.ended:
                entries = await self.take()
                if self.closed:
                    break
                if entries:
                    self.current, fields = entries[0]
                    return cast("T", json.loads(fields["item"]))
        raise penstock.ClosedResourceError if self.closed else penstock.EndOfStream

    async def acknowledge(self) -> None:
        """Tell the broker that what was received last is done."""
        if self.closed:
            raise penstock.ClosedResourceError
        if self.current is not None:
            with penstock.fail_after(PATIENCE, shield=True), broker_errors():
                async with self.client.pipeline(transaction=True) as pipeline:
                    pipeline.xack(self.key, self.who[0], self.current)
                    pipeline.xdel(self.key, self.current)  # so that XLEN is what is to be done
                    await pipeline.execute()
            self.current = None

    async def take(self) -> list[Any]:
        """Return id and fields of one item; nothing if there is none for a while."""
        entries = []
        if self.unsure:
            entries = await self.read("0")  # what is ours, and not acknowledged
        if not entries:
            self.unsure = True
            if penstock.current_time() >= self.claim_at:
                idle = int(self.claim_after * 1000)
                entries = (await self.client.xautoclaim(self.key, *self.who, idle, count=1))[1]
                if not entries:
                    self.claim_at = penstock.current_time() + min(self.claim_after, 1.0)
            entries = entries or await self.read(">")  # what is new
            self.unsure = False
        return entries

    async def read(self, start: str) -> list[Any]:
        streams: dict[Any, Any] = {self.key: start}
        answer: Any = await self.client.xreadgroup(*self.who, streams, count=1, block=BLOCK)
        return answer[0][1] if answer else []  # one stream, with its entries

    def end(self) -> None:
        """Let :meth:`receive` raise EndOfStream, within half a second."""
        self.ended = True

    async def aclose(self) -> None:
        """Leave; what was not acknowledged goes to somebody else."""
        self.closed = True


async def work(client: redis.asyncio.Redis, name: str, claim_after: float) -> None:
    jobs = await RedisReceiveStream[str].join(client, "jobs", "workers", name, claim_after)
    results = RedisSendStream[Result](client, "results")
    progress = BroadcastSendStream[str]()
    messages = progress.subscribe()

    async def log() -> None:
        async for message in messages:
            print(message, flush=True)

    async def end_when_told() -> None:
        with penstock.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            await anext(signals)
            jobs.end()

    async with messages, penstock.create_task_group() as tasks:
        control = tasks.start_soon(end_when_told)
        tasks.start_soon(log)
        async with progress:
            await progress.send(f"{name} is there")
            await Worker(name, jobs, results, progress).run()
        control.cancel()


async def submit(client: redis.asyncio.Redis, paths: list[str]) -> None:
    async with RedisSendStream[str](client, "jobs") as jobs:
        for path in paths:
            await jobs.send(os.path.abspath(path))


async def collect(client: redis.asyncio.Redis, name: str, count: int) -> None:
    """Print so many results, each once."""
    seen: set[str] = set()
    async with await RedisReceiveStream[Any].join(client, "results", "collectors", name) as results:
        while len(seen) < count:
            path, digest, error = await results.receive()
            if path not in seen:
                seen.add(path)
                print(f"{digest}  {path}" if digest else error, flush=True)
        await results.acknowledge()


async def main(options: argparse.Namespace) -> None:
    async with redis.asyncio.Redis(port=options.port, decode_responses=True) as client:
        if options.command == "work":
            await work(client, options.name, options.claim_after)
        elif options.command == "submit":
            await submit(client, options.paths)
        else:
            await collect(client, options.name, options.count)


if __name__ == "__main__":
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--port", type=int, default=6379, help="of the redis-server")
    common.add_argument("--name", default=f"{socket.gethostname()}-{os.getpid()}")
    common.add_argument("--backend", choices=["asyncio", "uvloop"], default="asyncio")
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    worker = commands.add_parser("work", parents=[common])
    worker.add_argument("--claim-after", type=float, default=60.0, help="seconds")
    commands.add_parser("submit", parents=[common]).add_argument("paths", nargs="+")
    commands.add_parser("collect", parents=[common]).add_argument("--count", type=int, default=1)
    arguments = parser.parse_args()
    penstock.run(main, arguments, backend_options={"use_uvloop": arguments.backend == "uvloop"})
