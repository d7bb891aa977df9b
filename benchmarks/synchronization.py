"""Locks, semaphores, limiters and events that nobody has to wait for."""

from peers.runner import main

if __name__ == "__main__":
    raise SystemExit(main("lock", "lock-fast", "semaphore", "limiter", "event-set"))
