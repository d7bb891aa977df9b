"""Who takes part: one name per contender, the adapter that drives it and the loops it runs on."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module, metadata
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from peers.adapter import Peer

__all__ = ("CONTENDERS", "Contender")

LOOPS = ("asyncio", "uvloop", "eager", "trio")


@dataclass(frozen=True)
class Contender:
    """One library, or one twin of penstock; a workload runs on some of its loops."""

    name: str
    adapter: str
    loops: tuple[str, ...]
    title: str
    hotpath: str | None = None

    def load(self) -> Peer:
        """Import the adapter; ``PENSTOCK_HOTPATH`` must have been set before."""
        return cast("Peer", import_module(f"peers.{self.adapter}"))


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("penstock", "penstock_peer", LOOPS, "penstock, compiled", "compiled"),
        Contender("penstock-pure", "penstock_peer", LOOPS, "penstock, pure", "pure"),
        Contender("anyio", "anyio_peer", LOOPS, "AnyIO"),
        Contender("trio", "trio_peer", ("trio",), "Trio"),
        Contender(
            "asyncio", "asyncio_peer", ("asyncio", "uvloop", "eager"), "asyncio streams and queues"
        ),
        Contender("protocol", "protocol_peer", ("asyncio", "uvloop"), "raw callback Protocol"),
        Contender("bytesio", "bytesio_peer", ("asyncio",), "awaited BytesIO (the limit)"),
        Contender("sslobject", "sslobject_peer", ("asyncio",), "bare SSLObject (the limit)"),
        Contender("blocking", "blocking_peer", ("blocking",), "blocking sockets"),
        Contender("epoll", "", ("C",), "epoll in C (the floor)"),
    )
}


def versions() -> dict[str, str]:
    """Return the versions of the libraries that are installed."""
    found = {}
    for name in ("penstock", "anyio", "trio", "uvloop"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass  # penstock runs from a source tree, an optional peer is missing
    return found
