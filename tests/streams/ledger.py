"""A record of what operations on a memory object stream have done.

For programs of senders and receivers that are cancelled anywhere: the proof that no item was lost,
doubled or reordered.
"""

import asyncio

from cancelling import NATIVE

from penstock import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    WouldBlock,
    get_cancelled_exc_class,
)


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
