"""Files as the standard library has them, with ``await``.

Lives here: :func:`open_file` and what it returns.  Byte streams over files live in
:mod:`penstock.streams.file`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import IO, TYPE_CHECKING, Any, AnyStr, Generic, Self, cast, overload

from penstock._fileio.threads import check_limiter, finish_in_thread, open_in_thread
from penstock._synchronization import CapacityLimiter
from penstock.abc import AsyncResource
from penstock.to_thread import run_sync

if TYPE_CHECKING:
    from _typeshed import OpenBinaryMode, OpenTextMode, ReadableBuffer, WriteableBuffer

__all__ = ("AsyncFile", "open_file", "wrap_file")


class AsyncFile(AsyncResource, Generic[AnyStr]):
    """A file whose blocking methods are awaited; every other attribute is the file's own.

    Iterating over it gives its lines.  What goes wrong is what goes wrong with the file: an
    ``OSError``, or ValueError once it is closed.  A call that is cancelled before a thread is
    free for it has had no effect; later it is waited for, and the next wait raises the
    cancellation.

    Args:
        fp: The file.
        limiter: What bounds the threads that its calls run in; None: the default limiter.

    Raises:
        TypeError: ``limiter`` is not a CapacityLimiter, or ``fp`` is no file.
    """

    def __init__(self, fp: IO[AnyStr], *, limiter: CapacityLimiter | None = None) -> None:
        check_limiter(limiter)
        if not hasattr(fp, "close") or not (hasattr(fp, "read") or hasattr(fp, "write")):
            raise TypeError(f"{fp!r} does not implement required file methods")
        self._fp: Any = fp
        self._limiter = limiter

    def __getattr__(self, name: str) -> Any:
        if name == "_fp":  # nothing to look in yet: a copy is being made
            raise AttributeError(name)
        return getattr(self._fp, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._fp!r}>"

    @property
    def limiter(self) -> CapacityLimiter | None:
        """What bounds the threads that its calls run in; None: the default limiter."""
        return self._limiter

    @property
    def wrapped(self) -> IO[AnyStr]:
        """The file itself."""
        return cast("IO[AnyStr]", self._fp)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyStr:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    async def aclose(self) -> None:
        """Close the file; again: do nothing.

        If cancelled, it is closed all the same, before the cancellation is raised.

        Raises:
            OSError: What was still to be written could not be; the file is closed.
        """
        await finish_in_thread(self._fp.close, self._limiter)

    async def read(self, size: int = -1) -> AnyStr:
        """Read up to ``size`` bytes or characters, or everything.

        If cancelled, nothing was read, or the thread is waited for.
        """
        return cast("AnyStr", await self._call(self._fp.read, size))

    async def read1(self: AsyncFile[bytes], size: int = -1) -> bytes:
        """Read up to ``size`` bytes with at most one system call.

        If cancelled, nothing was read, or the thread is waited for.
        """
        return cast("bytes", await self._call(self._fp.read1, size))

    async def readline(self) -> AnyStr:
        """Read a line, with its end; nothing at the end of the file.

        If cancelled, nothing was read, or the thread is waited for.
        """
        return cast("AnyStr", await self._call(self._fp.readline))

    async def readlines(self) -> list[AnyStr]:
        """Read all lines.  If cancelled, nothing was read, or the thread is waited for."""
        return cast("list[AnyStr]", await self._call(self._fp.readlines))

    async def readinto(self: AsyncFile[bytes], b: WriteableBuffer) -> int:
        """Read into ``b`` and return how many bytes it was.

        If cancelled, nothing was read, or the thread is waited for.
        """
        return cast("int", await self._call(self._fp.readinto, b))

    async def readinto1(self: AsyncFile[bytes], b: WriteableBuffer) -> int:
        """Read into ``b`` with at most one system call, and return how many bytes it was.

        If cancelled, nothing was read, or the thread is waited for.
        """
        return cast("int", await self._call(self._fp.readinto1, b))

    @overload
    async def write(self: AsyncFile[bytes], b: ReadableBuffer) -> int: ...
    @overload
    async def write(self: AsyncFile[str], b: str) -> int: ...

    async def write(self, b: ReadableBuffer | str) -> int:
        """Write ``b`` and return how many bytes or characters were written.

        If cancelled, nothing was written, or the thread is waited for.
        """
        return cast("int", await self._call(self._fp.write, b))

    @overload
    async def writelines(self: AsyncFile[bytes], lines: Iterable[ReadableBuffer]) -> None: ...
    @overload
    async def writelines(self: AsyncFile[str], lines: Iterable[str]) -> None: ...

    async def writelines(self, lines: Iterable[ReadableBuffer] | Iterable[str]) -> None:
        """Write each of ``lines``, which are iterated over in the thread.

        If cancelled, nothing was written, or the thread is waited for.
        """
        await self._call(self._fp.writelines, lines)

    async def truncate(self, size: int | None = None) -> int:
        """Cut the file off at ``size`` bytes, or where it is, and return its new size.

        If cancelled, nothing was cut off, or the thread is waited for.
        """
        return cast("int", await self._call(self._fp.truncate, size))

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Change where the file is, and return that, counted from its beginning.

        If cancelled, it is where it was, or the thread is waited for.

        Args:
            offset: In bytes; of a text file, what :meth:`tell` has returned, or 0.
            whence: What it is counted from: ``os.SEEK_SET`` (the beginning), ``SEEK_CUR`` (where
                it is) or ``SEEK_END``.
        """
        return cast("int", await self._call(self._fp.seek, offset, whence))

    async def tell(self) -> int:
        """Return where the file is.  If cancelled, nothing has changed."""
        return cast("int", await self._call(self._fp.tell))

    async def flush(self) -> None:
        """Hand what is buffered to the system.

        If cancelled, nothing was handed over, or the thread is waited for.
        """
        await self._call(self._fp.flush)

    async def _call(self, method: Callable[..., object], *args: object) -> object:
        return await run_sync(method, *args, limiter=self._limiter)


@overload
async def open_file(
    file: str | bytes | os.PathLike[str] | os.PathLike[bytes] | int,
    mode: OpenBinaryMode,
    buffering: int = ...,
    encoding: str | None = ...,
    errors: str | None = ...,
    newline: str | None = ...,
    closefd: bool = ...,
    opener: Callable[[str, int], int] | None = ...,
    *,
    limiter: CapacityLimiter | None = ...,
) -> AsyncFile[bytes]: ...


@overload
async def open_file(
    file: str | bytes | os.PathLike[str] | os.PathLike[bytes] | int,
    mode: OpenTextMode = ...,
    buffering: int = ...,
    encoding: str | None = ...,
    errors: str | None = ...,
    newline: str | None = ...,
    closefd: bool = ...,
    opener: Callable[[str, int], int] | None = ...,
    *,
    limiter: CapacityLimiter | None = ...,
) -> AsyncFile[str]: ...


async def open_file(
    file: str | bytes | os.PathLike[str] | os.PathLike[bytes] | int,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Callable[[str, int], int] | None = None,
    *,
    limiter: CapacityLimiter | None = None,
) -> AsyncFile[Any]:
    """Open a file, as :func:`open` does.

    If cancelled before a thread is free, nothing was opened.  If cancelled later, the thread is
    waited for and the file is closed; what ``mode`` has done to it remains.

    Args:
        file: As for :func:`open`, as is all that follows but the last.
        mode: What it is opened for.
        buffering: 0: none; 1: by lines; more: how many bytes; -1: as is usual.
        encoding: Of a text file; None: the locale's.
        errors: What becomes of what cannot be coded.
        newline: What ends a line.
        closefd: Whether a descriptor that was given is closed with the file.
        opener: What opens it, called in the thread.
        limiter: What bounds the threads that the calls of the file run in, this one too; None:
            the default limiter.

    Raises:
        OSError: It cannot be opened.
        TypeError: ``limiter`` is not a CapacityLimiter, or :func:`open` raises it.
        ValueError: :func:`open` raises it.
    """
    check_limiter(limiter)
    opening = partial(open, file, mode, buffering, encoding, errors, newline, closefd, opener)
    return AsyncFile(await open_in_thread(opening, limiter), limiter=limiter)


def wrap_file(file: IO[AnyStr], *, limiter: CapacityLimiter | None = None) -> AsyncFile[AnyStr]:
    """Return an :class:`AsyncFile` around an open file.

    Args:
        file: The file.
        limiter: What bounds the threads that its calls run in; None: the default limiter.

    Raises:
        TypeError: ``limiter`` is not a CapacityLimiter, or ``file`` is no file.
    """
    return AsyncFile(file, limiter=limiter)
