"""Connecting to TCP servers, after RFC 8305, "Happy Eyeballs Version 2".

All attempts belong to the task that connects: no other task runs for them, so that nothing can be
cancelled, fail or succeed behind its back.
"""

from __future__ import annotations

import errno
import math
import os
import socket
from collections import deque
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any, Literal, NamedTuple, TypedDict, Unpack, overload

from penstock._backends import Backend, current_backend
from penstock._hotpath import Registration
from penstock._readiness import poller_of
from penstock._sockets.options import TCPOptions
from penstock._sockets.resolving import (
    AddressInfo,
    Host,
    check_host,
    check_port,
    resolve,
    show_address,
)
from penstock._sockets.stream import ConnectedSocketStream
from penstock.abc import SocketStream
from penstock.abc._sockets import plain_address
from penstock.streams.tls._connectable import wrap_or_close
from penstock.streams.tls._contexts import AnySSLContext, check_context
from penstock.streams.tls._stream import TLSStream

__all__ = ("connect_tcp",)

#: What connect(2) says when the answer is still to come.  EAGAIN is none: nothing is under way
#: then, and the socket would count as hung up; only on Windows it stands for EINPROGRESS.
UNDER_WAY = {
    errno.EINPROGRESS,
    errno.EINTR,
    getattr(errno, "WSAEWOULDBLOCK", errno.EINPROGRESS),
}


class Target(NamedTuple):
    """One address to try, and the one to connect from."""

    info: AddressInfo
    source: Any  # None: the system chooses


class TCPKeywords(TypedDict, total=False):
    """The keywords of :func:`connect_tcp` that do not decide what it returns."""

    local_host: Host | None
    local_port: int | None
    tls_standard_compatible: bool
    happy_eyeballs_delay: float | None
    nodelay: bool
    keepalive: bool | int
    user_timeout: float | None
    send_buffer_size: int | None
    receive_buffer_size: int | None


@overload
async def connect_tcp(
    remote_host: Host,
    remote_port: int,
    *,
    tls: Literal[False] = False,
    ssl_context: None = None,
    tls_hostname: None = None,
    **keywords: Unpack[TCPKeywords],
) -> SocketStream: ...


@overload
async def connect_tcp(
    remote_host: Host,
    remote_port: int,
    *,
    tls: Literal[True],
    ssl_context: AnySSLContext | None = None,
    tls_hostname: str | None = None,
    **keywords: Unpack[TCPKeywords],
) -> TLSStream: ...


@overload
async def connect_tcp(
    remote_host: Host,
    remote_port: int,
    *,
    tls: bool = False,
    ssl_context: AnySSLContext,
    tls_hostname: str | None = None,
    **keywords: Unpack[TCPKeywords],
) -> TLSStream: ...


@overload
async def connect_tcp(
    remote_host: Host,
    remote_port: int,
    *,
    tls: bool = False,
    ssl_context: AnySSLContext | None = None,
    tls_hostname: str,
    **keywords: Unpack[TCPKeywords],
) -> TLSStream: ...


async def connect_tcp(
    remote_host: Host,
    remote_port: int,
    *,
    local_host: Host | None = None,
    local_port: int | None = None,
    tls: bool = False,
    ssl_context: AnySSLContext | None = None,
    tls_standard_compatible: bool = True,
    tls_hostname: str | None = None,
    happy_eyeballs_delay: float | None = 0.25,
    nodelay: bool = True,
    keepalive: bool | int = False,
    user_timeout: float | None = None,
    send_buffer_size: int | None = None,
    receive_buffer_size: int | None = None,
) -> SocketStream | TLSStream:
    """Connect to a TCP server, by whichever address of its name answers first.

    The addresses are tried in the order in which the system prefers them, IPv6 and IPv4 taking
    turns (RFC 8305).  An attempt that fails makes the next one start at once.  If cancelled, no
    socket stays open, whether connecting or in the TLS handshake.

    Args:
        remote_host: Host name or IP address; an IPv6 address may have a scope, as in ``fe80::1%2``.
        remote_port: Port number, 1 to 65535.
        local_host: Host name or IP address to connect from, which leaves only the remote
            addresses of the same family.
        local_port: Port number to connect from; None or 0: one that is free.
        tls: Do a TLS handshake and return a TLSStream; so do ``ssl_context`` and
            ``tls_hostname`` by being given.
        ssl_context: As in :meth:`TLSStream.wrap <penstock.streams.tls.TLSStream.wrap>`.
        tls_standard_compatible: As ``standard_compatible`` there.
        tls_hostname: The name or address that the server's certificate has to be for; None:
            ``remote_host``.
        happy_eyeballs_delay: How long an attempt goes on by itself before the next one starts
            beside it, in seconds, at least 0.  None: one attempt at a time.
        nodelay: Send small pieces at once (TCP_NODELAY, RFC 9293 3.7.4).
        keepalive: Ask a silent peer whether it is still there (SO_KEEPALIVE, RFC 9293 3.8.4):
            True, as often as the system does; a number, after so many seconds and then as
            often, 1 to 32767.
        user_timeout: How long what was sent may stay unacknowledged before the connection is
            given up, in seconds, counted in milliseconds (TCP_USER_TIMEOUT, RFC 5482).  None:
            as long as the system lets it.
        send_buffer_size: Bytes that the system is asked to buffer for sending (SO_SNDBUF,
            socket(7)); None: it adapts them.
        receive_buffer_size: The same for receiving (SO_RCVBUF).

    Raises:
        BrokenResourceError: The TLS handshake has failed; the cause says why.
        ssl.SSLCertVerificationError: The server's certificate is not acceptable.
        OSError: A name is unknown, or no address could be connected to; the exceptions of the
            attempts are the cause.
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range, or a host has characters that no name may have.
    """
    check_port("remote_port", remote_port, lowest=1)
    check_host(remote_host)
    if local_host is not None:
        check_host(local_host)
    if local_port is not None:
        check_port("local_port", local_port)
    if ssl_context is not None:
        check_context(ssl_context)
    delay = _check_delay(happy_eyeballs_delay)
    options = TCPOptions(nodelay, keepalive, user_timeout, send_buffer_size, receive_buffer_size)
    backend = current_backend()
    await backend.checkpoint_if_cancelled()
    sources = await _sources(local_host, local_port or 0)
    infos = await resolve(
        remote_host, remote_port, family=next(iter(sources)) if len(sources) == 1 else 0
    )
    targets = [Target(info, sources.get(info[0])) for info in _in_turns(infos)]
    errors: list[OSError] = []
    registration = await _connect_any(backend, targets, delay, options, errors)
    if registration is None:
        raise _all_failed(remote_host, remote_port, errors)
    stream = ConnectedSocketStream(backend, registration)
    if not (tls or ssl_context is not None or tls_hostname):
        return stream
    return await wrap_or_close(
        stream,
        hostname=tls_hostname or str(remote_host).partition("%")[0],  # no certificate has scopes
        ssl_context=ssl_context,
        standard_compatible=tls_standard_compatible,
    )


def _check_delay(delay: float | None) -> float:
    if delay is None:
        return math.inf
    if not isinstance(delay, int | float):
        raise TypeError(f"happy_eyeballs_delay must be a number of seconds, not {delay!r}")
    if not delay >= 0:
        raise ValueError(f"happy_eyeballs_delay cannot be negative: {delay!r}")
    return delay


async def _sources(host: Host | None, port: int) -> dict[int, Any]:
    """Look up the address of each family to connect from; none at all: the system chooses."""
    if host is None:
        return {socket.AF_INET6: ("::", port), socket.AF_INET: ("", port)} if port else {}
    sources: dict[int, Any] = {}
    for family, _, _, _, address in await resolve(host, port):
        sources.setdefault(family, address)
    return sources


def _in_turns(infos: Sequence[AddressInfo]) -> list[AddressInfo]:
    """Order addresses as RFC 8305, section 4, says: the families take turns, the first first."""
    families: dict[int, dict[AddressInfo, None]] = {}  # without the doubles that glibc gives
    for info in infos:
        families.setdefault(info[0], {})[info] = None
    rounds = zip_longest(*families.values())
    return [info for info in chain.from_iterable(rounds) if info is not None]


async def _connect_any(
    backend: Backend,
    targets: Sequence[Target],
    delay: float,
    options: TCPOptions,
    errors: list[OSError],
) -> Registration | None:
    """Connect to the target that answers first; the sockets of all others are closed.

    Returns:
        The connected socket; None: all have failed, and ``errors`` says how.
    """
    waiting = deque(targets)
    attempts: dict[Registration, Target] = {}
    next_start = -math.inf
    try:
        while waiting or attempts:
            if waiting and (not attempts or backend.current_time() >= next_start):
                target = waiting.popleft()
                try:
                    attempts[_start(backend, target, options)] = target
                except OSError as exc:
                    errors.append(_about(target, exc.errno or 0, exc.strerror))
                    continue
                next_start = backend.current_time() + delay
            await _wait_for_any(backend, attempts, next_start if waiting else math.inf)
            for registration in [attempt for attempt in attempts if attempt.writable]:
                target = attempts.pop(registration)
                number = registration.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not number:
                    return registration
                registration.close()
                errors.append(_about(target, number))
                next_start = -math.inf
        return None
    finally:
        for registration in attempts:
            registration.close()


def _start(backend: Backend, target: Target, options: TCPOptions) -> Registration:
    """Begin to connect; the registration becomes writable when the outcome is known."""
    family, kind, protocol, _, address = target.info
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        options.apply(sock)
        if target.source is not None:
            if target.source[1] and os.name == "posix":
                # Several attempts may be under way from one port, and old ones may linger there.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(sock, target.source)
        number = sock.connect_ex(address)
        if number and number not in UNDER_WAY:
            raise OSError(number, os.strerror(number))
        # Not before: a socket that is neither connected nor connecting counts as hung up.
        registration = poller_of(backend).register(sock)
    except BaseException:
        sock.close()
        raise
    if number:
        registration.clear_writable()
    return registration


def _bind(sock: socket.socket, source: Any) -> None:
    try:
        sock.bind(source)
    except OSError as exc:
        source = show_address(*plain_address(source))
        raise OSError(exc.errno, f"{exc.strerror}: from {source}") from None


async def _wait_for_any(
    backend: Backend, attempts: dict[Registration, Target], deadline: float
) -> None:
    """Wait until one of ``attempts`` is writable, at most until ``deadline``."""
    wait = backend.new_wait()
    try:
        for registration in attempts:
            while not registration.writable and registration.park_writer() is None:
                await backend.settle()
            registration.writer = wait  # one for all
        if any(registration.writable for registration in attempts):
            return
        if deadline == math.inf:
            await wait
            return
        with backend.create_cancel_scope(deadline=deadline, shield=False):
            await wait
    finally:
        for registration in attempts:
            registration.writer = None


def _about(target: Target, number: int, text: str | None = None) -> OSError:
    """Return the error of an attempt: a new one, without a traceback that leads back here."""
    address = show_address(*plain_address(target.info[4]))
    return OSError(number, f"{text or os.strerror(number)}: {address}")


def _all_failed(host: object, port: int, errors: list[OSError]) -> OSError:
    message = f"All connection attempts failed: {show_address(host, port)}"
    if len(errors) != 1:
        failed = OSError(message)
        failed.__cause__ = ExceptionGroup("multiple connection attempts failed", errors)
        return failed
    # The class of the one error, so that ConnectionRefusedError and its like can be caught.
    failed = type(errors[0])(message)
    failed.errno = errors[0].errno
    failed.__cause__ = errors[0]
    return failed
