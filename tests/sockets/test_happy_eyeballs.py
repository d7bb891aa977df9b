"""Connecting to names with many addresses: which are tried when, and what is left of the others."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from backends import BackendUnderTest
from connecting_peers import fill_queue, one_port
from connecting_peers import naming as naming
from socket_peers import HOST, listening, no_free_descriptor, open_descriptors, raw_socket_of, until
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock.abc import SocketAttribute
from penstock.lowlevel import checkpoint, set_ready_budget

Operation = Callable[[], Awaitable[Any]]
#: Runs an operation, and cancels it after so many turns.
Canceller = Callable[[Operation, int], Awaitable[list[Any]]]

OTHERS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that connections were attempted to, in order."""
    seen: list[str] = []

    class Observed(socket.socket):
        def connect_ex(self, address: Any) -> int:
            seen.append(address[0])
            return super().connect_ex(address)

    monkeypatch.setattr(socket, "socket", Observed)
    return seen


async def remote_host_of(connecting: Awaitable[Any]) -> str:
    async with await connecting as stream:
        host: str = stream.extra(SocketAttribute.remote_address)[0]
        return host


@contextmanager
def silent(*hosts: str, answering: str | None = None) -> Iterator[int]:
    """A port that is silent at ``hosts``, and where a server answers at ``answering``."""
    with ExitStack() as stack:
        everywhere = hosts if answering is None else (*hosts, answering)
        port, servers = stack.enter_context(one_port(*everywhere))
        for server in servers[: len(hosts)]:
            fill_queue(stack, server)
        if answering is not None:
            servers[-1].listen()
        yield port


async def test_families_take_turns_and_the_first_one_comes_first(
    naming: Any, attempts: list[str]
) -> None:
    hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"]
    with one_port(*hosts) as (port, _):
        naming("many.test", hosts)
        with pytest.raises(OSError, match="All connection attempts failed"):
            await penstock.connect_tcp("many.test", port)
        assert attempts == ["127.0.0.1", "::1", "127.0.0.2", "127.0.0.3"]
        attempts.clear()
        naming("many.test", ["::1", "127.0.0.1", "127.0.0.2"])
        with pytest.raises(OSError, match="All connection attempts failed"):
            await penstock.connect_tcp("many.test", port)
        assert attempts == ["::1", "127.0.0.1", "127.0.0.2"]


async def test_an_address_that_is_listed_twice_is_tried_once(
    naming: Any, attempts: list[str]
) -> None:
    with one_port(HOST) as (port, _):
        naming("double.test", [HOST, HOST])
        with pytest.raises(ConnectionRefusedError):
            await penstock.connect_tcp("double.test", port)
        assert attempts == [HOST]


async def test_the_next_attempt_starts_after_the_delay_beside_the_first(naming: Any) -> None:
    with silent(HOST, answering="127.0.0.2") as port:
        naming("two.test", [HOST, "127.0.0.2"])
        start = penstock.current_time()
        connecting = penstock.connect_tcp("two.test", port, happy_eyeballs_delay=0.1)
        assert await remote_host_of(connecting) == "127.0.0.2"
        assert 0.09 < penstock.current_time() - start < 5


async def test_the_next_attempt_starts_at_once_when_one_fails(naming: Any) -> None:
    with one_port("127.0.0.2", "127.0.0.3") as (port, (refusing, server)):
        server.listen()
        assert refusing
        naming("two.test", ["127.0.0.2", "127.0.0.3"])
        with penstock.fail_after(20):
            connecting = penstock.connect_tcp("two.test", port, happy_eyeballs_delay=1000)
            assert await remote_host_of(connecting) == "127.0.0.3"


async def test_an_attempt_that_fails_late_makes_the_next_one_start_at_once(naming: Any) -> None:
    """The first one waits, the second one is refused: the third need not wait for its turn."""
    with ExitStack() as stack:
        port, servers = stack.enter_context(one_port(HOST, *OTHERS[:2]))
        fill_queue(stack, servers[0])
        servers[2].listen()
        naming("three.test", [HOST, *OTHERS[:2]])
        with penstock.fail_after(20):
            connecting = penstock.connect_tcp("three.test", port, happy_eyeballs_delay=0.2)
            start = penstock.current_time()
            assert await remote_host_of(connecting) == "127.0.0.3"
            assert penstock.current_time() - start < 0.39


async def test_without_a_delay_there_is_one_attempt_at_a_time(
    naming: Any, attempts: list[str]
) -> None:
    with silent(HOST, answering="127.0.0.2") as port:
        naming("two.test", [HOST, "127.0.0.2"])
        with penstock.move_on_after(0.4) as scope:
            await penstock.connect_tcp("two.test", port, happy_eyeballs_delay=None)
        assert scope.cancelled_caught
        assert attempts == [HOST]


async def test_a_delay_of_nothing_starts_them_all(naming: Any) -> None:
    with silent(HOST, *OTHERS[:2], answering=OTHERS[2]) as port:
        naming("four.test", [HOST, *OTHERS])
        connecting = penstock.connect_tcp("four.test", port, happy_eyeballs_delay=0)
        assert await remote_host_of(connecting) == OTHERS[2]


async def test_of_two_that_answer_at_the_same_moment_one_wins_and_the_other_is_closed(
    naming: Any,
) -> None:
    """The event loop rests until both attempts have succeeded."""
    with ExitStack() as stack:
        hosts = (HOST, "127.0.0.2")
        port, servers = stack.enter_context(one_port(*hosts))
        for server in servers:
            fill_queue(stack, server)
        naming("two.test", hosts)
        async with listening():  # opens the poller
            pass
        before = open_descriptors()
        streams = []

        async def connect() -> None:
            streams.append(await penstock.connect_tcp("two.test", port, happy_eyeballs_delay=0))

        async with penstock.create_task_group() as tg:
            tg.start_soon(connect)
            await until(lambda: len(open_descriptors() - before) == 2)
            connecting = open_descriptors() - before
            rest_until_connected(connecting, servers)
        async with streams[0] as stream:  # the one that was tried first
            assert stream.extra(SocketAttribute.remote_address) == (HOST, port)
            assert open_descriptors() - before == {raw_socket_of(stream).fileno()}


def rest_until_connected(connecting: set[int], servers: list[socket.socket]) -> None:
    """Make room in the queues of ``servers``, with the event loop at rest.

    The system tries to connect again after a second.
    """
    deadline = time.monotonic() + 20
    while not all(map(is_connected, connecting)):
        assert time.monotonic() < deadline
        for server in servers:
            server.settimeout(0.01)
            with suppress(TimeoutError):
                server.accept()[0].close()


def is_connected(fd: int) -> bool:
    sock = socket.socket(fileno=fd)
    try:
        sock.getpeername()
    except OSError:
        return False
    finally:
        sock.detach()
    return True


async def test_all_attempts_that_failed_are_the_cause_in_their_order(naming: Any) -> None:
    with one_port(HOST, *OTHERS) as (port, _):
        naming("four.test", [HOST, *OTHERS])
        with pytest.raises(OSError, match=f"four.test:{port}") as caught:
            await penstock.connect_tcp("four.test", port)
        cause = caught.value.__cause__
        assert isinstance(cause, ExceptionGroup)
        assert [str(exc).split()[-1] for exc in cause.exceptions] == [
            f"{host}:{port}" for host in (HOST, *OTHERS)
        ]


# -- nothing is left behind ----------------------------------------------------------------


async def test_the_sockets_of_losers_are_closed(naming: Any) -> None:
    with silent(HOST, *OTHERS[:2], answering=OTHERS[2]) as port:
        naming("four.test", [HOST, *OTHERS])
        async with listening():  # opens the poller
            pass
        before = open_descriptors()
        async with await penstock.connect_tcp("four.test", port, happy_eyeballs_delay=0.01):
            assert len(open_descriptors() - before) == 1


async def test_a_time_limit_closes_every_socket(naming: Any) -> None:
    with silent(HOST, *OTHERS) as port:
        naming("four.test", [HOST, *OTHERS])
        async with listening():  # opens the poller
            pass
        before = open_descriptors()
        with penstock.move_on_after(0.2) as scope:
            await penstock.connect_tcp("four.test", port, happy_eyeballs_delay=0.01)
        assert scope.cancelled_caught
        assert open_descriptors() == before


async def test_a_cancellation_while_the_delay_runs_out_is_not_swallowed(naming: Any) -> None:
    """The scope around ends at the very moment at which the next attempt is due."""
    with silent(HOST, *OTHERS) as port:
        naming("four.test", [HOST, *OTHERS])
        for number in range(30):
            with penstock.move_on_after(0.02 + number / 10_000) as scope:
                await penstock.connect_tcp("four.test", port, happy_eyeballs_delay=0.02)
            assert scope.cancelled_caught


async def attempts_are_cancelled(cancel: Canceller, port: int) -> None:
    """Cancel at every turn; two attempts wait, a third one would succeed."""

    async def connect() -> Any:
        return await penstock.connect_tcp("three.test", port, happy_eyeballs_delay=0)

    async with listening():  # opens the poller
        pass
    before = open_descriptors()
    for turns in range(12):
        streams = await cancel(connect, turns)
        assert len(open_descriptors() - before) == len(streams)
        for stream in streams:
            await stream.aclose()
        assert open_descriptors() == before


async def by_scope(operation: Operation, turns: int) -> list[Any]:
    results = []

    async def run() -> None:
        results.append(await operation())

    async with penstock.create_task_group() as tg:
        tg.start_soon(run)
        for _ in range(turns):
            await checkpoint()
        tg.cancel_scope.cancel()
    return results


async def by_task(operation: Operation, turns: int) -> list[Any]:
    async def run() -> Any:
        return await operation()

    task = asyncio.create_task(run())
    for _ in range(turns):
        await checkpoint()
    task.cancel()
    try:
        return [await task]
    except asyncio.CancelledError:
        return []


@pytest.mark.parametrize("answering", [OTHERS[1], None], ids=["answered", "silent"])
async def test_a_scope_cancelled_at_any_turn_leaves_no_descriptor(
    naming: Any, answering: str | None
) -> None:
    with silent(HOST, OTHERS[0], answering=answering) as port:
        naming("three.test", [HOST, *OTHERS[: 2 if answering else 1]])
        await attempts_are_cancelled(by_scope, port)


@pytest.mark.parametrize("answering", [OTHERS[1], None], ids=["answered", "silent"])
def test_a_task_cancelled_at_any_turn_leaves_no_descriptor(
    naming: Any, answering: str | None, asyncio_backend: BackendUnderTest
) -> None:
    with silent(HOST, OTHERS[0], answering=answering) as port:
        naming("three.test", [HOST, *OTHERS[: 2 if answering else 1]])
        asyncio_backend.run(attempts_are_cancelled, by_task, port)


async def test_without_epoll_attempts_run_side_by_side_too(
    naming: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock._readiness.HAVE_EPOLL", False)
    with silent(HOST, *OTHERS[:2], answering=OTHERS[2]) as port:
        naming("four.test", [HOST, *OTHERS])
        connecting = penstock.connect_tcp("four.test", port, happy_eyeballs_delay=0.01)
        assert await remote_host_of(connecting) == OTHERS[2]


async def test_attempts_run_side_by_side_while_every_operation_yields(naming: Any) -> None:
    set_ready_budget(1)
    with silent(HOST, *OTHERS[:2], answering=OTHERS[2]) as port:
        naming("four.test", [HOST, *OTHERS])
        connecting = penstock.connect_tcp("four.test", port, happy_eyeballs_delay=0.01)
        assert await remote_host_of(connecting) == OTHERS[2]


async def test_without_descriptors_the_attempts_fail_and_say_so(naming: Any) -> None:
    with one_port(HOST, "127.0.0.2") as (port, servers):
        for server in servers:
            server.listen()
        naming("two.test", [HOST, "127.0.0.2"])
        async with listening():  # opens the poller
            pass
        before = open_descriptors()
        with no_free_descriptor(), pytest.raises(OSError, match="All connection") as caught:
            await penstock.connect_tcp(HOST, port)
        assert caught.value.errno == errno.EMFILE
        assert os.strerror(errno.EMFILE) in str(caught.value.__cause__)
        with no_free_descriptor(), pytest.raises(OSError, match="All connection") as caught:
            await penstock.connect_tcp("two.test", port)
        assert isinstance(caught.value.__cause__, ExceptionGroup)
        assert open_descriptors() == before
        async with await penstock.connect_tcp("two.test", port):
            pass


async def test_an_attempt_under_way_survives_that_the_next_one_has_no_descriptor(
    naming: Any,
) -> None:
    with ExitStack() as stack:
        port, (server, other) = stack.enter_context(one_port(HOST, "127.0.0.2"))
        fill_queue(stack, server)
        other.listen()
        naming("two.test", [HOST, "127.0.0.2"])
        async with listening():  # opens the poller
            pass
        streams = []

        async def connect() -> None:
            streams.append(await penstock.connect_tcp("two.test", port, happy_eyeballs_delay=0.05))

        async with penstock.create_task_group() as tg:
            held = stack.enter_context(ExitStack())
            tg.start_soon(connect)
            before = open_descriptors()
            await until(lambda: len(open_descriptors() - before) == 1)
            held.enter_context(no_free_descriptor())
            await penstock.sleep(0.1)
            held.close()
            server.setblocking(False)
            while not streams:  # make room in the queue; the system tries again in a second
                try:
                    stack.enter_context(server.accept()[0])
                except BlockingIOError:
                    await penstock.sleep(0.01)
        async with streams[0] as stream:
            assert stream.extra(SocketAttribute.remote_address) == (HOST, port)


async def test_a_server_that_goes_away_while_connecting_ends_the_attempt(naming: Any) -> None:
    with ExitStack() as stack:
        port, (server, other) = stack.enter_context(one_port(HOST, "127.0.0.2"))
        fill_queue(stack, server)
        other.listen()
        naming("two.test", [HOST, "127.0.0.2"])

        async def go_away() -> None:
            await penstock.wait_all_tasks_blocked()
            server.close()  # the system's next try, after a second, is refused

        async with penstock.create_task_group() as tg:
            tg.start_soon(go_away)
            with penstock.fail_after(20):
                connecting = penstock.connect_tcp("two.test", port, happy_eyeballs_delay=None)
                assert await remote_host_of(connecting) == "127.0.0.2"


async def test_a_success_leaves_no_cycle_with_the_attempts_that_failed(naming: Any) -> None:
    with one_port(HOST, "127.0.0.2") as (port, (_, server)):
        server.listen()
        naming("two.test", [HOST, "127.0.0.2"])
        gc.collect()
        gc.disable()
        try:
            gc.set_debug(gc.DEBUG_SAVEALL)
            async with await penstock.connect_tcp("two.test", port):
                pass
            gc.collect()
            assert [found for found in gc.garbage if isinstance(found, OSError)] == []
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()


# -- bad input -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delay", "error"),
    [(-1, ValueError), (-0.1, ValueError), (float("nan"), ValueError), ("1", TypeError)],
    ids=repr,
)
async def test_a_bad_delay_is_refused_before_anything(
    delay: Any, error: type[Exception], attempts: list[str]
) -> None:
    with pytest.raises(error, match=f"happy_eyeballs_delay .*{delay}"):
        await penstock.connect_tcp(HOST, 80, happy_eyeballs_delay=delay)
    assert attempts == []
