"""A certificate that is made for one run, and the TLS contexts of both sides that go with it."""

from __future__ import annotations

import ssl

import trustme

__all__ = ("contexts",)


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the context of a server called "localhost" and of a client that trusts it."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client
