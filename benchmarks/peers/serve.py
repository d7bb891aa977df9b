"""The echo server under test: ``python -m peers.serve CONTENDER LOOP [tls]`` prints its port."""

from __future__ import annotations

import os
import ssl
import sys

import trustme

from peers.contenders import CONTENDERS


def announce(port: int) -> None:
    """Tell the parent process where to connect."""
    print(port, flush=True)


def server_context() -> ssl.SSLContext:
    """Return a context with a certificate that was made for this run."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    return context


def main() -> None:
    contender = CONTENDERS[sys.argv[1]]
    if contender.hotpath:
        os.environ["PENSTOCK_HOTPATH"] = contender.hotpath
    peer = contender.load()

    async def serve() -> int:
        if sys.argv[3:] == ["tls"]:
            await peer.serve_tls_echo(announce, server_context())
        else:
            await peer.serve_echo(announce)
        return 0

    peer.run(serve, sys.argv[2])


if __name__ == "__main__":
    main()
