"""The commands of ``python -m penstock``, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import penstock

# What uvloop, trio and penstock leave open would show as a ResourceWarning on stderr.
PYTHON = (sys.executable, "-X", "dev", "-W", "error")
COMMAND = (*PYTHON, "-m", "penstock")
BACKENDS = ["asyncio", "uvloop", "trio"]
RUNTIMES = BACKENDS + ["asyncio+eager"] * (sys.version_info >= (3, 12))
TIMEOUT = 60


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | (env or {}),
        timeout=TIMEOUT,
    )


@contextmanager
def echo_server(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    """Run the echo command; yield its process and the address that it prints."""
    server = subprocess.Popen(
        [*COMMAND, "echo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # With PYTHONUNBUFFERED the address would come out without being flushed.
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )
    with server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            shown = re.fullmatch(r"listening on (\[.+\]|[^:]+):(\d+)\n", line)
            if shown is None:
                server.kill()  # so that its last words have an end
                assert server.stderr is not None
                raise AssertionError(line + server.stderr.read())
            yield server, (shown[1].strip("[]"), int(shown[2]))
        finally:
            server.kill()


def exchange(client: socket.socket, data: bytes) -> bytes:
    """Send ``data`` and the end, and return everything that comes back."""
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    received = b""
    while chunk := client.recv(65536):
        received += chunk
    return received


# -- info --------------------------------------------------------------------------------------


def test_info_says_what_runs_and_why() -> None:
    done = run("info")
    assert done.returncode == 0
    assert done.stderr == ""
    assert re.search(rf"^hot path +{penstock.IMPLEMENTATION}: ", done.stdout, re.MULTILINE)
    assert "asyncio" in done.stdout


def test_info_fits_a_terminal() -> None:
    reason = run("info", env={"PENSTOCK_HOTPATH": "pure"}).stdout
    assert "PENSTOCK_HOTPATH=pure" in reason
    words = re.sub(r"^(location|executable|platform).*", "", reason, flags=re.MULTILINE)
    assert max(map(len, words.splitlines())) <= 80


def test_info_json_is_the_same_for_programs() -> None:
    done = run("info", "--json")
    assert done.returncode == 0
    facts = json.loads(done.stdout)
    assert facts["implementation"] == penstock.IMPLEMENTATION
    assert facts["reason"]
    assert facts["packages"].keys() == {"sniffio", "idna", "trio", "uvloop"}
    assert set(facts["runtimes"]) == set(RUNTIMES)


def test_no_command_is_an_error_that_names_them() -> None:
    done = run()
    assert done.returncode == 2
    assert "COMMAND" in done.stderr
    assert all(command in run("--help").stdout for command in ("info", "echo", "demo"))


# -- echo --------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", RUNTIMES)
def test_echo_sends_everything_back(backend: str) -> None:
    data = bytes(range(256)) * 400
    with echo_server("--backend", backend) as (_, address):
        with socket.create_connection(address, timeout=TIMEOUT) as client:
            assert exchange(client, b"a\nb\n") == b"a\nb\n"
        with socket.create_connection(address, timeout=TIMEOUT) as client:
            assert exchange(client, data) == data


def test_echo_listens_where_it_is_told() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with echo_server("--host", "127.0.0.1", "--port", str(port)) as (_, address):
        assert address == ("127.0.0.1", port)


def test_echo_ipv6_address_is_in_brackets() -> None:
    with echo_server("--host", "::1") as (_, address):
        assert address[0] == "::1"
        with socket.create_connection(address, timeout=TIMEOUT) as client:
            assert exchange(client, b"six") == b"six"


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("backend", RUNTIMES)
def test_echo_interrupted_ends_well(backend: str, connected: bool) -> None:
    with echo_server("--backend", backend) as (server, address):
        with socket.create_connection(address, timeout=TIMEOUT) as client:
            if connected:
                client.sendall(b"x")
                assert client.recv(1) == b"x"
            server.send_signal(signal.SIGINT)
            _, errors = server.communicate(timeout=TIMEOUT)
        assert (server.returncode, errors) == (0, "")


def test_echo_interrupted_in_background_of_a_script_ends_well() -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for "command &"
    try:
        with echo_server() as (server, _):
            server.send_signal(signal.SIGINT)
            assert server.wait(TIMEOUT) == 0
    finally:
        signal.signal(signal.SIGINT, previous)


def test_echo_port_in_use_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run("echo", "--port", str(port))
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"cannot listen on 127.0.0.1:{port}: " in done.stderr
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_echo_bad_port_is_a_usage_error(port: str) -> None:
    done = run("echo", f"--port={port}")
    assert done.returncode == 2
    assert f"a port is a number from 0 to 65535, not '{port}'" in done.stderr


# -- demo --------------------------------------------------------------------------------------


def test_demo_runs_on_every_runtime_and_compares() -> None:
    done = run("demo", "--seconds", "1")
    assert (done.returncode, done.stderr) == (0, "")
    table = done.stdout.partition("CPU per line\n")[2]
    rows = re.findall(r"^  (\S+) +([\d,]+) +([\d.]+) us$", table, re.MULTILINE)
    assert sorted(name for name, _, _ in rows) == sorted(RUNTIMES)
    assert all(float(cpu) > 0 and rate != "0" for _, rate, cpu in rows)
    assert re.search(r"^All [\d,]+ answers were right\.$", done.stdout, re.MULTILINE)
    assert "\r" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_demo_on_a_terminal_shows_progress(encoding: str) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        env = os.environ | {"PYTHONIOENCODING": encoding}
        with subprocess.Popen(
            [*COMMAND, "demo", "--seconds", "2"], stdout=theirs, stderr=theirs, env=env
        ) as demo:
            os.close(theirs)
            output = b""
            try:
                while chunk := terminal.read(65536):
                    output += chunk
            except OSError:  # Linux: the other side has closed
                pass
            assert demo.wait(TIMEOUT) == 0
    screens = re.split("[\r\n]+", output.decode(encoding))
    for runtime in RUNTIMES:
        bars = [line for line in screens if line.startswith(f"  {runtime} ") and "%" in line]
        assert len(bars) > 2
        assert "100%" in bars[-1]
    assert max(map(len, screens)) <= 80


FAULTS = {
    "wrong": ("demo.answer = lambda line: b'nonsense'", "expected b'"),
    "swapped": ("demo.answer = lambda line: line", "expected b'"),
    "empty": ("demo.answer = lambda line: b''", "got b''"),
    "missing": (
        "demo.PATIENCE = 0.1\nasync def work(jobs):\n    async for job in jobs: pass\n"
        "demo.work = work",
        "an answer is missing",
    ),
    "ended": (
        "async def work(jobs):\n    async for stream, _ in jobs: await stream.send_eof()\n"
        "demo.work = work",
        "got None",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_demo_with_wrong_answers_fails(fault: str) -> None:
    code, problem = FAULTS[fault]
    script = (
        "import sys\nfrom penstock._commands import demo, main\n"
        f"{code}\nsys.exit(main(['demo', '--seconds', '1']))"
    )
    done = subprocess.run([*PYTHON, "-c", script], capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 1
    assert "penstock demo: WRONG on asyncio: " in done.stderr
    assert problem in done.stderr
    assert "answers were right" not in done.stdout


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "nan", "inf"])
def test_demo_bad_duration_is_a_usage_error(seconds: str) -> None:
    done = run("demo", f"--seconds={seconds}")
    assert done.returncode == 2
    assert f"not '{seconds}'" in done.stderr
