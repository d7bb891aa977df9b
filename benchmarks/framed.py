"""Framed streams: frames of 100 bytes, beside two receive_exactly calls for each."""

from peers.runner import main

if __name__ == "__main__":
    raise SystemExit(main("frames", "frames-objects"))
