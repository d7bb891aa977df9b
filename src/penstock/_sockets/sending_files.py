"""Sending files through a socket: by sendfile(2) where the file is one of the system's own.

Lives here: which files go which way, and how the event loop is kept from waiting for a disk.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import stat
from collections.abc import Callable
from operator import index
from typing import IO, TYPE_CHECKING, Any, TypeVar

from penstock import to_thread
from penstock._arguments import not_negative

if TYPE_CHECKING:
    from penstock._sockets.stream import ConnectedSocketStream

__all__ = ("send_file",)

T = TypeVar("T")

#: Bytes that one system call moves at most, as in the kernels.
PIECE = 262_144
#: What of the errors of sendfile(2) is the file's; all others are the connection's.
OF_THE_FILE = frozenset(
    (
        errno.EACCES,
        errno.EBADF,
        errno.EINVAL,
        errno.EIO,
        errno.EISDIR,
        errno.EOVERFLOW,
        errno.ESPIPE,
        errno.ESTALE,
    )
)


async def send_file(
    stream: ConnectedSocketStream, file: IO[bytes], offset: int, count: int | None
) -> int:
    """Send the bytes of a file; see :meth:`penstock.abc.SocketStream.send_file`."""
    if isinstance(file, io.TextIOBase) or not hasattr(file, "read"):
        raise TypeError(f"expected a binary file object, not {file!r}")
    offset = index(not_negative("offset", offset))
    if count is not None:
        count = index(not_negative("count", count))
    if not getattr(file, "readable", lambda: True)():
        raise ValueError(f"expected a file open for reading, not {file!r}")
    registration = stream._registration
    if registration.writer is None:
        registration.sent, registration.total = 0, -1  # cut short, until it is complete
    await stream._settle_writer()
    size = _regular_size(file)
    if size:
        if file.writable():
            await _in_thread(stream, file.flush)
            size = os.fstat(file.fileno()).st_size
        left = size - offset if count is None else min(count, size - offset)
        await _send_regular(stream, file, offset, left)
    else:
        await _send_read(stream, file, offset, count)
    registration.total = registration.sent
    return registration.sent


def _regular_size(file: IO[bytes]) -> int:
    """Return the size of a file whose bytes are those behind its descriptor; 0: of any other.

    A file that is decompressed has a descriptor, too, and those of /proc have no size.
    """
    if not hasattr(os, "sendfile") or type(getattr(file, "raw", file)) is not io.FileIO:
        return 0
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


async def _send_regular(
    stream: ConnectedSocketStream, file: IO[bytes], offset: int, left: int
) -> None:
    registration = stream._registration
    loaded = offset  # the file is in memory up to here
    while left > 0:
        if offset >= loaded:
            size = min(left, PIECE)
            if not _is_in_memory(file.fileno(), offset, size):
                await _in_thread(stream, os.pread, file.fileno(), size, offset)
            loaded = offset + size
        try:
            nbytes = registration.write_with(
                _sendfile, registration.fd, file.fileno(), offset, loaded - offset
            )
        except OSError as exc:
            if exc.errno in OF_THE_FILE:
                raise
            stream._failed(exc)
        if nbytes is None:
            await stream._wait_writable()
        elif nbytes:
            registration.sent += nbytes
            registration.budget.spend_bytes(nbytes)
            offset += nbytes
            left -= nbytes
        else:  # somebody has made the file shorter
            break


def _sendfile(out_fd: int, in_fd: int, offset: int, count: int) -> int:
    """Make the call without SIGPIPE, for which it has no flag: an error is enough."""
    if signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN:  # as Python sets it
        return os.sendfile(out_fd, in_fd, offset, count)
    there = signal.SIGPIPE in signal.sigpending()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGPIPE,))
    try:
        return os.sendfile(out_fd, in_fd, offset, count)
    finally:
        if not there and signal.SIGPIPE in signal.sigpending():
            signal.sigwait((signal.SIGPIPE,))
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _is_in_memory(fd: int, offset: int, size: int) -> bool:
    """Whether the last page of a piece is in the page cache, preadv2(2); False: or unknown.

    Files are read from front to back, so that what stands before it is there as well.
    """
    try:
        os.preadv(fd, [bytearray(1)], offset + size - 1, os.RWF_NOWAIT)
    except (AttributeError, OSError):  # EAGAIN; or the system, or the file system, cannot tell
        return False
    return True


async def _send_read(
    stream: ConnectedSocketStream, file: IO[bytes], offset: int, count: int | None
) -> None:
    registration = stream._registration
    while count is None or registration.sent < count:
        size = PIECE if count is None else min(count - registration.sent, PIECE)
        data = await _in_thread(stream, _read, file, offset + registration.sent, size)
        if not data:
            break
        sent = 0
        while sent < len(data):
            try:
                nbytes = registration.sendmsg((data,), 0, sent)
            except OSError as exc:
                stream._failed(exc)
            if nbytes < 0:
                await stream._wait_writable()
            else:
                registration.sent += nbytes
                sent += nbytes


def _read(file: IO[bytes], offset: int, size: int) -> bytes:
    file.seek(offset)
    data = file.read(size)
    if not isinstance(data, bytes):
        raise TypeError(f"expected a file object that reads bytes, not {data!r}")
    return data[:size]


async def _in_thread(stream: ConnectedSocketStream, call: Callable[..., T], *args: Any) -> T:
    """Call a function that may block, while no other task may send."""
    registration = stream._registration
    registration.writer = stream._taken()
    try:
        return await to_thread.run_sync(call, *args)
    finally:
        registration.writer = None
