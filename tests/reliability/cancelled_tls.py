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
    near, far = wires(0)  # nothing is sent before somebody receives it
    client, server = await shake_hands(near, far, version="1.3")
    told: list[bool] = []

    async def hear_of_the_end() -> None:
        await wait_all_tasks_blocked()
        with pytest.raises(EndOfStream):
            await server.receive()
        told.append(True)

    async def finish(outcome: Outcome) -> None:
        async with create_task_group() as tg:
            if not told:
                tg.start_soon(hear_of_the_end)
            await client.send_eof()  # again, and silent if it was told
        assert told == [True]
        async with create_task_group() as tg:
            tg.start_soon(server.send, MESSAGE)
            assert await receive_exactly(client, len(MESSAGE)) == MESSAGE

    yield Case(client.send_eof, finish, hear_of_the_end)
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

    # It may be receiving and sending in a task group of its own.
    yield Case(client.unwrap, finish, do_the_same, patience=3)
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
    yield Case(client.aclose, finish, leave_as_well, patience=4)
    await near.aclose()
    await far.aclose()
