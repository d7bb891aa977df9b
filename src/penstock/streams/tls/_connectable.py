"""Connecting as something else does, and doing the TLS handshake."""

from __future__ import annotations

from penstock._exceptions import BrokenResourceError, ConnectionFailed
from penstock._resources import aclose_forcefully
from penstock.abc import AnyByteStream, AnyByteStreamConnectable, ByteStreamConnectable
from penstock.streams.tls._contexts import AnySSLContext, check_context, default_context
from penstock.streams.tls._stream import TLSStream

__all__ = ("TLSConnectable", "wrap_or_close")


class TLSConnectable(ByteStreamConnectable):
    """Connects as another connectable does, and encrypts the stream.

    Args:
        connectable: What gives a byte stream, or an object stream of bytes.
        hostname: As in :meth:`TLSStream.wrap`.
        ssl_context: As in :meth:`TLSStream.wrap`, for the client's side.
        standard_compatible: As in :meth:`TLSStream.wrap`.

    Raises:
        TypeError: ``ssl_context`` has no ``wrap_bio``.
    """

    def __init__(
        self,
        connectable: AnyByteStreamConnectable,
        *,
        hostname: str | None = None,
        ssl_context: AnySSLContext | None = None,
        standard_compatible: bool = True,
    ) -> None:
        if ssl_context is None:
            ssl_context = default_context(server_side=False)
        check_context(ssl_context)
        self.connectable = connectable
        self.ssl_context = ssl_context
        self.hostname = hostname
        self.standard_compatible = standard_compatible

    async def connect(self) -> TLSStream:
        """Connect, do the handshake, and return the stream.

        If cancelled, no connection stays open.

        Raises:
            ConnectionFailed: It was not possible; the cause says why.
            ssl.SSLCertVerificationError: The server's certificate is not acceptable.
        """
        stream = await self.connectable.connect()
        try:
            return await wrap_or_close(
                stream,
                hostname=self.hostname,
                ssl_context=self.ssl_context,
                standard_compatible=self.standard_compatible,
            )
        except BrokenResourceError as exc:
            raise ConnectionFailed(f"error in the TLS handshake: {exc}") from exc


async def wrap_or_close(
    stream: AnyByteStream,
    *,
    hostname: str | None,
    ssl_context: AnySSLContext | None,
    standard_compatible: bool,
) -> TLSStream:
    """Do the TLS handshake of a client over a stream of its own.

    If it fails or is cancelled, ``stream`` is closed.

    Raises:
        BrokenResourceError: The handshake has failed; the cause says why.
        ssl.SSLCertVerificationError: The server's certificate is not acceptable.
    """
    try:
        return await TLSStream.wrap(
            stream,
            server_side=False,
            hostname=hostname,
            ssl_context=ssl_context,
            standard_compatible=standard_compatible,
        )
    except BaseException:
        await aclose_forcefully(stream)
        raise
