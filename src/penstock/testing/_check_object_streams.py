"""Checks of object streams, of one direction and of both.

Lives here: what is true of items alone, and all of it put together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, TypeAlias

from penstock._exceptions import ClosedResourceError, EndOfStream, WouldBlock
from penstock.abc import ObjectReceiveStream, ObjectSendStream, ObjectStream
from penstock.testing import _check_cancellation, _check_streams
from penstock.testing._check_lines import ITEMS, ObjectLine, check_items, same_items
from penstock.testing._checking import Checks, attempts, raises, require
from penstock.testing._suites import Suite

__all__ = ("check_object_stream", "check_object_stream_one_way")

OneWayMaker: TypeAlias = Callable[
    [], Awaitable[tuple[ObjectSendStream[Any], ObjectReceiveStream[Any]]]
]
TwoWayMaker: TypeAlias = Callable[[], Awaitable[tuple[ObjectStream[Any], ObjectStream[Any]]]]

OBJECTS = Checks()
CLOGGED = Checks()
BOTH_WAYS = Checks()

# -- one way -----------------------------------------------------------------------------------


@OBJECTS.add
async def ends_are_object_streams(line: ObjectLine) -> None:
    """The sending end is an ObjectSendStream, the receiving end an ObjectReceiveStream."""
    require(isinstance(line.s, ObjectSendStream), f"{line.s!r} is no ObjectSendStream")
    require(isinstance(line.r, ObjectReceiveStream), f"{line.r!r} is no ObjectReceiveStream")


@OBJECTS.add
async def every_item_arrives_as_it_was(line: ObjectLine) -> None:
    """Every item arrives as it was sent, equal and of the same type."""
    async with attempts() as calls:
        for item in line._items:
            sending = await calls.begin(line.s.send, item)
            got = await line.r.receive()
            require(got == item and type(got) is type(item), f"{got!r} came instead of {item!r}")
            await sending.returned()


@OBJECTS.add
async def batches_arrive_in_order(line: ObjectLine) -> None:
    """send_many() sends all items of any iterable; receive_many(n) gives 1 to n, as a list.

    Where a stream has them.
    """
    wanted = line.items(20)

    async def send() -> None:
        if hasattr(line.s, "send_many"):
            result = await line.s.send_many(iter(wanted))
            require(result is None, f"send_many() returned {result!r}")
            await line.s.send_many([])
        else:
            await line.send_all(20)
        await line.s.aclose()

    async with attempts() as calls:
        sending = await calls.begin(send)
        got: list[Any] = []
        while hasattr(line.r, "receive_many") and len(got) < 20:
            batch = await line.r.receive_many(3)
            require(type(batch) is list, f"receive_many() gave {batch!r}, which is no list")
            require(1 <= len(batch) <= 3, f"receive_many(3) gave {len(batch)} items")
            got += batch
        same_items(got + await line.take_all(), wanted)
        await sending.returned()


@OBJECTS.add
async def batches_have_a_positive_size(line: ObjectLine) -> None:
    """receive_many() raises ValueError below 1 and TypeError for what is no integer.

    Where a stream has it.
    """
    if hasattr(line.r, "receive_many"):
        for size, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError), (None, TypeError)):
            with raises(f"receive_many({size!r})", error):
                await line.r.receive_many(size)


@OBJECTS.add
async def receive_nowait_never_waits(line: ObjectLine) -> None:
    """receive_nowait() gives an item that is there, else WouldBlock, at the end EndOfStream.

    On a closed stream it raises ClosedResourceError.  Where a stream has it.
    """
    try:
        with raises("receive_nowait() on an empty stream", WouldBlock):
            line.r.receive_nowait()
    except (AttributeError, AssertionError) as exc:
        if _is_not_there(exc):
            return
        raise
    async with attempts() as calls:
        sending = await calls.begin(line.s.send, line.item(1))
        same_items([line.r.receive_nowait()], [line.item(1)])
        await sending.returned()
        await (await calls.begin(line.s.aclose)).returned()
        for _ in range(2):
            with raises("receive_nowait() at the end", EndOfStream):
                line.r.receive_nowait()
        await line.r.aclose()
        with raises("receive_nowait() after closing", ClosedResourceError):
            line.r.receive_nowait()


@OBJECTS.add
async def send_nowait_refuses_when_closed(line: ObjectLine) -> None:
    """send_nowait() on a closed stream raises ClosedResourceError.  Where a stream has it."""
    await line.s.aclose()
    try:
        with raises("send_nowait() after closing", ClosedResourceError):
            line.s.send_nowait(line.item(0))
    except (AttributeError, AssertionError) as exc:
        if not _is_not_there(exc):
            raise


def _is_not_there(exc: Exception) -> bool:
    """Return whether a stream does not have the method, or one below it has not."""
    return isinstance(exc.__cause__, (AttributeError, NotImplementedError))


# -- one way, clogged --------------------------------------------------------------------------


@CLOGGED.add
async def cancelled_send_was_not_sent(line: ObjectLine) -> None:
    """An item whose send was cancelled never arrives, and those that are sent later do.

    Where partial_send is 1 afterwards, it arrives, and before them.
    """
    async with attempts() as calls:
        sending = await calls.begin(line.s.send, line.item(0))
        sending.cancel()
        await sending.ended()
        require(sending.was_cancelled, "the send was not cancelled")
        begun = bool(getattr(line.s, "partial_send", None))

        async def send_next() -> None:
            await line.s.send(line.item(1))
            await line.s.aclose()

        sending_next = await calls.begin(send_next)
        taken = await line.take_all()
        await sending_next.returned()
        same_items(taken[-1:], [line.item(1)])
        if begun:
            same_items(taken[-2:-1], [line.item(0)])
        else:
            require(line.item(0) not in taken, "the item of the cancelled send arrived")


@CLOGGED.add
async def send_nowait_never_waits(line: ObjectLine) -> None:
    """send_nowait() raises WouldBlock where a send would wait.  Where a stream has it."""
    try:
        with raises("send_nowait() on a clogged stream", WouldBlock):
            line.s.send_nowait(line.item(0))
    except (AttributeError, AssertionError) as exc:
        if not _is_not_there(exc):
            raise


# -- both ways ---------------------------------------------------------------------------------


@BOTH_WAYS.add
async def ends_are_two_way_object_streams(line: ObjectLine) -> None:
    """Both ends are ObjectStreams."""
    for stream in (line.s, line.r):
        require(isinstance(stream, ObjectStream), f"{stream!r} is no ObjectStream")


@BOTH_WAYS.add
async def items_arrive_both_ways_at_once(line: ObjectLine) -> None:
    """Items go both ways at once, and all of them arrive."""
    count = 300

    async def take(way: ObjectLine) -> list[Any]:
        return [await way.take() for _ in range(count)]

    async with attempts() as calls:
        ways = (line, line.back())
        running = [(calls.start(way.send_all, count), calls.start(take, way)) for way in ways]
        for sending, taking in running:
            same_items(await taking.returned(), line.items(count))
            await sending.returned()


# -- the checks as a whole ---------------------------------------------------------------------

#: All checks; simple facts first.
OBJECT_STREAMS = Suite(
    one_way=(*OBJECTS[:2], *_check_streams.ONE_WAY, *_check_cancellation.ONE_WAY, *OBJECTS[2:]),
    one_way_clogged=(*_check_streams.CLOGGED, *_check_cancellation.CLOGGED, *CLOGGED),
    both_ways=(*BOTH_WAYS, *_check_streams.BOTH_WAYS),
    both_ways_clogged=tuple(_check_streams.CLOGGED_BOTH_WAYS),
)


async def check_object_stream_one_way(
    maker: OneWayMaker,
    clogged_maker: OneWayMaker | None = None,
    *,
    items: Sequence[Any] = ITEMS,
    without: Collection[str] = (),
    timeout: float = 10,
) -> None:
    """Check an object stream that goes one way.

    Every check has a fresh pair, which is closed afterwards, and is done at a ready budget of 1
    and at the event loop's own.  If cancelled, the current pair is closed.

    Args:
        maker: A coroutine function that returns the two connected ends: ``(sending, receiving)``.
        clogged_maker: The same of a pair on which a send waits until something is received, and
            in which the first of ``items`` is not.  None: sends that wait are not checked.
        items: What to send; at least two, which differ.
        without: Names of checks to leave out, for what such a stream cannot do by its nature.
        timeout: After how many seconds a check has failed because it hangs.

    Raises:
        AssertionError: A check has failed; the message begins with its name.
        ValueError: There is no check with a name that is in ``without``, or too few items.
    """
    check_items(items)
    line = partial(ObjectLine, items=items)
    await OBJECT_STREAMS.check_one_way(maker, clogged_maker, line, without=without, timeout=timeout)


async def check_object_stream(
    maker: TwoWayMaker,
    clogged_maker: TwoWayMaker | None = None,
    *,
    items: Sequence[Any] = ITEMS,
    without: Collection[str] = (),
    timeout: float = 10,
) -> None:
    """Check an object stream that goes both ways.

    All that :func:`check_object_stream_one_way` checks is checked in both directions, and then
    what they have to do with each other.  Half-closing is left to :func:`check_half_close`.  If
    cancelled, the current pair is closed.

    Args:
        maker: A coroutine function that returns two connected streams.
        clogged_maker: The same of a pair on which a send waits, at either end, until something is
            received at the other, and in which the first of ``items`` is not.  None: sends that
            wait are not checked.
        items: What to send; at least two, which differ.
        without: Names of checks to leave out, for what such a stream cannot do by its nature.
        timeout: After how many seconds a check has failed because it hangs.

    Raises:
        AssertionError: A check has failed; the message begins with its name.
        ValueError: There is no check with a name that is in ``without``, or too few items.
    """
    check_items(items)
    line = partial(ObjectLine, items=items)
    await OBJECT_STREAMS.check_both_ways(
        maker, clogged_maker, line, without=without, timeout=timeout
    )
