"""The checks that hold for byte streams and object streams alike, in one direction and in both.

Lives here: arrival, the end and closing, in terms of a :class:`Line`.  Cancellation is checked in
``_check_cancellation``; what bytes alone or items alone can do in ``_check_bytes``,
``_check_byte_streams`` and ``_check_object_streams``.  Every check also has to do with a stream
that buffers nothing: what is sent is sent by a task of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock._exceptions import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
    TypedAttributeLookupError,
)
from penstock._resources import aclose_forcefully
from penstock.lowlevel import checkpoint
from penstock.testing._check_lines import Line, same_items
from penstock.testing._checking import DOORS, Checks, Door, attempts, raises, require

__all__ = ("BOTH_WAYS", "CLOGGED", "CLOGGED_BOTH_WAYS", "ONE_WAY")

ONE_WAY = Checks()
CLOGGED = Checks()
BOTH_WAYS = Checks()
CLOGGED_BOTH_WAYS = Checks()

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


# -- both ways ---------------------------------------------------------------------------------


@BOTH_WAYS.add
async def send_goes_on_beside_a_receive(line: Line) -> None:
    """A task that waits to receive does not keep another one from sending on the same stream."""
    back = line.back()
    async with attempts() as calls:
        receiving = await calls.begin(back.receives()["receive"])
        sending = await calls.begin(line.s.send, line.item(0))
        same_items([await line.take()], line.items(1))
        await sending.returned()
        answering = await calls.begin(back.s.send, back.item(1))
        same_items([await back.whole(await receiving.returned())], [back.item(1)])
        await answering.returned()


@BOTH_WAYS.add_for_each(DOORS)
async def closing_refuses_both_directions(line: Line, close: Door) -> None:
    """After a stream is closed, it neither sends nor receives."""
    async with attempts() as calls:
        await (await calls.begin(close, line.s)).returned()
        with raises("send() after closing", ClosedResourceError):
            await line.s.send(line.item(0))
        with raises("receive() after closing", ClosedResourceError):
            await line.s.receive()
        with raises("send_eof() after closing", ClosedResourceError):
            await line.s.send_eof()


@CLOGGED_BOTH_WAYS.add
async def close_wakes_both_directions(line: Line) -> None:
    """Closing a stream wakes the task that sends and the task that receives."""
    async with attempts() as calls:
        sending = await calls.begin(line.s.send, line.large)
        receiving = await calls.begin(line.back().receive_for_ever)
        closing = await calls.begin(line.s.aclose)
        await sending.raised(ClosedResourceError)
        await receiving.raised(ClosedResourceError)
        await closing.returned()
