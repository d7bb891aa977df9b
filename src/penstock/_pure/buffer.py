"""The receive buffer: bytes that have been received and not yet handed out.

Lives here: what takes bytes out, and what it spends.  It is synchronous and knows no event loop:
where an operation cannot be done at once it declines (returns None or -1) and raises nothing; the
stream above works out why, waits and raises.  Not here: where the bytes are and how they are put
in (``storage``), how a delimiter is found (``search``), how a frame's size is read (``prefixes``).
"""

from __future__ import annotations

from reprlib import repr as short_repr
from threading import get_ident
from typing import TYPE_CHECKING

from penstock._pure.arguments import size_of
from penstock._pure.budget import FEW, ReadyBudget
from penstock._pure.prefixes import PREFIXES, announced
from penstock._pure.search import delimiters_of, find_first, overlaps, search
from penstock._pure.storage import Storage

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from penstock._pure.search import Delimiters

__all__ = ("ReceiveBuffer",)

#: Bytes searched for one delimiter as a whole before its last byte alone is looked for.
NEARBY = 128
#: Bytes that are split into lines at once: at first, and at most.  What was split and is then asked
#: for in another way was split in vain, so this grows with what is asked for in the same way.
FIRST_AHEAD, MOST_AHEAD = 256, 16_384
#: Bytes of the longest delimiter that lines are split at: a split may look at each byte as often.
SHORT_DELIMITER = 8


class ReceiveBuffer(Storage):
    """Keep bytes in order from when they are received until they are handed out.

    The ready operations (:meth:`peek` and all called ``take``) each take one operation from
    the budget, and what they hand out, if it is more than 1 KiB, counts on it.  They decline
    where the bytes are not there, while :attr:`claimed` is set, and where there is no budget or it
    declines; then they have had no effect, and nothing is spent.

    Args:
        budget: What the ready operations count on; None until :meth:`bind`.
    """

    __slots__ = ("_ahead_window",)

    def __init__(self, budget: ReadyBudget | None = None) -> None:
        super().__init__()
        self._ahead_window = 0
        if budget is not None:
            self.bind(budget)

    @property
    def claimed(self) -> bool:
        """Whether one task, which sets this, waits for more bytes: the ready operations decline."""
        return self._claimed

    @claimed.setter
    def claimed(self, claimed: bool) -> None:
        self._claimed = claimed
        self._see_if_plain()

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

    def take(self, max_bytes: int) -> bytes | None:
        """Take what is there.

        Args:
            max_bytes: Longest result, in bytes; at least 1.

        Raises:
            TypeError: ``max_bytes`` is not an integer.
            ValueError: ``max_bytes`` is below 1.
            BufferError: A view of the reserved room is live.
        """
        size = size_of(max_bytes, "max_bytes", 1)
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
        start = self._start
        if (
            type(nbytes) is int
            and nbytes <= FEW
            and start <= (stop := start + nbytes) < self._plain
        ):
            # This is _hand_out() and the probe of Trio written out: 1,065 to 770 ns a record there.
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
        size = size_of(nbytes, "nbytes", 0)
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
            and not self._claimed
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
        elif not self._plain:  # the lines ahead are used up
            self._see_if_plain()
        # Most lines are short and there.  For them this is all of the below without its calls,
        # which are three quarters of the time.
        if (
            type(delimiters) is bytes
            and delimiters
            and type(max_bytes) is int
            and max_bytes > 0
            and self._plain
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
        several = self._delimiters if delimiters is self._delimiters else delimiters_of(delimiters)
        if type(max_bytes) is not int or max_bytes < 1:
            max_bytes = size_of(max_bytes, "max_bytes", 1)
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
            max_size = size_of(max_size, "max_size", 0)
        if self._ahead:
            self._put_back()
        start = self._start
        begin = start + prefix
        if start < begin < self._plain:
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
        size, width = announced(self._data, start, prefix)
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
        if self._ahead:
            self._put_back()
        return announced(self._data, self._start, prefix)[0]

    def peek(self, nbytes: int) -> bytes | None:
        """Return the next bytes, and leave them where they are.

        Args:
            nbytes: Longest result, in bytes; at least 1.

        Raises:
            TypeError: ``nbytes`` is not an integer.
            ValueError: ``nbytes`` is below 1.
            BufferError: A view of the reserved room is live.
        """
        size = size_of(nbytes, "nbytes", 1)
        if self._declines() or not len(self):
            return None
        return self._hand_out(min(size, len(self)), 0)

    def limit_exceeded(self, delimiters: Delimiters, max_bytes: int) -> bool:
        """Return whether :meth:`take_until` will find nothing, whatever bytes are still to come.

        True where the winning delimiter begins after ``max_bytes`` bytes, or where none has begun
        up to there.  The answer depends on the bytes alone, not on how they were cut.

        Args and errors are those of :meth:`take_until`.
        """
        several = delimiters_of(delimiters)
        limit = size_of(max_bytes, "max_bytes", 1)
        begin, _ = self._find(several, limit)
        if begin >= 0:
            return begin > limit
        size = len(self)
        if size <= limit:
            return False
        for delimiter in several:
            begun, looked_at = overlaps(self._data, self._start, delimiter, size - limit)
            self.work += looked_at
            if begun:
                return False
        return True

    def _find(self, delimiters: tuple[bytes, ...], max_bytes: int) -> tuple[int, int]:
        """Return where the winning match begins, or -1, and where it ends."""
        if delimiters != self._delimiters:
            self._delimiters = delimiters
            self._longest = max(map(len, delimiters))
            self._scanned = 0
        # Beyond this size, nothing begins early enough.
        size = min(len(self), max_bytes + self._longest)
        self._plain = 0  # whatever is scanned
        low = self._scanned
        if low >= size:
            return -1, -1
        if len(delimiters) == 1:
            (delimiter,) = delimiters
            last, looked_at = search(self._data, self._start, delimiter, low, size)
            stop = last + 1
            begin = stop - len(delimiter) if stop else -1
        else:
            begin, stop, looked_at = find_first(self._data, self._start, delimiters, low, size)
        self.work += looked_at
        self._scanned = size if begin < 0 else stop - 1
        return begin, stop

    def _declines(self) -> bool:
        """Return whether nothing may be taken now; raise while a view forbids to move."""
        if self._claimed or self._budget is None:
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
        if ahead:
            self._ahead = ahead
            self._plain = 0
        self._ahead_window = min(2 * window, MOST_AHEAD)
        self.work += len(chunk)
        if self._budget is not None:
            self._budget.spend_bytes(len(chunk))
