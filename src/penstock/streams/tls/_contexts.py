"""TLS contexts and host names as penstock makes them."""

from __future__ import annotations

import ssl

import idna

__all__ = ("ascii_hostname", "default_context")


def default_context(*, server_side: bool) -> ssl.SSLContext:
    """Return the standard library's default context, without its two concessions.

    An unexpected end of the stream is an error there (it may be an attacker's work), and
    renegotiation is refused (it lets a client make a server work, and TLS 1.3 has dropped it).
    """
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH if server_side else ssl.Purpose.SERVER_AUTH
    )
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    return context


def ascii_hostname(hostname: str) -> str:
    """Return a host name as certificates spell it (IDNA 2008; the ``ssl`` module knows 2003)."""
    return hostname if hostname.isascii() else idna.encode(hostname, uts46=True).decode("ascii")
