"""A proxy that ends TLS: encrypted connections come in, plain ones go on to a server.

    python -m http.server --bind 127.0.0.1 8000 &
    python examples/tls_proxy.py --port 8443 --to 127.0.0.1:8000 --cert cert.pem --key key.pem
    curl --cacert ca.pem https://localhost:8443/    # and: --backend uvloop, --backend trio

The end of one direction is passed on, and the other goes on (with TLS 1.3; TLS 1.2 can only end
both): TLS's announcement becomes a FIN, and a FIN an announcement.  What breaks on one side is
broken on the other: nobody takes half a file for a whole one.  Of each direction some 64 KiB are in
memory: while a receiver is slow, its sender waits.  SIGTERM or Ctrl-C: no new connections; those
that there are have ``--grace`` seconds.
"""

import argparse
import signal
import socket
import ssl
import struct
from functools import partial
from typing import Any

import penstock
from penstock.abc import ByteStream, SocketAttribute
from penstock.streams.tls import TLSListener, TLSStream

CONNECTIONS = 1000  # at once; further ones wait in the system's queue
ALIVE = 60  # seconds until a peer is asked whether it is still there


async def copy(source: ByteStream, sink: ByteStream, both: penstock.CancelScope) -> None:
    """Pass on everything, and then the end."""
    async for data in source:
        await sink.send(data)  # only then more is received
    try:
        await sink.send_eof()
    except NotImplementedError:
        both.cancel("TLS 1.2 can only end both directions")


class Proxy:
    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port

    async def handle(self, client: TLSStream) -> None:
        async with client:
            try:
                with penstock.fail_after(10):
                    server = await penstock.connect_tcp(self.host, self.port, keepalive=ALIVE)
            except OSError as exc:  # TimeoutError is one
                print("the server is not there:", exc, flush=True)
                return
            async with server:
                try:
                    async with penstock.create_task_group() as tasks:
                        tasks.start_soon(copy, client, server, tasks.cancel_scope)
                        tasks.start_soon(copy, server, client, tasks.cancel_scope)
                except BaseException:  # also a cancellation
                    for stream in (client, server):
                        reset_at_close(stream)
                    await penstock.aclose_forcefully(client)  # without announcing the end
                    raise


def reset_at_close(stream: ByteStream) -> None:
    """See to it that the peer sees an error, and no end, when the stream is closed."""
    sock = stream.extra(SocketAttribute.raw_socket)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def report(exc: Exception, stream: ByteStream) -> None:
    print("a connection has failed:", repr(exc), flush=True)


async def main(options: argparse.Namespace) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.cert, options.key)
    host, _, port = options.to.rpartition(":")
    proxy = Proxy(host, int(port))
    listener = TLSListener(
        await penstock.create_tcp_listener(
            local_host="127.0.0.1", local_port=options.port, keepalive=ALIVE
        ),
        context,
    )
    serve = partial(listener.serve, proxy.handle, max_connections=CONNECTIONS, on_error=report)
    with penstock.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with listener, penstock.create_task_group() as tasks:
            tasks.start_soon(serve)
            print("listening on port", listener.extra(SocketAttribute.local_port), flush=True)
            await anext(signals)
            cancelled = await listener.drain(penstock.current_time() + options.grace)
            print(f"{listener.statistics().accepted} connections, {cancelled} cut off", flush=True)


BACKENDS: dict[str, dict[str, Any]] = {
    "asyncio": {"backend": "asyncio"},
    "uvloop": {"backend": "asyncio", "backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8443, help="0: one that is free")
    parser.add_argument("--to", default="127.0.0.1:8000", metavar="HOST:PORT")
    parser.add_argument("--cert", required=True, help="a PEM file: the certificate and its chain")
    parser.add_argument("--key", help="a PEM file, unless the key is in the other one")
    parser.add_argument("--grace", type=float, default=10.0)
    parser.add_argument("--backend", choices=BACKENDS, default="asyncio")
    arguments = parser.parse_args()
    penstock.run(main, arguments, **BACKENDS[arguments.backend])
