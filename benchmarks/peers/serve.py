"""The server under test: ``python -m benchmarks.peers.serve CONTENDER LOOP KIND [PIECE]``.

KIND is "tcp", "tls", "udp" or "unix" to echo, "in" or "out" for bulk transfers of PIECE bytes at a
time.  It prints its port, or its abstract name without the null byte.  SIGUSR1 makes it collect
its garbage.
"""

from __future__ import annotations

import gc
import os
import signal
import sys

from benchmarks.peers.bulk import Transfer
from benchmarks.peers.contenders import CONTENDERS


def announce(address: int | str) -> None:
    """Tell the parent process where to connect."""
    print(str(address).lstrip("\0"), flush=True)


def main() -> None:
    contender = CONTENDERS[sys.argv[1]]
    if contender.hotpath:
        os.environ["PENSTOCK_HOTPATH"] = contender.hotpath
    peer = contender.load()
    kind = sys.argv[3]
    signal.signal(signal.SIGUSR1, lambda *_: gc.collect())

    async def serve() -> int:
        if kind == "unix":
            await peer.serve_unix_echo(f"\0peers-{os.getpid()}", announce)
        elif kind == "tls":
            from benchmarks.peers.certificates import (
                contexts,  # the others start, and hold, less without it
            )

            await peer.serve_tls_echo(announce, contexts()[0])
        elif kind in ("in", "out"):
            await peer.serve_bulk(Transfer(kind, int(sys.argv[4])), announce)
        else:
            await (peer.serve_udp_echo if kind == "udp" else peer.serve_echo)(announce)
        return 0

    peer.run(serve, sys.argv[2])


if __name__ == "__main__":
    main()
