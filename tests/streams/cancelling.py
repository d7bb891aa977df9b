"""Every way to cancel an operation, and a record of what operations on a stream have done.

For the tests of memory object streams: programs of senders and receivers that are cancelled
anywhere, and the proof that no item was lost, doubled or reordered.
"""

import asyncio

import trio

from penstock import (
    BrokenResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    WouldBlock,
    create_task_group,
    get_cancelled_exc_class,
)


class Sibling(Exception):
    """What a task of a group raises in order to bring the group down."""


class Cancellable:
    """One operation at a time, which :meth:`cancel` cancels in the way that it was run."""

    def __init__(self):
        self._cancel = None

    @property
    def running(self):
        return self._cancel is not None

    def cancel(self):
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    async def run(self, way, func):
        """Await ``func()``, and say whether it came to its end: it may have been cancelled."""
        try:
            return await WAYS[way](self, func)
        finally:
            self._cancel = None

    async def _by_scope(self, func):
        with CancelScope() as scope:
            self._cancel = scope.cancel
            await func()
        return not scope.cancelled_caught

    async def _by_group(self, func):
        ended = False

        async def child():
            nonlocal ended
            await func()
            ended = True

        async with create_task_group() as tg:
            self._cancel = tg.cancel_scope.cancel
            tg.start_soon(child)
        return ended

    async def _by_sibling(self, func):
        ended = False

        async def fail():
            raise Sibling

        async def child():
            nonlocal ended
            await func()
            ended = True
            self._cancel = None

        try:
            async with create_task_group() as tg:
                self._cancel = lambda: tg.start_soon(fail)
                tg.start_soon(child)
        except* Sibling:
            pass
        return ended

    async def _by_task(self, func):
        task = asyncio.current_task()
        self._cancel = task.cancel
        try:
            await func()
        except asyncio.CancelledError:
            task.uncancel()
            return False
        return True

    async def _by_timeout(self, func):
        try:
            async with asyncio.timeout(None) as timeout:
                self._cancel = lambda: timeout.reschedule(0)
                await func()
        except TimeoutError:
            return False
        return True

    async def _by_wait_for(self, func):
        # Its own time-out, where the clock of the loop can be put forward; else from outside.
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if isinstance(loop, asyncio.BaseEventLoop):
            self._cancel = lambda: put_forward(loop, 1_000)
        else:
            self._cancel = task.cancel
        try:
            await asyncio.wait_for(func(), 1_000)
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            task.uncancel()
            return False
        return True

    async def _by_asyncio_group(self, func):
        ended = False

        async def fail():
            raise Sibling

        async def child():
            nonlocal ended
            await func()
            ended = True
            self._cancel = None

        try:
            async with asyncio.TaskGroup() as tg:
                self._cancel = lambda: tg.create_task(fail())
                tg.create_task(child())
        except* Sibling:
            pass
        return ended

    async def _by_trio_scope(self, func):
        with trio.CancelScope() as scope:
            self._cancel = scope.cancel
            await func()
        return not scope.cancelled_caught


def put_forward(loop, seconds):
    read = loop.time
    loop.time = lambda: read() + seconds


WAYS = {
    "scope": Cancellable._by_scope,
    "group": Cancellable._by_group,
    "sibling": Cancellable._by_sibling,
    "task.cancel": Cancellable._by_task,
    "timeout": Cancellable._by_timeout,
    "wait_for": Cancellable._by_wait_for,
    "asyncio group": Cancellable._by_asyncio_group,
    "trio scope": Cancellable._by_trio_scope,
}
#: Ways that may reach a task which has been woken already.
NATIVE = ("task.cancel", "timeout", "wait_for", "asyncio group")
SCOPED = ("scope", "group", "sibling")


def ways(backend_name):
    """Return the names of the ways to cancel there are on a backend."""
    return (*SCOPED, *NATIVE) if backend_name == "asyncio" else (*SCOPED, "trio scope")


class Ledger:
    """What went into a stream and what came out of it."""

    def __init__(self):
        self.sent = []  # in the order in which sends ended
        self.received = []  # in the order in which items were taken
        self.withdrawn = set()  # items of sends that were cut short before them
        self.exceptions = 0  # senders that were cancelled although their item was taken
        self._serials = {}

    def new_items(self, producer, count):
        first = self._serials.get(producer, 0)
        self._serials[producer] = first + count
        return [(producer, serial) for serial in range(first, first + count)]

    async def send(self, stream, producer, way, count=None):
        """Send one item, or ``count`` as a batch; take note of what became of them."""
        batch = self.new_items(producer, 1 if count is None else count)
        try:
            if count is None:
                await stream.send(batch[0])
            else:
                await stream.send_many(batch)
        except BaseException as exc:
            self._cut_short(batch, stream.partial_send, exc, way, count is None)
            if isinstance(exc, get_cancelled_exc_class()):
                raise
        else:
            assert stream.partial_send is None
            self.sent += batch

    def _cut_short(self, batch, partial, exc, way, single):
        cancelled = isinstance(exc, get_cancelled_exc_class())
        assert cancelled or isinstance(exc, (ClosedResourceError, BrokenResourceError))
        assert partial is not None
        assert 0 <= partial <= len(batch)
        if partial == len(batch):
            # The one exception: a native cancellation, after the last item was taken.
            assert cancelled
            assert way in NATIVE
            assert isinstance(exc, asyncio.CancelledError)
            self.exceptions += single
        self.sent += batch[:partial]
        self.withdrawn.update(batch[partial:])

    async def receive(self, stream, count=None):
        """Receive one item, or up to ``count``."""
        try:
            if count is None:
                self.received.append(await stream.receive())
            else:
                items = await stream.receive_many(count)
                assert 1 <= len(items) <= count
                self.received += items
        except (ClosedResourceError, EndOfStream):
            pass

    def send_nowait(self, stream, producer):
        (item,) = self.new_items(producer, 1)
        try:
            stream.send_nowait(item)
        except (ClosedResourceError, BrokenResourceError, WouldBlock):
            self.withdrawn.add(item)
        else:
            self.sent.append(item)

    def receive_nowait(self, stream):
        """Receive an item, if there is one; return whether there was."""
        try:
            self.received.append(stream.receive_nowait())
        except (ClosedResourceError, EndOfStream, WouldBlock):
            return False
        return True

    def check(self, dropped=0):
        """Assert that the books balance but for ``dropped`` items that nobody could receive."""
        assert len(set(self.received)) == len(self.received), "doubled"
        assert not self.withdrawn.intersection(self.received), "withdrawn and received"
        sent, received = set(self.sent), set(self.received)
        assert len(sent) == len(self.sent)
        assert received <= sent, "received and not sent"
        assert len(sent - received) <= dropped, f"lost: {sent - received}"
        for producer in self._serials:
            serials = [serial for name, serial in self.received if name == producer]
            assert serials == sorted(serials), "reordered"
