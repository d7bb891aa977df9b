"""TLS bulk: CPU of both sides of a TLS stream in memory, beside SSLObjects without a stream."""

from peers.runner import main

if __name__ == "__main__":
    raise SystemExit(main("tls-bulk"))
