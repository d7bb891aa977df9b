"""``Path``: :class:`pathlib.Path` with ``await``; and its third that changes files.

What is done with the text of a path lives in ``purepaths``, what asks the file system in
``lookups``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, overload

from penstock._fileio.files import AsyncFile
from penstock._fileio.lookups import LookupPart
from penstock._fileio.purepaths import StrPath, plain
from penstock._fileio.threads import open_in_thread
from penstock.to_thread import run_sync

if TYPE_CHECKING:
    from _typeshed import OpenBinaryMode, OpenTextMode, ReadableBuffer

__all__ = ("Path",)

P = ParamSpec("P")
T = TypeVar("T")


class Path(LookupPart):
    """A path of the file system: :class:`pathlib.Path`, whose blocking methods are awaited.

    It has the methods that the running Python's has, which take the same arguments and raise the
    same errors, above all ``OSError``.  Methods that return a path return one of this class, and
    those that list directories return async iterators; :meth:`open` returns an
    :class:`AsyncFile`.  It equals a :class:`pathlib.Path` that is the same path, and goes wherever
    an :class:`os.PathLike` does.

    A call that changes something is waited for once it has begun, even if it is cancelled.  One
    that only asks is not.
    """

    __slots__ = ()

    async def _in_thread(self, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await run_sync(partial(func, *args, **kwargs), limiter=self._limiter)

    # -- contents --------------------------------------------------------------------------

    @overload
    async def open(
        self,
        mode: OpenBinaryMode,
        buffering: int = ...,
        encoding: str | None = ...,
        errors: str | None = ...,
        newline: str | None = ...,
    ) -> AsyncFile[bytes]: ...

    @overload
    async def open(
        self,
        mode: OpenTextMode = ...,
        buffering: int = ...,
        encoding: str | None = ...,
        errors: str | None = ...,
        newline: str | None = ...,
    ) -> AsyncFile[str]: ...

    async def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> AsyncFile[Any]:
        """Open the file, as :func:`penstock.open_file` does.

        If cancelled before a thread is free, nothing was opened.  If cancelled later, the thread
        is waited for and the file is closed; what ``mode`` has done to it remains.

        Args:
            mode: As for :func:`penstock.open_file`, as are the others.
            buffering: 0: none; 1: by lines; more: how many bytes; -1: as is usual.
            encoding: Of a text file; None: the locale's.
            errors: What becomes of what cannot be coded.
            newline: What ends a line.
        """
        opening = partial(self._path.open, mode, buffering, encoding, errors, newline)
        return AsyncFile(await open_in_thread(opening, self._limiter), limiter=self._limiter)

    async def read_bytes(self) -> bytes:
        """Return what is in the file.

        If cancelled before it has begun, nothing has happened; later, it is waited for.
        """
        return await self._in_thread(self._path.read_bytes)

    if sys.version_info >= (3, 13):

        async def read_text(
            self, encoding: str | None = None, errors: str | None = None, newline: str | None = None
        ) -> str:
            """Return what is in the text file.

            If cancelled before it has begun, nothing has happened; later, it is waited for.

            Args:
                encoding: How characters are coded; None: the locale's way.
                errors: What becomes of what cannot be coded; None: ``"strict"``, an error.
                newline: What ends a line, as for :func:`open`; None: any end, read as a newline.
            """
            return await self._in_thread(self._path.read_text, encoding, errors, newline)

    else:

        async def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
            """Return what is in the text file.

            If cancelled before it has begun, nothing has happened; later, it is waited for.

            Args:
                encoding: How characters are coded; None: the locale's way.
                errors: What becomes of what cannot be coded; None: ``"strict"``, an error.
            """
            return await self._in_thread(self._path.read_text, encoding, errors)

    async def write_bytes(self, data: ReadableBuffer) -> int:
        """Put ``data`` into the file, in place of what is there, and return its length.

        If cancelled before it has begun, nothing has happened; later, it is waited for.
        """
        return await self._in_thread(self._path.write_bytes, data)

    async def write_text(
        self,
        data: str,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> int:
        """Put ``data`` into the text file, in place of what is there, and return its length.

        If cancelled before it has begun, nothing has happened; later, it is waited for.

        Args:
            data: The text.
            encoding: How characters are coded; None: the locale's way.
            errors: What becomes of what cannot be coded; None: ``"strict"``, an error.
            newline: What a newline becomes, as for :func:`open`; None: the system's end of line.
        """
        return await self._in_thread(self._path.write_text, data, encoding, errors, newline)

    # -- directory entries -----------------------------------------------------------------

    async def touch(self, mode: int = 0o666, exist_ok: bool = True) -> None:
        """Make the file, or note that it was modified now.

        If cancelled before it has begun, nothing has happened; later, it is waited for.

        Args:
            mode: Permissions of a new file; the umask is taken off.
            exist_ok: False: FileExistsError, if it is there.
        """
        await self._in_thread(self._path.touch, mode, exist_ok)

    if sys.version_info >= (3, 15):

        async def mkdir(
            self,
            mode: int = 0o777,
            parents: bool = False,
            exist_ok: bool = False,
            *,
            parent_mode: int | None = None,
        ) -> None:
            """Make the directory.

            If cancelled before it has begun, nothing has happened; later, it is waited for.

            Args:
                mode: Permissions; the umask is taken off.
                parents: Whether the directories above it are made as well.
                exist_ok: Whether it may be there already; else FileExistsError.
                parent_mode: Permissions of the directories above it; None: the usual ones.
            """
            await self._in_thread(
                self._path.mkdir, mode, parents, exist_ok, parent_mode=parent_mode
            )

    else:

        async def mkdir(
            self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False
        ) -> None:
            """Make the directory.

            If cancelled before it has begun, nothing has happened; later, it is waited for.

            Args:
                mode: Permissions; the umask is taken off.
                parents: Whether the directories above it are made as well.
                exist_ok: Whether it may be there already; else FileExistsError.
            """
            await self._in_thread(self._path.mkdir, mode, parents, exist_ok)

    async def symlink_to(self, target: StrPath, target_is_directory: bool = False) -> None:
        """Make it a symbolic link to ``target``.

        If cancelled before it has begun, nothing has happened; later, it is waited for.

        Args:
            target: A path; a relative one counts from where the link is.
            target_is_directory: On Windows, whether the link is to a directory.
        """
        await self._in_thread(self._path.symlink_to, plain(target), target_is_directory)

    async def hardlink_to(self, target: StrPath) -> None:
        """Make it another name of the file ``target``.

        If cancelled before it has begun, nothing has happened; later, it is waited for.
        """
        await self._in_thread(self._path.hardlink_to, plain(target))

    if sys.version_info < (3, 12):

        async def link_to(self, target: StrPath) -> None:
            """Make ``target`` another name of the file; deprecated.

            If cancelled before it has begun, nothing has happened; later, it is waited for.
            """
            await self._in_thread(self._path.link_to, plain(target))

    async def rename(self, target: StrPath) -> Self:
        """Give it another name, and return that.

        If cancelled before it has begun, nothing has happened; later, it is waited for.

        Args:
            target: The name.  On Windows nothing may have it: FileExistsError.
        """
        return self.with_segments(await self._in_thread(self._path.rename, plain(target)))

    async def replace(self, target: StrPath) -> Self:
        """Give it another name, in place of what has that, and return it.

        If cancelled before it has begun, nothing has happened; later, it is waited for.

        Args:
            target: The name.
        """
        return self.with_segments(await self._in_thread(self._path.replace, plain(target)))

    if sys.version_info >= (3, 14):

        async def copy(
            self,
            target: StrPath,
            *,
            follow_symlinks: bool = True,
            preserve_metadata: bool = False,
        ) -> Self:
            """Copy the file, or the directory with all that is in it, and return the copy.

            If cancelled before it has begun, nothing has happened; later, it is waited for.

            Args:
                target: What the copy is called.
                follow_symlinks: Whether what a symbolic link leads to is copied, not the link.
                preserve_metadata: Whether permissions and times are copied as well.
            """
            path = await self._in_thread(
                self._path.copy,
                plain(target),
                follow_symlinks=follow_symlinks,
                preserve_metadata=preserve_metadata,
            )
            return self.with_segments(path)

        async def copy_into(
            self,
            target_dir: StrPath,
            *,
            follow_symlinks: bool = True,
            preserve_metadata: bool = False,
        ) -> Self:
            """Copy it, under the same name, into a directory: see :meth:`copy`.

            If cancelled before it has begun, nothing has happened; later, it is waited for.
            """
            path = await self._in_thread(
                self._path.copy_into,
                plain(target_dir),
                follow_symlinks=follow_symlinks,
                preserve_metadata=preserve_metadata,
            )
            return self.with_segments(path)

        async def move(self, target: StrPath) -> Self:
            """Move it, to another file system as well, and return where it is.

            If cancelled before it has begun, nothing has happened; later, it is waited for.
            """
            return self.with_segments(await self._in_thread(self._path.move, plain(target)))

        async def move_into(self, target_dir: StrPath) -> Self:
            """Move it, under the same name, into a directory, and return where it is.

            If cancelled before it has begun, nothing has happened; later, it is waited for.
            """
            return self.with_segments(
                await self._in_thread(self._path.move_into, plain(target_dir))
            )

    async def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file.

        If cancelled before it has begun, nothing has happened; later, it is waited for.

        Args:
            missing_ok: False: FileNotFoundError, if it is not there.
        """
        await self._in_thread(self._path.unlink, missing_ok)

    async def rmdir(self) -> None:
        """Remove the directory, which must be empty.

        If cancelled before it has begun, nothing has happened; later, it is waited for.
        """
        await self._in_thread(self._path.rmdir)

    async def chmod(self, mode: int, *, follow_symlinks: bool = True) -> None:
        """Change the permissions.

        If cancelled before it has begun, nothing has happened; later, it is waited for.

        Args:
            mode: As for :func:`os.chmod`.
            follow_symlinks: False: those of a symbolic link itself, where the system has them.
        """
        await self._in_thread(self._path.chmod, mode, follow_symlinks=follow_symlinks)

    async def lchmod(self, mode: int) -> None:
        """Change the permissions of a symbolic link itself.

        If cancelled before it has begun, nothing has happened; later, it is waited for.

        Args:
            mode: As for :func:`os.chmod`.
        """
        await self._in_thread(self._path.lchmod, mode)


PathLike.register(Path)
