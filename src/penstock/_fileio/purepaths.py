"""The third of ``Path`` that asks nobody: what is done with the text of a path.

What asks the file system lives in ``lookups``, what changes it in ``paths``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from os import PathLike
from pathlib import Path as SyncPath
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

from penstock._fileio.threads import check_limiter
from penstock._synchronization import CapacityLimiter

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ("PurePathPart", "StrPath", "plain")

StrPath: TypeAlias = str | PathLike[str]


def plain(path: Any) -> Any:
    """Return the :class:`pathlib.Path` inside, if ``path`` has one: pathlib wants its own."""
    return path._path if isinstance(path, PurePathPart) else path


class PurePathPart:
    """A path, its parts, and what can be made of them.

    Args:
        args: Its segments, as for :class:`pathlib.Path`.
        limiter: What bounds the threads that its calls run in; None: the default limiter.  Paths
            that are made of this one have it too; copies and pickles have none.

    Raises:
        TypeError: A segment is no path, or ``limiter`` is not a CapacityLimiter.
    """

    # I1  neither is ever changed
    __slots__ = ("__weakref__", "_limiter", "_path")

    def __init__(self, *args: StrPath, limiter: CapacityLimiter | None = None) -> None:
        check_limiter(limiter)
        self._path = SyncPath(*map(plain, args))
        self._limiter = limiter

    @property
    def limiter(self) -> CapacityLimiter | None:
        """What bounds the threads that its calls run in; None: the default limiter."""
        return self._limiter

    def with_segments(self, *pathsegments: StrPath) -> Self:
        """Return a path of the same kind; every path that is made of this one is made here."""
        return type(self)(*pathsegments, limiter=self._limiter)

    # -- as an object ----------------------------------------------------------------------

    def __fspath__(self) -> str:
        return str(self._path)

    def __str__(self) -> str:
        return str(self._path)

    def __bytes__(self) -> bytes:
        return bytes(self._path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.as_posix()!r})"

    def __reduce__(self) -> tuple[type[Self], tuple[str, ...]]:
        return type(self), self.parts

    def __hash__(self) -> int:
        return hash(self._path)

    def __eq__(self, other: object) -> bool:
        return self._path.__eq__(plain(other))

    def __lt__(self, other: PurePath | PurePathPart) -> bool:
        return self._path.__lt__(plain(other))

    def __le__(self, other: PurePath | PurePathPart) -> bool:
        return self._path.__le__(plain(other))

    def __gt__(self, other: PurePath | PurePathPart) -> bool:
        return self._path.__gt__(plain(other))

    def __ge__(self, other: PurePath | PurePathPart) -> bool:
        return self._path.__ge__(plain(other))

    def __truediv__(self, key: StrPath) -> Self:
        try:
            return self.with_segments(self, key)
        except TypeError:
            return NotImplemented

    def __rtruediv__(self, key: StrPath) -> Self:
        try:
            return self.with_segments(key, self)
        except TypeError:
            return NotImplemented

    # -- its parts -------------------------------------------------------------------------

    @property
    def parts(self) -> tuple[str, ...]:
        """Its components, the anchor first."""
        return self._path.parts

    @property
    def drive(self) -> str:
        """The drive letter, of Windows; else nothing."""
        return self._path.drive

    @property
    def root(self) -> str:
        """What makes it absolute, as in ``/``."""
        return self._path.root

    @property
    def anchor(self) -> str:
        """Drive and root."""
        return self._path.anchor

    @property
    def parents(self) -> Sequence[Self]:
        """The paths above it, the nearest first."""
        return tuple([self.with_segments(path) for path in self._path.parents])

    @property
    def parent(self) -> Self:
        """The path above it."""
        return self.with_segments(self._path.parent)

    @property
    def name(self) -> str:
        """Its last component."""
        return self._path.name

    @property
    def suffix(self) -> str:
        """The end of the name, from its last dot."""
        return self._path.suffix

    @property
    def suffixes(self) -> list[str]:
        """The ends of the name, one for each dot."""
        return self._path.suffixes

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return self._path.stem

    # -- what can be made of it ------------------------------------------------------------

    def as_posix(self) -> str:
        """Return it with forward slashes."""
        return self._path.as_posix()

    def as_uri(self) -> str:
        """Return it as a ``file:`` URI.

        Raises:
            ValueError: It is not absolute.
        """
        return self._path.as_uri()

    def is_absolute(self) -> bool:
        """Whether it has a root, and a drive where there are drives."""
        return self._path.is_absolute()

    if sys.version_info < (3, 15):

        def is_reserved(self) -> bool:
            """Whether Windows has reserved it; deprecated since Python 3.13."""
            return self._path.is_reserved()

    else:

        def __vfspath__(self) -> str:
            return str(self._path)

    def joinpath(self, *pathsegments: StrPath) -> Self:
        """Return it with ``pathsegments`` appended."""
        return self.with_segments(self, *pathsegments)

    def with_name(self, name: str) -> Self:
        """Return it with another name.

        Raises:
            ValueError: It has no name, or ``name`` is none.
        """
        return self.with_segments(self._path.with_name(name))

    def with_stem(self, stem: str) -> Self:
        """Return it with another name that has the same suffix.

        Raises:
            ValueError: It has no name, or there is none with that stem.
        """
        return self.with_segments(self._path.with_stem(stem))

    def with_suffix(self, suffix: str) -> Self:
        """Return it with another suffix, or, if ``suffix`` is empty, with none.

        Raises:
            ValueError: It has no name, or ``suffix`` is none.
        """
        return self.with_segments(self._path.with_suffix(suffix))

    if sys.version_info >= (3, 14):

        def relative_to(self, other: StrPath, *, walk_up: bool = False) -> Self:
            """Return the path that leads here from ``other``.

            Args:
                other: Where it begins.
                walk_up: Whether it may begin with ``..``.

            Raises:
                ValueError: There is none.
            """
            return self.with_segments(self._path.relative_to(plain(other), walk_up=walk_up))

        def is_relative_to(self, other: StrPath) -> bool:
            """Whether it begins with ``other``."""
            return self._path.is_relative_to(plain(other))

    elif sys.version_info >= (3, 12):

        def relative_to(self, other: StrPath, /, *others: StrPath, walk_up: bool = False) -> Self:
            """Return the path that leads here from ``other``.

            Args:
                other: Where it begins.
                others: More segments of that; deprecated since Python 3.12.
                walk_up: Whether it may begin with ``..``.

            Raises:
                ValueError: There is none.
            """
            segments = map(plain, others)
            path = self._path.relative_to(plain(other), *segments, walk_up=walk_up)
            return self.with_segments(path)

        def is_relative_to(self, other: StrPath, /, *others: StrPath) -> bool:
            """Whether it begins with ``other``."""
            return self._path.is_relative_to(plain(other), *map(plain, others))

    else:

        def relative_to(self, *other: StrPath) -> Self:
            """Return the path that leads here from ``other``.

            Raises:
                ValueError: There is none.
            """
            return self.with_segments(self._path.relative_to(*map(plain, other)))

        def is_relative_to(self, *other: StrPath) -> bool:
            """Whether it begins with ``other``."""
            return self._path.is_relative_to(*map(plain, other))

    if sys.version_info >= (3, 12):

        def match(self, path_pattern: StrPath, *, case_sensitive: bool | None = None) -> bool:
            """Whether its end matches a pattern.

            Args:
                path_pattern: As in ``*.py``.
                case_sensitive: None: as is usual on this system.
            """
            return self._path.match(plain(path_pattern), case_sensitive=case_sensitive)

    else:

        def match(self, path_pattern: str) -> bool:
            """Whether its end matches a pattern, as in ``*.py``."""
            return self._path.match(path_pattern)

    if sys.version_info >= (3, 13):
        parser: ClassVar[ModuleType] = SyncPath.parser
        """What knows the rules for paths here: :mod:`posixpath` or :mod:`ntpath`."""

        def full_match(self, pattern: StrPath, *, case_sensitive: bool | None = None) -> bool:
            """Whether the whole of it matches a pattern.

            Args:
                pattern: As in ``**/*.py``.
                case_sensitive: None: as is usual on this system.
            """
            return self._path.full_match(plain(pattern), case_sensitive=case_sensitive)

        @classmethod
        def from_uri(cls, uri: str, *, limiter: CapacityLimiter | None = None) -> Self:
            """Return the path that a ``file:`` URI stands for.

            Raises:
                ValueError: ``uri`` is no such URI, or not absolute.
            """
            return cls(SyncPath.from_uri(uri), limiter=limiter)
