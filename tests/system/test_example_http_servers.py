"""The HTTP servers of examples/ under wrk, curl and nc, and peers that misbehave."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from system_programs import SECONDS, example_server

Program = Callable[[str], str]

NAMES = ("http_h11.py", "http_httptools.py")
BACKENDS = ("asyncio", "uvloop", "trio")
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(
    scope="module",
    params=[(name, backend) for name in NAMES for backend in BACKENDS],
    ids="-".join,
)
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """Return the port of a server that all tests here share; no connection may fail in it."""
    name, backend = request.param
    with example_server(name, "--backend", backend) as server:
        yield server.port
    assert re.fullmatch(rb"\d+ connections, 0 cut off\n", server.said)


def output(*command: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), SECONDS)


def everything_from(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def answer_to(port: int, request: bytes) -> bytes:
    """Send bytes, and return all that the server sends until it hangs up."""
    with connected(port) as sock:
        sock.sendall(request)
        return everything_from(sock)


def test_wrk_sees_no_error(program: Program, port: int) -> None:
    said = output(program("wrk"), "-t1", "-c20", "-d1s", f"http://127.0.0.1:{port}/").decode()
    requests = re.search(r"(\d+) requests in", said)
    assert requests is not None
    assert int(requests[1]) > 0
    assert "Socket errors" not in said
    assert "Non-2xx" not in said


def test_curl_uses_one_connection_for_several_requests(program: Program, port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    command = (program("curl"), "-sS", "-w", "%{http_code} %{num_connects}\n")
    said = output(*command, f"{url}/", f"{url}/nothing", f"{url}/")
    assert [line for line in said.decode().splitlines() if line[0].isdigit()] == [
        "200 1",
        "404 0",
        "200 0",
    ]
    assert b"\r\nContent-Length: 14\r\n" in output(*command, "--head", f"{url}/").title()


@pytest.mark.parametrize("source", ["file", "-"], ids=["of known length", "chunked"])
def test_a_body_comes_back(program: Program, port: int, tmp_path: Path, source: str) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 250)
    upload = source if source == "-" else str(tmp_path / source)
    body = (tmp_path / "file").read_bytes()
    command = (program("curl"), "-sS", "-D", str(tmp_path / "head"), "-T", upload)
    options = ("--http1.1", "-H", "Expect: 100-continue", "--expect100-timeout", str(SECONDS))
    assert output(*command, *options, f"http://127.0.0.1:{port}/echo", stdin=body) == body
    assert re.findall(rb"HTTP/1.1 (\d+)", (tmp_path / "head").read_bytes()) == [b"100", b"200"]


def test_requests_that_come_together_are_answered_in_order(program: Program, port: int) -> None:
    echo = b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
    request = echo + b"first" + GET + echo + b"third"
    said = output(program("nc"), "-N", "127.0.0.1", str(port), stdin=request)
    assert re.findall(rb"first|Hello|third", said) == [b"first", b"Hello", b"third"]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\x00 this is no HTTP\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000, b"431"),
        (
            b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n" + bytes(24_000_000),
            b"413",
        ),
    ],
    ids=["garbage", "a broken header", "a long head", "a long body"],
)
def test_what_is_wrong_is_said(port: int, request_bytes: bytes, status: bytes) -> None:
    answer = answer_to(port, request_bytes)  # all of which can be sent: nothing is reset
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close" in answer.lower()


def test_http_1_0_ends_with_its_answer(port: int) -> None:
    answer = answer_to(port, b"GET / HTTP/1.0\r\n\r\n")
    assert answer.endswith(b"\r\n\r\nHello, world!\n")
    assert b"connection: close" in answer.lower()


def test_a_peer_that_leaves_in_the_middle_harms_nobody(port: int) -> None:
    for part in (GET[:10], GET + GET[:10], b"PUT /echo HTTP/1.1\r\nHost: a\r\n"):
        connected(port).close()
        with connected(port) as sock:
            sock.sendall(part)
    assert b"Hello" in answer_to(port, GET[:-2] + b"Connection: close\r\n\r\n")


@pytest.mark.parametrize("name", NAMES)
def test_idle_peers_are_left(name: str) -> None:
    with example_server(name, "--backend", "uvloop", "--patience", "0.2") as server:
        with connected(server.port) as idle, connected(server.port) as used:
            used.sendall(GET)
            assert everything_from(idle) == b""
            assert everything_from(used).endswith(b"Hello, world!\n")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("name", NAMES)
def test_stopping_lets_requests_end(name: str, backend: str) -> None:
    with example_server(name, "--backend", backend) as server:
        idle, busy = connected(server.port), connected(server.port)
        with idle, busy:
            idle.sendall(GET)
            assert idle.recv(1000).startswith(b"HTTP/1.1 200")
            head = b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n"
            busy.sendall(head + b"Expect: 100-continue\r\n\r\n")
            assert busy.recv(1000).startswith(b"HTTP/1.1 100")
            server.stop()
            assert everything_from(idle) == b""
            with pytest.raises(ConnectionError):
                for _ in range(1000):  # who stops answering and who stops listening first
                    connected(server.port).close()
            busy.sendall(b"so far")
            answer = everything_from(busy)
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"so far" in answer
            assert b"connection: close" in answer.lower()
    assert re.fullmatch(rb"\d+ connections, 0 cut off\n", server.said)
