"""TCP bulk: CPU of the server process per MB that it receives or sends over one connection."""

from peers.runner import main

if __name__ == "__main__":
    raise SystemExit(main("tcp-in-64k", "tcp-in-1024k", "tcp-out-64k", "tcp-out-1024k"))
