"""The examples of the requirements for TCP and UNIX sockets do what they should.

The files in ``examples/`` are copied from requirement 004.  Only the import is changed here, and
the port, the host or the path to which they go.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from socket_examples import HOST, free_port, main_of, program_of

import penstock

SECONDS = 30
#: What each client prints.
PRINTED = {
    "tcp": "b'Hello, Client\\n\\n'\n",
    "unix": "b'Hello, Client\\n\\n'\n",
    "descriptors": "Test file\n",
}
each_pair = pytest.mark.parametrize("name", PRINTED)

# The servers leave their listeners to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")


class Pair:
    """What a server and its client are told of where they meet."""

    def __init__(self, name: str, directory: Path) -> None:
        self._name = name
        port, path = str(free_port(socket.SOCK_STREAM)), str(directory / "socket")
        if name == "tcp":
            self.address: Any = (HOST, int(port))
            self.server = {"1234": port}
            self.client = {"1234": port, "hostname": HOST}
        else:
            self.address = path
            self.client = self.server = {"/tmp/mysock": path}
        if name == "descriptors":
            self.server = self.server | {"/tmp/examplefile": str(directory / "file")}

    def peer(self) -> socket.socket:
        """Connect to the server."""
        family = socket.AF_INET if self._name == "tcp" else socket.AF_UNIX
        peer = socket.socket(family)
        peer.settimeout(SECONDS)
        try:
            peer.connect(self.address)
        except OSError:
            peer.close()
            raise
        return peer


@pytest.fixture
def pair(name: str, tmp_path: Path) -> Pair:
    return Pair(name, tmp_path)


@asynccontextmanager
async def served(name: str, pair: Pair) -> AsyncIterator[None]:
    """Run the server of an example, which never ends, for the length of the block."""
    main = main_of(f"004-{name}-server", **pair.server)
    with penstock.fail_after(SECONDS):
        async with penstock.create_task_group() as tg:
            tg.start_soon(main)
            await penstock.wait_all_tasks_blocked()
            yield
            tg.cancel_scope.cancel()


@each_pair
async def test_a_client_is_served(
    name: str, pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(name, pair):
        await main_of(f"004-{name}-client", **pair.client)()
    assert capsys.readouterr().out == PRINTED[name]


def leave(peer: socket.socket) -> None:
    peer.close()


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def leave_without_the_answer(peer: socket.socket) -> None:
    peer.sendall(b"Nobody")
    reset(peer)


@pytest.mark.parametrize("leaving", [leave, reset, leave_without_the_answer])
@each_pair
async def test_a_peer_that_connects_and_leaves_does_not_end_the_server(
    name: str, pair: Pair, leaving: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(name, pair):
        for _ in range(3):
            leaving(pair.peer())
            await penstock.wait_all_tasks_blocked()
        await main_of(f"004-{name}-client", **pair.client)()
    assert capsys.readouterr().out == PRINTED[name]


@each_pair
def test_both_run_as_programs(name: str, pair: Pair, tmp_path: Path) -> None:
    for side, replaced in (("server", pair.server), ("client", pair.client)):
        (tmp_path / f"{side}.py").write_text(program_of(f"004-{name}-{side}", **replaced))
    with subprocess.Popen([sys.executable, str(tmp_path / "server.py")]) as server:
        try:
            for _ in range(SECONDS * 100):
                try:
                    pair.peer().close()
                    break
                except OSError:  # it has not begun
                    time.sleep(0.01)
            printed = subprocess.run(
                [sys.executable, str(tmp_path / "client.py")],
                capture_output=True,
                timeout=SECONDS,
                check=True,
            ).stdout
        finally:
            server.kill()
    assert printed.decode() == PRINTED[name]
