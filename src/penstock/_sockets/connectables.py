"""What can be connected to, as objects: where a connection goes is said once, made many times."""

from __future__ import annotations

from dataclasses import dataclass

from penstock._exceptions import ConnectionFailed
from penstock._sockets.connecting import connect_tcp
from penstock._sockets.resolving import Host, check_host, check_port
from penstock.abc import ByteStreamConnectable, SocketStream
from penstock.streams.tls._connectable import TLSConnectable
from penstock.streams.tls._contexts import AnySSLContext

__all__ = ("TCPConnectable", "as_connectable")


@dataclass
class TCPConnectable(ByteStreamConnectable):
    """Connects to a TCP server.

    Args:
        host: Host name or IP address.
        port: Port number, 1 to 65535.

    Raises:
        TypeError: ``host`` is neither a name nor an address, or ``port`` is not an integer.
        ValueError: ``port`` is out of range.
    """

    host: Host
    port: int

    def __post_init__(self) -> None:
        if isinstance(self.port, int) and not 1 <= self.port <= 65535:
            raise ValueError(f"TCP port number out of range: {self.port}")
        check_port("port", self.port)
        check_host(self.host)

    async def connect(self) -> SocketStream:
        try:
            return await connect_tcp(self.host, self.port)
        except OSError as exc:
            raise ConnectionFailed(f"error connecting to {self.host}:{self.port}: {exc}") from exc


def as_connectable(
    remote: ByteStreamConnectable | tuple[Host, int],
    /,
    *,
    tls: bool = False,
    ssl_context: AnySSLContext | None = None,
    tls_hostname: str | None = None,
    tls_standard_compatible: bool = True,
) -> ByteStreamConnectable:
    """Return something to connect to.

    Args:
        remote: A connectable, which is returned as it is, or a host and a port of TCP.
        tls: As in :func:`connect_tcp`; so are the next three.
        ssl_context: As in :func:`connect_tcp`.
        tls_hostname: As in :func:`connect_tcp`; None: the host.
        tls_standard_compatible: As in :func:`connect_tcp`.

    Raises:
        TypeError: ``remote`` is nothing of that, or ``ssl_context`` has no ``wrap_bio``.
        ValueError: The port is out of range.
    """
    if isinstance(remote, ByteStreamConnectable):
        return remote
    if isinstance(remote, tuple) and len(remote) == 2:
        connectable = TCPConnectable(*remote)
        if not (tls or ssl_context is not None or tls_hostname):
            return connectable
        return TLSConnectable(
            connectable,
            hostname=tls_hostname or str(connectable.host).partition("%")[0],
            ssl_context=ssl_context,
            standard_compatible=tls_standard_compatible,
        )
    raise TypeError(f"cannot convert {remote!r} to a connectable")
