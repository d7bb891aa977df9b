"""The checks that hold for byte streams and object streams alike, one direction at a time.

Lives here: arrival, the end, closing, cancellation and checkpoints, in terms of a :class:`Line`.
What bytes alone or items alone can do is checked in ``_check_byte_streams`` and
``_check_object_streams``.  Every check also has to do with a stream that buffers nothing: what is
sent is sent by a task of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from penstock._exceptions import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
    TypedAttributeLookupError,
)
from penstock._resources import aclose_forcefully
from penstock.lowlevel import checkpoint, ready_budget
from penstock.testing._checking import (
    DOORS,
    Checks,
    Door,
    attempts,
    cancelled,
    counted_turns,
    fail,
    raises,
    require,
)

__all__ = ("CLOGGED", "ONE_WAY", "Line", "same_items")

#: Between a call that waits and its cancellation, what it waits for has so many turns to arrive.
MOST_TURNS = 6


class Line(ABC):
    """One direction of a fresh connection, and how to send things over it that can be told apart.

    Args:
        s: The end to send on.
        r: The end to receive from.
    """

    def __init__(self, s: Any, r: Any) -> None:
        self.s: Any = s
        self.r: Any = r

    @abstractmethod
    def item(self, number: int) -> Any:
        """Return the thing with this number; neighbours differ."""

    #: Something that a clogged stream has no room for.
    large: Any
    #: The arguments with which ``receive`` returns as little as it can.
    least: tuple[Any, ...] = ()

    def items(self, count: int) -> list[Any]:
        return [self.item(number) for number in range(count)]

    @abstractmethod
    def back(self) -> Line:
        """Return the other direction."""

    @abstractmethod
    async def take(self) -> Any:
        """Receive one of :meth:`items`, whole."""

    async def take_all(self) -> list[Any]:
        """Receive :meth:`items` until the stream ends."""
        taken = []
        while True:
            try:
                taken.append(await self.take())
            except EndOfStream:
                return taken

    async def receive_for_ever(self) -> None:
        while True:
            await self.r.receive()

    async def send_all(self, count: int) -> None:
        for item in self.items(count):
            await self.s.send(item)

    async def send_and_close(self, count: int) -> None:
        await self.send_all(count)
        await self.s.aclose()

    @abstractmethod
    async def whole(self, received: Any) -> Any:
        """Receive the rest of an item of which one of :meth:`receives` gave the beginning."""

    @abstractmethod
    def sends(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        """Return every way to send the first item."""

    @abstractmethod
    def receives(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        """Return every way to receive, iteration left out; each gives what :meth:`whole` takes."""


ONE_WAY = Checks()
CLOGGED = Checks()

#: What iteration and receiving say at the end of a stream.
_END: dict[str, type[Exception]] = {"__anext__": StopAsyncIteration}

# -- arrival -----------------------------------------------------------------------------------


@ONE_WAY.add
async def answers_for_typed_attributes(line: Line) -> None:
    """extra_attributes is a mapping of functions that return; extra() gives the default of others.

    Without a default it raises TypedAttributeLookupError.
    """
    for stream in (line.s, line.r):
        attributes = stream.extra_attributes
        require(isinstance(attributes, Mapping), f"extra_attributes is {attributes!r}")
        for attribute, look_up in attributes.items():
            require(
                stream.extra(attribute) is not NotImplemented and callable(look_up),
                f"{look_up!r} stands for an attribute",
            )
        default = object()
        require(stream.extra(object(), default) is default, "extra() did not give the default")
        with raises("extra() of an unknown attribute", TypedAttributeLookupError):
            stream.extra(object())


@ONE_WAY.add
async def send_returns_none(line: Line) -> None:
    """send() returns None, and what was sent arrives."""
    async with attempts() as calls:
        sending = await calls.begin(line.s.send, line.item(0))
        taken = await line.take()
        require(taken == line.item(0), f"{taken!r} arrived instead of {line.item(0)!r}")
        result = await sending.returned()
        require(result is None, f"send() returned {result!r}")


@ONE_WAY.add
async def everything_arrives_in_order(line: Line) -> None:
    """Whatever is sent arrives once, in order, and then the stream ends."""
    async with attempts() as calls:
        sending = await calls.begin(line.send_and_close, 300)
        same_items(await line.take_all(), line.items(300))
        await sending.returned()


@ONE_WAY.add
async def what_was_sent_before_close_arrives(line: Line) -> None:
    """What was sent before the sending end was closed arrives, even if nobody has received yet."""
    async with attempts() as calls:
        sending = await calls.begin(line.send_and_close, 2)
        same_items(await line.take_all(), line.items(2))
        await sending.returned()


@ONE_WAY.add
async def end_of_stream_is_repeated(line: Line) -> None:
    """After the end, every way to receive says that it is the end, however often it is asked."""
    async with attempts() as calls:
        await calls.begin(line.s.aclose)
        for _ in range(3):
            for name, receive in {**line.receives(), "__anext__": line.r.__anext__}.items():
                with raises(f"{name}() at the end", _END.get(name, EndOfStream)):
                    await receive()


@ONE_WAY.add
async def iteration_gives_everything(line: Line) -> None:
    """`async for` gives everything up to the end, and nothing the second time."""
    async with attempts() as calls:
        await calls.begin(line.send_and_close, 5)
        got = [item async for item in line.r]
        wanted = line.items(5)
        if isinstance(wanted[0], bytes):
            got, wanted = [b"".join(got)], [b"".join(wanted)]
        same_items(got, wanted)
        require([item async for item in line.r] == [], "there was more after the end")


# -- closing -----------------------------------------------------------------------------------


@ONE_WAY.add_for_each(DOORS)
async def closing_again_is_silent(line: Line, close: Door) -> None:
    """Closing a stream that is closed does nothing, whichever end is closed first."""
    async with attempts() as calls:
        for stream in (line.r, line.s):
            await (await calls.begin(close, stream)).returned()
            for again in DOORS.values():
                await (await calls.begin(again, stream)).returned()


@ONE_WAY.add
async def async_with_closes_when_its_block_fails(line: Line) -> None:
    """`async with` closes the stream when its block raises, and lets the exception out."""
    async with attempts() as calls:
        for stream in (line.s, line.r):

            async def fail_inside(stream: Any = stream) -> None:
                async with stream:
                    raise LookupError

            await (await calls.begin(fail_inside)).raised(LookupError)
        with raises("send() after `async with`", ClosedResourceError):
            await line.s.send(line.item(0))
        with raises("receive() after `async with`", ClosedResourceError):
            await line.r.receive()


@ONE_WAY.add_for_each(DOORS)
async def closed_sender_refuses(line: Line, close: Door) -> None:
    """After the sending end is closed, every way to send raises ClosedResourceError."""
    async with attempts() as calls:
        await (await calls.begin(close, line.s)).returned()
        for _ in range(2):
            for name, send in line.sends().items():
                with raises(f"{name}() after closing", ClosedResourceError):
                    await send()


@ONE_WAY.add_for_each(DOORS)
async def closed_receiver_refuses(line: Line, close: Door) -> None:
    """After the receiving end is closed, every way to receive raises ClosedResourceError.

    That holds for what has arrived before as well.
    """
    async with attempts() as calls:
        await calls.begin(line.s.send, line.item(0))
        await (await calls.begin(close, line.r)).returned()
        for _ in range(2):
            for name, receive in {**line.receives(), "__anext__": line.r.__anext__}.items():
                with raises(f"{name}() after closing", ClosedResourceError):
                    await receive()


@ONE_WAY.add_for_each(DOORS)
async def sender_learns_that_the_receiver_is_closed(line: Line, close: Door) -> None:
    """After the receiving end is closed, sending ends in BrokenResourceError, and goes on so."""
    async with attempts() as calls:
        await calls.begin(close, line.r)

        async def send_until_broken() -> None:
            while True:  # a stream that waits for its peer when it is closed takes some of them
                await line.s.send(line.item(0))
                await checkpoint()  # for the time-out, whatever the stream does

        for _ in range(3):
            await (await calls.begin(send_until_broken)).raised(BrokenResourceError)
        await (await calls.begin(aclose_forcefully, line.s)).returned()
        with raises("send() after closing a broken stream", ClosedResourceError):
            await line.s.send(line.item(0))


@ONE_WAY.add
async def receiver_learns_that_the_sender_is_gone(line: Line) -> None:
    """After aclose_forcefully() of the sending end, receiving ends, or tells that it is broken.

    That is said again when it is asked again.
    """
    await aclose_forcefully(line.s)
    for _ in range(3):
        with raises("receive() without a sender", EndOfStream, BrokenResourceError):
            await line.r.receive()


@ONE_WAY.add_for_each(DOORS)
async def close_wakes_receive(line: Line, close: Door) -> None:
    """A task that waits to receive gets ClosedResourceError when its stream is closed."""
    async with attempts() as calls:
        receiving = await calls.begin(line.r.receive)
        require(receiving.running, "receive() did not wait on an empty stream")
        closing = await calls.begin(close, line.r)
        await receiving.raised(ClosedResourceError)
        await closing.returned()


@ONE_WAY.add
async def close_wakes_iteration(line: Line) -> None:
    """A task in `async for` gets ClosedResourceError when its stream is closed, not the end."""
    async with attempts() as calls:
        receiving = await calls.begin(line.r.__anext__)
        await calls.begin(line.r.aclose)
        await receiving.raised(ClosedResourceError)


# -- several tasks -----------------------------------------------------------------------------


@ONE_WAY.add
async def second_receive_does_no_harm(line: Line) -> None:
    """While a task receives, another one gets BusyResourceError or its turn; the first goes on."""
    async with attempts() as calls:
        first = await calls.begin(line.r.receive)
        second = await calls.begin(line.r.receive)
        if not second.running:
            await second.raised(BusyResourceError)
        both = [first, second] if second.running else [first]
        require(first.running, "the first receive() was disturbed")
        for number in range(len(both)):
            await calls.begin(line.s.send, line.item(number))
        for receive in both:
            require(await receive.returned(), "a receive() has returned nothing")


# -- cancellation ------------------------------------------------------------------------------


@ONE_WAY.add
async def pending_cancellation_is_noticed_by_send(line: Line) -> None:
    """In a cancelled scope, every way to send is cancelled, and nothing was sent."""
    for name, send in line.sends().items():
        with cancelled(f"{name}()"):
            await send()
    async with attempts() as calls:
        wanted = line.items(3)[1:]
        sending = await calls.begin(line.s.send, wanted[0])
        same_items([await line.take()], wanted[:1])
        await sending.returned()
        await calls.begin(line.s.send, wanted[1])
        same_items([await line.take()], wanted[1:])


@ONE_WAY.add
async def pending_cancellation_is_noticed_by_receive(line: Line) -> None:
    """In a cancelled scope, every way to receive is cancelled, and what has arrived stays."""
    async with attempts() as calls:
        sending = await calls.begin(line.send_and_close, 2)
        for name, receive in {**line.receives(), "__anext__": line.r.__anext__}.items():
            with cancelled(f"{name}()"):
                await receive()
        same_items(await line.take_all(), line.items(2))
        await sending.returned()


@ONE_WAY.add
async def close_after_cancellations_is_graceful(line: Line) -> None:
    """Cancelled operations do no harm to the stream: it can still be closed in good order."""
    with cancelled("send()"):
        await line.s.send(line.item(0))
    with cancelled("receive()"):
        await line.r.receive()
    async with attempts() as calls:
        closing = await calls.begin(line.s.aclose)
        same_items(await line.take_all(), [])
        await closing.returned()
        await (await calls.begin(line.r.aclose)).returned()


@ONE_WAY.add_for_each({"by a scope": False, "natively": True})
async def cancel_after_arrival_loses_nothing(line: Line, natively: bool) -> None:
    """A receive that is cancelled, before or after what it waits for has come, loses nothing."""
    async with attempts() as calls:
        for receive in line.receives().values():
            for turns in range(MOST_TURNS):
                item, next_item = line.items(2)
                receiving = await calls.begin(receive)
                sending = calls.start(line.s.send, item)
                for _ in range(turns):
                    await checkpoint()
                receiving.cancel(natively=natively)
                await receiving.ended()
                if not receiving.was_cancelled:
                    same_items([await line.whole(await receiving.returned())], [item])
                elif (await calls.settled(sending)).running:  # nothing is buffered on the way
                    same_items([await line.take()], [item])
                else:
                    sending_next = await calls.begin(line.s.send, next_item)
                    same_items([await line.take()], [item])
                    same_items([await line.take()], [next_item])
                    await sending_next.returned()
                await sending.returned()


# -- checkpoints -------------------------------------------------------------------------------


@ONE_WAY.add
async def ready_receives_yield(line: Line) -> None:
    """Receives that need not wait let other tasks run, at least once in every ready budget."""
    budget = ready_budget()
    count = 2 * budget + 4
    async with attempts() as calls:
        await calls.begin(line.send_all, count)
        async with counted_turns() as turns:
            for _ in range(count):
                await line.r.receive(*line.least)
            _enough_turns("receive()", count, turns(), budget)


@ONE_WAY.add
async def ready_sends_yield(line: Line) -> None:
    """Sends that need not wait let other tasks run, at least once in every ready budget."""
    budget = ready_budget()
    count = 2 * budget + 4
    async with attempts() as calls:
        taking = await calls.begin(line.take_all)
        async with counted_turns() as turns:
            for number in range(count):
                await line.s.send(line.item(number))
            _enough_turns("send()", count, turns(), budget)
        await line.s.aclose()
        require(len(await taking.returned()) == count, "something got lost")


def _enough_turns(what: str, count: int, turns: int, budget: int) -> None:
    wanted = count // budget - 1  # another task may have its turn before or after ours
    require(
        turns >= wanted,
        f"other tasks had {turns} turns during {count} calls of {what}, instead of {wanted}",
    )


# -- sends that wait ---------------------------------------------------------------------------


@CLOGGED.add
async def clogged_send_waits_for_room(line: Line) -> None:
    """A send waits while there is no room, and goes on when something is received."""
    async with attempts() as calls:
        sending = await calls.begin(line.s.send, line.large)
        require(sending.running, "send() did not wait: the maker's stream is not clogged")
        receiving = await calls.begin(line.receive_for_ever)
        await sending.returned()
        require(receiving.running, "the stream has ended")


@CLOGGED.add
async def second_send_does_no_harm(line: Line) -> None:
    """While a task sends, another one gets BusyResourceError or its turn; the first goes on."""
    async with attempts() as calls:
        first = await calls.begin(line.s.send, line.large)
        for name, send in line.sends().items():
            second = await calls.begin(send)
            if not second.running and (second.error is not None or "nothing" not in name):
                await second.raised(BusyResourceError)
            require(first.running, "the first send() was disturbed")
            second.cancel()
            await second.ended()
        await calls.begin(line.receive_for_ever)
        await first.returned()


@CLOGGED.add_for_each(DOORS)
async def close_wakes_send(line: Line, close: Door) -> None:
    """A task that waits to send gets ClosedResourceError when its stream is closed."""
    async with attempts() as calls:
        sending = await calls.begin(line.s.send, line.large)
        closing = await calls.begin(close, line.s)
        await sending.raised(ClosedResourceError)
        await closing.returned()


@CLOGGED.add_for_each(DOORS)
async def closed_receiver_releases_send(line: Line, close: Door) -> None:
    """A task that waits to send gets BrokenResourceError when the receiving end is closed."""
    async with attempts() as calls:
        sending = await calls.begin(line.s.send, line.large)
        await calls.begin(close, line.r)
        await sending.raised(BrokenResourceError)


@CLOGGED.add
async def pending_cancellation_is_noticed_by_clogged_send(line: Line) -> None:
    """In a cancelled scope, a send that would wait is cancelled at once."""
    for name, send in line.sends().items():
        with cancelled(f"{name}()"):
            await send()


def same_items(got: list[Any], wanted: list[Any]) -> None:
    """Fail unless what has come is what was sent."""
    if got == wanted:
        return
    if len(got) != len(wanted):
        fail(
            f"{len(got)} came of {len(wanted)} that were sent: {_brief(got)}, not {_brief(wanted)}"
        )
    number = next(n for n in range(len(got)) if got[n] != wanted[n])
    fail(f"{_brief(got[number])} came as number {number}, not {_brief(wanted[number])}")


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"
