"""Broadcast streams: a delivery to one of ten receivers, beside an item of a memory stream."""

from peers.runner import main

if __name__ == "__main__":
    raise SystemExit(main("memory-buffered", "broadcast"))
