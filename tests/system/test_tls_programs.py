"""TLS with programs that others wrote: they talk to us, and we to them."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from system_programs import running

import penstock
from penstock.streams.tls import TLSAttribute

sys.path.append(str(Path(__file__).parents[1] / "tls"))
from tls_peers import authority, certificate, client_context, receive_exactly

HOST = "127.0.0.1"
VERSIONS = {"-tls1_2": "TLSv1.2", "-tls1_3": "TLSv1.3"}


@pytest.fixture
def pem(tmp_path):
    """Return the paths of the authority's certificate, a server's, and its key."""
    paths = [tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem")]
    leaf = certificate("localhost", HOST)
    authority().cert_pem.write_to_path(paths[0])
    for blob in leaf.cert_chain_pems:
        blob.write_to_path(paths[1], append=True)
    leaf.private_key_pem.write_to_path(paths[2])
    return [str(path) for path in paths]


@contextmanager
def echo_server(pem, backend):
    """Run ``python -m penstock echo`` with TLS; give its port."""
    options = ["--tls-cert", pem[1], "--tls-key", pem[2], "--backend", backend]
    command = [sys.executable, "-m", "penstock", "echo", *options]
    with running(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        yield int(process.stdout.readline().rpartition(b":")[2])
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr.read() == b""


@pytest.fixture(params=["asyncio", "uvloop", "trio"])
def echo_port(request, pem):
    with echo_server(pem, request.param) as port:
        yield port


def free_port():
    with socket.create_server((HOST, 0)) as sock:
        return sock.getsockname()[1]


def wait_for_port(port):
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection((HOST, port), 1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


class Talk:
    """A program's input and output, a line at a time."""

    def __init__(self, process):
        self.process = process

    def say(self, line):
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def hear(self, pattern):
        while line := self.process.stdout.readline():
            if re.search(pattern, line):
                return line
        raise AssertionError(f"{pattern!r} did not come")


@contextmanager
def talking(*command):
    with running(
        "timeout",
        "60",
        *command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        yield Talk(process)


@contextmanager
def s_client(program, pem, port, *options):
    command = [program("openssl"), "s_client", "-connect", f"{HOST}:{port}", "-CAfile", pem[0]]
    with talking(*command, "-servername", "localhost", "-verify_return_error", *options) as talk:
        yield talk


@pytest.mark.parametrize("version", VERSIONS)
def test_s_client_is_echoed(program, pem, echo_port, version):
    with s_client(program, pem, echo_port, version) as talk:
        talk.hear(rb"Verif(y return code|ication): 0? ?\(?(OK|ok)")
        talk.say(b"hello over " + version.encode())
        talk.hear(b"hello over " + version.encode())
        talk.say(b"Q")
        assert talk.process.wait(10) == 0


def test_ten_thousand_key_updates(program, pem, echo_port):
    with s_client(program, pem, echo_port, "-tls1_3") as talk:
        for number in range(10_000):
            talk.say(b"K" if number % 2 else b"k")  # K asks for ours in return
            talk.hear(b"KEYUPDATE")
            if number % 1000 == 0:
                talk.say(b"after %d" % number)
                talk.hear(b"after %d$" % number)
        talk.say(b"still there")
        talk.hear(b"still there")


def test_renegotiation_is_refused_and_harms_nobody(program, pem, echo_port):
    with s_client(program, pem, echo_port, "-tls1_2") as other:
        other.say(b"before")
        other.hear(b"^before")
        with s_client(program, pem, echo_port, "-tls1_2") as talk:
            talk.say(b"hello")
            talk.hear(b"^hello")
            talk.say(b"R")
            talk.hear(b"RENEGOTIATING")
            talk.hear(b"no renegotiation")
            assert talk.process.wait(10) == 1
        other.say(b"after")
        other.hear(b"^after")


def test_gnutls_is_echoed(program, pem, echo_port):
    command = [program("gnutls-cli"), "--x509cafile", pem[0], "-p", str(echo_port), "localhost"]
    done = subprocess.run(
        ["timeout", "30", *command], input=b"hello from gnutls\n", capture_output=True, check=False
    )
    assert b"Handshake was completed" in done.stdout
    assert b"hello from gnutls" in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_gets_a_page(program, pem, backend, version):
    answer = []

    async def handle(stream):
        async with stream:
            request = b""
            while b"\r\n\r\n" not in request:
                request += await stream.receive()
            await stream.send(b"HTTP/1.0 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000))

    async def main():
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pem[1], pem[2])
        listener = penstock.streams.tls.TLSListener(
            await penstock.create_tcp_listener(local_host=HOST), context
        )
        async with listener, penstock.create_task_group() as group:
            group.start_soon(listener.serve, handle)
            port = listener.extra(penstock.abc.SocketAttribute.local_port)
            command = [program("curl"), "-sS", "--max-time", "20", f"--tlsv{version}"]
            command += ["--tls-max", version, "--cacert", pem[0], f"https://localhost:{port}/"]
            done = await penstock.to_thread.run_sync(
                lambda: subprocess.run(command, capture_output=True, check=False)
            )
            answer.append(done)
            group.cancel_scope.cancel()

    backend.run(main)
    assert (answer[0].stderr, answer[0].stdout) == (b"", bytes(100_000))


@pytest.mark.parametrize("version", VERSIONS)
def test_s_server_is_talked_to(program, pem, backend, version):
    port = free_port()
    command = [program("openssl"), "s_server", "-accept", f"{HOST}:{port}", "-rev", version]
    command += ["-cert", pem[1], "-key", pem[2], "-alpn", "penstock,other"]
    with running("timeout", "60", *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        wait_for_port(port)

        async def main():
            context = client_context()
            context.set_alpn_protocols(["other"])
            stream = await penstock.connect_tcp(
                HOST, port, ssl_context=context, tls_hostname="localhost"
            )
            async with stream:
                assert stream.extra(TLSAttribute.tls_version) == VERSIONS[version]
                assert stream.extra(TLSAttribute.alpn_protocol) == "other"
                await stream.send(b"penstock\n")
                assert await receive_exactly(stream, 9) == b"kcotsnep\n"

        backend.run(main)


def test_server_may_renegotiate_where_the_context_lets_it(program, pem, backend):
    port = free_port()
    command = [program("openssl"), "s_server", "-accept", f"{HOST}:{port}", "-tls1_2"]
    with talking(*command, "-cert", pem[1], "-key", pem[2], "-naccept", "1") as talk:
        talk.hear(b"ACCEPT")

        async def main():
            async with await penstock.connect_tcp(
                HOST, port, ssl_context=client_context(), tls_hostname="localhost"
            ) as stream:
                await stream.send(b"one\n")
                await penstock.to_thread.run_sync(talk.hear, b"^one")
                for _ in range(3):
                    async with penstock.create_task_group() as group:
                        receiving = group.create_task(stream.receive())
                        await penstock.wait_all_tasks_blocked()
                        talk.say(b"R")
                        await penstock.to_thread.run_sync(talk.hear, b"Read BLOCK|CIPHER is")
                        talk.say(b"from the server")
                        assert await receiving == b"from the server\n"
                    await stream.send(b"two\n")
                    await penstock.to_thread.run_sync(talk.hear, b"^two")
                talk.say(b"Q")

        backend.run(main)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_nginx_is_asked_for_a_page(program, pem, backend, tmp_path, version):
    port = free_port()
    (tmp_path / "page").write_bytes(bytes(500_000))
    tmp_path.chmod(0o755)
    (tmp_path / "nginx.conf").write_text(
        f"""daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;
        events {{}}
        http {{
            access_log off; client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p;
            fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u;
            scgi_temp_path {tmp_path}/s;
            server {{
                listen {HOST}:{port} ssl; root {tmp_path}; keepalive_timeout 0;
                ssl_certificate {pem[1]}; ssl_certificate_key {pem[2]};
                ssl_protocols TLSv{version};
            }}
        }}"""
    )
    (tmp_path / "error.log").touch()
    user = ["-g", "user root;"] if os.geteuid() == 0 else []
    with running(program("nginx"), "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), *user):
        wait_for_port(port)

        async def main():
            # nginx ends connections without an announcement only where HTTP says the length.
            stream = await penstock.connect_tcp(
                HOST,
                port,
                ssl_context=client_context(version),
                tls_hostname="localhost",
                tls_standard_compatible=False,
            )
            async with stream:
                await stream.send(b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = b"".join([data async for data in stream])
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK")
            assert body == bytes(500_000)

        backend.run(main)
