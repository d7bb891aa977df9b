"""Checks of byte streams, of one direction and of both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TypeAlias

from penstock.abc import ByteReceiveStream, ByteSendStream, ByteStream
from penstock.testing import _check_bytes, _check_cancellation, _check_streams
from penstock.testing._check_bytes import carry_bulk
from penstock.testing._check_lines import ByteLine
from penstock.testing._checking import Checks, attempts, require
from penstock.testing._suites import Suite

__all__ = ("check_byte_stream", "check_byte_stream_one_way")

OneWayMaker: TypeAlias = Callable[[], Awaitable[tuple[ByteSendStream, ByteReceiveStream]]]
TwoWayMaker: TypeAlias = Callable[[], Awaitable[tuple[ByteStream, ByteStream]]]

BOTH_WAYS = Checks()
CLOGGED_BOTH_WAYS = Checks()


@BOTH_WAYS.add
async def ends_are_two_way_byte_streams(line: ByteLine) -> None:
    """Both ends are ByteStreams."""
    for stream in (line.s, line.r):
        require(isinstance(stream, ByteStream), f"{stream!r} is no ByteStream")


@BOTH_WAYS.add
async def bulk_arrives_both_ways_at_once(line: ByteLine) -> None:
    """Bytes go both ways at once, and all of them arrive."""
    await carry_bulk(line, line.back())


@CLOGGED_BOTH_WAYS.add
async def receive_goes_on_beside_a_clogged_send(line: ByteLine) -> None:
    """A task that waits to send does not keep another one from receiving on the same stream."""
    async with attempts() as calls:
        sending = await calls.begin(line.s.send, line.large)
        answering = await calls.begin(line.r.send, line.item(1))
        await (await calls.begin(line.s.receive)).returned()
        require(sending.running, "the send was disturbed")
        await calls.begin(line.receive_for_ever)
        await sending.returned()
        await calls.begin(line.back().receive_for_ever)
        await answering.returned()


#: All checks; simple facts first.
BYTE_STREAMS = Suite(
    one_way=(
        *_check_bytes.BYTES[:2],
        *_check_streams.ONE_WAY,
        *_check_cancellation.ONE_WAY,
        *_check_bytes.BYTES[2:],
    ),
    one_way_clogged=(
        *_check_streams.CLOGGED,
        *_check_cancellation.CLOGGED,
        *_check_bytes.CLOGGED,
    ),
    both_ways=(*BOTH_WAYS, *_check_streams.BOTH_WAYS),
    both_ways_clogged=(*CLOGGED_BOTH_WAYS, *_check_streams.CLOGGED_BOTH_WAYS),
)


async def check_byte_stream_one_way(
    maker: OneWayMaker,
    clogged_maker: OneWayMaker | None = None,
    *,
    without: Collection[str] = (),
    timeout: float = 10,
) -> None:
    """Check a byte stream that goes one way.

    Every check has a fresh pair, which is closed afterwards, and is done at a ready budget of 1
    and at the event loop's own.  If cancelled, the current pair is closed.

    Args:
        maker: A coroutine function that returns the two connected ends: ``(sending, receiving)``.
        clogged_maker: The same of a pair on which a send of 1 MiB waits until something is
            received.  None: sends that wait are not checked.
        without: Names of checks to leave out, for what such a stream cannot do by its nature.
        timeout: After how many seconds a check has failed because it hangs.

    Raises:
        AssertionError: A check has failed; the message begins with its name.
        ValueError: There is no check with a name that is in ``without``.
    """
    await BYTE_STREAMS.check_one_way(
        maker, clogged_maker, ByteLine, without=without, timeout=timeout
    )


async def check_byte_stream(
    maker: TwoWayMaker,
    clogged_maker: TwoWayMaker | None = None,
    *,
    without: Collection[str] = (),
    timeout: float = 10,
) -> None:
    """Check a byte stream that goes both ways.

    All that :func:`check_byte_stream_one_way` checks is checked in both directions, and then what
    they have to do with each other.  Half-closing is left to :func:`check_half_close`.  If
    cancelled, the current pair is closed.

    Args:
        maker: A coroutine function that returns two connected streams.
        clogged_maker: The same of a pair on which a send of 1 MiB waits, at either end, until
            something is received at the other.  None: sends that wait are not checked.
        without: Names of checks to leave out, for what such a stream cannot do by its nature.
        timeout: After how many seconds a check has failed because it hangs.

    Raises:
        AssertionError: A check has failed; the message begins with its name.
        ValueError: There is no check with a name that is in ``without``.
    """
    await BYTE_STREAMS.check_both_ways(
        maker, clogged_maker, ByteLine, without=without, timeout=timeout
    )
