"""Who takes part: one name per contender, the adapter that drives it and the loops it runs on."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module, util
from typing import TYPE_CHECKING, cast

from benchmarks.machine import found_compiler

if TYPE_CHECKING:
    from benchmarks.peers.adapter import Peer

__all__ = ("CONTENDERS", "Contender", "missing")

LOOPS = ("asyncio", "uvloop", "eager", "trio")


@dataclass(frozen=True)
class Contender:
    """One library, or one twin of penstock; a workload runs on some of its loops."""

    name: str
    adapter: str
    loops: tuple[str, ...]
    title: str
    hotpath: str | None = None
    #: The module without which it cannot take part.
    needs: str | None = None

    def load(self) -> Peer:
        """Import the adapter; ``PENSTOCK_HOTPATH`` must have been set before."""
        return cast("Peer", import_module(f"benchmarks.peers.{self.adapter}"))


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("penstock", "penstock_peer", LOOPS, "penstock, compiled", "compiled"),
        Contender("penstock-pure", "penstock_peer", LOOPS, "penstock, pure", "pure"),
        Contender("anyio", "anyio_peer", LOOPS, "AnyIO", needs="anyio"),
        Contender("trio", "trio_peer", ("trio",), "Trio"),
        Contender(
            "asyncio", "asyncio_peer", ("asyncio", "uvloop", "eager"), "asyncio streams and queues"
        ),
        Contender("protocol", "protocol_peer", ("asyncio", "uvloop"), "raw callback Protocol"),
        Contender(
            "aiofastnet",
            "aiofastnet_peer",
            ("asyncio", "uvloop"),
            "the same Protocol on aiofastnet",
            needs="aiofastnet",
        ),
        Contender("bytesio", "bytesio_peer", ("asyncio",), "awaited BytesIO (the limit)"),
        Contender("sslobject", "sslobject_peer", ("asyncio",), "bare SSLObject (the limit)"),
        Contender("blocking", "blocking_peer", ("blocking",), "blocking sockets"),
        Contender("epoll", "", ("C",), "epoll in C (the floor)"),
    )
}

#: What a loop cannot run without.
LOOP_MODULES = {"uvloop": "uvloop", "trio": "trio"}


def missing(contender: str, loop: str, compiles: bool) -> str | None:
    """Return what is not installed of what a contender on a loop needs; None if all is there.

    ``compiles`` says whether the workload needs a program in C as well.
    """
    if compiles and not found_compiler():
        return "a C compiler"
    for module in (CONTENDERS[contender].needs, LOOP_MODULES.get(loop)):
        if module and not util.find_spec(module):
            return module
    return None
