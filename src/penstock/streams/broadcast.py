"""Broadcast streams: every item to every receiver, each with a buffer of its own.

Lives here: who receives, and what is done about a receiver whose buffer is full.  An item is put
into all buffers in one step that nothing can interrupt: so a cancelled send has reached nobody.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Literal, NamedTuple, Self, TypeAlias, TypeVar

from penstock._backends import Backend, Wait, bound_backend, current_backend, has_ended
from penstock._exceptions import BrokenResourceError, ClosedResourceError, EndOfStream, WouldBlock
from penstock._hotpath import ItemQueue
from penstock.abc import ObjectSendStream
from penstock.streams.memory import MemoryObjectReceiveStream

__all__ = (
    "BroadcastReceiveStream",
    "BroadcastSendStream",
    "BroadcastStatistics",
    "WhenFull",
)

T_Item = TypeVar("T_Item")
T_co = TypeVar("T_co", covariant=True)

#: What a send does about a receiver whose buffer is full: wait until it has taken an item, drop
#: the oldest item in its buffer, or close its end of the stream with an error.
WhenFull: TypeAlias = Literal["wait", "drop_oldest", "close"]


class BroadcastStatistics(NamedTuple):
    """What is going on in a broadcast stream."""

    #: Receivers that get what is sent.
    open_receivers: int
    #: Tasks that wait for a receiver to make room.
    tasks_waiting_send: int
    #: The most items that are in the buffer of one receiver.
    longest_buffer: int
    #: Receivers that were closed because their buffers were full.
    laggards_closed: int


class _Subscription:
    """What the sender knows of one receiver, and what it has done about it."""

    __slots__ = ("dropped", "end", "lagged", "put", "queue", "when_full")

    def __init__(self, max_buffer_size: float, when_full: WhenFull) -> None:
        self.queue: ItemQueue = ItemQueue(max_buffer_size)
        self.end: Any = self.queue.open_sender()
        self.put: Callable[[Any], bool] = self.queue.put_nowait
        self.when_full = when_full
        self.dropped: int = 0
        self.lagged: bool = False


class BroadcastReceiveStream(MemoryObjectReceiveStream[T_co]):
    """One receiver's end of a broadcast stream: a memory object stream's.

    Where it was closed because its buffer was full, it gives what is in there and then raises
    BrokenResourceError.  Its clones share its buffer: an item goes to one of them.
    """

    __slots__ = ("_subscription",)

    def __init__(self, subscription: _Subscription) -> None:
        self._subscription = subscription
        super().__init__(subscription.queue)

    @property
    def dropped(self) -> int:
        """How many items were dropped because the buffer was full."""
        return self._subscription.dropped

    async def _receive_slowly(self) -> T_co:
        try:
            return await super()._receive_slowly()
        except EndOfStream:
            self._check_end()
            raise

    def receive_nowait(self) -> T_co:
        try:
            return super().receive_nowait()
        except EndOfStream:
            self._check_end()
            raise

    def _check_end(self) -> None:
        if self._subscription.lagged:
            size = self._subscription.queue.max_buffer_size
            raise BrokenResourceError(f"closed because its buffer of {size} items was full")

    def clone(self) -> BroadcastReceiveStream[T_co]:
        if self._closed:
            raise ClosedResourceError
        return BroadcastReceiveStream(self._subscription)


class _Turn:
    """The place in the line of one task that sends."""

    __slots__ = ("wait",)

    wait: Wait


class BroadcastSendStream(ObjectSendStream[T_Item], Generic[T_Item]):
    """The end of a broadcast stream that items go into.

    Any number of tasks may send; all receivers get the items in the same order.
    """

    # I1  the end of each subscription is open as long as it is in _subscriptions
    # I2  the first turn in _line is the only one that is parked at a queue, or it was woken
    # I3  queues in _unbound have not been bound to the event loop of _backend
    __slots__ = (
        "__weakref__",
        "_backend",
        "_closed",
        "_laggards",
        "_line",
        "_patient",
        "_subscriptions",
        "_unbound",
    )

    def __init__(self) -> None:
        self._backend: Backend | None = None
        self._closed = False
        self._laggards = 0
        self._line: OrderedDict[_Turn, None] = OrderedDict()
        self._subscriptions: list[_Subscription] = []
        self._patient: list[_Subscription] = []  # those of them that a send waits for
        self._unbound: list[_Subscription] = []

    def subscribe(
        self, max_buffer_size: float = 16, when_full: WhenFull = "wait"
    ) -> BroadcastReceiveStream[T_Item]:
        """Return a new receiver, which gets what is sent from now on, until it is closed.

        Args:
            max_buffer_size: Items held for it; at least 1.  ``math.inf``: any number.
            when_full: What a send does about it when so many are: ``"wait"``, ``"drop_oldest"``,
                or ``"close"``, after which it gets what is in its buffer and then
                BrokenResourceError.

        Raises:
            ClosedResourceError: This end is closed.
            RuntimeError: The stream belongs to an event loop in another thread.
            ValueError: ``max_buffer_size`` is below 1, or neither an integer nor ``math.inf``, or
                there is no such ``when_full``.
        """
        if max_buffer_size != math.inf and not isinstance(max_buffer_size, int):
            raise ValueError(
                f"max_buffer_size must be either an integer or math.inf, not {max_buffer_size!r}"
            )
        if max_buffer_size < 1:
            raise ValueError(f"max_buffer_size must be at least 1, not {max_buffer_size}")
        if when_full not in ("wait", "drop_oldest", "close"):
            raise ValueError(f"there is no such way to treat a laggard: {when_full!r}")
        self._check_usable()
        subscription = _Subscription(max_buffer_size, when_full)
        receiver: BroadcastReceiveStream[T_Item] = BroadcastReceiveStream(subscription)
        self._subscriptions.append(subscription)
        self._unbound.append(subscription)
        if when_full == "wait":
            self._patient.append(subscription)
        return receiver

    async def send(self, item: T_Item) -> None:
        """Send an item to every receiver; wait while one that is waited for has no room.

        Without receivers it goes nowhere.  If cancelled, no receiver gets the item.

        Raises:
            ClosedResourceError: This end was closed, before or during the call.
            RuntimeError: The stream belongs to another event loop or thread.
        """
        if self._closed:
            raise ClosedResourceError
        backend = self._bind()
        if not backend.budget.spend():
            await backend.settle()
            backend.budget.spend()
            if self._closed:
                raise ClosedResourceError
        if self._line or not self._deliver(item):
            await self._send_in_turn(item, backend)

    def send_nowait(self, item: T_Item) -> None:
        """Send ``item`` to every receiver at once.

        Raises:
            ClosedResourceError: This end is closed.
            RuntimeError: The stream belongs to an event loop in another thread.
            WouldBlock: A receiver that is waited for has no room; nobody got the item.
        """
        self._check_usable()
        if self._line or not self._deliver(item):
            raise WouldBlock

    async def _send_in_turn(self, item: T_Item, backend: Backend) -> None:
        turn = _Turn()
        self._line[turn] = None
        try:
            while True:
                turn.wait = backend.new_wait()
                parked = None
                if next(iter(self._line)) is turn:
                    if self._deliver(item):
                        return
                    parked = self._await_room(turn.wait, backend)
                try:
                    await turn.wait
                finally:
                    if parked is not None:
                        queue, waiter = parked
                        queue.cancel_sender(waiter)
                backend.budget.turn()  # whoever waited was resumed by the event loop
                if self._closed:
                    raise ClosedResourceError
                self._bind()  # those that have come meanwhile
        finally:
            self._line.pop(turn, None)
            if self._line:
                backend.wake(next(iter(self._line)).wait)

    def _await_room(self, wait: Wait, backend: Backend) -> tuple[ItemQueue, Any]:
        """Have ``wait`` woken when a queue that is full now has room, or its receiver leaves."""
        full = next(it for it in self._patient if it.queue.full)

        def notify(wait: Wait) -> bool:
            backend.wake(wait)
            return False  # so that the queue takes nothing from who waits

        return full.queue, full.queue.park_sender(None, wait, notify, full.end)

    def _deliver(self, item: T_Item) -> bool:
        """Put the item into every buffer, or, where one must be waited for, into none."""
        for subscription in self._patient:
            if subscription.queue.full:
                return False
        failed = [it for it in self._subscriptions if not it.put(item)]
        if failed:
            dropped = [self._treat(subscription, item) for subscription in failed]
            del dropped  # destructors may come back in: every receiver has the item by now
        return True

    def _treat(self, subscription: _Subscription, item: T_Item) -> Any:
        """Do what is to be done about a receiver that did not take ``item``; return what drops."""
        queue = subscription.queue
        if queue.open_receivers and subscription.when_full == "drop_oldest":
            dropped = queue.get_nowait()
            subscription.put(item)
            subscription.dropped += 1
            return dropped
        if queue.open_receivers:
            subscription.lagged = True
            self._laggards += 1
        self._subscriptions.remove(subscription)
        if subscription.when_full == "wait":
            self._patient.remove(subscription)
        queue.close_sender(subscription.end)
        return None

    def statistics(self) -> BroadcastStatistics:
        """Return the current figures of this stream."""
        queues = [it.queue for it in self._subscriptions if it.queue.open_receivers]
        return BroadcastStatistics(
            len(queues), len(self._line), max(map(len, queues), default=0), self._laggards
        )

    def close(self) -> None:
        """Close this end of the stream; again: do nothing.

        Receivers get what is in their buffers and then EndOfStream; tasks that wait here get
        ClosedResourceError.

        Raises:
            RuntimeError: The stream belongs to an event loop in another thread.
        """
        if self._closed:
            return
        self._check_usable()
        self._closed = True
        subscriptions, self._subscriptions, self._patient = self._subscriptions, [], []
        for subscription in subscriptions:
            subscription.queue.close_sender(subscription.end)
        for turn in self._line:
            if self._backend is not None:
                self._backend.wake(turn.wait)

    async def aclose(self) -> None:
        """Do what :meth:`close` does; if cancelled, it is done all the same."""
        self.close()
        await current_backend().checkpoint_if_cancelled()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    def _check_usable(self) -> None:
        if self._closed:
            raise ClosedResourceError
        if not all(it.queue.usable for it in self._subscriptions):
            raise RuntimeError("this stream belongs to an event loop in another thread")

    def _bind(self) -> Backend:
        """Return the backend of the running loop, after binding every queue to it."""
        known = self._backend
        if known is None or not known.is_current():
            backend = current_backend()
            if known is not None and not has_ended(known.budget):
                raise RuntimeError("this stream belongs to another event loop or thread")
            self._line.clear()  # tasks that never run again
            self._backend = known = backend
            self._unbound = list(self._subscriptions)
        while self._unbound:
            bound_backend(self._unbound[-1].queue, known)
            self._unbound.pop()
        return known
