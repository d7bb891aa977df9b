"""What is done how often within one process, and whether the outcome is right; written once.

The adapters only say how a library spells a channel, a reader or a server, so that every
contender is driven by the same loops.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import cycle, islice
from random import randbytes
from time import process_time_ns
from typing import Any

from benchmarks.peers.adapter import DELIMITER, MAX_BYTES, Function, Peer, Receive
from benchmarks.peers.clocks import Spent, now, since

__all__ = (
    "CHILDREN",
    "PIECE",
    "READY_ITEMS",
    "RECEIVERS",
    "Body",
    "bare_await",
    "broadcast",
    "event_set",
    "exclusion",
    "frames",
    "lines",
    "memory",
    "memory_ready",
    "records",
    "scopes",
    "spawn",
    "tls_bulk",
)

BODY = 100
READY_ITEMS = 50_000
CHILDREN = 100
RECEIVERS = 10
PIECE = 65_536

#: ``body(peer, count, verify)`` does ``count`` units and returns what they took.
Body = Callable[[Peer, int, bool], Coroutine[Any, Any, Spent]]


class WrongOutputError(Exception):
    """A contender did not deliver what was put in; its speed is of no interest."""


def check(output: Sequence[Any], expected: Sequence[Any]) -> None:
    """Compare every item that came out."""
    if len(output) != len(expected):
        raise WrongOutputError(f"{len(output)} items came out, not {len(expected)}")
    for number, (item, wanted) in enumerate(zip(output, expected, strict=True)):
        if item != wanted:
            raise WrongOutputError(f"item {number} is {item!r}, not {wanted!r}")


async def memory(size: int, peer: Peer, count: int, verify: bool) -> Spent:
    """One task sends ``count`` items, another receives them."""
    output: list[int] = []

    async def produce() -> None:
        for item in range(count):
            await send(item)

    async def consume() -> None:
        if verify:
            output.extend([await receive() for _ in range(count)])
        else:
            for _ in range(count):
                await receive()

    with peer.channel(size) as (send, receive):
        start = now()
        await peer.together(produce, consume)
        elapsed = since(start)
    if verify:
        check(output, range(count))
    return elapsed


async def broadcast(size: int, peer: Peer, count: int, verify: bool) -> Spent:
    """One task sends to ten receivers, each a task that takes what comes: ``count`` deliveries."""
    items = count // RECEIVERS
    outputs: list[list[int]] = [[] for _ in range(RECEIVERS)]

    async def produce() -> None:
        for item in range(items):
            await send(item)

    def consumer(receive: Receive, output: list[int]) -> Function:
        async def consume() -> None:
            if verify:
                output.extend([await receive() for _ in range(items)])
            else:
                for _ in range(items):
                    await receive()

        return consume

    with peer.broadcast(size, RECEIVERS) as (send, receives):
        consumers = map(consumer, receives, outputs)
        start = now()
        await peer.together(produce, *consumers)
        elapsed = since(start)
    if verify:
        for output in outputs:
            check(output, range(items))
    return elapsed


async def memory_ready(peer: Peer, count: int, verify: bool) -> Spent:
    """One task fills a buffer and empties it, again and again: nobody ever waits."""
    fills = max(1, count // (2 * READY_ITEMS))
    items = count // (2 * fills)
    with peer.channel(items) as (send, receive):
        start = now()
        for _ in range(fills):
            for item in range(items):
                await send(item)
            if verify:
                check([await receive() for _ in range(items)], range(items))
            else:
                for _ in range(items):
                    await receive()
        return since(start)


async def exclusion(kind: str, peer: Peer, count: int, verify: bool) -> Spent:
    """One task enters and leaves what nobody else wants."""
    thing = peer.exclusive(kind)
    if verify:
        await check_exclusion(peer, thing)
    start = now()
    for _ in range(count):
        async with thing:
            pass
    return since(start)


async def check_exclusion(peer: Peer, thing: AbstractAsyncContextManager[object]) -> None:
    """Let one task hold ``thing`` while another wants it."""
    held, asked = peer.event(), peer.event()
    output: list[str] = []

    async def hold() -> None:
        async with thing:
            held.set()
            await asked.wait()
            output.append("held")

    async def want() -> None:
        await held.wait()
        async with thing:
            output.append("wanted")

    async def ask() -> None:
        await held.wait()
        asked.set()

    await peer.together(hold, want, ask)
    check(output, ["held", "wanted"])


async def event_set(peer: Peer, count: int, verify: bool) -> Spent:
    """One task waits for an event that is set."""
    event = peer.event()
    output: list[str] = []

    async def wait() -> None:
        await event.wait()
        output.append("woken")

    async def set_it() -> None:
        output.append("set")
        event.set()

    await peer.together(wait, set_it)
    check(output, ["set", "woken"])
    start = now()
    for _ in range(count):
        await event.wait()
    return since(start)


async def scopes(peer: Peer, count: int, verify: bool) -> Spent:
    """Enter a timeout and leave it, again and again: none comes true."""
    move_on_after = peer.move_on_after
    if verify:
        with peer.channel(1) as (_, receive), move_on_after(0.001) as scope:
            await receive()
        check([scope.cancelled_caught], [True])
    start = now()
    for _ in range(count):
        with move_on_after(5):
            pass
    return since(start)


async def spawn(peer: Peer, count: int, verify: bool) -> Spent:
    """Start tasks that do next to nothing, a hundred at a time, and wait for them."""
    output: list[None] = []

    async def child() -> None:
        output.append(None)

    children = [child] * CHILDREN
    start = now()
    for _ in range(count // CHILDREN):
        await peer.together(*children)
    elapsed = since(start)
    check(output, [None] * (count // CHILDREN * CHILDREN))
    return elapsed


async def lines(peer: Peer, count: int, verify: bool) -> Spent:
    """Cut lines of 64 bytes, the delimiter included, out of 64 KiB chunks."""
    expected = [b"%063d" % number for number in range(count)]
    data = DELIMITER.join([*expected, b""])
    with peer.reader(data, "objects") as (until, _, bounded, ending):
        arguments = (DELIMITER, MAX_BYTES) if bounded else (DELIMITER,)
        start = now()
        if verify:
            output = [await until(*arguments) for _ in range(count)]
            check(output, [line + ending for line in expected])
        elif bounded:  # spelled out, as a caller would: unpacking costs more than a line may
            for _ in range(count):
                await until(DELIMITER, MAX_BYTES)
        else:
            for _ in range(count):
                await until(DELIMITER)
        return since(start)


async def records(source: str, peer: Peer, count: int, verify: bool) -> Spent:
    """Read a header of 4 bytes, then the body of 100 bytes that it announces."""
    expected = [b"%0*d" % (BODY, number) for number in range(count)]
    header = BODY.to_bytes(4, "big")
    output: list[bytes] = []
    with peer.reader(b"".join(header + body for body in expected), source) as reader:
        exactly = reader.exactly
        start = now()
        if verify:
            for _ in range(count):
                output.append(await exactly(int.from_bytes(await exactly(4), "big")))
            check(output, expected)
        else:
            for _ in range(count):
                await exactly(int.from_bytes(await exactly(4), "big"))
        return since(start)


async def frames(source: str, peer: Peer, count: int, verify: bool) -> Spent:
    """Do what ``records`` does, with framed streams where the library has them."""
    if not hasattr(peer, "frames"):
        return await records(source, peer, count, verify)
    expected = [b"%0*d" % (BODY, number) for number in range(count)]
    header = BODY.to_bytes(4, "big")
    with peer.frames(b"".join(header + body for body in expected), source) as receive:
        start = now()
        if verify:
            check([await receive() for _ in range(count)], expected)
        else:
            for _ in range(count):
                await receive()
        return since(start)


async def tls_bulk(peer: Peer, count: int, verify: bool) -> Spent:
    """Send pieces of 64 KiB over TLS, and receive each before the next is sent."""
    from benchmarks.peers.certificates import contexts  # not needed by the others

    pieces = [randbytes(PIECE) for _ in range(16)]
    async with peer.encrypted(*contexts()) as (send, receive):
        start = now()
        for piece in islice(cycle(pieces), count):
            await send(piece)
            chunks = []
            left = PIECE
            while left > 0:
                chunks.append(await receive(left))
                left -= len(chunks[-1])
            if verify and b"".join(chunks) != piece:
                raise WrongOutputError("a piece came out changed")
        return since(start)


async def bare_await() -> float:
    """Return the ns that awaiting an empty coroutine costs in this process."""

    async def empty() -> None:
        pass

    count = 100_000
    costs = []
    for _ in range(5):
        start = process_time_ns()
        for _ in range(count):
            await empty()
        costs.append(process_time_ns() - start)
    return min(costs) / count
