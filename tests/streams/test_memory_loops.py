"""Memory object streams before, between and beside event loops, and in other threads."""

import asyncio
import gc
from threading import Thread

import pytest
import trio

from penstock import (
    EndOfStream,
    WouldBlock,
    create_memory_object_stream,
    create_task_group,
    move_on_after,
    sleep_forever,
    wait_all_tasks_blocked,
)


def in_thread(func, *args):
    """Call ``func`` in a new thread; return what it returned or raised."""
    outcome = []

    def call():
        try:
            outcome.append(func(*args))
        except BaseException as exc:
            outcome.append(exc)

    thread = Thread(target=call)
    thread.start()
    thread.join()
    return outcome[0]


@pytest.fixture
def streams():
    send, receive = create_memory_object_stream(200)
    with send, receive:
        yield send, receive


def test_items_sent_before_a_loop_runs_arrive_inside_one(backend, streams):
    send, receive = streams
    send.send_nowait(1)

    async def main():
        await send.send(2)
        assert await receive.receive() == 1
        assert await receive.receive() == 2
        await send.send(3)

    backend.run(main)
    assert receive.receive_nowait() == 3
    with pytest.raises(WouldBlock):
        receive.receive_nowait()


def test_streams_outlive_event_loops(backend, streams):
    send, receive = streams

    async def first():
        for number in range(100):
            await send.send(number)

    async def second():
        async with create_task_group() as tg:
            tg.start_soon(first)
            for number in [*range(50, 100), *range(100)]:
                assert await receive.receive() == number

    backend.run(first)
    assert [receive.receive_nowait() for _ in range(50)] == list(range(50))
    backend.run(second)
    send.close()
    with pytest.raises(EndOfStream):
        receive.receive_nowait()


def test_streams_wander_from_one_kind_of_loop_to_another(backend, streams):
    send, receive = streams

    async def main():
        await send.send_many(range(100))
        assert await receive.receive_many(100) == list(range(100))

    backend.run(main)
    trio.run(main)
    asyncio.run(main())
    backend.run(main)


def test_waits_end_with_their_loop(backend):
    send, receive = create_memory_object_stream()

    async def main():
        async with create_task_group() as tg:
            tg.start_soon(receive.receive)
            await wait_all_tasks_blocked()
            assert send.statistics().tasks_waiting_receive == 1
            raise ZeroDivisionError

    with send, receive:
        with pytest.raises(ExceptionGroup):
            backend.run(main)
        assert send.statistics().tasks_waiting_receive == 0
        with pytest.raises(WouldBlock):
            send.send_nowait(1)


def abandoned_loop(func):
    """Start ``func()`` on an event loop, let it wait, and close the loop under it."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(func())
    task._log_destroy_pending = False
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    return task


def test_send_nowait_passes_over_a_receiver_whose_loop_was_closed(backend):
    send, receive = create_memory_object_stream(1)
    with send, receive:
        task = abandoned_loop(receive.receive)
        send.send_nowait("item")

        async def main():
            assert await receive.receive() == "item"
            with move_on_after(0):
                await receive.receive()

        backend.run(main)
        assert not task.done()


def test_receive_takes_nothing_from_a_sender_whose_loop_was_closed(backend):
    send, receive = create_memory_object_stream()
    with send, receive:
        task = abandoned_loop(lambda: send.send("withdrawn"))

        async def main():
            async with create_task_group() as tg:
                tg.start_soon(send.send, "item")
                await wait_all_tasks_blocked()
                assert await receive.receive() == "item"

        backend.run(main)
        with pytest.raises(WouldBlock):
            receive.receive_nowait()
        assert not task.done()


@pytest.mark.parametrize("kept", [True, False])
def test_item_promised_in_a_loop_that_was_closed_comes_back(backend, kept):
    send, receive = create_memory_object_stream()
    with send, receive:
        loop = asyncio.new_event_loop()
        task = loop.create_task(receive.receive())
        task._log_destroy_pending = False

        async def promise():
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            send.send_nowait("item")
            loop.stop()
            await sleep_forever()

        promising = loop.create_task(promise())
        promising._log_destroy_pending = False
        loop.run_forever()
        loop.close()
        assert not task.done()
        if not kept:
            del task, promising
            gc.collect()

        async def main():
            assert await receive.receive() == "item"

        backend.run(main)
        task = promising = None
        gc.collect()
        assert receive.statistics().current_buffer_used == 0


def test_another_thread_is_refused_and_nothing_is_lost(backend, streams):
    send, receive = streams

    async def main():
        await send.send("kept")
        calls = [
            (receive.receive_nowait,),
            (send.send_nowait, "refused"),
            (send.close,),
            (receive.close,),
        ]
        for call in calls:
            outcome = in_thread(*call)
            assert isinstance(outcome, RuntimeError), call
            assert "thread" in str(outcome)
        for run in (asyncio.run, lambda coro: trio.run(lambda: coro)):
            for func, *args in (
                (receive.receive,),
                (receive.receive_many, 2),
                (receive.__anext__,),
                (send.send, "refused"),
                (send.send_many, ["refused"]),
            ):
                outcome = in_thread(lambda func=func, args=args, run=run: run(func(*args)))
                assert isinstance(outcome, RuntimeError), func
                assert "another event loop or thread" in str(outcome)
        assert await receive.receive_many(9) == ["kept"]

    backend.run(main)


def test_another_thread_may_use_streams_that_no_loop_uses(backend):
    send, receive = create_memory_object_stream(2)
    with send, receive:
        assert in_thread(send.send_nowait, 1) is None
        assert in_thread(receive.receive_nowait) == 1

        async def main():
            await send.send(2)

        backend.run(main)
        assert in_thread(receive.receive_nowait) == 2


def test_waiting_on_another_loop_of_the_same_thread_is_refused():
    send, receive = create_memory_object_stream(2)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    with send, receive:
        first.run_until_complete(send.send(1))
        second.run_until_complete(receive.receive())
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            second.run_until_complete(receive.receive())
        first.run_until_complete(send.send(2))
        assert first.run_until_complete(receive.receive()) == 2
        for loop in (first, second):
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
