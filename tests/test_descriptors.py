"""Waiting for descriptors that a program reads and writes by itself."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import anyio
import pytest
import trio
from backends import BackendUnderTest

import penstock
from penstock import BusyResourceError, ClosedResourceError, wait_readable, wait_writable


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    with left, right:
        yield left, right


def fill(sock: socket.socket) -> None:
    try:
        while True:
            sock.send(bytes(1 << 16))
    except BlockingIOError:
        pass


def drain(sock: socket.socket) -> None:
    try:
        while sock.recv(1 << 20):
            pass
    except BlockingIOError:
        pass


AS: dict[str, Callable[[socket.socket], Any]] = {
    "a socket": lambda sock: sock,
    "a descriptor": lambda sock: sock.fileno(),
}
every_kind = pytest.mark.parametrize("kind", AS.values(), ids=AS)


@every_kind
async def test_wait_readable_ends_when_there_is_something(pair: Any, kind: Any) -> None:
    done = []

    async def wait() -> None:
        await wait_readable(kind(pair[0]))
        done.append(pair[0].recv(10))

    async with penstock.create_task_group() as tg:
        tg.start_soon(wait)
        await penstock.wait_all_tasks_blocked()
        assert done == []
        pair[1].send(b"x")
    assert done == [b"x"]


@every_kind
async def test_wait_writable_ends_when_there_is_room(pair: Any, kind: Any) -> None:
    done = []

    async def wait() -> None:
        await wait_writable(kind(pair[0]))
        done.append(pair[0].send(b"x"))

    fill(pair[0])
    async with penstock.create_task_group() as tg:
        tg.start_soon(wait)
        await penstock.wait_all_tasks_blocked()
        assert done == []
        drain(pair[1])
    assert done == [1]


async def test_what_is_ready_is_ready_again_until_it_was_read(pair: Any) -> None:
    pair[1].send(b"x")
    for _ in range(3):
        await wait_readable(pair[0])
        await wait_writable(pair[0])
    assert pair[0].recv(10) == b"x"


async def test_a_wait_lets_other_tasks_run(pair: Any) -> None:
    ran = []

    async def other() -> None:
        ran.append(True)

    async with penstock.create_task_group() as tg:
        tg.start_soon(other)
        await wait_writable(pair[0])
        assert ran


async def test_pipes_can_be_waited_for() -> None:
    reading, writing = os.pipe()
    try:
        await wait_writable(writing)
        os.write(writing, b"x")
        await wait_readable(reading)
        assert os.read(reading, 10) == b"x"
    finally:
        os.close(reading)
        os.close(writing)


async def test_the_end_of_a_stream_is_something_to_read(pair: Any) -> None:
    pair[1].close()
    await wait_readable(pair[0])
    assert pair[0].recv(1) == b""


async def test_one_descriptor_may_be_waited_for_in_both_directions(pair: Any) -> None:
    done = []

    async def reader() -> None:
        await wait_readable(pair[0])
        done.append("read")

    fill(pair[0])
    async with penstock.create_task_group() as tg:
        tg.start_soon(reader)
        await penstock.wait_all_tasks_blocked()
        drain(pair[1])
        await wait_writable(pair[0])
        assert done == []
        pair[1].send(b"x")
    assert done == ["read"]


@pytest.mark.parametrize("wait", [wait_readable, wait_writable])
async def test_two_tasks_cannot_wait_for_the_same(pair: Any, wait: Any) -> None:
    fill(pair[0])
    async with penstock.create_task_group() as tg:
        tg.start_soon(wait, pair[0])
        await penstock.wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError, match=r"reading from|writing to") as caught:
            await wait(pair[0].fileno())
        assert caught.value.action == ("reading from" if wait is wait_readable else "writing to")
        await penstock.wait_all_tasks_blocked()  # the first one is not disturbed
        assert len(penstock.get_running_tasks()) >= 2
        tg.cancel_scope.cancel()


# -- cancelling ----------------------------------------------------------------------------


@pytest.mark.parametrize("wait", [wait_readable, wait_writable])
async def test_a_cancelled_wait_leaves_nothing_behind(pair: Any, wait: Any) -> None:
    fill(pair[0])
    for _ in range(3):
        async with penstock.create_task_group() as tg:
            tg.start_soon(wait, pair[0])
            await penstock.wait_all_tasks_blocked()
            tg.cancel_scope.cancel()
    penstock.notify_closing(pair[0])
    drain(pair[1])
    pair[1].send(b"x")
    await wait(pair[0])


async def test_a_pending_cancellation_is_raised(pair: Any) -> None:
    pair[1].send(b"x")
    for wait in (wait_readable, wait_writable):
        with penstock.CancelScope() as scope:
            scope.cancel()
            await wait(pair[0])
        assert scope.cancelled_caught


def test_a_task_cancelled_natively_leaves_nothing_behind(
    pair: Any, asyncio_backend: BackendUnderTest
) -> None:
    async def main() -> None:
        for ready_first in (False, True):
            task = asyncio.ensure_future(wait_readable(pair[0]))
            await asyncio.sleep(0)
            if ready_first:
                pair[1].send(b"x")
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await wait_writable(pair[0])
        await wait_readable(pair[0])

    asyncio_backend.run(main)


def test_a_wait_that_is_cancelled_and_told_of_closing_at_once_ends_quietly(
    pair: Any, asyncio_backend: BackendUnderTest
) -> None:
    async def main() -> None:
        for cancel_first in (False, True):
            task = asyncio.ensure_future(wait_readable(pair[0]))
            await asyncio.sleep(0)
            if cancel_first:
                task.cancel()
            penstock.notify_closing(pair[0])
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio_backend.run(main)


# -- closing -------------------------------------------------------------------------------


@every_kind
async def test_notify_closing_ends_the_waits_in_both_directions(pair: Any, kind: Any) -> None:
    ended = []

    async def wait(func: Any) -> None:
        with pytest.raises(ClosedResourceError):
            await func(kind(pair[0]))
        ended.append(func)

    fill(pair[0])
    async with penstock.create_task_group() as tg:
        tg.start_soon(wait, wait_readable)
        tg.start_soon(wait, wait_writable)
        await penstock.wait_all_tasks_blocked()
        penstock.notify_closing(kind(pair[0]))
        pair[0].close()
    assert len(ended) == 2


async def test_notify_closing_leaves_other_descriptors_alone(pair: Any) -> None:
    done = []

    async def wait() -> None:
        await wait_readable(pair[0])
        done.append(True)

    async with penstock.create_task_group() as tg:
        tg.start_soon(wait)
        await penstock.wait_all_tasks_blocked()
        penstock.notify_closing(pair[1])
        await penstock.wait_all_tasks_blocked()
        assert done == []
        pair[1].send(b"x")
    assert done == [True]


async def test_a_descriptor_that_was_closed_and_came_back_can_be_waited_for(pair: Any) -> None:
    async def wait() -> None:
        with pytest.raises(ClosedResourceError):
            await wait_readable(pair[0])

    async with penstock.create_task_group() as tg:
        tg.start_soon(wait)
        await penstock.wait_all_tasks_blocked()
        number = pair[0].fileno()
        penstock.notify_closing(pair[0])
        pair[0].close()
        with closing(socket.socket(fileno=os.dup2(pair[1].fileno(), number))) as again:
            await wait_writable(again)
            penstock.notify_closing(again)


def test_trio_hears_of_closing_and_tells_of_it(pair: Any) -> None:
    async def wait_and_hear() -> None:
        with pytest.raises(ClosedResourceError):
            await wait_readable(pair[0])

    async def tell() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await trio.lowlevel.wait_readable(pair[0])

    async def main() -> None:
        for func, notify in (
            (wait_and_hear, trio.lowlevel.notify_closing),
            (tell, penstock.notify_closing),
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(func)
                await trio.testing.wait_all_tasks_blocked()
                notify(pair[0])

    trio.run(main)


@pytest.mark.parametrize("backend_name", ["asyncio", "trio"])
def test_waits_work_in_a_program_of_anyio(pair: Any, backend_name: str) -> None:
    async def main() -> None:
        with anyio.move_on_after(0.01) as scope:
            await wait_readable(pair[0])
        assert scope.cancelled_caught
        pair[1].send(b"x")
        await wait_readable(pair[0])

    anyio.run(main, backend=backend_name)


# -- bad input -----------------------------------------------------------------------------


@pytest.mark.parametrize("obj", ["0", None, 1.5, b"1", object()], ids=repr)
async def test_what_has_no_descriptor_is_a_type_error(obj: Any) -> None:
    for func in (wait_readable, wait_writable):
        with pytest.raises(TypeError, match="expected a descriptor"):
            await func(obj)
    with pytest.raises(TypeError, match="expected a descriptor"):
        penstock.notify_closing(obj)


async def test_a_negative_descriptor_is_a_value_error() -> None:
    for func in (wait_readable, wait_writable):
        with pytest.raises(ValueError, match="negative: -5"):
            await func(-5)


async def test_a_closed_socket_is_closed() -> None:
    sock = socket.socket()
    sock.close()
    for func in (wait_readable, wait_writable):
        with pytest.raises(ClosedResourceError):
            await func(sock)


async def test_a_descriptor_that_is_not_open_is_an_os_error(pair: Any) -> None:
    number = os.dup(0)
    os.close(number)
    for _ in range(2):  # and again: nothing is left of the first one
        for func in (wait_readable, wait_writable):
            with pytest.raises(OSError, match=r"[Bb]ad file"):
                await func(number)


async def test_a_file_on_a_disk_is_an_os_error(tmp_path: Any) -> None:
    with open(tmp_path / "file", "wb") as file:
        for func in (wait_readable, wait_writable):
            with pytest.raises(OSError, match=r"[Pp]erm"):
                await func(file)


def test_outside_an_event_loop_it_says_so(pair: Any) -> None:
    for func in (wait_readable, wait_writable):
        with pytest.raises(penstock.NoEventLoopError):
            func(pair[0]).send(None)
    with pytest.raises(penstock.NoEventLoopError):
        penstock.notify_closing(pair[0])
