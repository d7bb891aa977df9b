"""Cancel scopes and tasks: what a timeout that does not come true costs, and a child."""

from peers.runner import main

if __name__ == "__main__":
    raise SystemExit(main("scopes", "spawn"))
