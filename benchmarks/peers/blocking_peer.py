"""Blocking sockets of the standard library, and no event loop.

Bulk transfers come one connection at a time; an echo has a thread for each connection.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from threading import Thread

from benchmarks.peers.adapter import Main
from benchmarks.peers.bulk import Transfer

__all__ = ("run", "serve_bulk", "serve_echo", "serve_tls_echo", "serve_unix_echo")


def run(main: Main, loop: str) -> int:
    try:
        main().send(None)
    except StopIteration as exc:
        return int(exc.value)
    raise RuntimeError("this must not wait for an event loop")


def echo(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(65_536):
            connection.sendall(data)


def echo_for_ever(listening: socket.socket, context: ssl.SSLContext | None = None) -> None:
    while True:
        connection, _ = listening.accept()
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
        Thread(target=echo, args=(connection,), daemon=True).start()


async def serve_echo(announce: Callable[[int], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        announce(listening.getsockname()[1])
        echo_for_ever(listening)


async def serve_unix_echo(name: str, announce: Callable[[str], None]) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(name)
        listening.listen()
        announce(name)
        echo_for_ever(listening)


async def serve_tls_echo(announce: Callable[[int], None], context: ssl.SSLContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        announce(listening.getsockname()[1])
        echo_for_ever(listening, context)


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
