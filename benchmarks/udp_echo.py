"""UDP echo: CPU of the server process per datagram, one socket and 50 peers in another process."""

from peers.runner import main

if __name__ == "__main__":
    raise SystemExit(main("udp-echo"))
