"""Memory object streams: a producer and a consumer, buffered and not, and one task alone."""

from peers.runner import main

if __name__ == "__main__":
    raise SystemExit(main("memory-buffered", "memory-unbuffered", "memory-ready"))
