"""What httpcore's network calls cost: a request and its answer over one connection.

``python -m benchmarks.httpcore_calls`` in a checkout.  A stream of a network backend writes the
request and reads the answer, as httpcore does for each: without a timeout, or with one that does
not come true.  The peer echoes, in a process of its own.  Each row runs in fresh processes, in turn
with the others; the figures are us of CPU time of the process that asks, the least and the median
of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product, repeat
from statistics import median

import httpcore
from httpcore._backends.anyio import AnyIOBackend

import penstock
from benchmarks.compare import run_module
from benchmarks.peers import penstock_peer
from benchmarks.peers.bodies import WrongOutputError
from benchmarks.peers.certificates import contexts
from benchmarks.peers.clocks import PATIENCE, Spent, now, progressing, since
from benchmarks.tables import number, table
from penstock.interop.httpcore import PenstockBackend, PenstockNetworkStream


class ScopedStream(PenstockNetworkStream):
    """As penstock's, but by a cancel scope around each call."""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with penstock.move_on_after(timeout):
            return await super().read(max_bytes)
        raise httpcore.ReadTimeout

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with penstock.move_on_after(timeout):
            return await super().write(buffer)
        raise httpcore.WriteTimeout


LOOPS = ("asyncio", "uvloop", "trio")
TRANSPORTS = ("tcp", "tls")
#: Contender -> its network backend, and the timeout of each call in seconds.
CONTENDERS: dict[str, tuple[type[httpcore.AsyncNetworkBackend], float | None]] = {
    "penstock without a timeout": (PenstockBackend, None),
    "penstock": (PenstockBackend, 5.0),
    "penstock by scopes": (PenstockBackend, 5.0),
    "anyio": (AnyIOBackend, 5.0),
}
PASSES = 3
REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\n\r\n" * 2


@contextmanager
def echo(context: ssl.SSLContext | None) -> Iterator[int]:
    """Echo what one connection brings, in a process of its own; give its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        child = os.fork()
        if not child:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            while data := connection.recv(65_536):
                connection.sendall(data)
            os._exit(0)
        try:
            yield server.getsockname()[1]
        finally:
            os.kill(child, signal.SIGKILL)  # it waits for a connection that never came, perhaps
            os.waitpid(child, 0)


async def exchange(stream: httpcore.AsyncNetworkStream, count: int, timeout: float | None) -> Spent:
    """Write ``count`` requests and read the answer of each; return what that took."""
    start = now()
    for _ in repeat(None, count):
        await stream.write(REQUEST, timeout)
        answer = await stream.read(65_536, timeout)
        while len(answer) < len(REQUEST) and (more := await stream.read(65_536, timeout)):
            answer += more
        if answer != REQUEST:
            raise WrongOutputError(f"the answer is {answer!r}")
    return since(start)


def measure(loop: str, transport: str, contender: str, count: int) -> float:
    """Return the us of CPU time that a request and its answer take here."""
    make, timeout = CONTENDERS[contender]
    server, client = contexts() if transport == "tls" else (None, None)
    passes: list[Spent] = []
    with echo(server) as port, progressing(PATIENCE):

        async def main() -> int:
            stream = await make().connect_tcp("127.0.0.1", port)
            if client is not None:
                stream = await stream.start_tls(client, "localhost")
            if contender == "penstock by scopes":
                assert isinstance(stream, PenstockNetworkStream)
                stream = ScopedStream(stream.stream)
            await exchange(stream, count // 8 + 1, timeout)
            passes.extend([await exchange(stream, count, timeout) for _ in range(PASSES)])
            await stream.aclose()
            return 0

        penstock_peer.run(main, loop)
    return min(passes).cpu / count / 1000


def compare(options: argparse.Namespace) -> Iterator[str]:
    """Measure every row in turn, round after round; yield the lines of a table."""
    rows = list(product(options.loop, options.transport, CONTENDERS))
    costs: dict[tuple[str, ...], list[float]] = {row: [] for row in rows}
    for turn, row in product(range(options.rounds), rows):
        print(f"round {turn + 1}/{options.rounds}: {', '.join(row)}", file=sys.stderr)
        result = run_module("httpcore_calls", f"--requests={options.requests}", "--one", *row)
        costs[row].append(result["us"])
    lines = [(*row, number(min(us)), number(median(us))) for row, us in costs.items()]
    yield from table("loop, transport, backend, least us, median us", 3, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="fresh processes per row: 9")
    parser.add_argument("--requests", type=int, default=4_000, help="in each of three passes: 4000")
    parser.add_argument("--loop", nargs="+", choices=LOOPS, default=LOOPS)
    parser.add_argument("--transport", nargs="+", choices=TRANSPORTS, default=TRANSPORTS)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rounds < 1 or options.requests < 1:
        parser.error("there is nothing to measure")
    if options.one:
        loop, transport, contender = options.one
        json.dump({"us": measure(loop, transport, contender, options.requests)}, sys.stdout)
    else:
        print("\n".join(compare(options)))


if __name__ == "__main__":
    main()
