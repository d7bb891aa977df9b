"""aiofastnet: the servers of ``protocol_peer``, with its transports put into the event loop."""

from __future__ import annotations

import asyncio

import aiofastnet

from benchmarks.peers.adapter import Main
from benchmarks.peers.protocol_peer import (
    serve_bulk,
    serve_echo,
    serve_tls_echo,
    serve_udp_echo,
    serve_unix_echo,
)

__all__ = (
    "run",
    "serve_bulk",
    "serve_echo",
    "serve_tls_echo",
    "serve_udp_echo",
    "serve_unix_echo",
)


def run(main: Main, loop: str) -> int:
    factory = asyncio.new_event_loop
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=aiofastnet.loop_factory(factory)) as runner:
        return runner.run(main())
