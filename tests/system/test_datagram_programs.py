"""Datagrams to and from programs that nobody here wrote: nc, socat and dnsmasq."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from system_programs import running

import penstock
from penstock.abc import SocketAttribute

HOST = "127.0.0.1"
Program = Callable[[str], str]
every_length = pytest.mark.parametrize("length", [1, 1000, 8000])


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


async def ask(sock: Any, question: bytes) -> bytes:
    """Ask a connected peer, which may not be there yet, until it answers."""
    with penstock.fail_after(30):
        while True:
            try:
                await sock.send(question)
                with penstock.move_on_after(1):
                    answer: bytes = await sock.receive()
                    return answer
            except penstock.BrokenResourceError:
                await penstock.sleep(0.02)


# -- UDP -----------------------------------------------------------------------------------


async def test_nc_is_echoed_to(program: Program) -> None:
    async with await penstock.create_udp_socket(local_host=HOST) as udp:
        port = udp.extra(SocketAttribute.local_port)
        command = ("timeout", "30", program("nc"), "-u", "-W", "1", HOST, str(port))
        with running(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as nc:
            assert nc.stdin is not None
            assert nc.stdout is not None
            nc.stdin.write(b"world")
            nc.stdin.flush()
            data, (host, port) = await udp.receive()
            await udp.sendto(b"Hello, " + data, host, port)
            with penstock.fail_after(30):
                answer = await penstock.to_thread.run_sync(nc.stdout.read)
            assert answer == b"Hello, world"


@every_length
async def test_socat_echoes_over_udp(program: Program, length: int) -> None:
    port = free_port()
    command = (program("socat"), "-T30", f"UDP4-LISTEN:{port},bind={HOST},fork", "EXEC:cat")
    with running("timeout", "30", *command):
        async with await penstock.create_connected_udp_socket(HOST, port) as udp:
            assert await ask(udp, b"x" * length) == b"x" * length


@pytest.mark.parametrize("family", ["4", "6"])
async def test_socat_sends_to_a_udp_socket(program: Program, family: str) -> None:
    host = {"4": HOST, "6": "::1"}[family]
    async with await penstock.create_udp_socket(local_host=host) as udp:
        port = udp.extra(SocketAttribute.local_port)
        target = f"UDP{family}-SENDTO:" + (f"[{host}]" if family == "6" else host) + f":{port}"
        subprocess.run(
            [program("socat"), "-u", "STDIN", target], input=b"abc", check=True, timeout=30
        )
        data, (sender, _) = await udp.receive()
        assert (data, sender) == (b"abc", host)


def dns_query(name: str) -> bytes:
    """Return a question for the A record of a name: RFC 1035, section 4."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return (
        struct.pack("!6H", 0xBEEF, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)
    )


async def test_dnsmasq_answers(program: Program, tmp_path: Path) -> None:
    port = free_port()
    # It listens on TCP as well, and a port that is free for both is easily had where few are.
    number = os.getpid()
    host = f"127.88.{number >> 8 & 255}.{number & 255}"
    command = (
        program("dnsmasq"),
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        f"--pid-file={tmp_path / 'pid'}",
        "--user=",
        f"--port={port}",
        f"--listen-address={host}",
        "--bind-interfaces",
        "--address=/penstock.test/192.0.2.77",
    )
    with running("timeout", "30", *command):
        async with await penstock.create_connected_udp_socket(host, port) as udp:
            query = dns_query("penstock.test")
            answer = await ask(udp, query)
        identity, flags, questions, answers = struct.unpack("!4H", answer[:8])
        assert (identity, questions, answers) == (0xBEEF, 1, 1)
        assert flags & 0x800F == 0x8000  # an answer, and no error
        assert answer[12 : len(query)] == query[12:]
        assert answer.endswith(bytes([0, 4, 192, 0, 2, 77]))


# -- UNIX datagrams ------------------------------------------------------------------------


@every_length
async def test_socat_echoes_over_unix_datagrams(
    program: Program, length: int, tmp_path: Path
) -> None:
    path, own = tmp_path / "socat", tmp_path / "own"
    command = (program("socat"), "-T30", f"UNIX-RECVFROM:{path},fork", "EXEC:cat")
    with running("timeout", "30", *command):
        with penstock.fail_after(30):
            while not path.exists():
                await penstock.sleep(0.02)
        async with await penstock.create_connected_unix_datagram_socket(
            path, local_path=own
        ) as sock:
            assert await ask(sock, b"x" * length) == b"x" * length


async def test_socat_sends_to_a_path(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "sock"
    async with await penstock.create_unix_datagram_socket(local_path=path) as sock:
        target = f"UNIX-SENDTO:{path}"
        subprocess.run(
            [program("socat"), "-u", "STDIN", target], input=b"abc", check=True, timeout=30
        )
        assert await sock.receive() == (b"abc", None)


async def test_socat_sends_to_an_abstract_name(program: Program, tmp_path: Path) -> None:
    name = f"penstock-{tmp_path}"
    async with await penstock.create_unix_datagram_socket(local_path="\0" + name) as sock:
        target = f"ABSTRACT-SENDTO:{name}"
        subprocess.run(
            [program("socat"), "-u", "STDIN", target], input=b"abc", check=True, timeout=30
        )
        assert (await sock.receive())[0] == b"abc"


async def test_nc_sends_to_a_path(program: Program, tmp_path: Path) -> None:
    path, own = tmp_path / "sock", tmp_path / "own"
    async with await penstock.create_unix_datagram_socket(local_path=path) as sock:
        command = ("timeout", "30", program("nc"), "-u", "-U", "-s", str(own), str(path))
        with running(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as nc:
            assert nc.stdin is not None
            assert nc.stdout is not None
            nc.stdin.write(b"world\n")
            nc.stdin.flush()
            with penstock.fail_after(30):
                data, sender = await sock.receive()
                assert (data, sender) == (b"world\n", str(own))
                await sock.sendto(b"Hello, world\n", sender)
                answer = await penstock.to_thread.run_sync(nc.stdout.readline)
            assert answer == b"Hello, world\n"
            nc.stdin.close()
            nc.stdout.close()
