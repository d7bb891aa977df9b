"""Socket addresses, as the socket module has them."""

from __future__ import annotations

import socket
from typing import Any

__all__ = ("check_numeric",)


def check_numeric(family: int, address: Any) -> None:
    """Check that nobody would have to look a host name up, which blocks.

    The rest of an address is for the socket module to judge.

    Raises:
        ValueError: The host of an Internet address is not a numeric address.
    """
    if family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
        return
    host = address[0] if address else None
    numeric = host.partition("%")[0] if family == socket.AF_INET6 and type(host) is str else host
    try:
        socket.inet_pton(family, numeric)  # type: ignore[arg-type]  # a TypeError is what is wanted
    except (OSError, TypeError, ValueError):
        raise ValueError(f"the host must be a numeric address, not {host!r}") from None
