"""The checks of cancellation and of checkpoints that hold for byte and object streams alike."""

from __future__ import annotations

from penstock.lowlevel import checkpoint, ready_budget
from penstock.testing._check_lines import Line, same_items
from penstock.testing._checking import Checks, attempts, cancelled, counted_turns, require

__all__ = ("CLOGGED", "ONE_WAY")

#: Between a call that waits and its cancellation, what it waits for has so many turns to arrive.
MOST_TURNS = 6

ONE_WAY = Checks()
CLOGGED = Checks()

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
async def pending_cancellation_is_noticed_by_clogged_send(line: Line) -> None:
    """In a cancelled scope, a send that would wait is cancelled at once."""
    for name, send in line.sends().items():
        with cancelled(f"{name}()"):
            await send()
