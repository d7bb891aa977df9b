"""TLS contexts, host names and the objects that encrypt, as penstock makes them."""

from __future__ import annotations

import ssl
from typing import Protocol

from penstock._hostnames import encode_name

__all__ = ("AnySSLContext", "bio_pair", "check_context", "default_context")


class AnySSLContext(Protocol):
    """What is asked of a TLS context: :class:`ssl.SSLContext` is one."""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> ssl.SSLObject: ...


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


def check_context(context: object) -> None:
    """Check what is to be used as a TLS context.

    Raises:
        TypeError: It has no ``wrap_bio``.
    """
    if not callable(getattr(context, "wrap_bio", None)):
        raise TypeError(f"ssl_context must have the wrap_bio of ssl.SSLContext, not {context!r}")


def bio_pair(
    context: AnySSLContext, server_side: bool, hostname: str | None
) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """Return what encrypts, the BIO it reads from and the one it writes to.

    Args:
        context: Anything with ``wrap_bio``.
        server_side: Which side it is for.
        hostname: The name or address of the server, in any script.

    Raises:
        TypeError: ``context`` has no ``wrap_bio``, or ``hostname`` is no string.
        ValueError: ``hostname`` is no name, or missing and to be checked, or ``context`` is for
            the other side.
    """
    check_context(context)
    if not (server_side or hostname) and getattr(context, "check_hostname", False):
        # SSLObject checks no name where there is none, and says nothing.
        raise ValueError("check_hostname requires server_hostname")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        ssl_object = context.wrap_bio(incoming, outgoing, server_side, _ascii(hostname))
    except ssl.SSLError as exc:
        side = "server" if server_side else "client"
        raise ValueError(f"ssl_context cannot be a {side}'s: {context!r}") from exc
    return ssl_object, incoming, outgoing


def _ascii(hostname: str | None) -> str | None:
    """Return a host name as certificates spell it (IDNA 2008; the ``ssl`` module knows 2003)."""
    if not isinstance(hostname, str | None):
        raise TypeError(f"hostname must be a string or None, not {hostname!r}")
    return encode_name(hostname).decode() if hostname else None
