"""What is counted instruction by instruction: ``python -m benchmarks.counted N [N...]``.

Does everything N times, each in a child of its own, so that starting Python is paid for once, and
prints what ran in which child.  Results are asserted.
The garbage collector is off: what it costs depends on how much was imported.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from itertools import repeat
from typing import Any

import penstock
from penstock._hotpath import ItemQueue, ReadyBudget, ReceiveBuffer
from penstock.streams.buffered import BufferedByteReceiveStream

LINE = b"%063d" % 7
LINES = 256


def budget() -> Any:
    """Return a ready budget that lasts."""
    return ReadyBudget(1 << 40)


def take_until(count: int) -> None:
    ready = budget()
    buffer = ReceiveBuffer(ready)
    data = (LINE + b"\n") * LINES
    for _ in repeat(None, count // LINES):
        ready.refill()
        buffer.feed(data)
        for _ in repeat(None, LINES):
            line = buffer.take_until(b"\n", 65_536)
    assert line == LINE


def take_exactly(count: int) -> None:
    ready = budget()
    buffer = ReceiveBuffer(ready)
    data = b"head" * LINES
    for _ in repeat(None, count // LINES):
        ready.refill()
        buffer.feed(data)
        for _ in repeat(None, LINES):
            head = buffer.take_exactly(4)
    assert head == b"head"


def feed_take(count: int) -> None:
    ready = budget()
    buffer = ReceiveBuffer(ready)
    data = bytes(1024)
    for _ in repeat(None, count):
        ready.refill()
        buffer.feed(data)
        taken = buffer.take(1024)
    assert taken == data


def put_get(count: int) -> None:
    ready = budget()
    queue: Any = ItemQueue(1)
    queue.bind(ready)
    queue.open_sender()
    queue.open_receiver()
    for _ in repeat(None, count):
        queue.put(1)
        item = queue.get()
    assert item == 1


def park_collect(count: int) -> None:
    ready = budget()
    queue: Any = ItemQueue(0)
    queue.bind(ready)
    queue.open_sender()
    end = queue.open_receiver()
    for _ in repeat(None, count):
        waiter = queue.park_receiver(None, lambda wait: True, end)
        queue.put(1)
        item = queue.collect(waiter)
    assert item == 1


def spend(count: int) -> None:
    ready = budget()
    for _ in repeat(None, count):
        left = ready.spend()
    assert left


def send_receive(count: int) -> None:
    async def main() -> None:
        send, receive = penstock.create_memory_object_stream[int](100)
        with send, receive:
            for number in range(count):
                await send.send(number)
                assert await receive.receive() == number

    asyncio.run(main())


def line(count: int) -> None:
    async def main() -> None:
        send, receive = penstock.create_memory_object_stream[bytes](1)
        data = (LINE + b"\n") * LINES
        with send, receive:
            stream = BufferedByteReceiveStream(receive)
            for _ in repeat(None, count // LINES):
                send.send_nowait(data)
                for _ in repeat(None, LINES):
                    taken = await stream.receive_until(b"\n", 65_536)
        assert taken == LINE

    asyncio.run(main())


ROWS: dict[str, Callable[[int], None]] = {
    "spend: ready budget": spend,
    "take_exactly: 4 bytes": take_exactly,
    "take_until: line of 64 bytes": take_until,
    "feed and take: 1 KiB": feed_take,
    "put and get": put_get,
    "park, put and collect": park_collect,
    "memory stream: send and receive": send_receive,
    "buffered stream: line of 64 bytes": line,
}

if __name__ == "__main__":
    if penstock.IMPLEMENTATION != "compiled":
        sys.exit("the compiled kernels are not there: what is counted is theirs")
    gc.disable()
    for row, operation in ROWS.items():
        for count in map(int, sys.argv[1:]):
            if not (pid := os.fork()):
                operation(count)
                os._exit(0)
            if os.waitpid(pid, 0)[1]:
                sys.exit(f"{row} failed")
            print(row, count, pid, sep="\t")
