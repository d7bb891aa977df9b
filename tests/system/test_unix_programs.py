"""UNIX sockets against socat, nc, curl and nginx."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from socket import SOCK_SEQPACKET, SOCK_STREAM
from typing import Any

import pytest
from system_programs import SECONDS, answer_http, echo, nginx, output_of, running

import penstock
from penstock import EndOfStream

DATA = b"".join(b"line %d\n" % number for number in range(50_000))

Program = Callable[[str], str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "socket"


@pytest.fixture
def name() -> bytes:
    """An abstract name that nobody else has."""
    return b"\0penstock-%d-%d" % (os.getpid(), time.monotonic_ns())


@asynccontextmanager
async def served(handler: Any, path: Any, kind: Any = SOCK_STREAM) -> AsyncIterator[None]:
    """Serve on a UNIX socket for the length of the block."""
    with penstock.fail_after(2 * SECONDS):
        async with await penstock.create_unix_listener(path, kind=kind) as listener:
            async with penstock.create_task_group() as tg:
                tg.start_soon(listener.serve, handler)
                yield
                tg.cancel_scope.cancel()


async def connect(path: Any, kind: Any = SOCK_STREAM) -> Any:
    """Connect to a program that has just been started."""
    with penstock.fail_after(SECONDS):
        while True:
            try:
                return await penstock.connect_unix(path, kind)
            except (FileNotFoundError, ConnectionRefusedError):
                await penstock.sleep(0.02)


async def everything_from(stream: Any) -> bytes:
    return b"".join([data async for data in stream])


async def echoed(stream: Any, data: bytes) -> bytes:
    """Send ``data``, and return what comes back until the end."""

    async def send() -> None:
        await stream.send(data)
        await stream.send_eof()

    with penstock.fail_after(SECONDS):
        async with penstock.create_task_group() as tg:
            tg.start_soon(send)
            return await everything_from(stream)


# -- socat ---------------------------------------------------------------------------------


async def test_socat_talks_to_a_listener(program: Program, path: Path) -> None:
    async with served(echo, path):
        address = f"UNIX-CONNECT:{path}"
        assert await output_of(program("socat"), "-t", "9", "-", address, stdin=DATA) == DATA


async def test_socat_talks_to_an_abstract_listener(program: Program, name: bytes) -> None:
    async with served(echo, name):
        address = f"ABSTRACT-CONNECT:{name[1:].decode()}"
        assert await output_of(program("socat"), "-t", "9", "-", address, stdin=DATA) == DATA


async def test_socat_talks_in_messages_to_a_listener(program: Program, path: Path) -> None:
    messages = []

    async def collect(stream: Any) -> None:
        async with stream:
            async for message in stream:
                messages.append(message)
                await stream.send(message)

    async with served(collect, path, SOCK_SEQPACKET):
        address = f"UNIX-CONNECT:{path},type={SOCK_SEQPACKET.value}"
        command = [program("socat"), "-b", "1000", "-t", "9", "-", address]
        assert await output_of(*command, stdin=DATA[:20_000]) == DATA[:20_000]
    assert all(len(message) <= 1000 for message in messages)
    assert b"".join(messages) == DATA[:20_000]


async def test_a_client_talks_to_socat(program: Program, path: Path) -> None:
    with running(program("socat"), f"UNIX-LISTEN:{path}", "EXEC:cat"):
        async with await connect(path) as stream:
            assert await echoed(stream, DATA) == DATA


async def test_a_client_talks_to_an_abstract_socat(program: Program, name: bytes) -> None:
    with running(program("socat"), f"ABSTRACT-LISTEN:{name[1:].decode()}", "EXEC:cat"):
        async with await connect(name) as stream:
            assert await echoed(stream, DATA) == DATA


async def test_a_client_talks_in_messages_to_socat(program: Program, path: Path) -> None:
    address = f"UNIX-LISTEN:{path},type={SOCK_SEQPACKET.value}"
    with running(program("socat"), address, "PIPE"):
        async with await connect(path, SOCK_SEQPACKET) as stream:
            for message in (b"one", b"another", bytes(5000)):
                await stream.send(message)
                assert await stream.receive() == message


async def test_a_live_socat_keeps_its_path_and_a_killed_one_does_not(
    program: Program, path: Path
) -> None:
    command = (program("socat"), f"UNIX-LISTEN:{path},fork", "EXEC:cat")
    with running(*command, start_new_session=True) as process:
        async with await connect(path):
            pass
        with pytest.raises(OSError, match="in use"):
            await penstock.create_unix_listener(path)
        async with await connect(path) as stream:
            assert await echoed(stream, b"still there") == b"still there"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(SECONDS)
    # A child of socat's may have had the listening socket too, and take a moment to die.
    with penstock.fail_after(SECONDS), pytest.raises(ConnectionRefusedError):
        while True:
            await (await penstock.connect_unix(path)).aclose()
    assert path.is_socket()
    async with served(echo, path), await connect(path) as stream:
        assert await echoed(stream, b"taken over") == b"taken over"


# -- nc ------------------------------------------------------------------------------------


async def test_nc_talks_to_a_listener(program: Program, path: Path) -> None:
    async with served(echo, path):
        assert await output_of(program("nc"), "-N", "-U", str(path), stdin=DATA) == DATA


async def test_a_client_talks_to_nc(program: Program, path: Path, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(DATA)
    with (tmp_path / "input").open("rb") as stdin, (tmp_path / "output").open("wb") as stdout:
        with running(
            program("nc"), "-N", "-l", "-U", str(path), stdin=stdin, stdout=stdout
        ) as process:
            async with await connect(path) as stream:
                with penstock.fail_after(SECONDS):
                    assert await everything_from(stream) == DATA
                await stream.send(b"from the client")  # nc ends with the client
            process.wait(SECONDS)
    assert (tmp_path / "output").read_bytes() == b"from the client"


# -- curl and nginx ------------------------------------------------------------------------


async def test_curl_asks_a_listener(program: Program, path: Path, name: bytes) -> None:
    for address, option in (
        (path, ("--unix-socket", str(path))),
        (name, ("--abstract-unix-socket", name[1:].decode())),
    ):
        async with served(answer_http, address):
            body = await output_of(program("curl"), "-sSf", *option, "http://localhost/file")
            assert body == b"/file" * 10_000


@contextmanager
def nginx_on_path(directory: Path, server: str) -> Iterator[Path]:
    """Run nginx on a UNIX socket; ``server`` is its configuration."""
    path = directory / "nginx"
    with nginx(directory, f"listen unix:{path}; {server}"):
        yield path


async def body_of(path: Path, target: str) -> bytes:
    async with await connect(path) as stream:
        await stream.send(f"GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        with penstock.fail_after(SECONDS):
            head, _, body = (await everything_from(stream)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    return body


async def test_a_client_asks_nginx(program: Program, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "data").write_bytes(DATA)
    with nginx_on_path(tmp_path, "") as path:
        for _ in range(20):
            assert await body_of(path, "/data") == DATA


async def test_nginx_asks_a_listener(program: Program, tmp_path: Path, path: Path) -> None:
    server = f"location / {{ proxy_pass http://unix:{path}:; }}"
    with nginx_on_path(tmp_path, server) as front:
        async with served(answer_http, path):
            for number in range(20):
                target = f"/file{number}"
                assert await body_of(front, target) == target.encode() * 10_000


async def test_a_client_that_leaves_nginx_early_ends_nothing(
    program: Program, tmp_path: Path, path: Path
) -> None:
    """nginx resets the connection to the listener, whose handler is in the middle of a send."""
    with nginx_on_path(tmp_path, f"location / {{ proxy_pass http://unix:{path}:; }}") as front:
        async with served(answer_http, path):
            for _ in range(20):
                async with await connect(front) as stream:
                    await stream.send(b"GET /left HTTP/1.0\r\n\r\n")
                    with penstock.move_on_after(0.001):
                        await stream.receive(1)
            assert await body_of(front, "/stayed") == b"/stayed" * 10_000


async def test_the_end_of_a_program_is_the_end_of_its_stream(program: Program, path: Path) -> None:
    with running(program("socat"), f"UNIX-LISTEN:{path}", "EXEC:cat") as process:
        async with await connect(path) as stream:
            await stream.send(b"x")
            assert await stream.receive() == b"x"
            process.kill()
            with penstock.fail_after(SECONDS), pytest.raises(EndOfStream):
                await stream.receive()
