"""The checks of byte streams: a correct stream passes, and each check catches what it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from broken_streams import all_but, all_checks, base_names
from plain_streams import PlainBytes, clogged_bytes, plain_bytes

from penstock import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
    get_cancelled_exc_class,
    sleep_forever,
)
from penstock.abc import AsyncResource
from penstock.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint,
    checkpoint_if_cancelled,
    ready_budget,
    set_ready_budget,
)
from penstock.testing import check_byte_stream, check_byte_stream_one_way
from penstock.testing._check_byte_streams import BYTE_STREAMS

ALL = all_checks(BYTE_STREAMS)

#: By the name of the check that is to catch it.
BROKEN: dict[str, Any] = {}


def caught(cls: type) -> type:
    """Enter a stream under the name of the check that is to catch it, which its docstring is."""
    name = (cls.__doc__ or "").strip()
    assert name not in BROKEN, name
    BROKEN[name] = cls
    return cls


# -- what is wrong in one direction ------------------------------------------------------------


@caught
class OfNoKnownKind(AsyncResource):
    """ends_are_byte_streams"""

    @classmethod
    def pair(cls, capacity: int) -> Any:
        return cls(), cls()

    async def aclose(self) -> None:
        pass


@caught
class GivesBytearrays(PlainBytes):
    """receive_gives_bytes"""

    async def receive(self, max_bytes: int = 65536) -> Any:
        return bytearray(await super().receive(max_bytes))


@caught
class HasAnAttributeThatFails(PlainBytes):
    """answers_for_typed_attributes"""

    @property
    def extra_attributes(self) -> Any:
        return {"path": lambda: self.path}  # type: ignore[attr-defined]


@caught
class ReturnsACount(PlainBytes):
    """send_returns_none"""

    async def send(self, item: Any) -> Any:
        await super().send(item)
        return len(item)


@caught
class LosesTheHundredthSend(PlainBytes):
    """everything_arrives_in_order"""

    sends = 0

    async def send(self, item: Any) -> None:
        self.sends += 1
        if self.sends != 100:
            await super().send(item)


@caught
class DropsWhatIsOnItsWay(PlainBytes):
    """what_was_sent_before_close_arrives"""

    async def aclose(self) -> None:
        self.outgoing.held.clear()
        await super().aclose()


@caught
class EndsOnce(PlainBytes):
    """end_of_stream_is_repeated"""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        try:
            return await super().receive(max_bytes)
        except EndOfStream:
            await self.aclose()
            raise


@caught
class IteratesOnce(PlainBytes):
    """iteration_gives_everything"""

    iterations = 0

    async def __anext__(self) -> bytes:
        self.iterations += 1
        if self.iterations > 1:
            raise StopAsyncIteration
        return await self.receive(1)


@caught
class ClosesOnce(PlainBytes):
    """closing_again_is_silent"""

    async def aclose(self) -> None:
        if self.closed:
            raise ClosedResourceError
        await super().aclose()


@caught
class StaysOpenAfterAnError(PlainBytes):
    """async_with_closes_when_its_block_fails"""

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        if exc_type is None:
            await self.aclose()


@caught
class SendsNothingWhenClosed(PlainBytes):
    """closed_sender_refuses"""

    async def send(self, item: Any) -> None:
        if len(item):
            await super().send(item)


@caught
class ReceivesWhenClosed(PlainBytes):
    """closed_receiver_refuses"""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self.incoming.held:
            await checkpoint()
            return self.take(max_bytes)
        return await super().receive(max_bytes)


@caught
class NeverBreaks(PlainBytes):
    """sender_learns_that_the_receiver_is_closed"""

    async def send_many(self, buffers: Iterable[Any]) -> None:
        try:
            await super().send_many(buffers)
        except BrokenResourceError:
            pass


@caught
class LeavesInSilence(PlainBytes):
    """receiver_learns_that_the_sender_is_gone"""

    async def aclose(self) -> None:
        await checkpoint_if_cancelled()
        await super().aclose()


@caught
class DoesNotWakeItsReceiver(PlainBytes):
    """close_wakes_receive"""

    async def aclose(self) -> None:
        self.closed = self.outgoing.ended = self.incoming.abandoned = True
        self.outgoing.wake()


@caught
class IterationTakesClosedForTheEnd(PlainBytes):
    """close_wakes_iteration"""

    async def __anext__(self) -> bytes:
        try:
            return await super().__anext__()
        except ClosedResourceError:
            raise StopAsyncIteration from None


@caught
class SecondReceiverDisturbsTheFirst(PlainBytes):
    """second_receive_does_no_harm"""

    disturbed = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self.receiving:
            self.disturbed = True
            self.incoming.wake()
            raise BusyResourceError("receiving from")
        receiving = super().receive(max_bytes)
        if not self.incoming.held and not self.incoming.ended and not self.closed:
            receiving.close()
            self.receiving = True
            try:
                await self.incoming.change()
            finally:
                self.receiving = False
            if self.disturbed:
                raise BusyResourceError("receiving from")
            return self.take(max_bytes)
        return await receiving


@caught
class SendsInACancelledScope(PlainBytes):
    """pending_cancellation_is_noticed_by_send"""

    async def send_many(self, buffers: Iterable[Any]) -> None:
        for buffer in buffers:
            self.put(bytes(buffer))


@caught
class ReceivesInACancelledScope(PlainBytes):
    """pending_cancellation_is_noticed_by_receive"""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return self.take(max_bytes) if self.incoming.held else await super().receive(max_bytes)


@caught
class BreaksWhenCancelled(PlainBytes):
    """close_after_cancellations_is_graceful"""

    async def send(self, item: Any) -> None:
        try:
            await super().send(item)
        except get_cancelled_exc_class():
            self.outgoing.held += b"torn"
            raise


@caught
class TakesBeforeItWaits(PlainBytes):
    """cancel_after_arrival_loses_nothing"""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        data = await super().receive(max_bytes)
        await checkpoint()
        return data


@caught
class KeepsOthersFromRunningWhenItReceives(PlainBytes):
    """ready_receives_yield"""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self.incoming.held:
            await checkpoint_if_cancelled()
            return self.take(max_bytes)
        return await super().receive(max_bytes)


@caught
class KeepsOthersFromRunningWhenItSends(PlainBytes):
    """ready_sends_yield"""

    async def send(self, item: Any) -> None:
        await checkpoint_if_cancelled()
        if self.outgoing.capacity - len(self.outgoing.held) < len(item) or not item:
            await super().send(item)
        else:
            self.check_sending()
            self.put(item)


# -- what is wrong with sends that wait --------------------------------------------------------


@caught
class SleepsThroughRoom(PlainBytes):
    """clogged_send_waits_for_room"""

    def take(self, max_bytes: int) -> bytes:
        data = bytes(self.incoming.held[:max_bytes])
        del self.incoming.held[:max_bytes]
        return data


@caught
class SecondSenderEndsTheFirst(PlainBytes):
    """second_send_does_no_harm"""

    async def send(self, item: Any) -> None:
        if self.sending:
            await self.aclose()
        await super().send(item)


@caught
class DoesNotWakeItsSender(PlainBytes):
    """close_wakes_send"""

    async def aclose(self) -> None:
        self.closed = self.outgoing.ended = self.incoming.abandoned = True
        self.incoming.wake()


@caught
class LeavesTheSenderWaiting(PlainBytes):
    """closed_receiver_releases_send"""

    async def aclose(self) -> None:
        self.closed = self.outgoing.ended = self.incoming.abandoned = True
        self.outgoing.wake()


@caught
class SendsWhatFitsInACancelledScope(PlainBytes):
    """pending_cancellation_is_noticed_by_clogged_send"""

    async def send(self, item: Any) -> None:
        self.outgoing.capacity += len(item)
        await cancel_shielded_checkpoint()
        self.check_sending()
        self.put(item)


@caught
class LetsSendersQueue(PlainBytes):
    """second_send_is_busy"""

    async def send_many(self, buffers: Iterable[Any]) -> None:
        while self.sending:
            await self.outgoing.change()
        await super().send_many(buffers)


@caught
class ForgetsWhatItHasSent(PlainBytes):
    """cancelled_send_tells_how_much_went_out"""

    @property
    def partial_send(self) -> int | None:
        return None if self.partial is None else 0


# -- what is wrong with bytes ------------------------------------------------------------------


@caught
class SendsNothingAsSomething(PlainBytes):
    """empty_send_sends_nothing"""

    async def send(self, item: Any) -> None:
        await super().send(item or b"\0")


@caught
class CountsItems(PlainBytes):
    """send_takes_any_bytes"""

    async def send(self, item: Any) -> None:
        view = memoryview(item)
        await super().send(view.tobytes()[: len(view)])


@caught
class SendsTheGaps(PlainBytes):
    """views_with_gaps_are_sent_or_refused"""

    async def send(self, item: Any) -> None:
        view = memoryview(item)
        await super().send(item if view.c_contiguous else bytes(view.obj)[: view.nbytes])


@caught
class SendsText(PlainBytes):
    """send_refuses_what_is_not_bytes"""

    async def send(self, item: Any) -> None:
        await super().send(item.encode() if isinstance(item, str) else item)


@caught
class SendsBuffersBackwards(PlainBytes):
    """send_many_sends_all_in_order"""

    async def send_many(self, buffers: Iterable[Any]) -> None:
        await super().send_many(list(buffers)[::-1])


@caught
class KnowsNoBound(PlainBytes):
    """max_bytes_is_a_bound"""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return await super().receive(max(max_bytes, 10))


@caught
class TakesAnyBound(PlainBytes):
    """max_bytes_must_be_a_positive_integer"""

    async def receive(self, max_bytes: Any = 65536) -> bytes:
        return await super().receive(max(int(max_bytes), 1))


@caught
class CountsItemsOfMemory(PlainBytes):
    """receive_into_fills_the_beginning"""

    async def receive_into(self, buffer: Any) -> int:
        return await super().receive_into(buffer) // memoryview(buffer).itemsize


@caught
class FillsMoreThanTheMemory(PlainBytes):
    """receive_into_is_bounded_by_the_memory"""

    async def receive_into(self, buffer: Any) -> int:
        view = memoryview(buffer)
        data = await self.receive(len(view) + 1)
        view[:] = data[: len(view)]
        return len(view)


@caught
class ReceivesIntoReadOnlyMemory(PlainBytes):
    """receive_into_refuses_other_memory"""

    async def receive_into(self, buffer: Any) -> int:
        if isinstance(buffer, bytes):
            return len(await self.receive(len(buffer)))
        return await super().receive_into(buffer)


@caught
class CutsLargeSends(PlainBytes):
    """large_send_arrives_whole"""

    async def send(self, item: Any) -> None:
        await super().send(item[:500_000])


@caught
class MixesUpSmallReceives(PlainBytes):
    """bulk_arrives_whole"""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        data = await super().receive(max_bytes)
        return data if len(data) > 2000 or max_bytes != len(data) else data[::-1]


@caught
class LetsReceiversQueue(PlainBytes):
    """second_receive_is_busy"""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        while self.receiving:
            await self.incoming.change()
        return await super().receive(max_bytes)


@caught
class ReceivesIntoOnItsOwn(PlainBytes):
    """close_wakes_receive_into"""

    async def receive_into(self, buffer: Any) -> int:
        while not self.incoming.held and not self.incoming.ended:
            await self.incoming.change()
        return await super().receive_into(buffer)

    async def aclose(self) -> None:
        await super().aclose()
        self.closed = False


# -- what is wrong with both directions --------------------------------------------------------


@caught
class OfNoKnownKindEither(OfNoKnownKind):
    """ends_are_two_way_byte_streams"""


@caught
class SharesOneBufferAndMixes(PlainBytes):
    """bulk_arrives_both_ways_at_once"""

    def take(self, max_bytes: int) -> bytes:
        data = super().take(max_bytes)
        return data[::-1] if self.sending else data


@caught
class ReceivesOrSends(PlainBytes):
    """send_goes_on_beside_a_receive"""

    async def send_many(self, buffers: Iterable[Any]) -> None:
        while self.receiving:
            await self.incoming.change()
        await super().send_many(buffers)


@caught
class EndsAgainAfterClosing(PlainBytes):
    """closing_refuses_both_directions"""

    async def send_eof(self) -> None:
        if not self.closed:
            await super().send_eof()


@caught
class ReceivesAfterItHasSent(PlainBytes):
    """receive_goes_on_beside_a_clogged_send"""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        while self.sending:
            await self.outgoing.change()
        return await super().receive(max_bytes)


@caught
class WakesWhoSendsAlone(PlainBytes):
    """close_wakes_both_directions"""

    async def aclose(self) -> None:
        self.closed = self.outgoing.ended = self.incoming.abandoned = True
        self.outgoing.wake()


# -- the tests ---------------------------------------------------------------------------------


def makers(cls: type) -> tuple[Callable[[], Any], Callable[[], Any]]:
    async def maker() -> Any:
        return cls.pair(65536)  # type: ignore[attr-defined]

    async def clogged_maker() -> Any:
        return cls.pair(1000)  # type: ignore[attr-defined]

    return maker, clogged_maker


async def test_correct_stream_passes() -> None:
    await check_byte_stream(plain_bytes, clogged_bytes)
    await check_byte_stream_one_way(plain_bytes, clogged_bytes)


def test_every_check_has_a_stream_to_catch() -> None:
    assert base_names(ALL) == set(BROKEN)


@pytest.mark.parametrize("name", BROKEN)
async def test_broken_stream_is_caught_by_the_check_for_it(name: str) -> None:
    with pytest.raises(AssertionError, match=rf"^{name}[ \[]") as caught:
        await check_byte_stream(*makers(BROKEN[name]), without=all_but(name, ALL), timeout=0.2)
    assert "expected: " in str(caught.value)


async def test_direction_back_is_checked_as_well() -> None:
    async def maker() -> Any:
        near, far = PlainBytes.pair()
        far.__class__ = ReturnsACount
        return near, far

    await check_byte_stream_one_way(maker)
    with pytest.raises(AssertionError, match=r"^send_returns_none \(back, ready budget 1\)"):
        await check_byte_stream(maker)


async def test_fails_at_the_default_budget_alone() -> None:
    class YieldsAtABudgetOfOne(PlainBytes):
        async def receive(self, max_bytes: int = 65536) -> bytes:
            if self.incoming.held and not self.closed and ready_budget() > 1:
                await checkpoint_if_cancelled()
                return self.take(max_bytes)
            return await super().receive(max_bytes)

    budget = ready_budget()
    with pytest.raises(AssertionError, match=rf"^ready_receives_yield \(there, .*{budget}\)"):
        await check_byte_stream(*makers(YieldsAtABudgetOfOne))
    assert ready_budget() == budget


async def test_ready_budget_is_what_it_was() -> None:
    set_ready_budget(3)
    await check_byte_stream_one_way(plain_bytes)
    assert ready_budget() == 3


async def test_hanging_maker_is_a_failure() -> None:
    async def maker() -> Any:
        await sleep_forever()

    with pytest.raises(AssertionError, match=r"it hung, and was given up after 0\.1 s"):
        await check_byte_stream_one_way(maker, timeout=0.1)


async def test_pairs_are_closed() -> None:
    pairs = []

    async def maker() -> Any:
        pairs.append(PlainBytes.pair())
        return pairs[-1]

    await check_byte_stream_one_way(maker)
    assert all(end.closed for pair in pairs for end in pair)


async def test_check_that_does_not_exist_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match="there are no such checks: flies"):
        await check_byte_stream(plain_bytes, without=["flies", "send_returns_none"])
