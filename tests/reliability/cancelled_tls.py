"""What is cancelled everywhere: TLS streams, over a wire in memory and over TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from await_points import Case, Outcome, operation
from tls_peers import (
    client_context,
    receive_exactly,
    server_context,
    shake_hands,
    tcp,
    wires,
)

from penstock import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    create_task_group,
    wait_all_tasks_blocked,
)
from penstock.streams.tls import TLSStream

MESSAGE = b"a message"
#: Several records, and more than the wire holds.
LARGE = bytes(range(256)) * 200


async def ends(transport: str, version: str) -> tuple[Any, Any, TLSStream, TLSStream]:
    near, far = wires(2) if transport == "memory" else await tcp()
    client, server = await shake_hands(near, far, version=version)
    return near, far, client, server


@operation("tls 1.2: wrap", "memory", "1.2")
@operation("tls 1.3: wrap", "memory", "1.3")
@operation("tls 1.3 over tcp: wrap", "tcp", "1.3")
async def wrap(transport: str, version: str) -> AsyncIterator[Case]:
    near, far = wires(2) if transport == "memory" else await tcp()
    served: list[TLSStream] = []

    async def serve() -> None:
        served.append(await TLSStream.wrap(far, ssl_context=server_context(version=version)))

    async def shake() -> TLSStream:
        return await TLSStream.wrap(near, hostname="localhost", ssl_context=client_context(version))

    async def finish(outcome: Outcome) -> None:
        if outcome.ended:
            await outcome.result.send(MESSAGE)
            assert await served[0].receive() == MESSAGE

    # A handshake that was cancelled leaves a transport to be closed.
    yield Case(shake, finish, serve)
    await near.aclose()
    await far.aclose()


@operation("tls 1.2: receive", "memory", "1.2")
@operation("tls 1.3: receive", "memory", "1.3")
@operation("tls 1.3 over tcp: receive", "tcp", "1.3")
async def receive(transport: str, version: str) -> AsyncIterator[Case]:
    near, far, client, server = await ends(transport, version)

    async def arrive() -> None:
        await wait_all_tasks_blocked()
        await server.send(MESSAGE)

    async def finish(outcome: Outcome) -> None:
        received = outcome.result if outcome.ended else b""
        assert received + await receive_exactly(client, len(MESSAGE) - len(received)) == MESSAGE
        await server.send(b"next")
        assert await client.receive() == b"next"

    yield Case(client.receive, finish, arrive)
    await near.aclose()
    await far.aclose()


@operation("tls 1.2: send", "memory", "1.2")
@operation("tls 1.3: send", "memory", "1.3")
@operation("tls 1.3 over tcp: send", "tcp", "1.3")
async def send(transport: str, version: str) -> AsyncIterator[Case]:
    near, far, client, server = await ends(transport, version)
    data = LARGE if transport == "memory" else LARGE * 100
    received = bytearray()

    async def take(nbytes: int) -> None:
        while len(received) < nbytes:
            received.extend(await server.receive())

    async def take_all() -> None:
        await wait_all_tasks_blocked()
        await take(len(data))

    async def finish(outcome: Outcome) -> None:
        partial = client.partial_send
        assert (partial is None) is outcome.ended
        async with create_task_group() as tg:
            tg.start_soon(take, len(data) + 4)
            if partial is not None:
                await client.send(data[partial:])
            await client.send(b"last")
        assert received == data + b"last"

    yield Case(lambda: client.send(data), finish, take_all)
    await near.aclose()
    await far.aclose()


@operation("tls 1.3: send_eof")
async def send_eof() -> AsyncIterator[Case]:
    near, far, client, server = await ends("memory", "1.3")
    for _ in range(2):
        await near._sending.send(b"")  # no room on the wire

    async def take() -> None:
        await wait_all_tasks_blocked()
        for _ in range(2):
            assert await near_items.receive() == b""

    near_items = far._receiving

    async def finish(outcome: Outcome) -> None:
        while near_items.statistics().current_buffer_used and not outcome.ended:
            if await near_items.receive() != b"":
                raise AssertionError("it was sent out of turn")
        await client.send_eof()
        async with create_task_group() as tg:
            tg.start_soon(server.send, MESSAGE)
            assert await receive_exactly(client, len(MESSAGE)) == MESSAGE
        if not outcome.ended:  # the announcement goes with whatever is done next
            async with create_task_group() as tg:
                tg.start_soon(ended, server)
                await wait_all_tasks_blocked()
                try:
                    await client.aclose()
                finally:
                    tg.cancel_scope.cancel()
        else:
            await ended(server)

    async def ended(stream: TLSStream) -> None:
        try:
            assert await stream.receive() == b""
        except EndOfStream:
            pass

    yield Case(client.send_eof, finish, take)
    await near.aclose()
    await far.aclose()


@operation("tls 1.2: unwrap", "memory", "1.2")
@operation("tls 1.3: unwrap", "memory", "1.3")
@operation("tls 1.3 over tcp: unwrap", "tcp", "1.3")
async def unwrap(transport: str, version: str) -> AsyncIterator[Case]:
    near, far, client, server = await ends(transport, version)
    unwrapped: list[Any] = []

    async def do_the_same() -> None:
        await wait_all_tasks_blocked()
        unwrapped.append(await server.unwrap())

    async def finish(outcome: Outcome) -> None:
        async with create_task_group() as tg:
            if not unwrapped:
                tg.start_soon(do_the_same)
            if not outcome.ended:
                outcome.result = await client.unwrap()
        stream, rest = outcome.result
        assert (stream, rest) == (near, b"")
        assert unwrapped == [(far, b"")]
        await near.send(b"in the clear")
        assert await far.receive() == b"in the clear"

    yield Case(client.unwrap, finish, do_the_same)
    await near.aclose()
    await far.aclose()


@operation("tls 1.2: aclose", "memory", "1.2")
@operation("tls 1.3: aclose", "memory", "1.3")
@operation("tls 1.3 over tcp: aclose", "tcp", "1.3")
async def aclose(transport: str, version: str) -> AsyncIterator[Case]:
    near, far, client, server = await ends(transport, version)
    await client.send(MESSAGE)

    told: list[str] = []

    async def leave_as_well() -> None:
        await wait_all_tasks_blocked()
        assert await server.receive() == MESSAGE
        try:
            await server.receive()
        except EndOfStream:
            told.append("the end")
        except BrokenResourceError:  # it went without an announcement, which is no end
            told.append("a cut")
        await server.aclose()

    async def finish(outcome: Outcome) -> None:
        assert told == ["the end"] or (told == ["a cut"] and not outcome.ended)
        with pytest.raises(ClosedResourceError):
            await client.receive()
        with pytest.raises(ClosedResourceError):
            await near.receive()

    # A task group of its own receives and sends; then the transport is closed.
    yield Case(client.aclose, finish, leave_as_well, patience=3)
    await near.aclose()
    await far.aclose()
