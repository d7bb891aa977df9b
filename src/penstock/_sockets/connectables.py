"""What can be connected to, as objects: where a connection goes is said once, made many times."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

from penstock._exceptions import ConnectionFailed
from penstock._sockets.connecting import connect_tcp
from penstock._sockets.resolving import Host, check_host, check_port
from penstock._sockets.unix_connecting import connect_unix
from penstock._sockets.unix_paths import Path, address_of
from penstock.abc import ByteStreamConnectable, SocketStream, UNIXSocketStream
from penstock.streams.tls._connectable import TLSConnectable
from penstock.streams.tls._contexts import AnySSLContext

__all__ = ("TCPConnectable", "UNIXConnectable", "as_connectable")


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


@dataclass
class UNIXConnectable(ByteStreamConnectable):
    """Connects to a UNIX socket.

    Args:
        path: As :func:`penstock.connect_unix` takes it.

    Raises:
        TypeError: ``path`` is neither a string nor bytes nor path-like.
        ValueError: ``path`` is empty or has a null character in it.
    """

    path: Path

    def __post_init__(self) -> None:
        address_of(self.path)

    async def connect(self) -> UNIXSocketStream:
        try:
            return await connect_unix(self.path)
        except OSError as exc:
            raise ConnectionFailed(f"error connecting to {self.path!r}: {exc}") from exc


def as_connectable(
    remote: ByteStreamConnectable | tuple[Host, int] | Path,
    /,
    *,
    tls: bool = False,
    ssl_context: AnySSLContext | None = None,
    tls_hostname: str | None = None,
    tls_standard_compatible: bool = True,
) -> ByteStreamConnectable:
    """Return something to connect to.

    Args:
        remote: A connectable, which is returned as it is; or a host and a port of TCP; or the
            path of a UNIX socket.
        tls: As in :func:`connect_tcp`; so are the next three.
        ssl_context: As in :func:`connect_tcp`.
        tls_hostname: As in :func:`connect_tcp`; None: the host.
        tls_standard_compatible: As in :func:`connect_tcp`.

    Raises:
        TypeError: ``remote`` is nothing of that, or ``ssl_context`` has no ``wrap_bio``.
        ValueError: The port is out of range, or the path is none.
    """
    if isinstance(remote, ByteStreamConnectable):
        return remote
    connectable: TCPConnectable | UNIXConnectable
    hostname: str | None
    if isinstance(remote, tuple) and len(remote) == 2:
        connectable = TCPConnectable(*remote)
        hostname = tls_hostname or str(connectable.host).partition("%")[0]
    elif isinstance(remote, str | bytes | PathLike):
        connectable = UNIXConnectable(remote)
        hostname = tls_hostname
    else:
        raise TypeError(f"cannot convert {remote!r} to a connectable")
    if not (tls or ssl_context is not None or tls_hostname):
        return connectable
    return TLSConnectable(
        connectable,
        hostname=hostname,
        ssl_context=ssl_context,
        standard_compatible=tls_standard_compatible,
    )
