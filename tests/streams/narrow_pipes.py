"""A byte stream in memory that takes few bytes at a time: what is sent over it is cut anywhere."""

from penstock import BusyResourceError, ClosedResourceError, EndOfStream, Event
from penstock.abc import ByteStream, TypedAttributeSet, typed_attribute
from penstock.lowlevel import checkpoint_if_cancelled


class Colour(TypedAttributeSet):
    name: str = typed_attribute()


class NarrowPipe(ByteStream):
    """Both ends of a pipe in one object: what is sent can be received.

    Args:
        capacity: Bytes that it takes before somebody receives some.
    """

    def __init__(self, capacity=1 << 30):
        self.capacity = capacity
        self.held = bytearray()
        self.ended = self.closed = False
        self.calls = []
        self.sending = False
        self.partial = None
        self.changed = Event()

    @property
    def extra_attributes(self):
        return {Colour.name: lambda: "blue"}

    @property
    def partial_send(self):
        return self.partial

    def wake(self):
        self.changed.set()
        self.changed = Event()

    def widen(self, nbytes):
        self.capacity += nbytes
        self.wake()

    async def receive(self, max_bytes=65536):
        await checkpoint_if_cancelled()
        while not self.held:
            if self.closed:
                raise ClosedResourceError
            if self.ended:
                raise EndOfStream
            await self.changed.wait()
        data = bytes(self.held[:max_bytes])
        del self.held[:max_bytes]
        return data

    async def send(self, item):
        await self.send_many([item])

    async def send_many(self, buffers):
        data = b"".join(buffers)
        if self.sending:
            raise BusyResourceError("writing to")
        self.partial = sent = 0
        self.sending = True
        self.calls.append(len(data))
        try:
            await checkpoint_if_cancelled()
            while sent < len(data):
                if self.closed:
                    raise ClosedResourceError
                room = self.capacity
                if room:
                    piece = data[sent : sent + room]
                    self.held += piece
                    self.capacity -= len(piece)
                    self.partial = sent = sent + len(piece)
                    self.wake()
                else:
                    await self.changed.wait()
        finally:
            self.sending = False
        self.partial = None

    async def send_eof(self):
        self.ended = True
        self.wake()

    async def aclose(self):
        self.closed = True
        self.wake()


class PipeOfSingles(NarrowPipe):
    """One that inherits ``send_many``, as a simple stream does."""

    send_many = ByteStream.send_many

    async def send(self, item):
        await NarrowPipe.send_many(self, [item])


class SilentPipe(PipeOfSingles):
    """One that does not tell how much went out."""

    partial_send = ByteStream.partial_send
