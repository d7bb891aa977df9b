"""A network backend for httpcore, and so for httpx: HTTP clients over penstock's sockets and TLS.

    pool = httpcore.AsyncConnectionPool(network_backend=PenstockBackend())

Lives here: what httpcore asks of a network.  Its timeouts hold for each call; those of reads and
writes over sockets, with or without TLS, take no cancel scope.
"""

from __future__ import annotations

import math
import select
import ssl
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

import httpcore

from penstock._backends import current_backend
from penstock._eventloop import sleep
from penstock._exceptions import BrokenResourceError, ClosedResourceError, EndOfStream
from penstock._sockets.connecting import connect_tcp
from penstock._sockets.stream import ConnectedSocketStream
from penstock._sockets.unix_connecting import connect_unix
from penstock._tasks import move_on_after
from penstock.abc import ByteStream, SocketAttribute
from penstock.streams.tls import TLSAttribute, TLSStream

__all__ = ("PenstockBackend", "PenstockNetworkStream")

T = TypeVar("T")

#: What ``get_extra_info`` calls it -> the typed attribute.
EXTRA = {
    "client_addr": SocketAttribute.local_address,
    "server_addr": SocketAttribute.remote_address,
    "socket": SocketAttribute.raw_socket,
    "ssl_object": TLSAttribute.ssl_object,
}


async def _within(
    seconds: float | None,
    call: Coroutine[Any, Any, T],
    late: type[Exception],
    own: bool = False,
) -> T:
    """Await ``call``; raise ``late`` if that takes longer.

    Args:
        seconds: None: wait for ever.
        call: What to await.
        late: What to raise.
        own: Whether ``call`` is one operation that waits for penstock's own waits alone.
    """
    if seconds is None:
        return await call
    light = own and 0 < seconds < math.inf
    with current_backend().limit_time(seconds) if light else move_on_after(seconds):
        return await call
    raise late(f"{seconds} seconds have passed")


class PenstockNetworkStream(httpcore.AsyncNetworkStream):
    """A connection of httpcore's over a byte stream.

    Args:
        stream: What it does everything with; closed with it.
    """

    def __init__(self, stream: ByteStream) -> None:
        #: The stream below.
        self.stream: ByteStream = stream
        while isinstance(stream, TLSStream):
            stream = stream.transport_stream
        # Other streams wait for whatever it may be.
        self._own = isinstance(stream, ConnectedSocketStream)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Receive between 1 and ``max_bytes`` bytes, or ``b""`` at the end.

        If cancelled, no bytes were taken.

        Args:
            max_bytes: At least 1.
            timeout: In seconds; None: wait for ever.

        Raises:
            httpcore.ReadError: The connection is broken or closed.
            httpcore.ReadTimeout: Nothing came in time.
        """
        try:
            return await _within(
                timeout, self.stream.receive(max_bytes), httpcore.ReadTimeout, self._own
            )
        except EndOfStream:
            return b""
        except (BrokenResourceError, ClosedResourceError) as exc:
            raise httpcore.ReadError(str(exc.__cause__ or exc)) from exc

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send ``buffer``; after a timeout, or if cancelled, some of it has gone out.

        Args:
            buffer: What to send; with nothing, nothing is done.
            timeout: In seconds; None: wait for ever.

        Raises:
            httpcore.WriteError: The connection is broken or closed.
            httpcore.WriteTimeout: The peer did not take it in time.
        """
        if not buffer:
            return
        try:
            await _within(timeout, self.stream.send(buffer), httpcore.WriteTimeout, self._own)
        except (BrokenResourceError, ClosedResourceError) as exc:
            raise httpcore.WriteError(str(exc.__cause__ or exc)) from exc

    async def aclose(self) -> None:
        """Close the stream below; if cancelled, it is closed all the same."""
        await self.stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Return the encrypted connection; where that fails, or is cancelled, this one is closed.

        Args:
            ssl_context: What checks the server.
            server_hostname: The name that its certificate must have.
            timeout: For the handshake, in seconds; None: wait for ever.

        Raises:
            httpcore.ConnectError: The handshake failed: the certificate is not trusted, say.
            httpcore.ConnectTimeout: It did not end in time.
        """
        # HTTP states its lengths: a peer that leaves without an announcement is no danger.
        handshake = TLSStream.wrap(
            self.stream,
            hostname=server_hostname,
            ssl_context=ssl_context,
            server_side=False,
            standard_compatible=False,
        )
        try:
            return PenstockNetworkStream(await _within(timeout, handshake, httpcore.ConnectTimeout))
        except (BrokenResourceError, ClosedResourceError, EndOfStream, ssl.SSLError) as exc:
            await self.aclose()
            raise httpcore.ConnectError(str(exc.__cause__ or exc)) from exc
        except BaseException:
            await self.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore asks for by this name; None: there is nothing."""
        if info == "is_readable":
            return self._is_readable()
        attribute = EXTRA.get(info)
        return None if attribute is None else self.stream.extra(attribute, None)

    def _is_readable(self) -> bool:
        try:
            sock = self.stream.extra(SocketAttribute.raw_socket, None)
        except ClosedResourceError:
            return True  # as after the peer has gone: not to be used again
        if sock is None:
            return False
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))


class PenstockBackend(httpcore.AsyncNetworkBackend):
    """Make httpcore's connections by penstock, on the event loop that runs."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect by TCP; if cancelled, no socket is left.

        Args:
            host: A name or an address.
            port: Where the server listens.
            timeout: In seconds, for all addresses of the name together; None: wait for ever.
            local_address: Where to connect from.
            socket_options: What is set once connected, each as ``setsockopt`` takes it.

        Raises:
            httpcore.ConnectError: No address could be connected to.
            httpcore.ConnectTimeout: None could in time.
        """
        call = connect_tcp(host, port, local_host=local_address)
        return await _connected(timeout, call, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a UNIX socket; if cancelled, no socket is left.

        Args:
            path: Where the server listens.
            timeout: In seconds; None: wait for ever.
            socket_options: What is set once connected, each as ``setsockopt`` takes it.

        Raises:
            httpcore.ConnectError: Nobody listens there.
            httpcore.ConnectTimeout: The server did not accept in time.
        """
        return await _connected(timeout, connect_unix(path), socket_options)

    async def sleep(self, seconds: float) -> None:
        """Sleep before another attempt.  If cancelled, stop waiting."""
        await sleep(seconds)


async def _connected(
    timeout: float | None,
    call: Coroutine[Any, Any, ByteStream],
    socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
) -> PenstockNetworkStream:
    try:
        stream = await _within(timeout, call, httpcore.ConnectTimeout)
    except (OSError, BrokenResourceError) as exc:
        raise httpcore.ConnectError(str(exc)) from exc
    sock = stream.extra(SocketAttribute.raw_socket)
    for option in socket_options or ():
        sock.setsockopt(*option)
    return PenstockNetworkStream(stream)
