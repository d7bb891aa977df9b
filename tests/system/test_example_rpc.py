"""The RPC of examples/: its server as a program of its own, its client here and as a program."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from backends import BACKENDS
from system_programs import EXAMPLES, SECONDS, ExampleServer, example_server

import penstock
from penstock import BrokenResourceError, wait_all_tasks_blocked

sys.path.append(str(EXAMPLES))
from rpc import MAX_CALLS, RemoteError, connect

#: For tests in which the event loop of the server counts, and not that of the test.
once = pytest.mark.parametrize("backend", BACKENDS[:1], ids=["asyncio"])


@pytest.fixture(scope="module", params=["uvloop", "trio"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    with example_server("rpc.py", "serve", "--backend", request.param) as server:
        yield server.port
    kinds = {line.partition(b":")[0] for line in server.said.splitlines()}
    assert kinds <= {b"nobody waits for sleep any more", b"a connection has failed"}


async def test_results_and_errors_come_back(port: int) -> None:
    async with connect("127.0.0.1", port) as client:
        assert await client.call("add", 1, 2) == 3
        with pytest.raises(RemoteError, match=r"^ZeroDivisionError: division by zero$"):
            await client.call("divide", 1, 0)
        with pytest.raises(RemoteError, match=r"^KeyError: 'subtract'$"):
            await client.call("subtract", 1, 2)
        with pytest.raises(RemoteError, match=r"^TypeError: .*missing 1 required"):
            await client.call("add", 1)
        assert await client.call("sleep", 0) == "slept well"


async def test_calls_are_answered_when_they_are_done(port: int) -> None:
    done = []

    async def call(function: str, *arguments: Any) -> None:
        done.append(await client.call(function, *arguments))

    async with connect("127.0.0.1", port) as client:
        async with penstock.create_task_group() as tasks:
            tasks.start_soon(call, "sleep", 0.1)
            await wait_all_tasks_blocked()
            for number in range(50):
                tasks.start_soon(call, "add", number, 0)
    assert sorted(done[:-1]) == list(range(50))
    assert done[-1] == "slept well"


async def test_calls_are_cancelled_at_the_other_end(port: int) -> None:
    """As many as there may be: there is place for more only once they have ended."""
    async with connect("127.0.0.1", port) as client:
        for _ in range(3):
            async with penstock.create_task_group() as tasks:
                for _ in range(MAX_CALLS):
                    tasks.start_soon(client.call, "sleep", 3600)
                await wait_all_tasks_blocked()
                with pytest.raises(RemoteError, match="too many calls"):
                    await client.call("add", 1, 2)
                tasks.cancel_scope.cancel()
            with penstock.fail_after(SECONDS):
                while True:
                    try:
                        assert await client.call("add", 1, 2) == 3
                        break
                    except RemoteError:
                        pass  # the server has not come to all of them yet


@once
async def test_garbage_ends_its_own_connection_alone(port: int) -> None:
    async with connect("127.0.0.1", port) as client:
        async with await penstock.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"\0\0\0\x07rubbish")
            with penstock.fail_after(SECONDS):
                assert [data async for data in stream] == []
        assert await client.call("add", 1, 2) == 3


def test_frames_may_come_in_any_pieces(port: int) -> None:
    """To a peer that is no penstock."""
    calls = [{"id": n, "call": "add", "arguments": [n, n]} for n in range(3)]
    frames = [json.dumps(call).encode() for call in calls]
    request = b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames)
    with socket.create_connection(("127.0.0.1", port), SECONDS) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in request:
            sock.sendall(bytes([octet]))
        with sock.makefile("rb") as file:
            answers = [json.loads(file.read(int.from_bytes(file.read(4), "big"))) for _ in calls]
    by_number = sorted(answers, key=lambda answer: answer["id"])
    assert by_number == [{"id": n, "result": 2 * n} for n in range(3)]


@once
async def test_callers_are_told_that_the_server_has_died() -> None:
    server: ExampleServer
    with pytest.raises(pytest.fail.Exception, match=r"rpc\.py has ended with -9"):
        with example_server("rpc.py", "serve") as server:
            async with connect("127.0.0.1", server.port) as client:

                async def call() -> None:
                    with pytest.raises(BrokenResourceError, match="lost"):
                        await client.call("sleep", 3600)

                async with penstock.create_task_group() as tasks:
                    for _ in range(3):
                        tasks.start_soon(call)
                    await wait_all_tasks_blocked()
                    assert await client.call("add", 1, 2) == 3  # it has read them all
                    server.process.kill()
                with penstock.fail_after(SECONDS), pytest.raises(BrokenResourceError, match="lost"):
                    await client.call("add", 1, 2)


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("asyncio", ("add", "1", "2.5"), "3.5"),
        ("uvloop", ("divide", "1", "0"), "RemoteError: ZeroDivisionError: division by zero"),
        ("trio", ("sleep", "60", "--timeout", "0.1"), "TimeoutError: no answer in time"),
    ],
)
def test_the_caller_says_what_it_promises(
    name: str, arguments: tuple[str, ...], answer: str
) -> None:
    with example_server("rpc.py", "serve", "--backend", name) as server:
        options = ("--port", str(server.port), "--backend", name, *arguments)
        command = (sys.executable, str(EXAMPLES / "rpc.py"), "call", *options)
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
        assert (done.stdout.decode(), done.stderr) == (f"{answer}\n", b"")
    told = b"nobody waits for sleep any more\n" if arguments[0] == "sleep" else b""
    assert server.said == told
