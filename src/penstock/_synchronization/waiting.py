"""What the synchronisation classes have in common: the loop they belong to, and standing in line.

Lives here: who waits, whose turn it is, and what becomes of a turn when its task is cancelled.
May not live here: what it is that they wait for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import Any

from penstock._backends import Backend, Wait, current_backend, has_ended
from penstock._exceptions import NoEventLoopError

__all__ = ("Acquirable", "Line", "LoopMember", "Turn")


class LoopMember(ABC):
    """What belongs to the first event loop that uses it, until that loop has ended.

    Waking a task of another thread's loop does not work, and would be found out as a hang.
    """

    __slots__ = ("__weakref__", "_backend")

    def __init__(self) -> None:
        self._backend: Backend | None = None

    def _bind(self) -> Backend:
        """Return the backend of the running loop, after binding this object to it if it is free.

        Raises:
            RuntimeError: This object belongs to another event loop.
            NoEventLoopError: No event loop is running here.
        """
        known = self._backend
        if known is not None and known.is_current():
            return known
        backend = current_backend()
        if known is not None:
            self._unbind(known)
        self._backend = backend
        return backend

    def _check_loop(self) -> None:
        """Make sure that this may be used from here, where a running loop is not needed.

        Raises:
            RuntimeError: This object belongs to another event loop or thread.
        """
        known = self._backend
        if known is None or known.is_current():
            return
        if not known.budget.foreign:
            try:
                current_backend()
            except NoEventLoopError:
                return  # between two steps of its own loop
        self._unbind(known)
        self._backend = None

    def _unbind(self, known: Backend) -> None:
        if not has_ended(known.budget):
            kind = type(self).__name__
            raise RuntimeError(f"this {kind} belongs to another event loop or thread")
        self._forget_waits()

    @abstractmethod
    def _forget_waits(self) -> None:
        """Let go of the tasks that wait: their event loop has ended, they never run again."""


class Turn:
    """One task's place in a line."""

    __slots__ = ("granted", "wait", "who")

    def __init__(self, who: object, wait: Wait) -> None:
        self.who = who
        self.wait = wait
        self.granted = False


class Line(OrderedDict[object, Turn]):
    """Tasks that wait for their turn, first come first served: who it is for, and the turn.

    An ordered dictionary, because it is cheap to leave at both ends and in the middle.
    """

    # I1  it holds the turns that were neither granted nor given up, the oldest first
    # I2  a turn whose wait was cancelled is given up when it comes up, or when its task runs
    __slots__ = ()

    def join(self, backend: Backend, who: object) -> Turn:
        """Take the last place, on behalf of ``who``, who is not in the line."""
        turn = self[who] = Turn(who, backend.new_wait())
        return turn

    def leave(self, turn: Turn) -> bool:
        """Give up ``turn``, if it is in this line; return whether it was."""
        if self.get(turn.who) is not turn:
            return False
        del self[turn.who]
        return True

    def grant(self, backend: Backend) -> Turn | None:
        """Wake the first task that was not cancelled, and return its turn; None: nobody waits."""
        while self:
            _, turn = self.popitem(last=False)
            if backend.wake(turn.wait):
                turn.granted = True
                return turn
        return None


class Acquirable(LoopMember):
    """What tasks acquire and release, first come first served.

    What is released is handed over to the first in line, who has it before it runs, so that
    nobody else can get in between.  A task that is cancelled after that hands it on.
    """

    # I1  while somebody is in _line whose wait was not cancelled, _is_free() is false
    __slots__ = ("_line",)

    def __init__(self) -> None:
        super().__init__()
        self._line = Line()

    @abstractmethod
    def _is_free(self) -> bool:
        """Whether there is anything to acquire."""

    @abstractmethod
    def _give(self, who: Any) -> None:
        """Note that ``who`` has acquired it, which was free."""

    @abstractmethod
    def _take_back(self, who: Any) -> None:
        """Note that ``who`` does not have it any more."""

    async def _acquire(self, backend: Backend, who: object, *, yielding: bool) -> None:
        """Acquire it on behalf of ``who``, who neither has it nor waits for it.

        If cancelled, ``who`` has not acquired it.

        Args:
            backend: What :meth:`_bind` has returned.
            who: For the books.
            yielding: Whether to yield where the ready budget is used up.
        """
        turn: Turn | None = None
        try:
            if not yielding or not self._is_free():
                await backend.checkpoint_if_cancelled()
            elif not backend.budget.spend():
                await backend.settle()
                backend.budget.spend()
            if self._is_free():
                self._give(who)
                return
            turn = self._line.join(backend, who)
            await turn.wait
        except BaseException:
            if turn is not None:
                self._give_up(turn)
            raise
        finally:
            # A task keeps the exception that cancelled it, whose traceback leads to this frame.
            del turn, who
        backend.budget.turn()  # whoever waited was resumed by the event loop

    def _give_up(self, turn: Turn) -> None:
        """Leave the line, or hand on what was handed over."""
        if turn.granted:
            self._take_back(turn.who)
            self._hand_over()
        else:
            self._line.leave(turn)

    def _hand_over(self) -> None:
        """Give what is free to those who have waited longest."""
        backend = self._backend
        while self._line and self._is_free():
            assert backend is not None  # somebody waits in it
            turn = self._line.grant(backend)
            if turn is not None:
                self._give(turn.who)

    def _forget_waits(self) -> None:
        self._line = Line()
