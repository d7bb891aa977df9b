"""The ready budget: how much ready work one event loop does before a task has to yield.

Lives here: the counter that every kernel asks before an operation that could be done at once.
It knows no event loop: whoever runs one makes a budget for it, refills it when the loop has
turned, and holds it while a cancellation is pending somewhere, so that every operation falls
into its slow path and looks.
"""

import sys
from collections.abc import Callable
from threading import get_ident
from typing import Any

__all__ = ("ReadyBudget", "TrioProbe")

#: Operations between two yields.  A turn of a stock asyncio loop costs 2.2 us: spread over 64
#: operations that was 34 ns, a sixth of a ready send; over 256 it is 9.  256 sends and receives of
#: a TCP stream took 0.6 ms compiled and 1.4 ms pure: no task holds the others for 2 ms.
OPERATIONS = 256
#: Bytes of ready work that end the budget like its last operation does: about 50 us of copying.
BYTES = 262_144
#: So few bytes need not be counted: what they cost is bounded by the number of operations.
FEW = BYTES // OPERATIONS


class TrioProbe:
    """Tell whether the task that Trio runs just now has been cancelled.

    Trio has no hook that runs when a scope is cancelled, so each operation asks.  The question
    comes here from the event loop's backend because of what it costs: a function with the names in
    it takes 37 ns, the same expression written out in a hot path 25; compiled, a look at the slots
    of the objects takes 5.

    Args:
        variables: Where Trio keeps the task that it runs in this thread; a dictionary.
    """

    __slots__ = ("_ask", "_variables")

    def __init__(self, variables: dict[str, Any]) -> None:
        if type(variables) is not dict:
            raise TypeError(f"variables must be a dictionary, not {type(variables).__name__}")
        self._variables = variables

        def ask() -> bool:
            try:
                flag: bool = variables["task"]._cancel_status.effectively_cancelled
            except (AttributeError, KeyError):
                return True  # no task of Trio's: whoever declines then will say so
            return flag

        self._ask = ask  # a function, not a method: 20 ns less

    def __call__(self) -> bool:
        """Return whether it has, or no task is there."""
        return self._ask()


class ReadyBudget:
    """Count the ready operations of one event loop until the next yield.

    Args:
        size: Operations between two yields, at least 1.  1 makes every operation yield.
        probe: Called before each operation; true makes :meth:`spend` decline.  For event loops
            whose cancellations cannot be observed when they happen.
    """

    # I1  0 <= left <= size and 0 <= stash <= size
    # I2  while held (holds > 0 or size == 1), left <= 1 and what remains until the yield is in
    #     stash; while not held, stash == 0
    # I3  thread is the one whose event loop this budget serves; 0 once that loop has ended, and
    #     then left == stash == 0 for ever
    __slots__ = (
        "_bytes_left",
        "_holds",
        "_left",
        "_probe",
        "_size",
        "_stash",
        "_thread",
        "_variables",
    )

    def __init__(self, size: int = OPERATIONS, probe: Callable[[], bool] | None = None) -> None:
        self._thread = get_ident()
        self._probe = probe
        self._variables: dict[str, Any] | None = None
        if type(probe) is TrioProbe:
            self._probe = probe._ask  # what the object would call
            self._variables = probe._variables
        self._holds = 0
        self._left = self._stash = 0
        self._bytes_left = 0
        self.resize(size)

    @property
    def size(self) -> int:
        """Operations between two yields."""
        return self._size

    @property
    def left(self) -> int:
        """Operations that may still be done without a look at cancellation or a yield."""
        return self._left

    @property
    def exhausted(self) -> bool:
        """Whether a yield is due before the next operation."""
        return self._left + self._stash <= 0

    @property
    def retired(self) -> bool:
        """Whether the event loop of this budget has ended."""
        return self._thread == 0

    @property
    def foreign(self) -> bool:
        """Whether the calling thread is not the one that this budget serves."""
        return self._thread != get_ident()

    @property
    def alert(self) -> bool:
        """Whether a cancellation may be pending: what goes ahead without a yield looks first."""
        return self._holds > 0 or (self._probe is not None and self._probe())

    def resize(self, size: int) -> None:
        """Change the number of operations between two yields, and start over.

        Args:
            size: Between 1 and ``sys.maxsize``.

        Raises:
            TypeError: ``size`` is not an integer.
            ValueError: ``size`` is out of range.
        """
        if not isinstance(size, int):
            raise TypeError(f"the ready budget must be an integer, not {size!r}")
        if size < 1:
            raise ValueError(f"the ready budget must be at least 1, not {size}")
        if size > sys.maxsize:
            raise ValueError(f"the ready budget must be at most {sys.maxsize}, not {size}")
        self._size = size
        self.turn()

    def spend(self) -> bool:
        """Take one operation from the budget.

        Returns:
            Whether the operation may go ahead.  False: the budget is used up or held, or this
            is another thread; nothing was taken.
        """
        if self._left <= 0 or self._thread != get_ident():
            return False
        if self._probe is not None and self._probe():
            return False
        self._left -= 1
        return True

    def spend_bytes(self, nbytes: int) -> None:
        """Count ``nbytes`` of ready byte work; after 256 KiB of it the budget is used up."""
        self._bytes_left -= nbytes
        if self._bytes_left <= 0:
            self._left = self._stash = 0

    def refill(self) -> None:
        """Start over: the event loop has turned, or is about to."""
        if not self._thread:
            return
        self._bytes_left = BYTES
        if self._holds or self._size == 1:
            self._left, self._stash = 0, self._size
        else:
            self._left, self._stash = self._size, 0

    def turn(self) -> None:
        """Note that the event loop has turned without anybody having had to yield for the budget.

        It has when it looks for events, and when it resumes a task that waited.  (A task that
        begins to wait proves nothing: an eager one may do so within the step of another.)
        """
        if self._size > 1:
            self.refill()
        else:  # every operation yields by itself
            self._left = self._stash = 0

    def grant(self) -> None:
        """Let the next operation go ahead: its task has looked for a cancellation or yielded."""
        if self._left <= 0 and self._thread:
            self._left = 1
            if self._stash > 0:
                self._stash -= 1
            if self._bytes_left <= 0:
                self._bytes_left = BYTES

    def revoke(self) -> None:
        """Take back what :meth:`grant` gave and was not used: its task waits instead."""
        if self._left and (self._holds or self._size == 1):
            self._left = 0
            self._stash = min(self._stash + 1, self._size) if self._size > 1 else 0

    def hold(self) -> None:
        """Make every operation look before it goes ahead, until as many :meth:`release`."""
        self._holds += 1
        if self._holds == 1 and self._size > 1:
            self._left, self._stash = 0, self._left

    def release(self) -> None:
        """Undo one :meth:`hold`."""
        self._holds -= 1
        if self._holds == 0 and self._size > 1:
            self._left, self._stash = max(self._left, self._stash), 0

    def retire(self) -> None:
        """Decline everything from now on: the event loop has ended."""
        self._thread = 0
        self._left = self._stash = 0

    def _check(self) -> None:
        """Assert the invariants."""
        assert 0 <= self._left <= self._size, "I1"
        assert 0 <= self._stash <= self._size, "I1"
        if self._holds or self._size == 1:
            assert self._left <= 1, "I2"
        else:
            assert self._stash == 0, "I2"
        assert self._thread or not self._left + self._stash, "I3"
