"""The echo measurements: server under test and load generator, each on a core of its own.

The server is a process that does nothing else; the generator (load.c) compares every byte that
comes back, times every request, and reads the server's CPU clock at both ends of each timed window.
"""

from __future__ import annotations

import tempfile
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.peers.processes import compiled, loaded, server, serving

if TYPE_CHECKING:
    from benchmarks.peers.contenders import Contender

CONNECTIONS = 50
BYTES = 1024
WINDOWS = 6
TLS_FLAGS = ("-DTLS", "-lssl", "-lcrypto")


def measure(
    kind: str,
    contender: Contender,
    loop: str,
    length: int,
    connections: int = CONNECTIONS,
    size: int = BYTES,
) -> dict[str, Any]:
    """Return what an echo server needs: CPU, requests per second, and the time of a request.

    The CPU per request is that of the timed window that was disturbed least; the others, of which
    a disturbance may also make less, are medians over the windows.

    Args:
        kind: "tcp", "tls" (which needs OpenSSL's headers), "udp" or "unix".
        contender: Who serves.
        loop: On which event loop.
        length: All windows together, in ms; a warm-up as long as one of them comes before.
        connections: How many have one request under way each.
        size: Bytes of a request.

    Raises:
        RuntimeError: the server did not start, or gave back something else than it was sent.
    """
    seconds = length / 1000
    with tempfile.TemporaryDirectory() as directory:
        if contender.adapter:
            command = serving(contender, loop, kind)
        else:
            command = [compiled(contender.name, directory), kind]
        load = compiled("load", directory, *(TLS_FLAGS if kind == "tls" else ()))
        with server(command) as (pid, address):
            arguments = (kind, address, connections, size, pid, WINDOWS, seconds / WINDOWS)
            windows = loaded([load, *map(str, arguments)], seconds)
    cost = min(window["cpu_ns"] / window["requests"] for window in windows)
    return {
        "cost": cost,
        "rate": median(window["requests"] / window["seconds"] for window in windows),
        "p50_ns": median(window["p50_ns"] for window in windows),
        "p99_ns": median(window["p99_ns"] for window in windows),
        "windows": windows,
    }
