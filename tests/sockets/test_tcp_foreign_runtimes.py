"""TCP inside the event loops and cancel scopes of others: asyncio, AnyIO, Trio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import trio
from socket_peers import HOST, connected, listening
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock

Main = Callable[[], Awaitable[None]]

RUNTIMES: dict[str, Callable[[Main], None]] = {
    "asyncio": lambda main: asyncio.run(main()),  # type: ignore[arg-type]
    "anyio on asyncio": lambda main: anyio.run(main, backend="asyncio"),
    "anyio on uvloop": lambda main: anyio.run(
        main, backend="asyncio", backend_options={"use_uvloop": True}
    ),
    "anyio on trio": lambda main: anyio.run(main, backend="trio"),
    "trio": lambda main: trio.run(main),
}
every_runtime = pytest.mark.parametrize("run", RUNTIMES.values(), ids=RUNTIMES)
every_anyio = pytest.mark.parametrize(
    "run",
    [r for n, r in RUNTIMES.items() if "anyio" in n],
    ids=[n for n in RUNTIMES if "anyio" in n],
)


@every_runtime
def test_streams_work_in_every_runtime(run: Callable[[Main], None]) -> None:
    async def echo(stream: Any) -> None:
        async with stream:
            async for data in stream:
                await stream.send(data)

    async def main() -> None:
        async with listening() as (listener, port), penstock.create_task_group() as tg:
            tg.start_soon(listener.serve, echo)
            async with await penstock.connect_tcp("localhost", port) as stream:
                for number in range(300):  # more than the ready budget
                    await stream.send(b"%d" % number)
                    assert await stream.receive() == b"%d" % number
            tg.cancel_scope.cancel()

    run(main)


@every_anyio
def test_a_receive_in_a_cancelled_scope_of_anyio_loses_nothing(run: Any) -> None:
    async def main() -> None:
        async with connected() as (stream, peer):
            with anyio.move_on_after(0.01) as scope:
                await stream.receive()
            assert scope.cancelled_caught
            for turns in range(8):
                got: list[bytes] = []

                async def receive() -> None:
                    got.append(await stream.receive())  # noqa: B023

                async with anyio.create_task_group() as tg:
                    tg.start_soon(receive)
                    await anyio.wait_all_tasks_blocked()
                    peer.sendall(b"x")
                    for _ in range(turns):
                        await anyio.lowlevel.checkpoint()
                    tg.cancel_scope.cancel()
                assert (got or [await stream.receive()]) == [b"x"]

    run(main)


@every_anyio
def test_an_accept_in_a_cancelled_scope_of_anyio_loses_nothing(run: Any) -> None:
    async def main() -> None:
        async with listening() as (listener, port):
            with anyio.move_on_after(0.01) as scope:
                await listener.accept()
            assert scope.cancelled_caught
            for turns in range(8):
                got: list[Any] = []

                async def accept() -> None:
                    got.append(await listener.accept())  # noqa: B023

                async with anyio.create_task_group() as tg:
                    tg.start_soon(accept)
                    await anyio.wait_all_tasks_blocked()
                    client = await penstock.connect_tcp(HOST, port)
                    for _ in range(turns):
                        await anyio.lowlevel.checkpoint()
                    tg.cancel_scope.cancel()
                async with client, (got or [await listener.accept()])[0] as stream:
                    await stream.send(b"x")
                    assert await client.receive() == b"x"

    run(main)


@every_anyio
def test_a_send_in_a_cancelled_scope_of_anyio_says_what_went_out(run: Any) -> None:
    async def main() -> None:
        async with connected() as (stream, _):
            with anyio.move_on_after(0.01) as scope:
                await stream.send(bytes(1 << 25))
            assert scope.cancelled_caught
            assert 0 < stream.partial_send < 1 << 25

    run(main)


def test_a_receive_under_the_time_limits_of_asyncio_loses_nothing() -> None:
    async def main() -> None:
        async with connected() as (stream, peer):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await stream.receive()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stream.receive(), 0.01)
            peer.sendall(b"x")
            assert await asyncio.wait_for(stream.receive(), 10) == b"x"

    asyncio.run(main())


def test_a_time_limit_of_asyncio_is_no_broken_stream() -> None:
    """TimeoutError is an OSError; it is not one of the socket's."""

    async def main() -> None:
        async with connected() as (stream, peer):
            async with asyncio.timeout(None) as limit:
                limit.reschedule(asyncio.get_running_loop().time() + 10)
                peer.sendall(b"x")
                assert await stream.receive() == b"x"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await stream.receive()

    asyncio.run(main())


def test_a_receive_in_a_cancelled_scope_of_trio_loses_nothing() -> None:
    async def main() -> None:
        async with connected() as (stream, peer):
            with trio.move_on_after(0.01) as scope:
                await stream.receive()
            assert scope.cancelled_caught
            peer.sendall(b"x")
            with trio.CancelScope() as scope:
                scope.cancel()
                await stream.receive()
            assert scope.cancelled_caught
            assert await stream.receive() == b"x"

    trio.run(main)
