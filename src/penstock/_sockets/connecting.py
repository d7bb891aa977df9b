"""Connecting to TCP servers."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from penstock._backends import Backend, current_backend
from penstock._readiness import poller_of
from penstock._sockets.resolving import Host, check_port, resolve, show_address
from penstock._sockets.stream import ConnectedSocketStream
from penstock.abc import SocketStream

__all__ = ("connect_tcp",)


async def connect_tcp(remote_host: Host, remote_port: int) -> SocketStream:
    """Connect to a TCP server, trying the addresses of its name one after the other.

    If cancelled, no socket stays open.

    Args:
        remote_host: Host name or IP address.
        remote_port: Port number, 1 to 65535.

    Raises:
        OSError: The name is unknown, or no address of it could be connected to; the exceptions
            of the attempts are the cause.
        TypeError: An argument is of the wrong type.
        ValueError: ``remote_port`` is out of range, or ``remote_host`` has characters that no
            name may have.
    """
    check_port("remote_port", remote_port, lowest=1)
    if remote_host is None:  # which would stand for this machine
        raise TypeError("host must be a string or an IP address, not None")
    backend = current_backend()
    await backend.checkpoint_if_cancelled()
    errors: list[OSError] = []
    for family, kind, protocol, _, address in await resolve(remote_host, remote_port):
        try:
            return await _connect(backend, socket.socket(family, kind, protocol), address)
        except OSError as exc:
            errors.append(exc)
    try:
        raise _all_failed(remote_host, remote_port, errors)
    finally:
        errors.clear()  # this frame is in their tracebacks: no cycle may stay behind


async def _connect(backend: Backend, sock: socket.socket, address: Any) -> ConnectedSocketStream:
    registration = None
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = sock.connect_ex(address)
        registration = poller_of(backend).register(sock)
        if number in (errno.EINPROGRESS, errno.EINTR, errno.EWOULDBLOCK):
            registration.clear_writable()
            while not registration.writable:
                wait = registration.park_writer()
                if wait is None:
                    await backend.settle()
                else:
                    try:
                        await wait
                    finally:
                        registration.writer = None
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, f"{os.strerror(number)}: {show_address(*address[:2])}")
        return ConnectedSocketStream(backend, registration)
    except BaseException:
        if registration is not None:
            registration.close()
        sock.close()
        raise


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
