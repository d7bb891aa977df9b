"""``python -m penstock echo``: a TCP server that sends back whatever it receives."""

from __future__ import annotations

import signal
import sys
from argparse import Namespace

import penstock
from penstock._backends.runtimes import RUNTIMES
from penstock.abc import SocketAttribute, SocketStream

__all__ = ("main",)


def main(options: Namespace) -> int:
    """Echo until Ctrl-C."""
    (runtime,) = (runtime for runtime in RUNTIMES if runtime.name == options.backend)
    if not runtime.installed:
        print(f"penstock echo: {runtime.package} is not installed here", file=sys.stderr)
        return 2
    # What a shell script puts in the background starts with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return penstock.run(
            serve,
            options.host,
            options.port,
            backend=runtime.backend,
            backend_options=runtime.options,
        )
    except* KeyboardInterrupt:  # in a group, where it comes through Trio's nurseries
        pass
    return 0


async def serve(host: str, port: int) -> int:
    """Listen on an address and echo until cancelled."""
    try:
        listener = await penstock.create_tcp_listener(local_host=host, local_port=port)
    except OSError as exc:
        print(f"penstock echo: cannot listen on {host}:{port}: {exc}", file=sys.stderr)
        return 1
    async with listener:
        address = str(listener.extra(SocketAttribute.local_address)[0])
        shown = f"[{address}]" if ":" in address else address
        print(f"listening on {shown}:{listener.extra(SocketAttribute.local_port)}", flush=True)
        await listener.serve(echo)
    return 0


async def echo(stream: SocketStream) -> None:
    """Send back everything that comes, until the peer has sent all it will."""
    async with stream:
        async for data in stream:
            await stream.send(data)
