"""Checks of ``send_eof``: one direction of a byte or object stream ends, the other goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from penstock._exceptions import BusyResourceError, ClosedResourceError, EndOfStream
from penstock._tasks import move_on_after
from penstock.abc import ByteStream, ObjectStream
from penstock.testing._check_lines import (
    ITEMS,
    ByteLine,
    Line,
    ObjectLine,
    check_items,
    same_items,
)
from penstock.testing._checking import Checks, attempts, raises, require
from penstock.testing._suites import Suite

__all__ = ("check_half_close",)

HALF = Checks()
CLOGGED = Checks()


@HALF.add
async def eof_comes_after_what_was_sent(line: Line) -> None:
    """send_eof() returns None; the peer gets what was sent before, then the end, again and again.

    That holds even if it had received nothing before.
    """

    async def send() -> None:
        await line.send_all(2)
        result = await line.s.send_eof()
        require(result is None, f"send_eof() returned {result!r}")

    async with attempts() as calls:
        sending = await calls.begin(send)
        same_items(await line.take_all(), line.items(2))
        for _ in range(2):
            with raises("receive() at the end", EndOfStream):
                await line.r.receive()
        await sending.returned()


@HALF.add
async def eof_refuses_to_send(line: Line) -> None:
    """After send_eof(), every way to send raises ClosedResourceError."""
    async with attempts() as calls:
        await (await calls.begin(line.s.send_eof)).returned()
        for name, send in line.sends().items():
            with raises(f"{name}() after send_eof()", ClosedResourceError):
                await send()


@HALF.add
async def eof_again_is_silent(line: Line) -> None:
    """A second send_eof() does nothing."""
    async with attempts() as calls:
        for _ in range(2):
            await (await calls.begin(line.s.send_eof)).returned()
        same_items(await line.take_all(), [])


@HALF.add
async def eof_leaves_the_other_direction(line: Line) -> None:
    """After send_eof(), receiving goes on, until the peer ends its direction too."""
    back = line.back()
    async with attempts() as calls:
        receiving = await calls.begin(back.take)
        await (await calls.begin(line.s.send_eof)).returned()
        require(receiving.running, "send_eof() has disturbed a receive() of the other direction")
        same_items(await line.take_all(), [])
        sending = await calls.begin(back.s.send, back.item(0))
        same_items([await receiving.returned()], back.items(1))
        await sending.returned()

        async def send() -> None:
            await back.send_all(2)
            await back.s.send_eof()

        sending = await calls.begin(send)
        same_items(await back.take_all(), back.items(2))
        await sending.returned()


@HALF.add
async def eof_wakes_the_peer(line: Line) -> None:
    """A peer that waits to receive gets EndOfStream."""
    async with attempts() as calls:
        receiving = await calls.begin(line.r.receive)
        await (await calls.begin(line.s.send_eof)).returned()
        await receiving.raised(EndOfStream)


@HALF.add
async def cancelled_eof_is_whole(line: Line) -> None:
    """After send_eof() in a cancelled scope, either nothing has happened or the direction ends."""
    with move_on_after(None) as scope:
        scope.cancel()
        await line.s.send_eof()
    async with attempts() as calls:
        sending = await calls.begin(line.s.send, line.item(0))
        if isinstance(sending.error, ClosedResourceError):
            # The peer is told by then, or by whatever is done next.
            await calls.begin(line.s.send_eof)
            same_items(await line.take_all(), [])
            return
        require(scope.cancelled_caught, "send_eof() returned in a cancelled scope without effect")
        same_items([await line.take()], line.items(1))
        await sending.returned()
        await calls.begin(line.s.send_eof)
        same_items(await line.take_all(), [])


@HALF.add
async def close_after_eof_is_silent(line: Line) -> None:
    """A stream can be closed after send_eof(), and then refuses everything."""
    async with attempts() as calls:
        await (await calls.begin(line.s.send_eof)).returned()
        await (await calls.begin(line.s.aclose)).returned()
        with raises("send() after closing", ClosedResourceError):
            await line.s.send(line.item(0))
        with raises("receive() after closing", ClosedResourceError):
            await line.s.receive()
        with raises("send_eof() after closing", ClosedResourceError):
            await line.s.send_eof()


@CLOGGED.add
async def eof_does_not_overtake_a_send(line: Line) -> None:
    """While a task sends, send_eof() is a BusyResourceError, or ends the send as closing would."""
    async with attempts() as calls:
        sending = await calls.begin(line.s.send, line.large)
        ending = await calls.begin(line.s.send_eof)
        if sending.running:
            require(not ending.running, "send_eof() waits")
            await ending.raised(BusyResourceError)
            await calls.begin(line.receive_for_ever)
            await sending.returned()
        else:
            await sending.raised(ClosedResourceError)
            await ending.returned()


HALF_CLOSE = Suite(both_ways=HALF, both_ways_clogged=CLOGGED)


async def check_half_close(
    maker: Callable[[], Awaitable[tuple[Any, Any]]],
    clogged_maker: Callable[[], Awaitable[tuple[Any, Any]]] | None = None,
    *,
    items: Sequence[Any] = ITEMS,
    without: Collection[str] = (),
    timeout: float = 10,
) -> None:
    """Check ``send_eof`` of a byte or object stream, in both directions.

    Every check has a fresh pair, which is closed afterwards, and is done at a ready budget of 1
    and at the event loop's own.  If cancelled, the current pair is closed.

    Args:
        maker: A coroutine function that returns two connected streams.
        clogged_maker: The same of a pair on which a send waits, at either end, until something is
            received at the other.  None: sends that wait are not checked.
        items: What to send over object streams; at least two, which differ.
        without: Names of checks to leave out, for what such a stream cannot do by its nature.
        timeout: After how many seconds a check has failed because it hangs.

    Raises:
        AssertionError: A check has failed; the message begins with its name.
        ValueError: There is no check with a name that is in ``without``, or too few items.
    """
    check_items(items)

    def line(near: ByteStream | ObjectStream[Any], far: ByteStream | ObjectStream[Any]) -> Line:
        if isinstance(near, ByteStream):
            return ByteLine(near, far)
        return ObjectLine(near, far, items)

    await HALF_CLOSE.check_both_ways(maker, clogged_maker, line, without=without, timeout=timeout)
