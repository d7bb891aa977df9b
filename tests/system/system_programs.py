"""Programs that tests start: found or failed, gone when the test ends; and what they talk to."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock.streams.buffered import BufferedByteReceiveStream

EXAMPLES = Path(__file__).parents[2] / "examples"

#: How long a program may take for what takes it a moment.
SECONDS = 30


def find_program(name: str) -> str:
    """Return the path of a program; fail the test where it is missing."""
    # Debian has servers in sbin, which is on the path of few users.
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        pytest.fail(f"{name} is missing: install what tests/system/packages.txt lists")
    return path


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def wait_for_port(port: int) -> None:
    """Wait until a program that was started listens on a port of 127.0.0.1."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


@contextmanager
def running(*command: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program beside the block; end it with the block, and wait for it."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def nginx(directory: Path, server: str) -> Iterator[None]:
    """Run nginx, with the files below ``directory / "files"``.

    Args:
        directory: For all that nginx reads and writes.
        server: Directives of its server: where it listens, and what else it is to do.
    """
    folders = "".join(
        f"{kind}_temp_path {directory}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.getuid() == 0 else ""
    (directory / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 1; pid {directory}/pid; error_log stderr error;"
        "events { worker_connections 64; }"
        f"http {{ access_log off; {folders}"
        f" server {{ root {directory}/files; {server} }} }}"
    )
    arguments = ("-e", "stderr", "-p", str(directory), "-c", str(directory / "nginx.conf"))
    with running(find_program("nginx"), *arguments, stderr=subprocess.DEVNULL):
        yield


@contextmanager
def nginx_on_port(directory: Path, server: str = "") -> Iterator[int]:
    """Run nginx on a free port of 127.0.0.1; the arguments are those of :func:`nginx`."""
    port = free_port()
    with nginx(directory, f"listen 127.0.0.1:{port}; {server}"):
        wait_for_port(port)
        yield port


@contextmanager
def redis_server(directory: Path) -> Iterator[int]:
    """Run a redis-server that keeps nothing, on a free port."""
    port = free_port()
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--loglevel", "warning")
    with running(find_program("redis-server"), *options, "--dir", str(directory)):
        wait_for_port(port)
        yield port


class ExampleServer:
    """A server of ``examples/`` that runs."""

    def __init__(self, process: subprocess.Popen[bytes], first_line: bytes) -> None:
        self.process = process
        #: Where it listens; the last word of its first line.
        self.port = int(first_line.rpartition(b" ")[2])
        #: What it has printed besides, once it has ended.
        self.said = b""
        self._told = False

    def stop(self) -> None:
        """Send SIGTERM, unless that was done."""
        if not self._told:
            self._told = True
            self.process.send_signal(signal.SIGTERM)


@contextmanager
def example_server(name: str, *options: str) -> Iterator[ExampleServer]:
    """Run a server of ``examples/`` on a free port; stop it with the block, which must go well."""
    command = (sys.executable, str(EXAMPLES / name), *options, "--port", "0")
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with running(*command, **pipes, bufsize=0) as process:  # further lines stay in the pipe
        assert process.stdout is not None
        server = ExampleServer(process, process.stdout.readline())
        yield server
        server.stop()
        server.said, errors = process.communicate(timeout=SECONDS)
        if errors or process.returncode:
            pytest.fail(f"{name} has ended with {process.returncode}: {errors.decode()}")


async def output_of(*command: str, stdin: bytes = b"") -> bytes:
    """Run a program to its end, which must be a good one, and return what it has printed."""

    def run() -> bytes:
        return subprocess.run(
            command, input=stdin, stdout=subprocess.PIPE, timeout=SECONDS, check=True
        ).stdout

    return await penstock.to_thread.run_sync(run)


async def echo(stream: Any) -> None:
    async with stream:
        async for data in stream:
            await stream.send(data)
        await stream.send_eof()


async def answer_http(stream: Any) -> None:
    async with stream:
        try:
            request = await BufferedByteReceiveStream(stream).receive_until(b"\r\n\r\n", 65536)
        except penstock.IncompleteRead:  # the other side has given up already
            return
        body = request.split(b" ")[1] * 10_000
        await stream.send(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        await stream.send(body)
