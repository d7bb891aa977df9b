"""TCP sockets against socat, nc, curl and nginx."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from system_programs import SECONDS, answer_http, echo, nginx_on_port, output_of, running

import penstock
from penstock import EndOfStream
from penstock.abc import SocketAttribute

DATA = b"".join(b"line %d\n" % number for number in range(50_000))
ADDRESSES = {"127.0.0.1": "TCP4:127.0.0.1", "::1": "TCP6:[::1]"}

Program = Callable[[str], str]
each_family = pytest.mark.parametrize("host", ADDRESSES)


def free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as sock:
        port: int = sock.getsockname()[1]
        return port


@asynccontextmanager
async def served(handler: Any, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Serve on a free port for the length of the block; yield the port."""
    with penstock.fail_after(2 * SECONDS):
        async with await penstock.create_tcp_listener(local_host=host) as listener:
            async with penstock.create_task_group() as tg:
                tg.start_soon(listener.serve, handler)
                yield listener.extra(SocketAttribute.local_port)
                tg.cancel_scope.cancel()


async def connect(host: str, port: int) -> Any:
    """Connect to a program that has just been started."""
    with penstock.fail_after(SECONDS):
        while True:
            try:
                return await penstock.connect_tcp(host, port)
            except OSError:
                await penstock.sleep(0.01)


async def everything_from(stream: Any) -> bytes:
    received = bytearray()
    with penstock.fail_after(SECONDS):
        async for data in stream:
            received += data
    return bytes(received)


async def echoed(stream: Any, data: bytes) -> bytes:
    """Send ``data`` and the end, and return all that comes back."""
    received = bytearray()

    async def receive() -> None:
        received.extend(await everything_from(stream))

    async with penstock.create_task_group() as tg:
        tg.start_soon(receive)
        await stream.send(data)
        await stream.send_eof()
    return bytes(received)


# -- socat and nc --------------------------------------------------------------------------


@each_family
async def test_socat_talks_to_a_listener(program: Program, host: str) -> None:
    async with served(echo, host) as port:
        target = f"{ADDRESSES[host]}:{port}"
        assert await output_of(program("socat"), "-t", "30", "-", target, stdin=DATA) == DATA


@each_family
async def test_a_client_talks_to_socat(program: Program, host: str) -> None:
    port = free_port(host)
    address = f"{ADDRESSES[host].split(':')[0]}-LISTEN:{port},bind={ADDRESSES[host][5:]},reuseaddr"
    with running(program("socat"), "-t", "30", address, "EXEC:cat"):
        async with await connect(host, port) as stream:
            assert await echoed(stream, DATA) == DATA


@each_family
async def test_nc_talks_to_a_listener(program: Program, host: str) -> None:
    async with served(echo, host) as port:
        assert await output_of(program("nc"), "-N", host, str(port), stdin=DATA) == DATA


async def test_the_end_of_a_program_is_the_end_of_its_stream(program: Program) -> None:
    port = free_port("127.0.0.1")
    with running(program("socat"), f"TCP4-LISTEN:{port},bind=127.0.0.1", "EXEC:cat") as process:
        async with await connect("127.0.0.1", port) as stream:
            await stream.send(b"x")
            assert await stream.receive() == b"x"
            process.kill()
            with penstock.fail_after(SECONDS), pytest.raises(EndOfStream):
                await stream.receive()


# -- curl and nginx ------------------------------------------------------------------------


@each_family
async def test_curl_asks_a_listener(program: Program, host: str) -> None:
    url_host = f"[{host}]" if ":" in host else host
    async with served(answer_http, host) as port:
        for _ in range(5):
            body = await output_of(program("curl"), "-gsSf", f"http://{url_host}:{port}/file")
            assert body == b"/file" * 10_000


async def body_of(port: int, target: str) -> bytes:
    async with await connect("127.0.0.1", port) as stream:
        await stream.send(f"GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        head, _, body = (await everything_from(stream)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    return body


async def test_a_client_asks_nginx(program: Program, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "data").write_bytes(DATA)
    with nginx_on_port(tmp_path) as port:
        for _ in range(20):
            assert await body_of(port, "/data") == DATA


async def test_nginx_asks_a_listener(program: Program, tmp_path: Path) -> None:
    async with served(answer_http) as port:
        server = f"location / {{ proxy_pass http://127.0.0.1:{port}; }}"
        with nginx_on_port(tmp_path, server) as front:
            for number in range(20):
                target = f"/file{number}"
                assert await body_of(front, target) == target.encode() * 10_000


async def test_a_client_that_leaves_nginx_early_ends_nothing(
    program: Program, tmp_path: Path
) -> None:
    """nginx resets the connection to the listener, whose handler is in the middle of a send."""
    async with served(answer_http) as port:
        server = f"location / {{ proxy_pass http://127.0.0.1:{port}; }}"
        with nginx_on_port(tmp_path, server) as front:
            for _ in range(20):
                async with await connect("127.0.0.1", front) as stream:
                    await stream.send(b"GET /left HTTP/1.0\r\n\r\n")
                    with penstock.move_on_after(0.001):
                        await stream.receive(1)
            assert await body_of(front, "/stayed") == b"/stayed" * 10_000
