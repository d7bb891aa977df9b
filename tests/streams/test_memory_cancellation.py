"""What a cancelled call on a memory object stream leaves behind: nothing, but for what is said."""

import asyncio

import pytest
from cancelling import Cancellable, ways

from penstock import (
    BrokenResourceError,
    CancelScope,
    EndOfStream,
    WouldBlock,
    create_memory_object_stream,
    create_task_group,
    get_cancelled_exc_class,
    wait_all_tasks_blocked,
)


async def every_way(backend, test):
    """Await ``test(way)`` for every way to cancel that the backend has."""
    for way in ways(backend.name):
        await test(way)


async def test_cancelled_send_is_withdrawn(backend):
    async def test(way):
        send, receive = create_memory_object_stream(1)
        operation = Cancellable()
        with send, receive:
            send.send_nowait("kept")
            async with create_task_group() as tg:
                tg.start_soon(operation.run, way, lambda: send.send("withdrawn"))
                await wait_all_tasks_blocked()
                assert send.statistics().tasks_waiting_send == 1
                operation.cancel()
                await wait_all_tasks_blocked()
                assert send.statistics().tasks_waiting_send == 0
                assert send.partial_send == 0
                assert await receive.receive_many(2) == ["kept"]
                await send.send("next")
                assert send.partial_send is None
                assert receive.receive_nowait() == "next"

    await every_way(backend, test)


async def test_cancelled_receive_takes_nothing(backend):
    async def test(way):
        send, receive = create_memory_object_stream()
        operation = Cancellable()
        with send, receive:
            async with create_task_group() as tg:
                tg.start_soon(operation.run, way, receive.receive)
                await wait_all_tasks_blocked()
                operation.cancel()
                await wait_all_tasks_blocked()
                assert send.statistics().tasks_waiting_receive == 0
                tg.start_soon(send.send, "item")
                assert await receive.receive() == "item"

    await every_way(backend, test)


async def take(receive, got):
    try:
        got.append(await receive.receive())
    except EndOfStream:
        pass


async def test_item_goes_to_the_next_when_its_receiver_is_cancelled(backend):
    # Cancelled in the very turn in which it was woken; the other one was not woken for the item.
    async def test(way):
        send, receive = create_memory_object_stream()
        operation = Cancellable()
        got = []
        with receive:
            async with create_task_group() as tg:
                tg.start_soon(operation.run, way, lambda: take(receive, got))
                await wait_all_tasks_blocked()
                tg.start_soon(take, receive, got)
                await wait_all_tasks_blocked()
                with send:
                    send.send_nowait("item")
                    operation.cancel()
        assert got == ["item"]

    await every_way(backend, test)


async def test_promise_passes_along_a_row_of_cancelled_receivers(backend):
    async def test(way):
        send, receive = create_memory_object_stream()
        operations = [Cancellable() for _ in range(5)]
        got = []
        with receive:
            async with create_task_group() as tg:
                for operation in operations:
                    tg.start_soon(operation.run, way, lambda: take(receive, got))
                    await wait_all_tasks_blocked()
                tg.start_soon(take, receive, got)
                await wait_all_tasks_blocked()
                with send:
                    send.send_nowait("first")
                    for operation in operations:
                        operation.cancel()
                    send.send_nowait("second")
            got += [item async for item in receive]  # what is left when all were cancelled
        assert sorted(got) == ["first", "second"]

    await every_way(backend, test)


async def test_send_nowait_passes_over_a_receiver_that_was_cancelled():
    send, receive = create_memory_object_stream()
    scope = CancelScope()

    async def take():
        with scope:
            await receive.receive()

    with send, receive:
        async with create_task_group() as tg:
            tg.start_soon(take)
            await wait_all_tasks_blocked()
            scope.cancel()
            with pytest.raises(WouldBlock):
                send.send_nowait("item")
        assert receive.statistics().current_buffer_used == 0
    assert scope.cancelled_caught


def test_native_cancellation_gives_back_the_item_of_a_receiver_that_was_woken(asyncio_backend):
    async def main():
        send, receive = create_memory_object_stream()
        with send, receive:
            task = asyncio.create_task(receive.receive())
            await wait_all_tasks_blocked()
            send.send_nowait("item")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert receive.statistics().current_buffer_used == 1
            assert await receive.receive() == "item"

    asyncio_backend.run(main)


def test_native_cancellation_of_a_sender_whose_item_was_taken(asyncio_backend):
    # The one case that cannot be had on asyncio: the item is delivered, and send raises.
    async def main():
        send, receive = create_memory_object_stream()
        with send, receive:
            task = asyncio.create_task(send.send("item"))
            await wait_all_tasks_blocked()
            assert receive.receive_nowait() == "item"
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert send.partial_send == 1
            assert receive.statistics().tasks_waiting_send == 0

    asyncio_backend.run(main)


async def test_scope_does_not_cancel_a_sender_whose_item_was_taken():
    send, receive = create_memory_object_stream()
    scope = CancelScope()
    sent = []

    async def give():
        with scope:
            await send.send("item")
            sent.append(send.partial_send)

    with send, receive:
        async with create_task_group() as tg:
            tg.start_soon(give)
            await wait_all_tasks_blocked()
            assert receive.receive_nowait() == "item"
            scope.cancel()
    assert sent == [None]
    assert not scope.cancelled_caught


async def test_scope_does_not_cancel_a_receiver_that_was_woken():
    send, receive = create_memory_object_stream()
    scope = CancelScope()
    got = []

    async def take():
        with scope:
            got.append(await receive.receive())

    with send, receive:
        async with create_task_group() as tg:
            tg.start_soon(take)
            await wait_all_tasks_blocked()
            send.send_nowait("item")
            scope.cancel()
    assert got == ["item"]
    assert not scope.cancelled_caught


# -- partial_send --------------------------------------------------------------------------------


async def cancel_send(operation, send, *items):
    """Cancel a send of ``items`` that waits; return ``partial_send`` as the sender saw it."""
    seen = []

    async def give():
        try:
            if len(items) == 1:
                await send.send(*items)
            else:
                await send.send_many(items)
        except get_cancelled_exc_class():
            seen.append(send.partial_send)
            raise

    async with create_task_group() as tg:
        tg.start_soon(operation.run, "scope", give)
        await wait_all_tasks_blocked()
        operation.cancel()
    return seen[0]


async def test_send_many_cut_short_goes_on_with_the_rest(backend):
    async def test(way):
        send, receive = create_memory_object_stream(2)
        items = list(range(9))
        operation = Cancellable()
        with send, receive:
            async with create_task_group() as tg:
                tg.start_soon(operation.run, way, lambda: send.send_many(items))
                await wait_all_tasks_blocked()
                got = await receive.receive_many(1)
                await wait_all_tasks_blocked()
                operation.cancel()
                await wait_all_tasks_blocked()
                partial = send.partial_send
                assert partial == 3
                tg.start_soon(send.send_many, items[partial:])
                while len(got) < len(items):
                    got += await receive.receive_many(9)
            assert got == items
            assert send.partial_send is None

    await every_way(backend, test)


async def test_partial_send_after_the_receivers_have_gone():
    send, receive = create_memory_object_stream(2)
    with send:
        outcome = []

        async def give():
            with pytest.raises(BrokenResourceError):
                await send.send_many(range(5))
            outcome.append(send.partial_send)

        async with create_task_group() as tg:
            tg.start_soon(give)
            await wait_all_tasks_blocked()
            assert receive.receive_nowait() == 0
            await wait_all_tasks_blocked()
            receive.close()
        assert outcome == [3]
        with pytest.raises(BrokenResourceError):
            await send.send(9)
        assert send.partial_send == 0


async def test_partial_send_is_not_left_over_from_an_earlier_send():
    send, receive = create_memory_object_stream(2)
    with send, receive:
        assert await cancel_send(Cancellable(), send, 0, 1, 2, 3) == 2
        with CancelScope() as scope:
            scope.cancel()
            await send.send_many([4, 5])
        assert scope.cancelled_caught
        assert send.partial_send == 0
        assert await receive.receive_many(9) == [0, 1]
        assert await cancel_send(Cancellable(), send, 0, 1, 2, 3) == 2
        with CancelScope() as scope:
            scope.cancel()
            await send.send(4)
        assert send.partial_send == 0
        assert await receive.receive_many(9) == [0, 1]
        assert await cancel_send(Cancellable(), send, 0, 1, 2, 3) == 2
        with CancelScope() as scope:
            scope.cancel()
            await send.send_many([])
        assert send.partial_send == 0
        await send.send_many([])
        assert send.partial_send is None


async def test_partial_send_is_not_left_over_when_a_waiting_send_breaks():
    send, receive = create_memory_object_stream(2)
    with send:
        assert await cancel_send(Cancellable(), send, 0, 1, 2, 3) == 2
        outcome = []

        async def give():
            with pytest.raises(BrokenResourceError):
                await send.send(4)
            outcome.append(send.partial_send)

        async with create_task_group() as tg:
            tg.start_soon(give)
            await wait_all_tasks_blocked()
            receive.close()
        assert outcome == [0]


def test_partial_send_is_not_left_over_from_a_native_cancellation(asyncio_backend):
    async def main():
        send, receive = create_memory_object_stream()
        with send, receive:
            task = asyncio.create_task(send.send("delivered"))
            await wait_all_tasks_blocked()
            assert receive.receive_nowait() == "delivered"
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert send.partial_send == 1
            with CancelScope() as scope:
                scope.cancel()
                await send.send("withdrawn")
            assert send.partial_send == 0

    asyncio_backend.run(main)
