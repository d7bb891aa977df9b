"""Where the bytes of a receive buffer are, and how they are put in.

Lives here: the fields that say which bytes are unread and what is known of them, the invariants
that bind them, and all that moves bytes or gives memory back.  What takes out is in ``buffer``, and
how a delimiter is found in ``search``: both leave the fields as the invariants want them.
"""

from __future__ import annotations

from reprlib import repr as short_repr
from typing import TYPE_CHECKING

from penstock._pure.arguments import size_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from penstock._pure.budget import ReadyBudget

__all__ = ("Storage",)

#: An empty buffer without room holds no more memory than this, in bytes.
KEEP = 65_536


class Storage:
    """Keep the unread bytes of a receive buffer, and put more behind them."""

    # I1  0 <= start <= end <= capacity; an empty buffer begins at 0
    # I2  no match of the delimiters ends within the first `scanned` unread bytes, and there are
    #     that many
    # I3  the room follows the unread bytes and lies within the capacity; while a view of it is
    #     live, nothing moves
    # I4  empty and without room, the buffer holds no more than KEEP bytes of memory
    #
    # and of this twin alone:
    #
    # A1  the lines ahead, the next one last, are unread bytes before start, each with the delimiter
    #     `_ahead_of` behind it; further ones follow from start on.  Each is what take_until hands
    #     out if asked for that delimiter within `_ahead_limit` bytes
    # A2  while there are lines ahead, `_plain` is 0, and what A3 says of another value is so
    # A3  `_plain` is 0 or the length of `_data`; not 0: `_data` is bytes, scanned == 0, nobody has
    #     claimed the buffer, there are no room, no lines ahead and a budget, and its probe runs no
    #     code that could use this buffer
    __slots__ = (
        "_ahead",
        "_ahead_limit",
        "_ahead_of",
        "_budget",
        "_claimed",
        "_data",
        "_delimiters",
        "_longest",
        "_plain",
        "_room",
        "_scanned",
        "_start",
        "work",
    )

    #: Bytes moved and scanned so far: stays linear in the bytes fed.
    work: int

    def __init__(self) -> None:
        self._budget: ReadyBudget | None = None
        self._claimed = False
        # Unread from _start to its end.  Slices of bytes are handed out as they are; only where
        # small pieces come behind many unread bytes is it a bytearray, which can grow.
        self._data: bytes | bytearray = b""
        self._room = bytearray()  # a place of its own: a bytearray with a live view cannot grow
        self._start = 0
        self._plain = 0
        self._delimiters: tuple[bytes, ...] = (b"\n",)  # what _scanned is about
        self._longest = 1  # length of the longest of them
        self._scanned = 0  # the next search of the same delimiters begins here
        self._ahead: list[bytes] = []
        self._ahead_of: bytes | None = None
        self._ahead_limit = 0
        self.work = 0

    @property
    def capacity(self) -> int:
        """How much memory is held for bytes, in bytes."""
        data = self._data
        held = len(data) if isinstance(data, bytes) else data.__alloc__()
        return held + len(self._room)

    def __len__(self) -> int:
        if self._ahead:
            self._put_back()
        return len(self._data) - self._start

    def __bytes__(self) -> bytes:
        if self._ahead:
            self._put_back()
        return bytes(self._data[self._start :])

    def feed(self, data: ReadableBuffer) -> None:
        """Put bytes at the end.

        Args:
            data: Contiguous bytes-like object; its bytes count, whatever the format of its items.

        Raises:
            TypeError: ``data`` is something else.
            BufferError: A view of the reserved room is live.
        """
        if type(data) is bytes:
            self._end_reservation()
            self._append(data, len(data))
            return
        try:
            view = memoryview(data)
        except (TypeError, BufferError):
            view = None
        if view is None or not view.c_contiguous:
            raise TypeError(f"expected contiguous bytes-like data, not {short_repr(data)}")
        with view:
            self._end_reservation()
            self._append(view, view.nbytes)

    def reserve(self, nbytes: int) -> memoryview:
        """Return writable memory for the next bytes, to be received into and committed.

        The reservation ends with :meth:`commit`, or unused with the next :meth:`feed`,
        :meth:`reserve` or successful ``take``.

        Args:
            nbytes: Size of the memory, in bytes; at least 1.

        Raises:
            TypeError: ``nbytes`` is not an integer.
            ValueError: ``nbytes`` is below 1.
            BufferError: A view of an earlier room is live.
        """
        nbytes = size_of(nbytes, "nbytes", 1)
        self._end_reservation()
        self._compact()
        self._room = bytearray(nbytes)
        self._plain = 0
        return memoryview(self._room)

    def commit(self, nbytes: int) -> None:
        """Put the first bytes of the reserved room, which have been filled, at the end.

        Args:
            nbytes: How many; from 0 to what was reserved.

        Raises:
            TypeError: ``nbytes`` is not an integer.
            ValueError: ``nbytes`` is out of range.
            BufferError: The view of the room, or a part of it, was not released.
        """
        size = size_of(nbytes, "nbytes", 0)
        room = self._room
        if size > len(room):
            raise ValueError(f"nbytes must be at most {len(room)}, not {nbytes!r}")
        self._end_reservation()
        if size:
            del room[size:]
            self._append(room, size)

    def _append(self, data: bytes | bytearray | memoryview, size: int) -> None:
        unread = len(self)
        if size >= unread:  # moves no more bytes than come
            self.work += unread
            self._data = bytes(self._data[self._start :]) + data if unread else bytes(data)
            self._start = 0
            self._see_if_plain()
            return
        self._compact()
        self._plain = 0
        if isinstance(self._data, bytes):
            self.work += unread
            self._data = bytearray(self._data[self._start :])
            self._start = 0
        allocated = self._data.__alloc__()
        self._data += data
        if self._data.__alloc__() != allocated:
            self.work += unread

    def _compact(self) -> None:
        unread = len(self)
        if self._start > unread:  # moves fewer bytes than were handed out since it last did
            self.work += unread
            self._data = self._data[self._start :]
            self._start = 0

    def _see_if_plain(self) -> None:
        """Have A3 say what is, after a change of anything that it names."""
        data, budget = self._data, self._budget
        if (
            type(data) is not bytes
            or self._claimed
            or self._ahead
            or self._scanned
            or self._room
            or budget is None
            or (budget._probe is not None and budget._variables is None)
        ):
            self._plain = 0
        else:
            self._plain = len(data)

    def _end_reservation(self) -> None:
        if self._room:
            self._refuse_live_view()
            self._room = bytearray()

    def _refuse_live_view(self) -> None:
        try:
            self._room.append(0)  # refused while anything looks at the memory
        except BufferError:
            raise BufferError("a view of the reserved room is still in use") from None
        self._room.pop()

    def _put_back(self) -> None:
        """Have no lines ahead any more: something else is asked for than the next of them."""
        assert self._ahead_of is not None
        ahead, width = self._ahead, len(self._ahead_of)
        self._start -= sum(map(len, ahead)) + width * len(ahead)
        ahead.clear()
        self._ahead_of = None
        self._see_if_plain()

    def _check(self) -> None:
        """Assert the invariants."""
        if self._ahead:
            assert self._ahead_of is not None, "A1"
            lines = b"".join([line + self._ahead_of for line in reversed(self._ahead)])
            assert self._data[: self._start].endswith(lines), "A1"
            assert self._start < len(self._data), "A1"
            assert max(map(len, self._ahead)) <= self._ahead_limit, "A1"
            assert not any(self._ahead_of in line for line in self._ahead), "A1"
            assert not self._plain, "A2"
        if self._plain:
            assert self._plain == len(self._data), "A3"
            assert not self._claimed, "A3"
        if self._plain or self._ahead:
            assert type(self._data) is bytes, "A3"
            assert not self._scanned, "A3"
            assert not self._room, "A3"
            assert self._budget is not None, "A3"
            assert self._budget._probe is None or self._budget._variables is not None, "A3"
        if self._ahead:
            return
        assert 0 <= self._start <= len(self._data) <= self.capacity, "I1"
        assert self._start < len(self._data) or self._start == 0, "I1"
        assert 0 <= self._scanned <= len(self), "I2"
        scanned = bytes(self)[: self._scanned]
        for delimiter in self._delimiters:
            assert delimiter not in scanned, "I2"
        assert len(self._room) <= self.capacity, "I3"
        assert len(self) or self._room or self.capacity <= KEEP, "I4"
