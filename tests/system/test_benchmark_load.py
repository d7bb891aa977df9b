"""The load generator of the benchmarks, against servers that are slow or wrong on purpose."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
from benchmarks.peers.processes import compiled, loaded

BYTES = 1024
SECONDS = 0.1


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compiled("load", str(tmp_path_factory.mktemp("load")))


@contextmanager
def answering(answer: Callable[[bytes], bytes]) -> Iterator[int]:
    """Answer what one connection sends, request by request; yield the port."""

    def serve() -> None:
        with listening.accept()[0] as connection:
            try:
                while data := connection.recv(BYTES, socket.MSG_WAITALL):
                    connection.sendall(answer(data))
            except ConnectionError:
                pass  # the generator has given up

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def windows(
    load: str, address: int | str, size: int = BYTES, kind: str = "tcp"
) -> list[dict[str, Any]]:
    """Load with one connection for two windows, and a warm-up; this process is the server."""
    arguments = (kind, address, 1, size, os.getpid(), 2, SECONDS)
    return loaded([load, *map(str, arguments)], 1.0)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "came back changed"),
        (lambda data: data + b"x", "more than it got"),
        (lambda data: b"\0" * 8 + data[8:], "came back changed"),
    ],
    ids=["changed", "too much", "of another request"],
)
def test_wrong_answers_are_an_error(
    load: str, answer: Callable[[bytes], bytes], message: str
) -> None:
    with answering(answer) as port, pytest.raises(RuntimeError, match=message):
        windows(load, port)


def test_latency_is_that_of_the_server(load: str) -> None:
    def answer(data: bytes) -> bytes:
        time.sleep(0.005)
        return data

    with answering(answer) as port:
        first, second = windows(load, port)
    for window in (first, second):
        assert 5e6 <= window["p50_ns"] <= window["p99_ns"] < 5e9  # the generator's patience
        assert window["requests"] <= window["seconds"] / 0.005 + 1


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_requests_of_any_size_come_back(load: str, size: int) -> None:
    """Over a UNIX socket, which takes a large request in parts."""

    def serve() -> None:
        with listening.accept()[0] as connection:
            while data := connection.recv(1 << 16):
                connection.sendall(data)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("")  # a free abstract name
        listening.listen()
        thread = Thread(target=serve)
        thread.start()
        name = listening.getsockname().decode().lstrip("\0")
        results = windows(load, name, size, "unix")
        thread.join()
    assert all(window["requests"] for window in results)
