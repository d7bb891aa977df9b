"""Receiving signals of the operating system as an async iterator.

A signal is noted in its handler, which Python runs in the main thread, and is received later, by
a task.  As :func:`signal.signal` does, this works in the main thread alone.
"""

from __future__ import annotations

import signal
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from operator import index
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, Generic, Self, TypeVar

from penstock._backends import Backend, Wait, current_backend
from penstock._exceptions import ClosedResourceError
from penstock._synchronization import ResourceGuard

__all__ = ("catch_signals", "open_signal_receiver")

T = TypeVar("T")
Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers


@contextmanager
def open_signal_receiver(*signals: int) -> Generator[AsyncIterator[signal.Signals]]:
    """Receive signals, one at a time, while inside a ``with`` block.

    A signal that comes again before it was received is received once.  Of several receivers of
    a signal, the one that was opened last receives it.  On leaving the block the old handlers
    come back, signals that were not received are raised again, and a task that still waits for
    one gets ClosedResourceError.  If a task is cancelled while it waits for a signal, no signal
    was received.

    Args:
        signals: Which ones, as in ``signal.SIGTERM``; at least one.

    Returns:
        A context manager, that gives an async iterator of :class:`signal.Signals` (of plain
        integers, for real-time signals that have no name).

    Raises:
        NoEventLoopError: No event loop is running here.
        RuntimeError: This is not the main thread; or a handler was not installed by Python code,
            so that it could not be restored.
        OSError: One of ``signals`` cannot be caught; see signal(7).
        TypeError: There are no ``signals``, or one is not an integer.
        ValueError: There is no signal of that number.
    """
    with _open(SignalReceiver, signals) as receiver:
        yield receiver


@contextmanager
def catch_signals(signals: Iterable[int]) -> Generator[AsyncIterator[set[signal.Signals]]]:
    """Receive signals while inside a ``with`` block: a set of all that have come, at a time.

    Otherwise the same as :func:`open_signal_receiver`.

    Args:
        signals: Which ones, as in ``{signal.SIGHUP, signal.SIGTERM}``; at least one.

    Returns:
        A context manager, that gives an async iterator of sets, which are not empty.

    Raises:
        NoEventLoopError: No event loop is running here.
        RuntimeError: This is not the main thread; or a handler was not installed by Python code,
            so that it could not be restored.
        OSError: One of ``signals`` cannot be caught; see signal(7).
        TypeError: There are no ``signals``, or one is not an integer.
        ValueError: There is no signal of that number.
    """
    with _open(SignalBatchReceiver, signals) as receiver:
        yield receiver


class _Receiver(Generic[T]):
    """Notes the signals that have come, and gives them to the task that asks."""

    # I1  _pending holds what has come and was not received, in order, each signal once
    # I2  a wake-up is on its way while _notified
    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._guard = ResourceGuard("receiving signals from")
        self._pending: dict[signal.Signals, None] = {}
        self._notified = False
        self._wait: Wait | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        with self._guard:
            self._check_open()
            if not self._backend.is_current():
                raise RuntimeError("this receiver belongs to another event loop or thread")
            await self._backend.checkpoint()
            while not self._pending:
                self._check_open()
                self._wait = self._backend.new_wait()
                try:
                    await self._wait
                finally:
                    self._wait = None
            return self._take()

    @abstractmethod
    def _take(self) -> T:
        """Take what is to be received next; something is there."""

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedResourceError

    def note(self, signum: signal.Signals) -> None:
        """Take note of a signal; in a signal handler, between any two steps of the main thread."""
        self._pending[signum] = None
        if not self._notified:
            self._notified = True
            try:
                self._backend.call_soon_threadsafe(self._notify)
            except RuntimeError:  # the event loop has ended, inside the block
                pass

    def _notify(self) -> None:
        self._notified = False
        if self._wait is not None:
            self._backend.wake(self._wait)

    def close(self) -> None:
        """Raise the signals again that were not received, all of them, whatever that raises."""
        if not self._closed:
            self._closed = True
            if self._wait is not None:
                self._backend.wake(self._wait)
        if self._pending:
            signum = next(iter(self._pending))
            del self._pending[signum]
            try:
                signal.raise_signal(signum)
            finally:
                self.close()


class SignalReceiver(_Receiver[signal.Signals]):
    """Gives one signal at a time."""

    def _take(self) -> signal.Signals:
        signum = next(iter(self._pending))
        del self._pending[signum]
        return signum


class SignalBatchReceiver(_Receiver[set[signal.Signals]]):
    """Gives all signals that have come."""

    def _take(self) -> set[signal.Signals]:
        batch = set(self._pending)
        for signum in batch:  # no clear(): a handler may have noted another one since
            del self._pending[signum]
        return batch


R = TypeVar("R", bound=_Receiver[Any])

#: Of each signal that is received: the handler that was there, and the open receivers; the last
#: one receives.  It belongs to the main thread.
_received: dict[signal.Signals, tuple[Handler, list[_Receiver[Any]]]] = {}


@contextmanager
def _open(kind: Callable[[Backend], R], signals: Iterable[int]) -> Generator[R]:
    wanted = [_signal_of(value) for value in signals]
    if not wanted:
        raise TypeError("No signals were provided")
    backend = current_backend()
    if current_thread() is not main_thread():
        raise RuntimeError("signals can be received in the main thread only")
    receiver = kind(backend)
    with ExitStack() as stack:  # which goes through to its end, whatever a handler raises
        stack.callback(receiver.close)
        stack.enter_context(backend.wake_on_signals())
        for signum in wanted:
            _install(signum, receiver)
            stack.callback(_remove, signum, receiver)
        yield receiver


def _signal_of(value: int) -> signal.Signals:
    if isinstance(value, bool):
        raise TypeError(f"expected a signal, not {value!r}")
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"expected a signal, not {value!r}") from None
    if number not in signal.valid_signals():
        raise ValueError(f"there is no signal {number}")
    try:
        return signal.Signals(number)
    except ValueError:  # a real-time signal: the system has it, and no name for it
        return number  # type: ignore[return-value]


def _install(signum: signal.Signals, receiver: _Receiver[Any]) -> None:
    if signum in _received:
        _received[signum][1].append(receiver)
        return
    old = signal.getsignal(signum)
    if old is None:
        raise RuntimeError(f"the handler of {signum!r} could not be restored: it is not Python's")
    receivers = [receiver]

    def handler(_signum: int, _frame: FrameType | None) -> None:
        receivers[-1].note(signum)

    try:
        signal.signal(signum, handler)
    except OSError as exc:
        raise OSError(exc.errno, f"{signum!r} cannot be caught: {exc.strerror}") from None
    _received[signum] = old, receivers


def _remove(signum: signal.Signals, receiver: _Receiver[Any]) -> None:
    old, receivers = _received[signum]
    if len(receivers) == 1:
        del _received[signum]
        try:
            signal.signal(signum, old)
        except BaseException:  # of the handler of another signal, which was called first
            signal.signal(signum, old)
            raise
    else:
        receivers.remove(receiver)
