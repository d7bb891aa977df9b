"""Byte streams over files, whose blocking calls run in worker threads.

A stream never has more than one call of its file in a thread, and closing waits for that one:
a descriptor that is closed under a call may be another file's when the call uses it.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from operator import index
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, Self, TypeVar

from penstock._arguments import positive
from penstock._backends import current_backend
from penstock._exceptions import BrokenResourceError, ClosedResourceError, EndOfStream
from penstock._fileio.threads import finish_in_thread, open_in_thread
from penstock._kin import with_kindred_keys
from penstock._synchronization import ResourceGuard
from penstock.abc import (
    AsyncResource,
    ByteReceiveStream,
    ByteSendStream,
    TypedAttributeProvider,
    TypedAttributeSet,
    typed_attribute,
)
from penstock.to_thread import run_sync

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ("FileReadStream", "FileStreamAttribute", "FileWriteStream")

T = TypeVar("T")

#: How much is asked of a file at a time, in bytes: a hop to a thread costs about 100 us, and as
#: many bytes of the page cache cost half of that.
READ_AHEAD = 262_144

WHENCES = {
    getattr(os, name)
    for name in ("SEEK_SET", "SEEK_CUR", "SEEK_END", "SEEK_DATA", "SEEK_HOLE")
    if hasattr(os, name)
}


class FileStreamAttribute(TypedAttributeSet, anyio="anyio.streams.file"):
    """Typed attributes of file streams."""

    file: IO[bytes] = typed_attribute()
    """The file itself.  A read stream may have read ahead in it."""
    path: Path = typed_attribute()
    """Its path, where it has one."""
    fileno: int = typed_attribute()
    """Its descriptor, where it has one."""


class _FileStream(AsyncResource, TypedAttributeProvider):
    """A file, and the one call of it that may run in a thread.

    Args:
        file: A file that was opened in binary mode.
        action: What calls of it do, for the message that another task is at it.
    """

    # I1  whoever holds _lock, in a thread, calls the file or looks at what was read ahead
    # I2  once _closed, no call of the file begins but that of its close()
    __slots__ = ("__weakref__", "_closed", "_file", "_guard", "_lock")

    def __init__(self, file: IO[bytes], action: str) -> None:
        if isinstance(file, io.TextIOBase):
            raise TypeError(f"expected a file that was opened in binary mode, not {file!r}")
        self._file = file
        self._guard = ResourceGuard(action)
        self._lock = Lock()
        self._closed = False

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        file = self._file
        attributes: dict[Any, Callable[[], Any]] = {FileStreamAttribute.file: lambda: file}
        name = getattr(file, "name", None)
        if isinstance(name, (str, os.PathLike)):
            attributes[FileStreamAttribute.path] = lambda: Path(name)
        elif isinstance(name, bytes):
            attributes[FileStreamAttribute.path] = lambda: Path(os.fsdecode(name))
        try:
            fd = file.fileno()
        except (AttributeError, io.UnsupportedOperation):
            pass
        except ValueError:
            attributes[FileStreamAttribute.fileno] = self._check_open
        else:
            attributes[FileStreamAttribute.fileno] = lambda: fd
        return with_kindred_keys(attributes)

    async def aclose(self) -> None:
        """Close the file; again: do nothing.

        Waits for the call of the file that runs in a thread, if any; the task that has made it
        gets ClosedResourceError.  If cancelled, the file is closed all the same, before the
        cancellation is raised.

        Raises:
            BrokenResourceError: What was still to be written could not be; the file is closed.
        """
        self._closed = True
        try:
            if self._file.closed:
                await current_backend().checkpoint_if_cancelled()
            else:
                await finish_in_thread(partial(self._locked, self._file.close))
        except OSError as exc:
            raise BrokenResourceError from exc

    def _check_open(self) -> None:
        if self._closed or self._file.closed:
            raise ClosedResourceError

    def _locked(self, func: Callable[[], T]) -> T:
        with self._lock:
            return func()

    async def _call(self, func: Callable[[], T]) -> T:
        """Call ``func()`` in a thread, with the file to itself.

        If cancelled before a thread is free, it is not called.  If cancelled later, it is
        waited for, and what it has done remains.
        """
        try:
            result = await run_sync(self._locked, func)
        except OSError as exc:
            raise BrokenResourceError from exc
        except ValueError:
            if self._file.closed:
                raise ClosedResourceError from None
            raise
        if self._closed:
            raise ClosedResourceError
        return result


class FileReadStream(_FileStream, ByteReceiveStream):
    """A byte stream that reads a file.

    It reads ahead, 256 KiB at most, so that small receives are no calls of the file.  Its
    position is that of the bytes that were handed out: :meth:`tell` returns it, and
    :meth:`seek` starts from it.  After the end of the file, what is written there later can be
    received.  The file must not be used otherwise meanwhile.

    Args:
        file: A file that was opened for reading, in binary mode.

    Raises:
        TypeError: ``file`` is a text file.
    """

    # I3  _ahead[_start:] was read and not handed out; the file is that far ahead of the stream
    __slots__ = ("_ahead", "_read", "_start")

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, "reading from")
        self._ahead = b""
        self._start = 0
        # Of a pipe both return what is there, where a buffered read() waits for all of it.
        self._read: Callable[[int], bytes | None] = getattr(file, "read1", file.read)

    @classmethod
    async def from_path(cls, path: str | os.PathLike[str]) -> Self:
        """Open the file at ``path`` for reading.

        If cancelled, nothing stays open.

        Raises:
            OSError: It cannot be opened.
        """
        return cls(await open_in_thread(lambda: open(path, "rb", buffering=0)))

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Receive what comes next in the file.

        If cancelled, no byte was taken: what a thread may have read meanwhile is received next.

        Args:
            max_bytes: Longest result, in bytes; at least 1.

        Returns:
            Between 1 and ``max_bytes`` bytes, and no more than 256 KiB.

        Raises:
            EndOfStream: The file ends here, for now.
            BrokenResourceError: It could not be read; the error is the cause.
            TypeError: ``max_bytes`` is not an integer.
            ValueError: ``max_bytes`` is below 1.
        """
        max_bytes = positive("max_bytes", index(max_bytes))
        with self._guard:
            self._check_open()
            backend = current_backend()
            while not backend.budget.spend():
                await backend.settle()
            self._check_open()
            if self._start == len(self._ahead):
                await self._call(self._read_ahead)
                if not self._ahead:
                    raise EndOfStream
            data = self._ahead[self._start : self._start + max_bytes]
            self._start += len(data)
            if self._start == len(self._ahead):
                self._ahead, self._start = b"", 0
            return data

    async def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Change what is received next.

        If cancelled before a thread is free, nothing has changed.  If cancelled later, the
        thread is waited for.

        Args:
            position: Where to, in bytes.
            whence: What that is counted from: ``os.SEEK_SET`` (the beginning), ``SEEK_CUR`` (what
                would be received next), ``SEEK_END``; where the system has them, ``SEEK_DATA``
                and ``SEEK_HOLE``.

        Returns:
            The new position, counted from the beginning.

        Raises:
            BrokenResourceError: The file cannot do that; the error is the cause, and nothing has
                changed.
            TypeError: ``position`` is not an integer.
            ValueError: ``position`` is before the beginning, or ``whence`` is none of these.
        """
        position = index(position)
        if whence not in WHENCES:
            raise ValueError(f"invalid whence value: {whence!r}")
        if position < 0 and whence == os.SEEK_SET:
            raise ValueError(f"cannot seek to a position before the beginning: {position}")
        with self._guard:
            self._check_open()
            return await self._call(partial(self._seek, position, whence))

    async def tell(self) -> int:
        """Return the position of what is received next.

        If cancelled, nothing has changed.

        Raises:
            BrokenResourceError: The file has no positions; the error is the cause.
        """
        with self._guard:
            self._check_open()
            return await self._call(self._tell)

    # -- in a thread -----------------------------------------------------------------------
    #
    # What these change is the stream's at once, not when their caller goes on: it may have been
    # cancelled.

    def _read_ahead(self) -> None:
        data = self._read(READ_AHEAD)
        if data is None:
            raise BlockingIOError(errno.EAGAIN, "the file does not block, and has nothing")
        self._ahead, self._start = data, 0

    def _seek(self, position: int, whence: int) -> int:
        if whence == os.SEEK_CUR:
            position -= len(self._ahead) - self._start
        position = self._file.seek(position, whence)
        self._ahead, self._start = b"", 0
        return position

    def _tell(self) -> int:
        return self._file.tell() - (len(self._ahead) - self._start)


class FileWriteStream(_FileStream, ByteSendStream):
    """A byte stream that writes a file.

    Args:
        file: A file that was opened for writing, in binary mode.  Where it has a buffer, what is
            sent may stay there until the file is closed.

    Raises:
        TypeError: ``file`` is a text file.
    """

    __slots__ = ("_sent", "_total")

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, "writing to")
        self._sent = self._total = 0

    @classmethod
    async def from_path(cls, path: str | os.PathLike[str], append: bool = False) -> Self:
        """Open the file at ``path`` for writing, and make it if there is none.

        What is sent goes to the system at once.  If cancelled, nothing stays open; the file may
        have been made or emptied.

        Args:
            path: Where it is.
            append: Whether what is there stays and what is sent comes after it.

        Raises:
            OSError: It cannot be opened.
        """
        return cls(await open_in_thread(lambda: open(path, "ab" if append else "wb", buffering=0)))

    @property
    def partial_send(self) -> int | None:
        return None if self._sent == self._total else self._sent

    async def send(self, item: ReadableBuffer) -> None:
        """Write all bytes of ``item``.

        If cancelled before a thread is free, nothing was written.  If cancelled later, the
        thread is waited for.

        Raises:
            BrokenResourceError: It could not be written; the error is the cause, and
                :attr:`partial_send` tells how much was.
            TypeError: ``item`` is not contiguous bytes-like data.
        """
        await self.send_many((item,))

    async def send_many(self, buffers: Iterable[ReadableBuffer]) -> None:
        """Write all bytes of several buffers, in order.

        If cancelled before a thread is free, nothing was written.  If cancelled later, the
        thread is waited for.

        Raises:
            BrokenResourceError: They could not be written; the error is the cause, and
                :attr:`partial_send` tells how much was.
            TypeError: One of ``buffers`` is not contiguous bytes-like data; nothing was written.
        """
        views: list[memoryview] = []  # while they are there, nobody may resize a buffer
        try:
            for buffer in buffers:
                try:
                    views.append(view := memoryview(buffer))
                except TypeError:
                    raise TypeError(f"expected bytes-like data, not {buffer!r}") from None
                if not view.c_contiguous:
                    raise TypeError(f"expected contiguous bytes-like data, not {buffer!r}")
            with self._guard:
                self._check_open()
                await current_backend().checkpoint_if_cancelled()
                self._sent, self._total = 0, sum(view.nbytes for view in views)
                if self._total:
                    await self._call(partial(self._write, views))
        finally:
            for view in views:
                view.release()

    def _write(self, views: list[memoryview]) -> None:
        for view in views:
            if view.nbytes:
                with _octets(view) as octets:
                    start = 0
                    while start < len(octets):
                        with octets[start:] as rest:
                            start += self._write_some(rest)

    def _write_some(self, octets: memoryview) -> int:
        written: int | None = self._file.write(octets)
        if written is None and not isinstance(self._file, io.RawIOBase):
            written = len(octets)  # a file of somebody's own, which does not say
        if not written:
            raise BlockingIOError(errno.EAGAIN, "the file does not block, and takes no more")
        self._sent += written
        return written


def _octets(view: memoryview) -> memoryview:
    try:
        return view.cast("B")
    except TypeError:  # cast() knows no structures
        return memoryview(view.tobytes())
