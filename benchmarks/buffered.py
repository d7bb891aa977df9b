"""Buffered byte streams: lines by receive_until, records by receive_exactly."""

from peers.runner import main

if __name__ == "__main__":
    raise SystemExit(main("lines", "records", "records-objects"))
