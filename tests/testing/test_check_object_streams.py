"""The checks of object streams, and of ``send_eof``: what is right passes, what is not is caught.

What they share with the checks of byte streams is seen to be caught there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from broken_streams import all_but, all_checks, base_names
from plain_streams import (
    PlainBytes,
    PlainObjects,
    clogged_bytes,
    clogged_objects,
    plain_bytes,
    plain_objects,
)

from penstock import ClosedResourceError, EndOfStream, WouldBlock, get_cancelled_exc_class
from penstock.abc import AsyncResource
from penstock.lowlevel import checkpoint_if_cancelled
from penstock.testing import check_half_close, check_object_stream, check_object_stream_one_way
from penstock.testing._check_byte_streams import BYTE_STREAMS
from penstock.testing._check_half_close import HALF_CLOSE
from penstock.testing._check_object_streams import OBJECT_STREAMS

#: Of the checks that byte streams share, those of both directions are seen to catch items too.
SHARED = {*BYTE_STREAMS.one_way, *BYTE_STREAMS.one_way_clogged}
ALL_OBJECTS = all_checks(OBJECT_STREAMS)
OBJECTS = [check for check in ALL_OBJECTS if check not in SHARED]
HALVES = all_checks(HALF_CLOSE)

#: By the name of the check that is to catch it.
BROKEN: dict[str, Any] = {}
HALF_BROKEN: dict[str, Any] = {}


def caught(cls: type) -> type:
    """Enter a stream under the name of the check that is to catch it, which its docstring is."""
    name = (cls.__doc__ or "").strip()
    table = HALF_BROKEN if "eof" in name else BROKEN
    assert name not in table, name
    table[name] = cls
    return cls


class Objects(PlainObjects):
    """A correct one that can do all there is."""

    def receive_nowait(self) -> Any:
        if self.closed:
            raise ClosedResourceError
        if self.incoming.held:
            return self.take()
        raise EndOfStream if self.incoming.ended else WouldBlock

    def send_nowait(self, item: Any) -> None:
        self.check_sending()
        if self.sending or len(self.outgoing.held) >= self.outgoing.capacity:
            raise WouldBlock
        self.outgoing.held.append(item)
        self.outgoing.wake()

    async def send_many(self, items: Iterable[Any]) -> None:
        self.check_sending()
        await checkpoint_if_cancelled()
        for item in items:
            await self.send(item)

    async def receive_many(self, max_items: int) -> list[Any]:
        if not isinstance(max_items, int):
            raise TypeError("max_items must be an integer")
        if max_items < 1:
            raise ValueError("max_items must be at least 1")
        items = [await self.receive()]
        while self.incoming.held and len(items) < max_items:
            items.append(self.take())
        return items


# -- what is wrong with items ------------------------------------------------------------------


@caught
class OfNoKnownKind(AsyncResource):
    """ends_are_object_streams"""

    @classmethod
    def pair(cls, capacity: int) -> Any:
        return cls(), cls()

    async def aclose(self) -> None:
        pass


@caught
class OfNoKnownKindEither(OfNoKnownKind):
    """ends_are_two_way_object_streams"""


@caught
class ChangesTheType(Objects):
    """every_item_arrives_as_it_was"""

    async def receive(self) -> Any:
        return bytearray(await super().receive())


@caught
class GivesTuples(Objects):
    """batches_arrive_in_order"""

    async def receive_many(self, max_items: int) -> Any:
        return tuple(await super().receive_many(max_items))


@caught
class GivesBatchesOfAnySize(Objects):
    """batches_have_a_positive_size"""

    async def receive_many(self, max_items: int) -> list[Any]:
        return await super().receive_many(max(max_items, 1)) if self.incoming.held else []


@caught
class TakesTheEndForNothing(Objects):
    """receive_nowait_never_waits"""

    def receive_nowait(self) -> Any:
        try:
            return super().receive_nowait()
        except EndOfStream:
            raise WouldBlock from None


@caught
class SendsNowAfterClosing(Objects):
    """send_nowait_refuses_when_closed"""

    def send_nowait(self, item: Any) -> None:
        self.outgoing.held.append(item)


@caught
class SendsBeforeItWaits(Objects):
    """cancelled_send_was_not_sent"""

    async def send(self, item: Any) -> None:
        try:
            await super().send(item)
        except get_cancelled_exc_class():
            self.outgoing.held.append(item)
            raise


@caught
class KnowsNoBoundNow(Objects):
    """send_nowait_never_waits"""

    def send_nowait(self, item: Any) -> None:
        self.outgoing.held.append(item)


@caught
class LosesWhatComesWhileItSends(Objects):
    """items_arrive_both_ways_at_once"""

    def take(self) -> Any:
        item = super().take()
        return b"mixed up" if self.sending else item


@caught
class ReceivesOrSends(Objects):
    """send_goes_on_beside_a_receive"""

    async def send(self, item: Any) -> None:
        while self.receiving:
            await self.incoming.change()
        await super().send(item)


@caught
class EndsAgainAfterClosing(Objects):
    """closing_refuses_both_directions"""

    async def send_eof(self) -> None:
        if not self.closed:
            await super().send_eof()


@caught
class WakesWhoSendsAlone(Objects):
    """close_wakes_both_directions"""

    async def aclose(self) -> None:
        self.closed = self.outgoing.ended = self.incoming.abandoned = True
        self.outgoing.wake()


# -- what is wrong with send_eof ---------------------------------------------------------------


@caught
class ForgetsWhatIsOnItsWay(PlainBytes):
    """eof_comes_after_what_was_sent"""

    async def send_eof(self) -> None:
        self.outgoing.held.clear()
        await super().send_eof()


@caught
class SendsAfterTheEnd(PlainBytes):
    """eof_refuses_to_send"""

    def check_sending(self) -> None:
        ended, self.outgoing.ended = self.outgoing.ended, self.closed
        try:
            super().check_sending()
        finally:
            self.outgoing.ended = ended


@caught
class EndsOnce(PlainBytes):
    """eof_again_is_silent"""

    async def send_eof(self) -> None:
        if self.outgoing.ended:
            raise ClosedResourceError
        await super().send_eof()


@caught
class EndsBothDirections(PlainBytes):
    """eof_leaves_the_other_direction"""

    async def send_eof(self) -> None:
        self.incoming.ended = True
        self.incoming.wake()
        await super().send_eof()


@caught
class EndsWithoutAWord(PlainBytes):
    """eof_wakes_the_peer"""

    async def send_eof(self) -> None:
        await checkpoint_if_cancelled()
        self.outgoing.ended = True


@caught
class EndsHalfWhenCancelled(PlainBytes):
    """cancelled_eof_is_whole"""

    async def send_eof(self) -> None:
        self.outgoing.held += b"\0"
        await super().send_eof()


@caught
class CannotBeClosedAfterTheEnd(PlainBytes):
    """close_after_eof_is_silent"""

    async def aclose(self) -> None:
        if self.outgoing.ended and not self.closed:
            await super().aclose()
            raise ClosedResourceError
        await super().aclose()


@caught
class EndsInTheMiddleOfASend(PlainBytes):
    """eof_does_not_overtake_a_send"""

    async def send_eof(self) -> None:
        self.outgoing.abandoned = True
        self.outgoing.wake()


# -- the tests ---------------------------------------------------------------------------------


def makers(cls: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    async def maker() -> Any:
        return cls.pair(1000)

    async def clogged_maker() -> Any:
        near, far = cls.pair(1)
        if issubclass(cls, PlainObjects):
            near.outgoing.held.append(b"filler")
            far.outgoing.held.append(b"filler")
        return near, far

    return maker, clogged_maker


@pytest.mark.parametrize("cls", [PlainObjects, Objects])
async def test_correct_stream_passes(cls: type) -> None:
    await check_object_stream(*makers(cls))
    await check_object_stream_one_way(*makers(cls), items=[1, 2])


async def test_correct_half_close_passes() -> None:
    await check_half_close(plain_bytes, clogged_bytes)
    await check_half_close(plain_objects, clogged_objects)


def test_every_check_has_a_stream_to_catch() -> None:
    assert base_names(OBJECTS) == set(BROKEN)
    assert base_names(HALVES) == set(HALF_BROKEN)


@pytest.mark.parametrize("name", BROKEN)
async def test_broken_stream_is_caught_by_the_check_for_it(name: str) -> None:
    with pytest.raises(AssertionError, match=rf"^{name}[ \[]"):
        await check_object_stream(
            *makers(BROKEN[name]), without=all_but(name, ALL_OBJECTS), timeout=0.2
        )


@pytest.mark.parametrize("name", HALF_BROKEN)
async def test_broken_half_close_is_caught_by_the_check_for_it(name: str) -> None:
    with pytest.raises(AssertionError, match=rf"^{name}[ \[]"):
        await check_half_close(
            *makers(HALF_BROKEN[name]), without=all_but(name, HALVES), timeout=0.2
        )


@pytest.mark.parametrize("items", [[], [1], [1, 1, 2]])
async def test_items_must_differ(items: list[int]) -> None:
    for check in (check_object_stream, check_object_stream_one_way, check_half_close):
        with pytest.raises(ValueError, match="items must be at least two, which differ"):
            await check(plain_objects, items=items)


async def test_check_that_does_not_exist_cannot_be_left_out() -> None:
    for check in (check_object_stream, check_object_stream_one_way, check_half_close):
        with pytest.raises(ValueError, match="there are no such checks: flies"):
            await check(plain_objects, without=["flies"])
