"""Blocking sockets of the standard library, and no event loop: one connection at a time."""

from __future__ import annotations

import socket
from collections.abc import Callable

from peers.adapter import Main
from peers.bulk import Transfer

__all__ = ("run", "serve_bulk")


def run(main: Main, loop: str) -> int:
    try:
        main().send(None)
    except StopIteration as exc:
        return int(exc.value)
    raise RuntimeError("this must not wait for an event loop")


def take(transfer: Transfer, connection: socket.socket) -> None:
    verify = transfer.begin()
    chunks = []
    total = 0
    while data := connection.recv(transfer.piece):
        total += len(data)
        if verify:
            chunks.append(data)
    if verify:
        transfer.check(chunks)
    connection.sendall(total.to_bytes(8, "little"))


async def serve_bulk(transfer: Transfer, announce: Callable[[int], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        announce(listening.getsockname()[1])
        while True:
            connection, _ = listening.accept()
            with connection:
                if transfer.incoming:
                    take(transfer, connection)
                else:
                    for data in transfer.pieces(transfer.begin()):
                        connection.sendall(data)
