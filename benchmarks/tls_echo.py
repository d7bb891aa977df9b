"""TLS echo: CPU of the server process per request, with 50 connections from another process."""

from peers.runner import main

if __name__ == "__main__":
    raise SystemExit(main("tls-echo"))
