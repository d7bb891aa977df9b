"""Loading the examples of requirement 004 about sockets, and peers for them."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent / "examples"
HOST = "127.0.0.1"


def program_of(name: str, **replaced: str) -> str:
    """Return an example with its import changed, and the strings in it that are to be replaced."""
    source = (EXAMPLES / f"{name}.txt").read_text(encoding="utf-8")
    for old, new in ({"from anyio": "from penstock"} | replaced).items():
        assert source.count(old) == 1
        source = source.replace(old, new)
    return source


def main_of(name: str, **replaced: str) -> Any:
    """Return the function ``main`` of an example."""
    namespace: dict[str, Any] = {}
    exec(compile(program_of(name, **{"run(main)": ""}, **replaced), name, "exec"), namespace)
    return namespace["main"]


def free_port(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port
