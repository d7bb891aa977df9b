"""The commands of ``python -m penstock``: their options and their dispatch.

Each command is a module: it gets its parsed options and returns the exit status.  A command is
imported when it runs, so that ``info`` works even where something else does not.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from importlib import import_module

from penstock._backends.runtimes import RUNTIMES

__all__ = ("main",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` name; return the exit status of the process."""
    options = _parser().parse_args(arguments)
    status: int = import_module(f"penstock._commands.{options.command}").main(options)
    return status


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m penstock", description="Streams for asyncio, uvloop and Trio."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    text = "Say which hot path runs and why, and what it runs on."
    info = commands.add_parser("info", help=text, description=text)
    info.add_argument("--json", action="store_true", help="print the same for programs")

    text = "Send back whatever TCP or TLS clients send, until Ctrl-C."
    echo = commands.add_parser("echo", help=text, description=text)
    echo.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    echo.add_argument("--port", type=_port, default=0, help="0, the default, takes any free port")
    echo.add_argument(
        "--backend",
        choices=[runtime.name for runtime in RUNTIMES],
        default=RUNTIMES[0].name,
        help="what to run on: %(choices)s (%(default)s)",
        metavar="NAME",
    )

    echo.add_argument(
        "--tls-cert", metavar="FILE", help="speak TLS: the certificates, the server's first, in PEM"
    )
    echo.add_argument(
        "--tls-key", metavar="FILE", help="its private key in PEM; by default in the same file"
    )

    text = "Run a line server and its clients on every runtime found, and compare."
    demo = commands.add_parser("demo", help=text, description=text)
    demo.add_argument(
        "--seconds", type=_seconds, default=10.0, help="time for all of it (%(default)g)"
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 3600:
        raise ArgumentTypeError(f"a number above 0, at most 3600, not {text!r}")
    return seconds
