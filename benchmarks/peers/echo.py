"""The echo measurements: server under test and load generator, each on a core of its own.

The server is a process that does nothing else; the generator (load.c) compares every byte that
comes back and reads the server's CPU clock at both ends of each timed window.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

from peers.processes import compiled, loaded, server, serving

if TYPE_CHECKING:
    from peers.contenders import Contender

CONNECTIONS = 50
BYTES = 1024
WINDOWS = 6
TLS_FLAGS = ("-DTLS", "-lssl", "-lcrypto")


def measure(kind: str, contender: Contender, loop: str, length: int) -> dict[str, Any]:
    """Return the CPU of the server per request, in the timed window that was disturbed least.

    Args:
        kind: "tcp", "tls" (which needs OpenSSL's headers), "udp" or "unix".
        contender: Who serves.
        loop: On which event loop.
        length: All windows together, in ms; a warm-up as long as one of them comes before.

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
            arguments = (kind, address, CONNECTIONS, BYTES, pid, WINDOWS, seconds / WINDOWS)
            windows = loaded([load, *map(str, arguments)], seconds)
    cost = min(window["cpu_ns"] / window["requests"] for window in windows)
    return {"cost": cost, "windows": windows}
