"""The receive buffer: bytes that have been received and not yet handed out.

Lives here: where the bytes are, how a delimiter is found among them, and what it costs.  It is
synchronous and knows no event loop: where an operation cannot be done at once it declines
(returns None or -1) and raises nothing; the stream above works out why, waits and raises.
"""

from __future__ import annotations

from operator import index, is_
from reprlib import repr as short_repr
from sys import maxsize
from threading import get_ident
from typing import TYPE_CHECKING

from penstock._pure.budget import FEW, ReadyBudget

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from _typeshed import ReadableBuffer, WriteableBuffer

    Delimiters: TypeAlias = ReadableBuffer | Sequence[ReadableBuffer]

__all__ = ("ReceiveBuffer",)

#: An empty buffer without room holds no more memory than this, in bytes.
KEEP = 65_536
#: Bytes searched for one delimiter as a whole before its last byte alone is looked for.
NEARBY = 128
#: Bytes that are split into lines at once: at first, and at most.  What was split and is then asked
#: for in another way was split in vain, so this grows with what is asked for in the same way.
FIRST_AHEAD, MOST_AHEAD = 256, 16_384
#: Bytes of the longest delimiter that lines are split at: a split may look at each byte as often.
SHORT_DELIMITER = 8
#: Bytes searched for each of several delimiters before looking further.
WINDOW = 64
#: False hits of a search after which it looks at how to go on.
MISSES = 8
#: What may announce the size of a frame: 1, 2, 4 or 8 bytes of it, the most significant one first
#: (negative: last), or 0, which stands for a varint.
PREFIXES = (4, 2, 1, 8, 0, -4, -2, -1, -8)
#: Bytes of the longest varint, which holds 64 bits.
LONGEST_VARINT = 10


def _size_of(value: object, name: str, least: int) -> int:
    """Return an argument that counts bytes, clipped to what a length can be."""
    if not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, not {short_repr(value)}")
    size = index(value)
    if size < least:
        kind = "positive" if least else "non-negative"  # as AnyIO says it
        raise ValueError(f"{name} must be a {kind} integer, not {value!r}")
    return min(size, maxsize)


def _one_delimiter(value: object) -> bytes:
    if type(value) is not bytes:
        try:
            value = bytes(memoryview(value))  # type: ignore[arg-type]  # what the try is for
        except TypeError:
            raise TypeError(f"a delimiter must be bytes-like, not {short_repr(value)}") from None
    if not value:
        raise ValueError(f"a delimiter must not be empty, not {value!r}")
    return value


def _delimiters_of(value: object) -> tuple[bytes, ...]:
    if not isinstance(value, (tuple, list)):
        return (_one_delimiter(value),)
    if not value:
        raise ValueError(f"there must be a delimiter, not {value!r}")
    several = tuple([_one_delimiter(item) for item in value])
    # The caller's own tuple, if it will do: the next call knows it by its identity.
    if type(value) is tuple and all(map(is_, several, value)):
        return value
    return several


def _overlap(data: bytes | bytearray, delimiter: bytes) -> int:
    """Return how many of the last bytes of ``data``, which is shorter, begin ``delimiter``."""
    # The prefix function of Knuth, Morris and Pratt: whatever the bytes are, it is linear.
    octets = [*delimiter[: len(data)], -1, *data]
    borders = [0]
    for octet in octets[1:]:
        border = borders[-1]
        while border and octets[border] != octet:
            border = borders[border - 1]
        borders.append(border + (octets[border] == octet))
    return borders[-1]


class ReceiveBuffer:
    """Keep bytes in order from when they are received until they are handed out.

    The ready operations (:meth:`peek` and all called ``take``) each take one operation from
    the budget, and what they hand out, if it is more than 1 KiB, counts on it.  They decline
    where the bytes are not there, while :attr:`claimed` is set, and where there is no budget or it
    declines; then they have had no effect, and nothing is spent.

    Args:
        budget: What the ready operations count on; None until :meth:`bind`.
    """

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
    # A2  while there are lines ahead, `_plain` is not 0
    # A3  `_plain` is 0 or the length of `_data`; not 0: `_data` is bytes, scanned == 0, there are
    #     no room and a budget, and its probe runs no code that could use this buffer
    __slots__ = (
        "_ahead",
        "_ahead_limit",
        "_ahead_of",
        "_ahead_window",
        "_budget",
        "_data",
        "_delimiters",
        "_plain",
        "_room",
        "_scanned",
        "_start",
        "claimed",
        "work",
    )

    #: Set by the one task that waits for more bytes: the ready operations of others decline.
    claimed: bool
    #: Bytes moved and scanned so far: stays linear in the bytes fed.
    work: int

    def __init__(self, budget: ReadyBudget | None = None) -> None:
        self._budget: ReadyBudget | None = None
        # Unread from _start to its end.  Slices of bytes are handed out as they are; only where
        # small pieces come behind many unread bytes is it a bytearray, which can grow.
        self._data: bytes | bytearray = b""
        self._room = bytearray()  # a place of its own: a bytearray with a live view cannot grow
        self._start = 0
        self._plain = 0
        self._delimiters: tuple[bytes, ...] = (b"\n",)
        self._scanned = 0
        self._ahead: list[bytes] = []
        self._ahead_of: bytes | None = None
        self._ahead_limit = 0
        self._ahead_window = 0
        self.claimed = False
        self.work = 0
        if budget is not None:
            self.bind(budget)

    @property
    def budget(self) -> ReadyBudget | None:
        """What the ready operations count on."""
        return self._budget

    def bind(self, budget: ReadyBudget) -> None:
        """Let the ready operations count on ``budget`` from now on.

        Raises:
            TypeError: ``budget`` is not a ready budget of this implementation.
        """
        if not isinstance(budget, ReadyBudget):
            raise TypeError(f"expected a ReadyBudget, not {short_repr(budget)}")
        if self._ahead:
            self._put_back()
        self._budget = budget
        self._see_if_plain()

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

    # -- putting in ------------------------------------------------------------------------

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
        nbytes = _size_of(nbytes, "nbytes", 1)
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
        size = _size_of(nbytes, "nbytes", 0)
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

    # -- taking out ------------------------------------------------------------------------

    def take(self, max_bytes: int) -> bytes | None:
        """Take what is there.

        Args:
            max_bytes: Longest result, in bytes; at least 1.

        Raises:
            TypeError: ``max_bytes`` is not an integer.
            ValueError: ``max_bytes`` is below 1.
            BufferError: A view of the reserved room is live.
        """
        size = _size_of(max_bytes, "max_bytes", 1)
        if self._declines() or not len(self):
            return None
        size = min(size, len(self))
        return self._hand_out(size, size)

    def take_exactly(self, nbytes: int) -> bytes | None:
        """Take ``nbytes`` bytes, or decline while fewer are there.

        Args:
            nbytes: At least 0.

        Raises:
            TypeError: ``nbytes`` is not an integer.
            ValueError: ``nbytes`` is negative.
            BufferError: A view of the reserved room is live.
        """
        # Calls are what costs time here: this and take_until do without those they can.
        if self._ahead:
            self._put_back()
        start = self._start
        if (
            type(nbytes) is int
            and nbytes <= FEW
            and start <= (stop := start + nbytes) < self._plain
            and not self.claimed
        ):
            # This is _hand_out() written out, and Trio's probe: 1,410 to 710 ns a record.
            budget = self._budget
            assert budget is not None  # A3
            if (left := budget._left) <= 0 or budget._thread != get_ident():
                return None
            if (variables := budget._variables) is not None:
                try:
                    if variables["task"]._cancel_status.effectively_cancelled:
                        return None
                except (AttributeError, KeyError):
                    return None
            budget._left = left - 1
            self._start = stop
            return self._data[start:stop]  # type: ignore[return-value]  # A3
        size = _size_of(nbytes, "nbytes", 0)
        if self._declines() or size > len(self):
            return None
        return self._hand_out(size, size)

    def take_into(self, buffer: WriteableBuffer) -> int:
        """Take what is there into memory of the caller.

        Args:
            buffer: Contiguous writable memory of at least one byte.

        Returns:
            How many bytes were written at its beginning; -1: declined.

        Raises:
            TypeError: ``buffer`` is not contiguous writable memory.
            ValueError: ``buffer`` is empty.
            BufferError: A view of the reserved room is live.
        """
        try:
            view = memoryview(buffer)
        except (TypeError, BufferError):
            view = None
        if view is None or view.readonly or not view.c_contiguous:
            raise TypeError(f"expected contiguous writable memory, got {short_repr(buffer)}")
        with view:
            size = min(view.nbytes, len(self))
            if not view.nbytes:
                raise ValueError(f"cannot receive into an empty buffer: {short_repr(buffer)}")
            if self._declines() or not size or (data := self._hand_out(size, size)) is None:
                return -1
            with view.cast("B") as octets:
                octets[:size] = data
            return size

    def take_until(
        self,
        delimiters: Delimiters,
        max_bytes: int,
        include_delimiter: bool = False,
    ) -> bytes | None:
        """Take the bytes before the first delimiter, and the delimiter.

        Among several delimiters the first to be complete wins; of two that end together, the
        longer.  Declines where the winner begins after ``max_bytes`` bytes.

        Args:
            delimiters: One, or a tuple or list of at least one; none empty.  The same object as
                in the last call is known again at once.
            max_bytes: How many bytes may precede the delimiter; at least 1.
            include_delimiter: Whether the result ends with the delimiter.

        Raises:
            TypeError: ``delimiters`` are not bytes-like, or ``max_bytes`` is not an integer.
            ValueError: A delimiter is empty, there is none, or ``max_bytes`` is below 1.
            BufferError: A view of the reserved room is live.
        """
        # Lines are asked for one after the other, with the same objects.  From the second one on
        # they are split many at a time: 405 to 205 ns a line, and the receive 528 to 330.
        if (
            (ahead := self._ahead)
            and delimiters is self._ahead_of
            and max_bytes is self._ahead_limit
            and not include_delimiter
            and not self.claimed
        ):
            budget = self._budget
            assert budget is not None  # A2
            if (left := budget._left) <= 0 or budget._thread != get_ident():
                return None
            if (variables := budget._variables) is not None:
                try:
                    if variables["task"]._cancel_status.effectively_cancelled:
                        return None
                except (AttributeError, KeyError):
                    return None
            budget._left = left - 1
            return ahead.pop()
        if ahead:
            self._put_back()
        # Most lines are short and there.  For them this is all of the below without its calls,
        # which are three quarters of the time.
        if (
            type(delimiters) is bytes
            and delimiters
            and type(max_bytes) is int
            and max_bytes > 0
            and self._plain
            and not self.claimed
        ):
            budget = self._budget
            assert budget is not None  # A3
            data, start, length = self._data, self._start, len(delimiters)
            nearby = NEARBY if max_bytes > NEARBY else max_bytes + length
            begin = data.find(delimiters, start, start + nearby)
            if begin < 0:
                self.work += min(nearby, len(self))
            else:
                stop = begin + length
                self.work += stop - start
                end = stop if include_delimiter else begin
                if budget._left <= 0 or budget._thread != get_ident():
                    return None
                if (probe := budget._probe) is not None and probe():
                    return None
                budget._left -= 1
                if stop < len(data):
                    self._start = stop
                    if not include_delimiter:
                        self._split_ahead(delimiters, max_bytes)
                else:
                    self._data = b""
                    self._start = self._plain = 0
                return data[start:end]  # type: ignore[return-value]  # A3
        several = self._delimiters if delimiters is self._delimiters else _delimiters_of(delimiters)
        if type(max_bytes) is not int or max_bytes < 1:
            max_bytes = _size_of(max_bytes, "max_bytes", 1)
        if self._declines():
            return None
        begin, stop = self._find(several, max_bytes)
        if begin < 0 or begin > max_bytes:
            return None
        found = self._hand_out(stop if include_delimiter else begin, stop)
        if type(delimiters) is bytes and not include_delimiter and found is not None and len(self):
            self._split_ahead(delimiters, max_bytes)
        return found

    def take_frame(self, prefix: int, max_size: int) -> bytes | None:
        """Take the bytes whose number stands before them, and that number.

        Declines where the number is above ``max_size`` or is none.

        Args:
            prefix: How the number is written: in 1, 2, 4 or 8 bytes, the most significant one
                first, or last where ``prefix`` is negative; 0: as a varint (LEB128).
            max_size: How many bytes may follow; at least 0.

        Raises:
            TypeError: ``max_size`` is not an integer.
            ValueError: ``max_size`` is negative, or there is no such ``prefix``.
            BufferError: A view of the reserved room is live.
        """
        if type(prefix) is not int or prefix not in PREFIXES:
            raise ValueError(f"no such prefix: {prefix!r}")
        if type(max_size) is not int or max_size < 0:
            max_size = _size_of(max_size, "max_size", 0)
        if self._ahead:
            self._put_back()
        start = self._start
        begin = start + prefix
        if start < begin < self._plain and not self.claimed:
            # This is all of the below without its calls: 901 to 600 ns a frame.
            data = self._data
            budget = self._budget
            assert budget is not None  # A3
            if budget._left <= 0 or budget._thread != get_ident():
                return None
            size = int.from_bytes(data[start:begin])
            stop = begin + size
            if size > max_size or stop > len(data):
                return None
            if (probe := budget._probe) is not None and probe():
                return None
            budget._left -= 1
            if size > FEW:
                budget.spend_bytes(size)
            if stop < len(data):
                self._start = stop
            else:
                self._data = b""
                self._start = self._plain = 0
            return data[begin:stop]  # type: ignore[return-value]  # A3
        if self._declines():
            return None
        size, width = self._announced(prefix)
        if not 0 <= size <= max_size or width + size > len(self._data) - self._start:
            return None
        return self._hand_out(size, width + size, width)

    def frame_size(self, prefix: int) -> int:
        """Return how many bytes the next frame has, as its prefix says.

        Args and errors are those of :meth:`take_frame`.

        Returns:
            The size; -1: bytes of the prefix are still to come; -2: it is no varint of at most 64
            bits, or a longer one than the number needs.
        """
        if type(prefix) is not int or prefix not in PREFIXES:
            raise ValueError(f"no such prefix: {prefix!r}")
        return self._announced(prefix)[0]

    def _announced(self, prefix: int) -> tuple[int, int]:
        """Return what :meth:`frame_size` does, and the length of the prefix."""
        if self._ahead:
            self._put_back()
        data, start = self._data, self._start
        if prefix:
            width = abs(prefix)
            head = data[start : start + width]
            if len(head) < width:
                return -1, 0
            return int.from_bytes(head, "big" if prefix > 0 else "little"), width
        size = 0
        for at, octet in enumerate(data[start : start + LONGEST_VARINT]):
            size |= (octet & 0x7F) << 7 * at
            if octet < 0x80:
                if (at and not octet) or size >> 64:
                    return -2, 0
                return size, at + 1
        return (-1 if len(self) < LONGEST_VARINT else -2), 0

    def peek(self, nbytes: int) -> bytes | None:
        """Return the next bytes, and leave them where they are.

        Args:
            nbytes: Longest result, in bytes; at least 1.

        Raises:
            TypeError: ``nbytes`` is not an integer.
            ValueError: ``nbytes`` is below 1.
            BufferError: A view of the reserved room is live.
        """
        size = _size_of(nbytes, "nbytes", 1)
        if self._declines() or not len(self):
            return None
        return self._hand_out(min(size, len(self)), 0)

    def limit_exceeded(self, delimiters: Delimiters, max_bytes: int) -> bool:
        """Return whether :meth:`take_until` will find nothing, whatever bytes are still to come.

        True where the winning delimiter begins after ``max_bytes`` bytes, or where none has begun
        up to there.  The answer depends on the bytes alone, not on how they were cut.

        Args and errors are those of :meth:`take_until`.
        """
        several = _delimiters_of(delimiters)
        limit = _size_of(max_bytes, "max_bytes", 1)
        begin, _ = self._find(several, limit)
        if begin >= 0:
            return begin > limit
        size = len(self)
        if size <= limit:
            return False
        return not any(self._overlaps(delimiter, size - limit) for delimiter in several)

    def _overlaps(self, delimiter: bytes, least: int) -> bool:
        """Return whether at least ``least`` bytes of a delimiter are there, without its end."""
        if least >= len(delimiter):
            return False
        data, head = self._data, delimiter[:least]
        at = max(len(data) - len(delimiter) + 1, self._start)
        for _ in range(MISSES):
            before, at = at, data.find(head, at)
            if at < 0:
                self.work += len(data) - before
                return False
            rest = data[at:]
            self.work += at - before + least + len(rest)
            if delimiter.startswith(rest):
                return True
            at += 1
        rest = data[at:]
        self.work += 2 * len(rest)
        return _overlap(rest, delimiter) >= least

    def _declines(self) -> bool:
        """Return whether nothing may be taken now; raise while a view forbids to move."""
        if self.claimed or self._budget is None:
            return True
        if self._room:
            self._refuse_live_view()
        return False

    def _hand_out(self, nbytes: int, consumed: int, skipped: int = 0) -> bytes | None:
        """Spend one operation on ``nbytes`` bytes, and forget the first ``consumed`` ones.

        ``skipped`` bytes before them are not handed out.
        """
        data, start, budget = self._data, self._start, self._budget
        if budget is None or not budget.spend() or self._start != start or self._data is not data:
            return None  # declined, or a probe took or fed
        stop = start + consumed
        begin = start + skipped
        data = data[begin : begin + nbytes]
        if nbytes > FEW:
            budget.spend_bytes(nbytes)
        if consumed:
            if stop < len(self._data):
                self._start = stop
            else:
                self._data = b""
                self._start = self._plain = 0
            if self._scanned:
                self._scanned = max(self._scanned - consumed, 0)
            if self._room:
                self._room = bytearray()
            if not self._plain:
                self._see_if_plain()
        return data if type(data) is bytes else bytes(data)

    # -- lines ahead -----------------------------------------------------------------------

    def _split_ahead(self, delimiter: bytes, max_bytes: int) -> None:
        """Split what comes next, if the last line was asked for like the one before it."""
        if delimiter is not self._ahead_of or max_bytes is not self._ahead_limit:
            self._ahead_of = delimiter
            self._ahead_limit = max_bytes
            self._ahead_window = FIRST_AHEAD
            return
        if not self._plain or len(delimiter) > SHORT_DELIMITER:
            return
        start, window = self._start, self._ahead_window
        # Without the last byte: whoever takes that leaves an empty buffer, which is another path.
        chunk = self._data[start : min(start + min(window, max_bytes), len(self._data) - 1)]
        ahead = bytes(chunk).split(delimiter)
        self._start += len(chunk) - len(ahead.pop())  # the last piece may go on
        ahead.reverse()
        self._ahead = ahead
        self._ahead_window = min(2 * window, MOST_AHEAD)
        self.work += len(chunk)
        if self._budget is not None:
            self._budget.spend_bytes(len(chunk))

    def _put_back(self) -> None:
        """Have no lines ahead any more: something else is asked for than the next of them."""
        assert self._ahead_of is not None
        ahead, width = self._ahead, len(self._ahead_of)
        self._start -= sum(map(len, ahead)) + width * len(ahead)
        ahead.clear()  # whoever is about to take one sees it
        self._ahead_of = None

    # -- searching: positions count from the first unread byte -----------------------------

    def _find(self, delimiters: tuple[bytes, ...], max_bytes: int) -> tuple[int, int]:
        """Return where the winning match begins and ends, or (-1, -1)."""
        if delimiters != self._delimiters:
            self._delimiters = delimiters
            self._scanned = 0
        self._plain = 0  # whatever is scanned
        # Beyond this size, nothing begins early enough.
        size = min(len(self), max_bytes + max(map(len, delimiters)))
        low = self._scanned
        # Windows, so that a far delimiter is not looked for again after each match of a near one.
        window = WINDOW if len(delimiters) > 1 else size
        while low < size:
            high = min(size, low + window)
            winner = 0
            for delimiter in delimiters:
                last = self._search(delimiter, low, high)
                if last >= 0:
                    if last + 1 < high or len(delimiter) > winner:
                        winner = len(delimiter)
                    high = last + 1
            if winner:
                self._scanned = high - 1
                return high - winner, high
            low = high
            window *= 2
        self._scanned = max(self._scanned, size)
        return -1, -1

    def _search(self, delimiter: bytes, low: int, high: int) -> int:
        """Return where the first match ends whose last byte is in [low, high), or -1."""
        data, start, before = self._data, self._start, len(delimiter) - 1
        at = first = max(low, before) + start
        high += start
        last_byte = delimiter[-1]
        misses = 0
        while at < high:
            # find() of one byte is a memchr, 0.9 us for 64 KiB; of two bytes it takes 57.
            at = data.find(last_byte, at, high)
            if at < 0:
                break
            if not before or data.startswith(delimiter, at - before):
                self.work += at + 1 - first
                return at - start
            at += 1
            misses += 1
            if misses >= MISSES and misses * 16 > at - first:
                self.work += at - first + before
                first = at
                at = data.find(delimiter, at - before, high)
                if at < 0:
                    break
                at += before
                self.work += at + 1 - first
                return at - start
        self.work += max(high - first, 0)
        return -1

    def _check(self) -> None:
        """Assert the invariants."""
        if self._ahead:
            assert self._ahead_of is not None, "A1"
            lines = b"".join([line + self._ahead_of for line in reversed(self._ahead)])
            assert self._data[: self._start].endswith(lines), "A1"
            assert self._start < len(self._data), "A1"
            assert max(map(len, self._ahead)) <= self._ahead_limit, "A1"
            assert not any(self._ahead_of in line for line in self._ahead), "A1"
            assert self._plain, "A2"
        if self._plain:
            assert self._plain == len(self._data), "A3"
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
