"""The echo server under test: ``python -m peers.serve CONTENDER LOOP tcp|udp|unix``.

It prints its port, or its abstract name without the null byte.
"""

from __future__ import annotations

import os
import sys

from peers.contenders import CONTENDERS


def announce(address: int | str) -> None:
    """Tell the parent process where to connect."""
    print(str(address).lstrip("\0"), flush=True)


def main() -> None:
    contender = CONTENDERS[sys.argv[1]]
    if contender.hotpath:
        os.environ["PENSTOCK_HOTPATH"] = contender.hotpath
    peer = contender.load()

    async def serve() -> int:
        if sys.argv[3] == "unix":
            await peer.serve_unix_echo(f"\0peers-{os.getpid()}", announce)
        else:
            await (peer.serve_udp_echo if sys.argv[3] == "udp" else peer.serve_echo)(announce)
        return 0

    peer.run(serve, sys.argv[2])


if __name__ == "__main__":
    main()
