"""What the datagram tests share: a socket of each kind, and its blocking peer."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raised import public_type

import penstock
from penstock.abc import SocketAttribute

HOST = "127.0.0.1"
KINDS = ("udp", "udp6", "connected udp", "unix", "connected unix")


@dataclass
class Pair:
    """A datagram socket under test, and its blocking peer."""

    kind: str
    sock: Any
    peer: socket.socket

    @property
    def connected(self) -> bool:
        return self.kind.startswith("connected")

    @property
    def peer_address(self) -> Any:
        address = self.peer.getsockname()
        return address[:2] if isinstance(address, tuple) else address

    def item(self, data: Any) -> Any:
        """Return what ``sock.send`` takes to send ``data`` to the peer, or receives from it."""
        return data if self.connected else (data, self.peer_address)

    def send(self, data: Any) -> Awaitable[None]:
        """Send from the socket under test to the peer."""
        result: Awaitable[None] = self.sock.send(self.item(data))
        return result

    def arrive(self, *datagrams: bytes) -> None:
        """Send from the peer to the socket under test."""
        for data in datagrams:
            self.peer.sendto(data, raw_socket_of(self.sock).getsockname())

    def fill(self) -> int:
        """Fill the queue of the peer of a UNIX socket; return how many datagrams that took."""
        sent = 0
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
            filler.setblocking(False)
            try:
                while True:
                    filler.sendto(b"fill", self.peer.getsockname())
                    sent += 1
            except BlockingIOError:
                return sent


@asynccontextmanager
async def datagram_pair(kind: str, directory: Path) -> AsyncIterator[Pair]:
    family = {"udp": socket.AF_INET, "udp6": socket.AF_INET6}.get(
        kind.removeprefix("connected "), socket.AF_UNIX
    )
    with socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.settimeout(30)
        path, local_path = os.path.join(directory, "peer"), os.path.join(directory, "sock")
        if family == socket.AF_UNIX:
            peer.bind(path)
        else:
            peer.bind((HOST if family == socket.AF_INET else "::1", 0))
        sock: Any
        match kind:
            case "udp":
                sock = await penstock.create_udp_socket(local_host=HOST)
            case "udp6":
                sock = await penstock.create_udp_socket(local_host="::1")
            case "connected udp":
                sock = await penstock.create_connected_udp_socket(*peer.getsockname())
            case "unix":
                sock = await penstock.create_unix_datagram_socket(local_path=local_path)
            case _:
                sock = await penstock.create_connected_unix_datagram_socket(
                    path, local_path=local_path
                )
        async with sock:
            yield Pair(kind, sock, peer)


def raw_socket_of(sock: Any) -> socket.socket:
    raw: socket.socket = sock.extra(SocketAttribute.raw_socket)
    return raw


async def outcome_of(awaitable: Awaitable[Any], outcomes: list[Any]) -> None:
    """Note what an operation returned, or the class of what it raised."""
    try:
        outcomes.append(await awaitable)
    except Exception as exc:
        outcomes.append(public_type(exc))
