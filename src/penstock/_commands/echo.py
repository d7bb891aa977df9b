"""``python -m penstock echo``: a TCP or TLS server that sends back whatever it receives."""

from __future__ import annotations

import signal
import ssl
import sys
from argparse import Namespace
from typing import Any

import penstock
from penstock._backends.runtimes import RUNTIMES
from penstock.abc import ByteStream, Listener, SocketAttribute
from penstock.streams.tls import TLSListener
from penstock.streams.tls._contexts import default_context

__all__ = ("main",)


def main(options: Namespace) -> int:
    """Echo until Ctrl-C."""
    (runtime,) = (runtime for runtime in RUNTIMES if runtime.name == options.backend)
    if not runtime.installed:
        print(f"penstock echo: {runtime.package} is not installed here", file=sys.stderr)
        return 2
    context = None
    if options.tls_cert:
        context = default_context(server_side=True)
        try:
            context.load_cert_chain(options.tls_cert, options.tls_key)
        except OSError as exc:  # ssl.SSLError is one
            print(f"penstock echo: cannot use {options.tls_cert}: {exc}", file=sys.stderr)
            return 1
    # What a shell script puts in the background starts with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return penstock.run(
            serve,
            options.host,
            options.port,
            context,
            backend=runtime.backend,
            backend_options=runtime.options,
        )
    except* KeyboardInterrupt:  # in a group, where it comes through Trio's nurseries
        pass
    return 0


async def serve(host: str, port: int, context: ssl.SSLContext | None) -> int:
    """Listen on an address and echo until cancelled."""
    try:
        listener: Listener[Any] = await penstock.create_tcp_listener(
            local_host=host, local_port=port
        )
    except OSError as exc:
        print(f"penstock echo: cannot listen on {host}:{port}: {exc}", file=sys.stderr)
        return 1
    if context is not None:
        listener = TLSListener(listener, context)
    async with listener:
        address = str(listener.extra(SocketAttribute.local_address)[0])
        shown = f"[{address}]" if ":" in address else address
        print(f"listening on {shown}:{listener.extra(SocketAttribute.local_port)}", flush=True)
        await listener.serve(echo)
    return 0


async def echo(stream: ByteStream) -> None:
    """Send back everything that comes, until the peer has sent all it will."""
    async with stream:
        async for data in stream:
            await stream.send(data)
