"""Programs that tests start: found or failed, gone when the test ends; and what they talk to."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import penstock
from penstock.streams.buffered import BufferedByteReceiveStream

#: How long a program may take for what takes it a moment.
SECONDS = 30


def find_program(name: str) -> str:
    """Return the path of a program; fail the test where it is missing."""
    # Debian has servers in sbin, which is on the path of few users.
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        pytest.fail(f"{name} is missing: install what tests/system/packages.txt lists")
    return path


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
