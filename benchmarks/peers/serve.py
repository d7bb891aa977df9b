"""The echo server under test: ``python -m peers.serve CONTENDER LOOP tcp|udp`` prints its port."""

from __future__ import annotations

import os
import sys

from peers.contenders import CONTENDERS


def announce(port: int) -> None:
    """Tell the parent process where to connect."""
    print(port, flush=True)


def main() -> None:
    contender = CONTENDERS[sys.argv[1]]
    if contender.hotpath:
        os.environ["PENSTOCK_HOTPATH"] = contender.hotpath
    peer = contender.load()

    async def serve() -> int:
        await (peer.serve_udp_echo if sys.argv[3] == "udp" else peer.serve_echo)(announce)
        return 0

    peer.run(serve, sys.argv[2])


if __name__ == "__main__":
    main()
