"""Serving at most so many connections at once."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from backends import BackendUnderTest
from socket_peers import HOST, listening, open_descriptors, port_of, reset, until
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import BusyResourceError, ClosedResourceError, EndOfStream
from penstock.abc import SocketStream
from penstock.streams.stapled import MultiListener


class Handlers:
    """Handlers that run until they are let go, and are counted."""

    def __init__(self) -> None:
        self.running = self.most = self.ended = 0
        self.let_go: list[penstock.Event] = []

    async def __call__(self, stream: SocketStream) -> None:
        async with stream:
            self.running += 1
            self.most = max(self.most, self.running)
            self.let_go.append(gate := penstock.Event())
            try:
                await gate.wait()
            finally:
                self.running -= 1
                self.ended += 1


async def two_listeners() -> tuple[MultiListener[SocketStream], list[int]]:
    both = MultiListener(
        [await penstock.create_tcp_listener(local_host=HOST) for _ in range(2)],
    )
    return both, [port_of(listener) for listener in both.listeners]


@pytest.mark.parametrize("given", [False, True], ids=["own group", "given group"])
@pytest.mark.parametrize("listeners", [1, 2])
async def test_200_connections_at_once_are_served_three_at_a_time(
    listeners: int, given: bool
) -> None:
    handlers = Handlers()
    multi, ports = await two_listeners()
    if listeners == 1:
        await multi.listeners.pop().aclose()
    async with multi, penstock.create_task_group() as tg:
        with ExitStack() as stack:
            for number in range(200):
                address = HOST, ports[number % listeners]
                stack.enter_context(socket.create_connection(address))

            async def serve() -> None:
                group = [tg] if given else []
                await multi.serve(handlers, *group, max_connections=3)

            tg.start_soon(serve)
            while handlers.ended < 200:
                await until(lambda: len(handlers.let_go) == min(handlers.ended + 3, 200))
                assert multi.statistics().open_handlers == handlers.running
                handlers.let_go[handlers.ended].set()
                ended = handlers.ended
                await until(lambda: handlers.ended > ended)  # noqa: B023
            assert handlers.most == 3
            tg.cancel_scope.cancel()


async def test_at_the_limit_connections_stay_in_the_queue_and_nothing_spins() -> None:
    handlers = Handlers()
    async with listening() as (listener, port), penstock.create_task_group() as tg:
        with ExitStack() as stack:
            tg.start_soon(lambda: listener.serve(handlers, max_connections=2))
            for _ in range(10):
                stack.enter_context(socket.create_connection((HOST, port)))
            await until(lambda: handlers.running == 2)
            await penstock.wait_all_tasks_blocked()
            before, worked = open_descriptors(), time.thread_time()
            await penstock.sleep(0.3)  # the work that is done meanwhile is what counts
            assert time.thread_time() - worked < 0.1
            assert open_descriptors() == before
            assert listener.statistics().accepted == 2
            tg.cancel_scope.cancel()


async def test_a_handler_that_lets_an_error_out_makes_room_for_the_next() -> None:
    served = []

    async def handler(stream: SocketStream) -> None:
        served.append(stream)
        raise EndOfStream

    async with listening() as (listener, port), penstock.create_task_group() as tg:
        with ExitStack() as stack:
            for _ in range(5):
                stack.enter_context(socket.create_connection((HOST, port)))
            tg.start_soon(lambda: listener.serve(handler, max_connections=1))
            await until(lambda: len(served) == 5)
            tg.cancel_scope.cancel()


async def test_peers_that_connect_and_reset_at_once_take_no_place_for_long() -> None:
    ended = []

    async def handler(stream: SocketStream) -> None:
        async with stream:
            try:
                await stream.receive()
            finally:
                ended.append(stream)

    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(lambda: listener.serve(handler, max_connections=3))
        for _ in range(50):
            reset(socket.create_connection((HOST, port)))
        with socket.create_connection((HOST, port)) as peer:
            peer.sendall(b"x")
            await until(lambda: len(ended) == 51 and not listener.statistics().open_handlers)
        assert listener.statistics().lost_connections == 50
        tg.cancel_scope.cancel()


async def test_closing_ends_a_serve_that_is_at_its_limit() -> None:
    handlers = Handlers()
    ended = []

    async def serve() -> None:
        with pytest.raises(ClosedResourceError):
            await listener.serve(handlers, tg, max_connections=1)
        ended.append(True)

    async with listening() as (listener, port), penstock.create_task_group() as tg:
        with socket.create_connection((HOST, port)):
            tg.start_soon(serve)
            await until(lambda: handlers.running)
            await penstock.wait_all_tasks_blocked()
            await listener.aclose()
            for _ in range(3):
                await penstock.lowlevel.checkpoint()
            assert ended == [True]
            tg.cancel_scope.cancel()


async def test_a_second_serve_is_busy_while_the_first_is_at_its_limit() -> None:
    handlers = Handlers()
    async with listening() as (listener, port), penstock.create_task_group() as tg:
        with socket.create_connection((HOST, port)):
            tg.start_soon(lambda: listener.serve(handlers, max_connections=1))
            await until(lambda: handlers.running)
            await penstock.wait_all_tasks_blocked()
            with pytest.raises(BusyResourceError):
                await listener.serve(handlers)
            tg.cancel_scope.cancel()


async def test_a_cancelled_serve_at_its_limit_leaves_the_queue_to_the_next() -> None:
    handlers = Handlers()
    async with listening() as (listener, port), penstock.create_task_group() as tg:
        with socket.create_connection((HOST, port)), socket.create_connection((HOST, port)):
            async with penstock.create_task_group() as first:
                first.start_soon(lambda: listener.serve(handlers, tg, max_connections=1))
                await until(lambda: handlers.running == 1)
                await penstock.wait_all_tasks_blocked()
                first.cancel_scope.cancel()
            tg.start_soon(lambda: listener.serve(handlers, tg, max_connections=1))
            await until(lambda: handlers.running == 2)  # each serve counts its own
            tg.cancel_scope.cancel()


async def test_two_listeners_that_fill_the_last_place_at_once_accept_one() -> None:
    """Both accept loops are woken in the same turn."""
    handlers = Handlers()
    both, ports = await two_listeners()
    async with both, penstock.create_task_group() as tg:
        tg.start_soon(lambda: both.serve(handlers, max_connections=1))
        await penstock.wait_all_tasks_blocked()
        for round_ in range(1, 20):
            with socket.create_connection((HOST, ports[0])):
                with socket.create_connection((HOST, ports[1])):
                    for half in (2 * round_ - 1, 2 * round_):
                        await until(lambda: len(handlers.let_go) == half)  # noqa: B023
                        await penstock.wait_all_tasks_blocked()
                        assert handlers.running == 1
                        assert len(handlers.let_go) == half
                        handlers.let_go[-1].set()
            await until(lambda: not handlers.running)
        tg.cancel_scope.cancel()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # nobody is there to close that stream
def test_a_task_that_is_cancelled_before_its_first_step_gives_its_place_back(
    asyncio_backend: BackendUnderTest,
) -> None:
    """asyncio then never runs the coroutine at all."""

    class Spawner:
        """Forgets a task when it is done, as ``asyncio.TaskGroup`` does."""

        def __init__(self) -> None:
            self.tasks: set[asyncio.Task[Any]] = set()
            self.calls = 0

        def start_soon(self, func: Callable[..., Any], /, *args: Any) -> None:
            task = asyncio.get_running_loop().create_task(func(*args))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            self.calls += 1
            if self.calls == 1:
                task.cancel()

    async def main() -> None:
        handlers = Handlers()
        spawner = Spawner()
        async with listening() as (listener, port), penstock.create_task_group() as tg:
            with socket.create_connection((HOST, port)), socket.create_connection((HOST, port)):
                tg.start_soon(lambda: listener.serve(handlers, spawner, max_connections=1))
                await until(lambda: spawner.calls == 2 and handlers.running)
                assert await listener.drain(penstock.current_time()) == 1
        await until(lambda: not spawner.tasks)

    asyncio_backend.run(main)


@pytest.mark.parametrize(
    ("number", "error"),
    [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("3", TypeError), (True, TypeError)],
)
async def test_a_limit_that_is_none_is_refused(number: Any, error: type[Exception]) -> None:
    async with await penstock.create_tcp_listener(local_host=HOST) as multi:
        for listener in (multi, multi.listeners[0]):
            with pytest.raises(error, match="max_connections"):
                await listener.serve(Handlers(), max_connections=number)
