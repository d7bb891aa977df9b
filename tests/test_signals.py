"""open_signal_receiver() and catch_signals(), with signals that the system delivers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from signal import SIG_DFL, SIG_IGN, SIGHUP, SIGINT, SIGKILL, SIGSTOP, SIGTERM, SIGUSR1, SIGUSR2
from typing import Any

import pytest
from backends import BackendUnderTest
from cancelling import Cancellable, ways

import penstock
from penstock import (
    BusyResourceError,
    ClosedResourceError,
    catch_signals,
    open_signal_receiver,
    wait_all_tasks_blocked,
)
from penstock.lowlevel import checkpoint

SIGNALS = (SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2)


@pytest.fixture(autouse=True)
def handlers_are_as_they_were() -> Iterator[None]:
    handlers = [signal.getsignal(signum) for signum in SIGNALS]
    yield
    assert [signal.getsignal(signum) for signum in SIGNALS] == handlers
    assert signal.set_wakeup_fd(-1) == -1


@pytest.fixture
def noted() -> Iterator[list[int]]:
    """What handlers of Python's own were called with, for SIGUSR1 and SIGUSR2."""
    calls: list[int] = []

    def handler(signum: int, _frame: object) -> None:
        calls.append(signum)

    old = {signum: signal.signal(signum, handler) for signum in (SIGUSR1, SIGUSR2)}
    yield calls
    for signum, former in old.items():
        signal.signal(signum, former)


def kill(*signals: int) -> None:
    """Send signals to this process; a thread other than the main one would return too early."""
    for signum in signals:
        os.kill(os.getpid(), signum)


# -- receiving ---------------------------------------------------------------------------------


async def test_signals_are_received_in_order_one_at_a_time() -> None:
    with open_signal_receiver(SIGUSR1, SIGUSR2) as signals:
        kill(SIGUSR2, SIGUSR1)
        assert await anext(signals) is SIGUSR2
        assert await anext(signals) is SIGUSR1
        kill(SIGUSR1)
        assert await anext(signals) is SIGUSR1


async def test_task_that_waits_is_woken() -> None:
    async def send() -> None:
        for _ in range(2):
            await wait_all_tasks_blocked()
            kill(SIGUSR1)

    with open_signal_receiver(SIGUSR1) as signals, penstock.fail_after(60):
        async with penstock.create_task_group() as tg:
            tg.start_soon(send)
            left = 2
            async for signum in signals:
                assert signum is SIGUSR1
                left -= 1
                if not left:
                    break


async def test_signal_of_another_process_is_received() -> None:
    program = f"import os; os.kill({os.getpid()}, {int(SIGUSR1)})"
    with open_signal_receiver(SIGUSR1) as signals:
        child = subprocess.Popen([sys.executable, "-c", program])
        assert await anext(signals) is SIGUSR1
        assert child.wait() == 0


async def test_signal_that_another_thread_is_told_of_wakes_the_loop() -> None:
    end = threading.Event()
    bystander = threading.Thread(target=end.wait)
    bystander.start()
    main = threading.main_thread().native_id

    def shoot() -> None:
        assert bystander.ident is not None
        while not Path(f"/proc/self/task/{main}/wchan").read_text().startswith(("ep_", "do_epoll")):
            os.sched_yield()
        signal.pthread_kill(bystander.ident, SIGUSR1)

    shooter = threading.Thread(target=shoot)
    try:
        with open_signal_receiver(SIGUSR1) as signals, penstock.move_on_after(5) as scope:
            with open_signal_receiver(SIGUSR2):
                pass
            shooter.start()
            assert await anext(signals) is SIGUSR1
        assert not scope.cancel_called
    finally:
        end.set()
        bystander.join()
        shooter.join()


def test_storm_does_not_pile_up_in_the_loop() -> None:
    calls = 0

    class Loop(asyncio.SelectorEventLoop):
        def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> asyncio.Handle:
            nonlocal calls
            calls += 1
            return super().call_soon_threadsafe(*args, **kwargs)

    async def main() -> None:
        with open_signal_receiver(SIGUSR1) as signals:
            for _ in range(100):
                kill(SIGUSR1)
            await anext(signals)
            assert calls == 1

    penstock.run(main, backend_options={"loop_factory": Loop})


async def test_storm_is_coalesced() -> None:
    with open_signal_receiver(SIGUSR1, SIGUSR2) as signals:
        for _ in range(2000):
            kill(SIGUSR1, SIGUSR2)
        assert [await anext(signals), await anext(signals)] == [SIGUSR1, SIGUSR2]
        with penstock.move_on_after(0.01) as scope:
            await anext(signals)
        assert scope.cancelled_caught


async def test_batches_are_sets_of_what_has_come() -> None:
    with catch_signals({SIGUSR1, SIGUSR2, SIGHUP}) as batches:
        kill(SIGUSR1, SIGUSR2, SIGUSR1)
        batch = await anext(batches)
        assert batch == {SIGUSR1, SIGUSR2}
        assert {type(signum) for signum in batch} == {signal.Signals}
        kill(SIGHUP)
        async for batch in batches:
            assert batch == {SIGHUP}
            break


async def test_plain_numbers_will_do() -> None:
    with open_signal_receiver(int(SIGUSR1), SIGUSR1) as signals:
        kill(SIGUSR1)
        assert await anext(signals) is SIGUSR1


async def test_signals_without_a_name_are_numbers() -> None:
    number = signal.SIGRTMIN + 3
    with open_signal_receiver(number) as signals:
        kill(number)
        assert await anext(signals) == number


# -- leaving -----------------------------------------------------------------------------------


@pytest.mark.parametrize("handler", [SIG_IGN, SIG_DFL, signal.default_int_handler])
async def test_old_handler_comes_back(handler: Any) -> None:
    old = signal.signal(SIGUSR1, handler)
    try:
        with open_signal_receiver(SIGUSR1) as signals:
            kill(SIGUSR1)
            await anext(signals)
        assert signal.getsignal(SIGUSR1) is handler
        with pytest.raises(LookupError), catch_signals([SIGUSR1]):
            raise LookupError
        assert signal.getsignal(SIGUSR1) is handler
    finally:
        signal.signal(SIGUSR1, old)


async def test_interrupt_is_received_and_interrupts_again_afterwards() -> None:
    handler = signal.getsignal(SIGINT)
    with open_signal_receiver(SIGINT) as signals:
        kill(SIGINT)
        assert await anext(signals) is SIGINT
    assert signal.getsignal(SIGINT) is handler


@pytest.mark.usefixtures("ctrl_c")
def test_runner_interrupts_its_main_task_afterwards(backend: BackendUnderTest) -> None:
    async def main() -> None:
        with open_signal_receiver(SIGINT) as signals:
            kill(SIGINT)
            await anext(signals)
        kill(SIGINT)
        await penstock.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        backend.run(main)


async def test_signals_that_were_not_received_are_raised_again(noted: list[int]) -> None:
    with open_signal_receiver(SIGUSR1, SIGUSR2) as signals:
        kill(SIGUSR1, SIGUSR2, SIGUSR1)
        assert await anext(signals) is SIGUSR1
        assert noted == []
    assert noted == [SIGUSR2]
    with catch_signals([SIGUSR1, SIGUSR2]):
        kill(SIGUSR1, SIGUSR2, SIGUSR1)
    assert noted == [SIGUSR2, SIGUSR1, SIGUSR2]


async def test_all_are_raised_again_whatever_the_handlers_raise(noted: list[int]) -> None:
    def fail(signum: int, _frame: object) -> None:
        noted.append(signum)
        raise LookupError(signum)

    for signum in (SIGUSR1, SIGUSR2):
        signal.signal(signum, fail)
    with pytest.raises(LookupError) as raised:
        with open_signal_receiver(SIGUSR1, SIGUSR2):
            kill(SIGUSR1, SIGUSR2)
    assert noted == [SIGUSR1, SIGUSR2]
    assert raised.value.args == (SIGUSR2,)
    assert isinstance(raised.value.__context__, LookupError)


def test_signal_that_nobody_received_kills() -> None:
    program = """if True:
        import os, signal, penstock

        async def main():
            with penstock.open_signal_receiver(signal.SIGTERM):
                os.kill(os.getpid(), signal.SIGTERM)
                print("alive", flush=True)

        penstock.run(main)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("alive\n", "", -SIGTERM)


async def test_task_that_waits_learns_that_the_block_was_left() -> None:
    async def receive(signals: Any) -> None:
        with pytest.raises(ClosedResourceError):
            await anext(signals)

    async with penstock.create_task_group() as tg:
        with open_signal_receiver(SIGUSR1) as signals:
            tg.start_soon(receive, signals)
            await wait_all_tasks_blocked()
    with pytest.raises(ClosedResourceError):
        await anext(signals)


def test_loop_that_ends_inside_the_block_is_no_error(
    backend: BackendUnderTest, noted: list[int]
) -> None:
    managers: list[AbstractContextManager[Any]] = []

    async def main() -> None:
        managers.append(open_signal_receiver(SIGUSR1))
        managers[0].__enter__()

    backend.run(main)
    kill(SIGUSR1)
    managers[0].__exit__(None, None, None)
    assert noted == [SIGUSR1]


# -- several receivers -------------------------------------------------------------------------


async def test_receiver_that_was_opened_last_receives(noted: list[int]) -> None:
    with open_signal_receiver(SIGUSR1, SIGUSR2) as outer:
        with open_signal_receiver(SIGUSR1) as inner:
            kill(SIGUSR1, SIGUSR2)
            assert await anext(inner) is SIGUSR1
            assert await anext(outer) is SIGUSR2
            kill(SIGUSR1)
        assert await anext(outer) is SIGUSR1  # which the inner one has left
    assert noted == []
    kill(SIGUSR1)
    assert noted == [SIGUSR1]


async def test_receivers_may_be_left_in_any_order(noted: list[int]) -> None:
    first, second = open_signal_receiver(SIGUSR1), catch_signals([SIGUSR1])
    first.__enter__()
    batches = second.__enter__()
    first.__exit__(None, None, None)
    kill(SIGUSR1)
    assert await anext(batches) == {SIGUSR1}
    kill(SIGUSR1)
    assert noted == []
    second.__exit__(None, None, None)
    assert noted == [SIGUSR1]


async def test_second_task_is_refused_and_the_first_not_disturbed() -> None:
    async def receive(signals: Any) -> None:
        assert await anext(signals) is SIGUSR1

    with open_signal_receiver(SIGUSR1) as signals:
        async with penstock.create_task_group() as tg:
            tg.start_soon(receive, signals)
            await wait_all_tasks_blocked()
            with pytest.raises(BusyResourceError):
                await anext(signals)
            kill(SIGUSR1)


# -- cancellation ------------------------------------------------------------------------------


async def test_pending_cancellation_receives_nothing() -> None:
    with open_signal_receiver(SIGUSR1) as signals:
        kill(SIGUSR1)
        with penstock.CancelScope() as scope:
            scope.cancel()
            await anext(signals)
        assert scope.cancelled_caught
        assert await anext(signals) is SIGUSR1


def test_cancelled_wait_loses_no_signal(backend: BackendUnderTest) -> None:
    async def main(way: str, turns: int) -> None:
        received: list[int] = []

        async def receive() -> None:
            received.append(await anext(signals))

        with open_signal_receiver(SIGUSR1) as signals:
            operation = Cancellable()
            async with penstock.create_task_group() as tg:
                tg.start_soon(operation.run, way, receive)
                await wait_all_tasks_blocked()
                kill(SIGUSR1)
                for _ in range(turns):
                    await checkpoint()
                operation.cancel()
            if not received:
                await receive()
            assert received == [SIGUSR1]

    for way in ways(backend.name):
        if way not in ("sibling", "asyncio group"):
            for turns in range(4):
                backend.run(main, way, turns)


# -- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize("signum", [SIGKILL, SIGSTOP])
async def test_what_cannot_be_caught_is_an_error(signum: signal.Signals, noted: list[int]) -> None:
    for manager in (open_signal_receiver(SIGUSR1, signum), catch_signals([SIGUSR1, signum])):
        with pytest.raises(OSError, match=f"{signum.name}.* cannot be caught"):
            manager.__enter__()
    kill(SIGUSR1)
    assert noted == [SIGUSR1]


@pytest.mark.parametrize("number", [0, -1, 1000, 10**30])
async def test_what_is_no_signal_is_an_error(number: int) -> None:
    with pytest.raises(ValueError, match=f"there is no signal {number}"):
        open_signal_receiver(SIGUSR1, number).__enter__()


@pytest.mark.parametrize("value", ["SIGTERM", None, 15.0, True, [SIGTERM]])
async def test_other_types_are_an_error(value: Any) -> None:
    with pytest.raises(TypeError, match="expected a signal, not "):
        open_signal_receiver(SIGUSR1, value).__enter__()


async def test_no_signals_are_an_error() -> None:
    for manager in (open_signal_receiver(), catch_signals([])):
        with pytest.raises(TypeError, match="No signals were provided"):
            manager.__enter__()
    with pytest.raises(TypeError):
        catch_signals(SIGUSR1).__enter__()  # type: ignore[arg-type]


def test_without_an_event_loop_it_is_an_error() -> None:
    with pytest.raises(penstock.NoEventLoopError):
        open_signal_receiver(SIGUSR1).__enter__()


def test_in_another_thread_it_is_an_error(backend: BackendUnderTest) -> None:
    errors: list[BaseException] = []

    async def main() -> None:
        with pytest.raises(RuntimeError, match="in the main thread only") as raised:
            open_signal_receiver(SIGUSR1).__enter__()
        errors.append(raised.value)

    thread = threading.Thread(target=backend.run, args=(main,))
    thread.start()
    thread.join()
    assert len(errors) == 1


# -- what wakes asyncio ------------------------------------------------------------------------


async def test_wakeup_descriptor_of_another_stays() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    old = signal.set_wakeup_fd(writer)
    with open_signal_receiver(SIGUSR1) as signals:
        assert signal.set_wakeup_fd(writer) == writer
        kill(SIGUSR1)
        await checkpoint()
        assert os.read(reader, 10) == bytes([SIGUSR1])
        if old != -1:
            signal.set_wakeup_fd(old)
        assert await anext(signals) is SIGUSR1
        signal.set_wakeup_fd(writer)
    assert signal.set_wakeup_fd(old) == writer
    os.close(reader)
    os.close(writer)


async def test_wakeup_descriptor_that_replaced_ours_stays(backend: BackendUnderTest) -> None:
    if backend.name != "asyncio":
        return
    called = asyncio.Event()
    loop = asyncio.get_running_loop()
    with open_signal_receiver(SIGUSR1):
        loop.add_signal_handler(SIGUSR2, called.set)
    kill(SIGUSR2)
    await called.wait()
    assert loop.remove_signal_handler(SIGUSR2)
    signal.signal(SIGUSR2, SIG_DFL)
