"""Idle memory: what 3,000 connections that nothing happens on cost a TCP server, each."""

from peers.runner import main

if __name__ == "__main__":
    raise SystemExit(main("idle-memory"))
