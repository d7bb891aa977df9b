"""The pipeline of examples/ on a redis-server: what is received is not lost when a worker dies."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis.asyncio
from backends import BackendUnderTest
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from system_programs import (
    EXAMPLES,
    SECONDS,
    find_program,
    free_port,
    redis_server,
    running,
)

import penstock
from penstock import BrokenResourceError, BusyResourceError, ClosedResourceError, EndOfStream

sys.path.append(str(EXAMPLES))
from jobs_redis import RedisReceiveStream, RedisSendStream

PROGRAM = (sys.executable, str(EXAMPLES / "jobs_redis.py"))


@pytest.fixture
def backend(asyncio_backend: BackendUnderTest) -> BackendUnderTest:
    """The redis package knows asyncio alone."""
    return asyncio_backend


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_server(tmp_path_factory.mktemp("redis")) as number:
        yield number


class Broker:
    """A stream of its own on the redis-server."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.key = uuid4().hex

    def sender(self, **options: Any) -> RedisSendStream[Any]:
        return RedisSendStream(self.client, self.key, **options)

    async def receiver(self, name: str, **options: Any) -> RedisReceiveStream[Any]:
        stream: RedisReceiveStream[Any] = await RedisReceiveStream.join(
            self.client, self.key, "group", name, **options
        )
        return stream

    async def left(self) -> int:
        return int(await self.client.xlen(self.key))


@asynccontextmanager
async def broker(port: int) -> AsyncIterator[Broker]:
    at_once = Retry(NoBackoff(), 0)
    client = redis.asyncio.Redis(port=port, decode_responses=True, retry=at_once)
    try:
        with penstock.fail_after(SECONDS):
            yield Broker(client)
    finally:
        await client.aclose()


async def test_each_item_goes_to_one_of_a_group(port: int) -> None:
    async with broker(port) as on:
        first, second = await on.receiver("first"), await on.receiver("second")
        items = [{"number": number, "text": "grüße"} for number in range(20)]
        for item in items:
            await on.sender().send(item)
        received = []
        for _ in range(10):
            received += [await first.receive(), await second.receive()]
        assert received == items
        await first.acknowledge()
        await second.acknowledge()
        assert await on.left() == 0


async def test_what_is_not_acknowledged_goes_to_another(port: int) -> None:
    async with broker(port) as on:
        first = await on.receiver("first")
        await on.sender().send("a")
        await on.sender().send("b")
        assert await first.receive() == "a"
        await first.aclose()
        second = await on.receiver("second", claim_after=0.05)
        assert sorted([await second.receive(), await second.receive()]) == ["a", "b"]
        await second.acknowledge()
        assert await on.left() == 0


async def test_a_worker_that_comes_back_gets_what_it_had(port: int) -> None:
    async with broker(port) as on:
        await on.sender().send("a")
        assert await (await on.receiver("worker")).receive() == "a"
        assert await (await on.receiver("worker")).receive() == "a"


async def test_a_cancelled_receive_loses_nothing(port: int) -> None:
    """At any time: also when the broker has given an item to it that is still on its way."""
    async with broker(port) as on:
        jobs, send = await on.receiver("worker"), on.sender()
        for number in range(40):
            await send.send(number)
        received: list[int] = []

        async def receive() -> None:
            received.append(await jobs.receive())

        for attempt in count():
            if len(received) == 40:
                break
            async with penstock.create_task_group() as tasks:
                tasks.start_soon(receive)
                for _ in range(attempt % 50 * (1 + attempt // 500)):  # at last it is long enough
                    await penstock.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        assert sorted(received) == list(range(40))


async def test_a_full_stream_makes_senders_wait(port: int) -> None:
    async with broker(port) as on:
        jobs, send = await on.receiver("worker"), on.sender(max_length=2)
        await send.send(0)
        await send.send(1)
        with penstock.move_on_after(0.1) as scope:
            await send.send(2)
        assert scope.cancelled_caught
        assert [await jobs.receive(), await jobs.receive()] == [0, 1]
        await send.send(3)  # there is room since 0 is done
        assert await jobs.receive() == 3  # and 2 was not sent


async def test_a_stream_that_is_told_to_end_acknowledges_the_last_item(port: int) -> None:
    async with broker(port) as on:
        jobs = await on.receiver("worker")
        await on.sender().send("last")
        assert await jobs.receive() == "last"
        jobs.end()
        with pytest.raises(EndOfStream):
            await jobs.receive()
        assert await on.left() == 0


async def test_closed_and_busy_streams_say_so(port: int) -> None:
    async with broker(port) as on:
        jobs, send = await on.receiver("worker"), on.sender()
        async with penstock.create_task_group() as tasks:
            waiting = tasks.start_soon(jobs.receive)
            await penstock.lowlevel.checkpoint()
            await penstock.lowlevel.checkpoint()
            with pytest.raises(BusyResourceError):
                await jobs.receive()
            waiting.cancel()
        await jobs.aclose()
        await send.aclose()
        with pytest.raises(ClosedResourceError):
            await jobs.receive()
        with pytest.raises(ClosedResourceError):
            await send.send(1)


async def test_a_broker_that_is_gone_breaks_the_streams() -> None:
    async with broker(free_port()) as on:
        with pytest.raises(BrokenResourceError):
            await on.receiver("worker")
        with pytest.raises(BrokenResourceError):
            await on.sender().send(1)


def test_a_worker_that_is_killed_loses_no_job(tmp_path: Path, port: int) -> None:
    """It is killed in the middle of a job: one of the files is a pipe that nobody has filled."""
    for number in range(10):
        (tmp_path / f"file{number}").write_bytes(b"%d" % number)
    paths = [tmp_path / "pipe", *sorted(tmp_path.glob("file*"))]
    os.mkfifo(tmp_path / "pipe")
    broker_options = ("--port", str(port))
    twice = [*paths[:2], *paths[1:]]  # one job comes twice, as any may: its result is shown once
    run_to_end("submit", *broker_options, *map(str, twice))

    with running(*PROGRAM, "work", "--name", "first", *broker_options) as first:
        with (tmp_path / "pipe").open("wb"):  # once it is being read
            first.kill()
            first.wait(SECONDS)
    options = ("--name", "second", "--claim-after", "0.1", "--backend", "uvloop")
    with running(*PROGRAM, "work", *broker_options, *options, stdout=subprocess.PIPE) as second:
        with (tmp_path / "pipe").open("wb") as pipe:  # which the second has taken over
            pipe.write(b"filled")
        sums = run_to_end("collect", *broker_options, "--count", str(len(paths)))
        second.terminate()
        assert second.stdout is not None
        assert second.stdout.read().count(b"second has done") == len(twice)
        assert second.wait(SECONDS) == 0
    assert hashlib.sha256(b"filled").hexdigest() in sums
    (tmp_path / "pipe").unlink()
    (tmp_path / "pipe").write_bytes(b"filled")
    check = (find_program("sha256sum"), "--check", "--quiet")
    subprocess.run(check, input=sums.encode(), timeout=SECONDS, check=True)
    assert len(sums.splitlines()) == len(paths)


def run_to_end(*arguments: str) -> str:
    done = subprocess.run([*PROGRAM, *arguments], capture_output=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()
