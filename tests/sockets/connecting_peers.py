"""Names with addresses of our choice, and servers that never answer."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest

#: Gives a name the addresses that stand for it from then on, until the test is over.
Naming = Callable[[str, Sequence[str]], None]


@pytest.fixture
def naming(monkeypatch: pytest.MonkeyPatch) -> Naming:
    """The name service of this machine, and names of the test's own.

    What the system's would say cannot be chosen, so this one stands before it.
    """
    names: dict[bytes, Sequence[str]] = {}
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, family: int, *args: Any) -> Any:
        if host not in names:
            return look_up(host, port, family, *args)
        if args[-1] & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "no number")
        infos = []
        for address in names[host]:
            for info in look_up(address, port, 0, *args):
                if family in (0, info[0]):
                    infos.append(info)
        return infos

    def name(host: str, addresses: Sequence[str]) -> None:
        names[host.encode()] = addresses

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return name


@contextmanager
def one_port(*hosts: str) -> Iterator[tuple[int, list[socket.socket]]]:
    """Bind sockets to one port of several addresses; nobody listens there yet."""
    for _ in range(100):  # somebody else may have the port at one of them
        with ExitStack() as stack:
            socks: list[socket.socket] = []
            port = 0
            try:
                for host in hosts:
                    family = socket.AF_INET6 if ":" in host else socket.AF_INET
                    sock = stack.enter_context(socket.socket(family))
                    if family == socket.AF_INET6:
                        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    sock.bind((host, port))
                    port = sock.getsockname()[1]
                    socks.append(sock)
            except OSError:
                continue
            yield port, socks
            return
    raise AssertionError("no port is free at all of them")


def fill_queue(stack: ExitStack, server: socket.socket) -> None:
    """Let a bound socket listen, and fill its queue so that a connection attempt waits."""
    server.listen(0)
    for _ in range(4):
        filler = stack.enter_context(socket.socket(server.family))
        filler.setblocking(False)
        with suppress(BlockingIOError):
            filler.connect(server.getsockname())
