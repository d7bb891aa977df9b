"""The proxy of examples/ between curl and nginx, socat's sort, and peers that end or break."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from backends import BACKENDS
from system_programs import (
    SECONDS,
    ExampleServer,
    example_server,
    free_port,
    nginx_on_port,
    running,
    wait_for_port,
)

import penstock
from penstock import BrokenResourceError, EndOfStream
from penstock.streams.tls import TLSStream

#: For tests in which the event loop of the program counts, and not that of the test.
once = pytest.mark.parametrize("backend", BACKENDS[:1], ids=["asyncio"])

Program = Callable[[str], str]

HOST = "127.0.0.1"
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Certificates:
    """The paths of the authority's certificate, and of the server's with its key."""

    authority: str
    server: str


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    directory = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    leaf = authority.issue_cert("localhost")
    leaf.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    return Certificates(str(directory / "ca.pem"), str(directory / "server.pem"))


@dataclass(frozen=True)
class Proxy:
    """A proxy that runs, and the plain server behind it: a socket that listens."""

    server: ExampleServer
    behind: socket.socket
    certificates: Certificates

    async def connect(self) -> tuple[TLSStream, socket.socket]:
        """Return both ends of a connection through it."""
        context = ssl.create_default_context(cafile=self.certificates.authority)
        port = self.server.port
        with penstock.fail_after(SECONDS):
            stream = await penstock.connect_tcp(
                HOST, port, ssl_context=context, tls_hostname="localhost"
            )
        assert isinstance(stream, TLSStream)
        sock, _ = await penstock.to_thread.run_sync(self.behind.accept)
        sock.settimeout(SECONDS)
        return stream, sock


@pytest.fixture(scope="module", params=["asyncio", "uvloop", "trio"])
def proxy(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[Proxy]:
    with socket.create_server((HOST, 0)) as behind:
        behind.settimeout(SECONDS)
        with proxy_to(behind.getsockname()[1], certificates, request.param) as server:
            yield Proxy(server, behind, certificates)
    assert server.said.endswith(b" connections, 0 cut off\n")


@contextmanager
def proxy_to(
    port: int, certificates: Certificates, backend: str, *options: str
) -> Iterator[ExampleServer]:
    where = ("--to", f"{HOST}:{port}", "--cert", certificates.server, "--backend", backend)
    with example_server("tls_proxy.py", *where, *options) as server:
        yield server


def everything_from(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


async def in_thread(func: Callable[..., Any], *args: Any) -> Any:
    return await penstock.to_thread.run_sync(func, *args)


@pytest.mark.parametrize("backend_name", ["asyncio", "uvloop", "trio"])
def test_curl_asks_nginx_through_it(
    program: Program, tmp_path: Path, certificates: Certificates, backend_name: str
) -> None:
    data = os.urandom(4 * MEGABYTE)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "data").write_bytes(data)
    with nginx_on_port(tmp_path) as port, proxy_to(port, certificates, backend_name) as server:
        for version in ("1.2", "1.3"):
            command = (program("curl"), "-sSf", "--cacert", certificates.authority)
            versions = ("--tlsv" + version, "--tls-max", version)
            url = f"https://localhost:{server.port}/data"
            done = subprocess.run(
                [*command, *versions, url], capture_output=True, timeout=SECONDS, check=False
            )
            assert (done.returncode, done.stderr, done.stdout == data) == (0, b"", True)
    assert server.said.decode() == "2 connections, 0 cut off\n"


@once
async def test_the_end_of_what_the_client_sends_is_passed_on(
    program: Program, certificates: Certificates
) -> None:
    """To sort, which answers only then."""
    port = free_port()
    listen = f"TCP4-LISTEN:{port},bind={HOST},fork,reuseaddr"
    with running(program("socat"), "-t", str(SECONDS), listen, "EXEC:sort"):
        wait_for_port(port)
        with proxy_to(port, certificates, "asyncio") as server:
            context = ssl.create_default_context(cafile=certificates.authority)
            async with await penstock.connect_tcp(
                HOST, server.port, ssl_context=context, tls_hostname="localhost"
            ) as stream:
                lines = [b"%d\n" % (number % 7919) for number in range(100_000)]
                await stream.send(b"".join(lines))
                await stream.send_eof()
                with penstock.fail_after(SECONDS):
                    answer = b"".join([data async for data in stream])
    assert sorted(answer.splitlines(keepends=True)) == sorted(lines)


@once
async def test_each_direction_ends_on_its_own(proxy: Proxy) -> None:
    stream, sock = await proxy.connect()
    async with stream:
        with sock, penstock.fail_after(SECONDS):
            await in_thread(sock.sendall, b"from the server")
            sock.shutdown(socket.SHUT_WR)
            assert b"".join([data async for data in stream]) == b"from the server"
            for part in (b"still ", b"open"):
                await stream.send(part)
                assert await in_thread(sock.recv, 100) == part
            await stream.send_eof()
            assert await in_thread(sock.recv, 100) == b""


@once
async def test_a_server_that_breaks_is_no_end_to_the_client(proxy: Proxy) -> None:
    stream, sock = await proxy.connect()
    async with stream:
        with penstock.fail_after(SECONDS):
            await in_thread(sock.sendall, b"half")
            assert await stream.receive() == b"half"
            await stream.send(b"unread, so that the server resets the connection")
            while not await in_thread(sock.recv, 1, socket.MSG_PEEK):
                pass
            sock.close()
            with pytest.raises(BrokenResourceError):
                await stream.receive()


@once
async def test_a_client_that_breaks_is_no_end_to_the_server(proxy: Proxy) -> None:
    """It closes its socket, and announces nothing; with TLS anybody on the way could do that."""
    stream, sock = await proxy.connect()
    with sock, penstock.fail_after(SECONDS):
        await stream.send(b"half")
        assert await in_thread(sock.recv, 100) == b"half"
        await penstock.aclose_forcefully(stream)
        with pytest.raises(ConnectionResetError):
            await in_thread(sock.recv, 100)


@once
async def test_a_slow_receiver_costs_no_memory(proxy: Proxy) -> None:
    before = peak_of(proxy)
    stream, sock = await proxy.connect()
    data = bytes(48 * MEGABYTE)
    async with stream:
        with sock, penstock.fail_after(SECONDS):
            with penstock.move_on_after(0.3) as scope:
                await stream.send(data)
            assert scope.cancelled_caught  # what was sent is in sockets, most of them not ours
            async with penstock.create_task_group() as tasks:
                receiving = tasks.start_soon(in_thread, everything_from, sock)
                await stream.send(data[stream.partial_send :])
                await stream.send_eof()
            assert receiving.return_value == data
            sock.shutdown(socket.SHUT_WR)
            with pytest.raises(EndOfStream):
                await stream.receive()
    assert peak_of(proxy) - before < 8 * MEGABYTE


def peak_of(proxy: Proxy) -> int:
    """Return the most memory that the proxy has ever had, in bytes."""
    status = Path(f"/proc/{proxy.server.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


@once
async def test_stopping_breaks_off_what_does_not_end(certificates: Certificates) -> None:
    with socket.create_server((HOST, 0)) as behind:
        behind.settimeout(SECONDS)
        port = behind.getsockname()[1]
        with proxy_to(port, certificates, "trio", "--grace", "0.1") as server:
            stream, sock = await Proxy(server, behind, certificates).connect()
            with sock, penstock.fail_after(SECONDS):
                server.stop()
                with pytest.raises(BrokenResourceError):
                    await stream.receive()
                with pytest.raises(ConnectionResetError):
                    await in_thread(sock.recv, 100)
            await stream.aclose()
    assert server.said == b"1 connections, 1 cut off\n"
