"""What clients do with one connection: exchanges that are checked, and cut short in every way.

Lives here: connections to the echo server that end as they should, by a reset of either side, or by
a cancellation at a random moment.  How many of them there are at once is decided elsewhere.
"""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from load_content import Course
from load_measuring import Report
from load_servers import Header, Servers, reset, send_header

import penstock
from penstock import BrokenResourceError, EndOfStream
from penstock.abc import ByteStream, SocketAttribute
from penstock.lowlevel import checkpoint

__all__ = (
    "PATIENCE",
    "WAYS",
    "Chance",
    "Connection",
    "all_of",
    "exchange",
    "half_closed",
    "one_connection",
)

#: What takes longer hangs, in seconds.
PATIENCE = 60
#: What does not fit into the buffers of a connection whose client is given a small one.
SMALL = 4096
TOO_MUCH = (100_000, 250_000)
#: Within so many turns of the event loop something is cancelled or reset.
TURNS = 30


class Chance(random.Random):
    """What is left to chance.

    Args:
        seed: What it begins with.
    """

    #: Pieces are up to this size, most of them much smaller.
    largest = 100_000
    #: Within so many seconds something is cancelled or reset.
    soon = 0.004

    def size(self) -> int:
        return int(self.largest ** self.random())

    def moment(self) -> float:
        return self.soon * self.random()


class Connection:
    """A connection to an echo server, or to a flood, and the places of both its directions."""

    def __init__(self, stream: ByteStream, start: int, chance: Chance) -> None:
        self.stream = stream
        self.chance = chance
        self.sent = Course(start)
        self.received = Course(start)

    @classmethod
    async def begin(
        cls,
        servers: Servers,
        kind: str,
        chance: Chance,
        size: int = 0,
        service: str = "echo",
    ) -> Connection:
        """Connect, and tell the server what to do."""
        stream = await servers.connect(kind)
        start = chance.randrange(1 << 31)
        try:
            await send_header(stream, Header(service, start, size))
        except BaseException:
            await penstock.aclose_forcefully(stream)
            raise
        return cls(stream, start, chance)

    async def receive(self, size: int) -> None:
        """Receive so many bytes, and check them."""
        while size:
            data = await self.stream.receive(min(size, 65_536))
            self.received.check(data)
            size -= len(data)

    async def exchange(self) -> None:
        """Send a piece, and receive it, both at once."""
        await exchange(self.stream, self.sent.take(self.chance.size()), self.receive)

    async def ask(self, largest: int) -> None:
        """Send a piece that fits into any buffer, and then receive it."""
        size = self.chance.randrange(1, largest)
        with penstock.fail_after(PATIENCE):
            await self.stream.send(self.sent.take(size))
            await self.receive(size)


async def exchange(
    stream: ByteStream, data: bytes | memoryview, receive: Callable[[int], Awaitable[None]]
) -> None:
    """Send something while it is received again."""
    async with penstock.create_task_group() as tasks:
        tasks.start_soon(stream.send, data)
        await receive(len(data))


async def all_of(
    report: Report, where: str, coroutines: Sequence[Coroutine[Any, Any, None]]
) -> None:
    """Await them all at once; what some of them raise is an error, and ends no others."""

    async def await_one(coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except Exception as exc:
            report.error(exc, where)

    async with penstock.create_task_group() as tasks:
        for coroutine in coroutines:
            tasks.start_soon(await_one, coroutine)


async def closed(servers: Servers, kind: str, chance: Chance) -> None:
    """Exchange something, or nothing, and close."""
    connection = await Connection.begin(servers, kind, chance)
    async with connection.stream:
        for _ in range(chance.randrange(4)):
            await connection.exchange()


async def half_closed(servers: Servers, kind: str, chance: Chance) -> None:
    """Send everything and the end, and receive everything and the end."""
    connection = await Connection.begin(servers, kind, chance)
    async with connection.stream as stream:
        size = chance.size()

        async def send() -> None:
            await stream.send(connection.sent.take(size))
            await stream.send_eof()

        async with penstock.create_task_group() as tasks:
            tasks.start_soon(send)
            await connection.receive(size)
        try:
            await stream.receive()
        except EndOfStream:
            return
        raise AssertionError("no end of the stream")


async def resetting(servers: Servers, kind: str, chance: Chance) -> None:
    """Reset the connection in the middle of an exchange."""
    connection = await Connection.begin(servers, kind, chance)
    try:
        await cancelled_soon(connection.exchange, chance)
    finally:
        await reset(connection.stream)


async def being_reset(servers: Servers, kind: str, chance: Chance) -> None:
    """Go on until the server resets the connection."""
    connection = await Connection.begin(servers, kind, chance, chance.size())
    async with connection.stream:
        try:
            while True:
                await connection.exchange()
        except* BrokenResourceError:
            pass
        except* EndOfStream:
            # A UNIX socket has no resets: what was not received yet makes the difference.
            if kind != "unix":
                raise


async def cancelled(servers: Servers, kind: str, chance: Chance) -> None:
    """Cancel whatever goes on after a while: connecting, sending, receiving, closing."""

    async def act() -> None:
        connection = await Connection.begin(servers, kind, chance)
        async with connection.stream:
            while True:
                await connection.exchange()

    await cancelled_soon(act, chance)


async def resumed(servers: Servers, kind: str, chance: Chance) -> None:
    """Cancel sends and receives again and again, and go on where each of them has stopped."""
    connection = await Connection.begin(servers, kind, chance)
    async with connection.stream as stream:
        raw = stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        size = chance.randrange(*TOO_MUCH)

        async def send() -> None:
            data = connection.sent.take(size)
            while data:
                with penstock.move_on_after(chance.moment()):
                    await stream.send(data)
                    return
                sent = stream.partial_send or 0
                servers.partial_sends += sent > 0
                data = data[sent:]

        async def receive() -> None:
            while connection.received.passed < size:
                with penstock.move_on_after(chance.moment()):
                    connection.received.check(await stream.receive())

        async with penstock.create_task_group() as tasks:
            tasks.start_soon(send)
            tasks.start_soon(receive)


async def cancelled_soon(act: Callable[[], Awaitable[None]], chance: Chance) -> None:
    """Run ``act``; cancel it after some milliseconds, or some turns of the event loop."""
    if chance.random() < 0.5:
        with penstock.move_on_after(chance.moment()):
            await act()
        return

    async def cancel() -> None:
        for _ in range(chance.randrange(TURNS)):
            await checkpoint()
        tasks.cancel()

    async with penstock.create_task_group() as tasks:
        tasks.start_soon(cancel)
        await act()
        tasks.cancel()


#: The ways in which a connection may pass; the last takes as long as several others.
WAYS = 5 * (closed, half_closed, resetting, being_reset, cancelled) + (resumed,)


async def one_connection(servers: Servers, kind: str, chance: Chance, counts: Counter[str]) -> None:
    """Make a connection and have it pass in a way chosen at random."""
    way = chance.choice(WAYS)
    with penstock.fail_after(PATIENCE):
        await way(servers, kind, chance)
    counts[way.__name__] += 1
