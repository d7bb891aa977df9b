"""What can be asked of a TLS stream, through whatever is wrapped around it."""

from __future__ import annotations

import ssl
from typing import Any, TypeAlias

from penstock.abc import TypedAttributeSet, typed_attribute

__all__ = ("TLSAttribute",)

Name: TypeAlias = tuple[tuple[tuple[str, str], ...], ...]
Cipher: TypeAlias = tuple[str, str, int]


class TLSAttribute(TypedAttributeSet, anyio="anyio.streams.tls"):
    """What can be asked of a TLS stream."""

    #: The application protocol that both sides agreed upon; None: there was no such talk.
    alpn_protocol: str | None = typed_attribute()
    #: The channel binding ``tls-unique`` of RFC 5929; TLS 1.2 and older only.
    channel_binding_tls_unique: bytes | None = typed_attribute()
    #: Name, protocol version and secret bits of the cipher.
    cipher: Cipher = typed_attribute()
    #: The peer's certificate as :meth:`ssl.SSLSocket.getpeercert` shows it; None: there is none.
    peer_certificate: dict[str, Any] | None = typed_attribute()
    #: The peer's certificate in DER; None: there is none.
    peer_certificate_binary: bytes | None = typed_attribute()
    #: Whether this is the server's side.
    server_side: bool = typed_attribute()
    #: The ciphers that both sides know; None on the client's side.
    shared_ciphers: list[Cipher] | None = typed_attribute()
    #: The object of the standard library that encrypts; using it is forbidden.
    ssl_object: ssl.SSLObject = typed_attribute()
    #: Whether the end of the stream has to be announced by whoever ends it.
    standard_compatible: bool = typed_attribute()
    #: The version of the protocol, ``"TLSv1.3"`` say.
    tls_version: str = typed_attribute()
