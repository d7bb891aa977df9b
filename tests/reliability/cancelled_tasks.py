"""What is cancelled everywhere: synchronisation, tasks, threads, files and signals."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path as SyncPath
from typing import Any

from await_points import Case, Outcome, operation

import penstock
from penstock import (
    CapacityLimiter,
    Condition,
    Event,
    Lock,
    Path,
    Semaphore,
    create_task_group,
    open_file,
    open_signal_receiver,
    to_thread,
    wait_all_tasks_blocked,
)
from penstock.abc import TaskStatus
from penstock.streams.file import FileReadStream, FileWriteStream

# -- synchronisation -----------------------------------------------------------------------


@operation("event: wait")
async def event() -> AsyncIterator[Case]:
    it = Event()

    async def set_it() -> None:
        await wait_all_tasks_blocked()
        it.set()

    async def finish(outcome: Outcome) -> None:
        assert it.statistics().tasks_waiting == 0
        await it.wait()

    yield Case(it.wait, finish, set_it)


@operation("lock: acquire", Lock)
@operation("semaphore: acquire", lambda: Semaphore(1))
@operation("limiter: acquire", lambda: CapacityLimiter(1))
@operation("condition: acquire", Condition)
async def acquire(make: Callable[[], Any]) -> AsyncIterator[Case]:
    it = make()
    order: list[str] = []
    taken, let_go = Event(), Event()

    async def hold() -> None:
        async with it:
            taken.set()
            await let_go.wait()

    async def let_it_go() -> None:
        await wait_all_tasks_blocked()
        let_go.set()

    async def operate() -> None:
        async with it:
            order.append("operation")

    async def finish(outcome: Outcome) -> None:
        let_go.set()
        with penstock.fail_after(5):  # nobody has it any more
            async with it:
                pass
        assert len(order) >= outcome.ended
        statistics = it.statistics()
        assert statistics.tasks_waiting == 0
        assert not getattr(statistics, "locked", False)
        assert getattr(statistics, "borrowed_tokens", 0) == 0

    async with create_task_group() as holders:
        holders.start_soon(hold)
        await taken.wait()
        yield Case(operate, finish, let_it_go)


@operation("condition: wait")
async def condition_wait() -> AsyncIterator[Case]:
    it = Condition()

    async def operate() -> None:
        async with it:
            await it.wait()

    async def notify() -> None:
        await wait_all_tasks_blocked()
        async with it:
            it.notify()

    async def finish(outcome: Outcome) -> None:
        statistics = it.statistics()
        assert statistics.tasks_waiting == 0
        assert not statistics.lock_statistics.locked
        async with it:
            pass

    # Cancelled, it gets the lock back before it raises, for its block to give up.
    yield Case(operate, finish, notify, patience=2)


# -- tasks and threads ---------------------------------------------------------------------


@operation("task group: start")
async def start() -> AsyncIterator[Case]:
    events: list[str] = []
    go = Event()

    async def child(*, task_status: TaskStatus[int]) -> None:
        try:
            await go.wait()
            task_status.started(1)
        finally:
            events.append("ended")

    async def let_go() -> None:
        await wait_all_tasks_blocked()
        go.set()

    async with create_task_group() as tg:

        async def finish(outcome: Outcome) -> None:
            assert outcome.result == (1 if outcome.ended else None)
            await wait_all_tasks_blocked()
            assert events in ([], ["ended"])

        # It waits until its task has ended.
        yield Case(lambda: tg.start(child), finish, let_go, patience=3)


@operation("task group: leaving")
async def leave() -> AsyncIterator[Case]:
    ended: list[int] = []
    go = Event()

    async def child(number: int) -> None:
        try:
            await go.wait()
        finally:
            ended.append(number)

    async def operate() -> None:
        async with create_task_group() as tg:
            for number in range(2):
                tg.start_soon(child, number)

    async def let_go() -> None:
        await wait_all_tasks_blocked()
        go.set()

    async def finish(outcome: Outcome) -> None:
        # A task that was not begun yet may be cancelled before it is.
        assert sorted(ended) == [0, 1] or not outcome.ended

    yield Case(operate, finish, let_go, patience=3)


@operation("to_thread: run_sync", False)
@operation("to_thread: run_sync, abandoned", True)
async def run_sync(abandon: bool) -> AsyncIterator[Case]:
    calls: list[int] = []
    limiter = CapacityLimiter(1)
    gate = threading.Event()

    def call() -> int:
        gate.wait(20)
        calls.append(1)
        return 5

    async def open_gate() -> None:
        await wait_all_tasks_blocked()
        gate.set()

    async def finish(outcome: Outcome) -> None:
        gate.set()
        async with limiter:  # which a thread that was let go has until it has ended
            pass
        assert outcome.result == (5 if outcome.ended else None)
        assert len(calls) <= 1
        assert limiter.borrowed_tokens == 0

    # What is not let go is waited for, and the task that asks again and again is put off.
    yield Case(
        lambda: to_thread.run_sync(call, limiter=limiter, abandon_on_cancel=abandon),
        finish,
        open_gate,
        patience=4,
    )


@operation("getaddrinfo")
async def getaddrinfo() -> AsyncIterator[Case]:
    async def finish(outcome: Outcome) -> None:
        if outcome.ended:
            assert outcome.result

    yield Case(lambda: penstock.getaddrinfo("localhost", 80), finish, patience=2)


@operation("getnameinfo")
async def getnameinfo() -> AsyncIterator[Case]:
    async def finish(outcome: Outcome) -> None:
        if outcome.ended:
            assert outcome.result[1] == "http"

    yield Case(lambda: penstock.getnameinfo(("127.0.0.1", 80)), finish, patience=2)


@operation("sleep", lambda: penstock.sleep(0.001))
@operation("sleep until", lambda: penstock.sleep_until(penstock.current_time() + 0.001))
@operation("checkpoint", lambda: penstock.lowlevel.checkpoint())
async def pause(call: Callable[[], Any]) -> AsyncIterator[Case]:
    async def finish(outcome: Outcome) -> None:
        pass

    yield Case(call, finish)


# -- files ---------------------------------------------------------------------------------

CONTENT = b"what is in the file" * 10
#: A call that runs in a thread is waited for.
FILE = 4


@operation("file stream: receive", lambda stream: stream.receive(20), True)
@operation("file stream: receive to the end", lambda stream: stream.receive(), True)
@operation("file stream: tell", lambda stream: stream.tell(), False)
async def file_receive(call: Callable[[Any], Any], gives: bool) -> AsyncIterator[Case]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(CONTENT)
        file.flush()
        async with await FileReadStream.from_path(file.name) as stream:

            async def finish(outcome: Outcome) -> None:
                received = outcome.result if outcome.ended and gives else b""
                assert await stream.tell() == len(received)
                received += b"".join([data async for data in stream])
                assert received == CONTENT

            yield Case(lambda: call(stream), finish, patience=FILE)


@operation("file stream: seek")
async def file_seek() -> AsyncIterator[Case]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(CONTENT)
        file.flush()
        async with await FileReadStream.from_path(file.name) as stream:

            async def finish(outcome: Outcome) -> None:
                position = await stream.tell()
                assert position == 7 if outcome.ended else position in (0, 7)
                assert await stream.receive() == CONTENT[position:]

            yield Case(lambda: stream.seek(7), finish, patience=FILE)


@operation("file stream: send", lambda stream: stream.send(CONTENT))
@operation("file stream: send_many", lambda stream: stream.send_many([CONTENT[:9], CONTENT[9:]]))
async def file_send(call: Callable[[Any], Any]) -> AsyncIterator[Case]:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "file")
        async with await FileWriteStream.from_path(path) as stream:

            async def finish(outcome: Outcome) -> None:
                partial = stream.partial_send
                written = len(CONTENT) if partial is None else partial
                there = SyncPath(path).read_bytes()
                if outcome.ended:
                    assert there == CONTENT
                assert there in (CONTENT[:written], b"")
                await stream.send(CONTENT[len(there) :])
                assert SyncPath(path).read_bytes() == CONTENT

            yield Case(lambda: call(stream), finish, patience=FILE)


@operation("file stream: aclose")
async def file_close() -> AsyncIterator[Case]:
    with tempfile.NamedTemporaryFile() as file:
        stream = await FileReadStream.from_path(file.name)

        async def finish(outcome: Outcome) -> None:
            assert stream._file.closed

        yield Case(stream.aclose, finish, patience=FILE)


@operation("file stream: from_path", FileReadStream.from_path)
@operation("open_file", open_file)
async def file_open(make: Callable[[str], Any]) -> AsyncIterator[Case]:
    with tempfile.NamedTemporaryFile() as file:

        async def finish(outcome: Outcome) -> None:
            if outcome.ended:
                await outcome.result.aclose()

        # What was opened all the same is closed in a thread.
        yield Case(lambda: make(file.name), finish, patience=2 * FILE)


@operation("async file: read")
async def file_read() -> AsyncIterator[Case]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(CONTENT)
        file.flush()
        async with await open_file(file.name, "rb") as opened:

            async def finish(outcome: Outcome) -> None:
                position = await opened.tell()
                assert position == 9 if outcome.ended else position in (0, 9)
                assert await opened.read() == CONTENT[position:]

            yield Case(lambda: opened.read(9), finish, patience=FILE)


@operation("path: read_bytes")
async def path_read() -> AsyncIterator[Case]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(CONTENT)
        file.flush()

        async def finish(outcome: Outcome) -> None:
            assert outcome.result == (CONTENT if outcome.ended else None)

        yield Case(Path(file.name).read_bytes, finish, patience=FILE)


@operation("path: iterdir")
async def path_iterdir() -> AsyncIterator[Case]:
    with tempfile.TemporaryDirectory() as directory:
        for number in range(3):
            SyncPath(directory, str(number)).touch()

        async def operate() -> list[str]:
            return sorted([path.name async for path in Path(directory).iterdir()])

        async def finish(outcome: Outcome) -> None:
            assert outcome.result == (["0", "1", "2"] if outcome.ended else None)

        yield Case(operate, finish, patience=FILE)


# -- signals -------------------------------------------------------------------------------


@operation("signals: receive")
async def signals() -> AsyncIterator[Case]:
    with open_signal_receiver(signal.SIGUSR1) as receiver:

        async def send() -> None:
            await wait_all_tasks_blocked()
            signal.raise_signal(signal.SIGUSR1)

        async def finish(outcome: Outcome) -> None:
            received = outcome.result if outcome.ended else await anext(receiver)
            assert received is signal.SIGUSR1

        yield Case(receiver.__anext__, finish, send)
