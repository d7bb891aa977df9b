"""The third of ``Path`` that asks the file system and changes nothing.

A question that is cancelled is left to its thread, and the answer to nobody: a file system that
does not answer holds nobody up.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path as SyncPath
from typing import ParamSpec, Self, TypeVar

from penstock._fileio.listing import BATCH, Batches
from penstock._fileio.purepaths import PurePathPart, StrPath, plain
from penstock._synchronization import CapacityLimiter
from penstock.to_thread import run_sync

if sys.version_info >= (3, 14):
    from pathlib.types import PathInfo

__all__ = ("LookupPart",)

P = ParamSpec("P")
T = TypeVar("T")


class LookupPart(PurePathPart):
    """What the file system knows of a path.

    Every method raises the ``OSError`` that the same method of :class:`pathlib.Path` raises.
    """

    __slots__ = ()

    async def _ask(self, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        call = partial(func, *args, **kwargs)
        return await run_sync(call, abandon_on_cancel=True, limiter=self._limiter)

    # -- paths -----------------------------------------------------------------------------

    @classmethod
    async def cwd(cls, *, limiter: CapacityLimiter | None = None) -> Self:
        """Return the current directory.  If cancelled, the answer is not waited for.

        Args:
            limiter: What bounds the threads that calls of the path run in, this one too; None:
                the default limiter.
        """
        path = await run_sync(SyncPath.cwd, abandon_on_cancel=True, limiter=limiter)
        return cls(path, limiter=limiter)

    @classmethod
    async def home(cls, *, limiter: CapacityLimiter | None = None) -> Self:
        """Return the home directory.  If cancelled, the answer is not waited for.

        Args:
            limiter: As for :meth:`cwd`.

        Raises:
            RuntimeError: It cannot be found out.
        """
        path = await run_sync(SyncPath.home, abandon_on_cancel=True, limiter=limiter)
        return cls(path, limiter=limiter)

    async def absolute(self) -> Self:
        """Return the path from the root.  If cancelled, the answer is not waited for."""
        return self.with_segments(await self._ask(self._path.absolute))

    async def expanduser(self) -> Self:
        """Return the path with ``~`` replaced.  If cancelled, the answer is not waited for.

        Raises:
            RuntimeError: The home directory cannot be found out.
        """
        return self.with_segments(await self._ask(self._path.expanduser))

    async def resolve(self, strict: bool = False) -> Self:
        """Return the path from the root without symbolic links and ``..``.

        If cancelled, the answer is not waited for.

        Args:
            strict: Whether it must exist.
        """
        return self.with_segments(await self._ask(self._path.resolve, strict))

    async def readlink(self) -> Self:
        """Return what the symbolic link leads to.  If cancelled, it is not waited for."""
        return self.with_segments(await self._ask(self._path.readlink))

    # -- facts -----------------------------------------------------------------------------

    async def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return what :func:`os.stat` does.  If cancelled, the answer is not waited for."""
        return await self._ask(self._path.stat, follow_symlinks=follow_symlinks)

    async def lstat(self) -> os.stat_result:
        """Return what :func:`os.lstat` does.  If cancelled, the answer is not waited for."""
        return await self._ask(self._path.lstat)

    if sys.version_info >= (3, 14):

        @property
        def info(self) -> PathInfo:
            """What is known of the kind of file, without ``await``.

            It blocks where it is asked something for the first time.
            """
            return self._path.info

    async def samefile(self, other_path: StrPath) -> bool:
        """Whether both paths lead to one file.  If cancelled, the answer is not waited for."""
        return await self._ask(self._path.samefile, plain(other_path))

    async def is_mount(self) -> bool:
        """Whether it is a mount point.  If cancelled, the answer is not waited for."""
        return await self._ask(self._path.is_mount)

    async def is_symlink(self) -> bool:
        """Whether it is a symbolic link.  If cancelled, the answer is not waited for."""
        return await self._ask(self._path.is_symlink)

    async def is_socket(self) -> bool:
        """Whether it leads to a socket.  If cancelled, the answer is not waited for."""
        return await self._ask(self._path.is_socket)

    async def is_fifo(self) -> bool:
        """Whether it leads to a FIFO.  If cancelled, the answer is not waited for."""
        return await self._ask(self._path.is_fifo)

    async def is_block_device(self) -> bool:
        """Whether it leads to a block device.  If cancelled, the answer is not waited for."""
        return await self._ask(self._path.is_block_device)

    async def is_char_device(self) -> bool:
        """Whether it leads to a character device.  If cancelled, the answer is not waited for."""
        return await self._ask(self._path.is_char_device)

    if sys.version_info >= (3, 12):

        async def is_junction(self) -> bool:
            """Whether it is a junction, of Windows.  If cancelled, it is not waited for."""
            return await self._ask(self._path.is_junction)

    if sys.version_info >= (3, 12):

        async def exists(self, *, follow_symlinks: bool = True) -> bool:
            """Whether it is there.  If cancelled, the answer is not waited for."""
            return await self._ask(self._path.exists, follow_symlinks=follow_symlinks)

    else:

        async def exists(self) -> bool:
            """Whether it is there.  If cancelled, the answer is not waited for."""
            return await self._ask(self._path.exists)

    if sys.version_info >= (3, 13):

        async def is_dir(self, *, follow_symlinks: bool = True) -> bool:
            """Whether it leads to a directory.  If cancelled, the answer is not waited for."""
            return await self._ask(self._path.is_dir, follow_symlinks=follow_symlinks)

        async def is_file(self, *, follow_symlinks: bool = True) -> bool:
            """Whether it leads to a regular file.  If cancelled, the answer is not waited for."""
            return await self._ask(self._path.is_file, follow_symlinks=follow_symlinks)

        async def owner(self, *, follow_symlinks: bool = True) -> str:
            """Return the name of its owner.  If cancelled, the answer is not waited for."""
            return await self._ask(self._path.owner, follow_symlinks=follow_symlinks)

        async def group(self, *, follow_symlinks: bool = True) -> str:
            """Return the name of its group.  If cancelled, the answer is not waited for."""
            return await self._ask(self._path.group, follow_symlinks=follow_symlinks)

    else:

        async def is_dir(self) -> bool:
            """Whether it leads to a directory.  If cancelled, the answer is not waited for."""
            return await self._ask(self._path.is_dir)

        async def is_file(self) -> bool:
            """Whether it leads to a regular file.  If cancelled, the answer is not waited for."""
            return await self._ask(self._path.is_file)

        async def owner(self) -> str:
            """Return the name of its owner.  If cancelled, the answer is not waited for."""
            return await self._ask(self._path.owner)

        async def group(self) -> str:
            """Return the name of its group.  If cancelled, the answer is not waited for."""
            return await self._ask(self._path.group)

    # -- directories -----------------------------------------------------------------------

    def _paths(self, begin: Callable[[], Iterator[SyncPath]]) -> AsyncIterator[Self]:
        return Batches(lambda: map(self.with_segments, begin()), self._limiter)

    def iterdir(self) -> AsyncIterator[Self]:
        """Iterate over what is in the directory, in any order.

        If a step is cancelled, the next one goes on.
        """
        return self._paths(lambda: iter(self._path.iterdir()))

    if sys.version_info >= (3, 13):

        def glob(
            self,
            pattern: StrPath,
            *,
            case_sensitive: bool | None = None,
            recurse_symlinks: bool = False,
        ) -> AsyncIterator[Self]:
            """Iterate over what matches a pattern below here, as in ``*/*.py``.

            If a step is cancelled, the next one goes on.
            """
            return self._paths(
                lambda: self._path.glob(
                    plain(pattern), case_sensitive=case_sensitive, recurse_symlinks=recurse_symlinks
                )
            )

        def rglob(
            self,
            pattern: StrPath,
            *,
            case_sensitive: bool | None = None,
            recurse_symlinks: bool = False,
        ) -> AsyncIterator[Self]:
            """Iterate over what matches a pattern anywhere below here.

            If a step is cancelled, the next one goes on.
            """
            return self._paths(
                lambda: self._path.rglob(
                    plain(pattern), case_sensitive=case_sensitive, recurse_symlinks=recurse_symlinks
                )
            )

    elif sys.version_info >= (3, 12):

        def glob(self, pattern: str, *, case_sensitive: bool | None = None) -> AsyncIterator[Self]:
            """Iterate over what matches a pattern below here, as in ``*/*.py``.

            If a step is cancelled, the next one goes on.
            """
            return self._paths(lambda: self._path.glob(pattern, case_sensitive=case_sensitive))

        def rglob(self, pattern: str, *, case_sensitive: bool | None = None) -> AsyncIterator[Self]:
            """Iterate over what matches a pattern anywhere below here.

            If a step is cancelled, the next one goes on.
            """
            return self._paths(lambda: self._path.rglob(pattern, case_sensitive=case_sensitive))

    else:

        def glob(self, pattern: str) -> AsyncIterator[Self]:
            """Iterate over what matches a pattern below here, as in ``*/*.py``.

            If a step is cancelled, the next one goes on.
            """
            return self._paths(lambda: self._path.glob(pattern))

        def rglob(self, pattern: str) -> AsyncIterator[Self]:
            """Iterate over what matches a pattern anywhere below here.

            If a step is cancelled, the next one goes on.
            """
            return self._paths(lambda: self._path.rglob(pattern))

    if sys.version_info >= (3, 12):

        def walk(
            self,
            top_down: bool = True,
            on_error: Callable[[OSError], object] | None = None,
            follow_symlinks: bool = False,
        ) -> AsyncIterator[tuple[Self, list[str], list[str]]]:
            """Iterate over this directory and all below it, with the names that are in each.

            If a step is cancelled, the next one goes on.

            Args:
                top_down: Whether a directory comes before those in it.  Then, what is removed
                    from its list of directories is not walked.
                on_error: What to call, in a thread, with the error of a directory that cannot be
                    listed; None: nothing.
                follow_symlinks: Whether to walk what symbolic links lead to.
            """

            def begin() -> Iterator[tuple[Self, list[str], list[str]]]:
                for path, folders, files in self._path.walk(top_down, on_error, follow_symlinks):
                    yield self.with_segments(path), folders, files

            # Nothing ahead of a caller who may still change where it goes on.
            return Batches(begin, self._limiter, 1 if top_down else BATCH)
