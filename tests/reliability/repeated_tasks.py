"""What tasks do, and what they share, again and again: see ``repeating.py``."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

from repeating import Repeat, cancelled, operation, raising, swallow
from socket_peers import HOST

import penstock
from penstock import create_task_group, wait_all_tasks_blocked


@operation("tasks: group, failing group, start")
async def tasks() -> AsyncIterator[Repeat]:
    async def fail() -> None:
        raise LookupError

    async def start(*, task_status: Any) -> None:
        task_status.started(1)

    async def repeat() -> None:
        async with create_task_group() as tg:
            for _ in range(3):
                tg.start_soon(penstock.lowlevel.checkpoint)
            assert await tg.start(start) == 1
        with raising(ExceptionGroup):
            async with create_task_group() as tg:
                tg.start_soon(fail)
                tg.start_soon(penstock.sleep_forever)

    yield repeat


@operation("scopes: timeouts, nested and shielded")
async def scopes() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        with penstock.move_on_after(0) as scope:
            await penstock.sleep_forever()
        assert scope.cancelled_caught
        with raising(TimeoutError):
            with penstock.fail_after(0):
                with penstock.CancelScope(shield=True):
                    await penstock.lowlevel.checkpoint()
                await penstock.sleep_forever()

    yield repeat


@operation("event, lock, semaphore, condition, limiter, cancelled as they wait")
async def synchronization() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        event, lock, semaphore = penstock.Event(), penstock.Lock(), penstock.Semaphore(1)
        condition, limiter = penstock.Condition(), penstock.CapacityLimiter(1)
        async with lock, semaphore, limiter:
            for wait in (event.wait, lock.acquire, semaphore.acquire, limiter.acquire):
                await cancelled(wait)
        async with condition:
            with penstock.move_on_after(0):
                await condition.wait()
        async with create_task_group() as tg:
            tg.start_soon(event.wait)
            await wait_all_tasks_blocked()
            event.set()

    yield repeat


@operation("threads and files: run_sync, read, an error in a thread")
async def threads() -> AsyncIterator[Repeat]:
    def fail() -> None:
        raise LookupError

    async def repeat() -> None:
        assert await penstock.to_thread.run_sync(len, b"abc") == 3
        await swallow(LookupError, penstock.to_thread.run_sync, fail)
        async with await penstock.open_file("/dev/zero", "rb") as file:
            assert await file.read(3) == bytes(3)

    yield repeat


@operation("names: getaddrinfo, getnameinfo")
async def names() -> AsyncIterator[Repeat]:
    async def repeat() -> None:
        assert await penstock.getaddrinfo(HOST, 80, type=socket.SOCK_STREAM)
        assert (await penstock.getnameinfo((HOST, 80), socket.NI_NUMERICHOST))[0] == HOST

    yield repeat
