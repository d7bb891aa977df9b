"""Running an event loop, sleeping, and asking it things."""

import asyncio
import os
import signal
from typing import Any

import pytest

import penstock
from penstock.lowlevel import ready_budget, set_ready_budget


def test_run_returns_what_the_function_returns(backend: Any) -> None:
    async def add(first: int, second: int) -> int:
        return first + second

    assert backend.run(add, 1, 2) == 3


def test_run_raises_what_the_function_raises(backend: Any) -> None:
    async def main() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        backend.run(main)


async def test_run_inside_a_running_loop_raises() -> None:
    with pytest.raises(RuntimeError, match=r"Already running (asyncio|trio) in this thread"):
        penstock.run(penstock.sleep, 0)


def test_run_on_an_unknown_backend_names_the_known_ones() -> None:
    with pytest.raises(LookupError, match=r"'curio'.*asyncio, trio"):
        penstock.run(penstock.sleep, 0, backend="curio")


def test_run_with_unknown_asyncio_options_names_them() -> None:
    with pytest.raises(TypeError, match="use_uvlop"):
        penstock.run(penstock.sleep, 0, backend_options={"use_uvlop": True})


def test_run_takes_one_way_of_making_the_loop() -> None:
    options = {"use_uvloop": True, "loop_factory": asyncio.new_event_loop}
    with pytest.raises(ValueError, match="use_uvloop and loop_factory"):
        penstock.run(penstock.sleep, 0, backend_options=options)


def test_run_takes_the_options_of_asyncio() -> None:
    async def main() -> tuple[bool, str]:
        loop = asyncio.get_running_loop()
        return loop.get_debug(), type(loop).__module__

    assert penstock.run(main, backend_options={"debug": True})[0]
    assert penstock.run(main, backend_options={"use_uvloop": True})[1].startswith("uvloop")


def test_run_takes_the_options_of_trio() -> None:
    import trio.testing

    clock = trio.testing.MockClock(autojump_threshold=0)
    penstock.run(penstock.sleep, 3600, backend="trio", backend_options={"clock": clock})


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_the_run_with_keyboard_interrupt(backend: Any) -> None:
    ended = []

    async def main() -> None:
        try:
            async with penstock.create_task_group() as tg:
                tg.start_soon(penstock.sleep_forever)
                os.kill(os.getpid(), signal.SIGINT)
                await penstock.sleep_forever()
        finally:
            ended.append(1)

    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)) as raised:
        backend.run(main)
    # Trio puts it into a group where a nursery is in the way, as trio.run does.
    error: BaseException = raised.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, KeyboardInterrupt)
    assert ended == [1]


def test_functions_need_an_event_loop() -> None:
    for func in (
        penstock.current_time,
        penstock.current_effective_deadline,
        penstock.get_cancelled_exc_class,
        penstock.CancelScope,
        lambda: penstock.move_on_after(1),
        lambda: penstock.move_on_at(1),
        lambda: penstock.fail_after(1),
        lambda: penstock.fail_at(1),
        penstock.create_task_group,
    ):
        with pytest.raises(penstock.NoEventLoopError):
            func()


def test_run_of_what_cannot_be_awaited_is_a_type_error(backend: Any) -> None:
    called = []
    for wrong in (lambda: called.append(1), 5, "main", None):
        with pytest.raises(TypeError):
            backend.run(wrong)
    assert called == [1]


def test_run_with_the_wrong_arguments_is_a_type_error(backend: Any) -> None:
    async def main(argument: int) -> None:
        raise AssertionError

    with pytest.raises(TypeError, match="argument"):
        backend.run(main)


def test_run_on_an_unknown_backend_starts_with_the_words_of_anyio() -> None:
    for name in ("curio", "", "asyncio+uvloop"):
        with pytest.raises(LookupError, match=r"^No such backend: "):
            penstock.run(penstock.sleep, 0, backend=name)


def test_run_can_be_called_again_after_it_has_failed(backend: Any) -> None:
    async def fail() -> None:
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            backend.run(fail)


def test_backends_are_listed() -> None:
    assert penstock.get_all_backends() == ("asyncio", "trio")
    assert set(penstock.get_available_backends()) <= {"asyncio", "trio"}


def test_cancelled_exception_is_the_backends_own(backend: Any) -> None:
    async def main() -> type[BaseException]:
        return penstock.get_cancelled_exc_class()

    assert backend.run(main).__module__.partition(".")[0] in ("asyncio", "trio")


async def test_sleep_takes_its_time() -> None:
    start = penstock.current_time()
    await penstock.sleep(0.02)
    assert 0.018 < penstock.current_time() - start < 5


@pytest.mark.parametrize("delay", [-0.5, float("nan")])
async def test_sleep_refuses_what_is_no_span_of_time(delay: float) -> None:
    with pytest.raises(ValueError, match=f"delay must be a non-negative number, not {delay}"):
        await penstock.sleep(delay)


async def test_sleep_until_sleeps_until_then() -> None:
    deadline = penstock.current_time() + 0.02
    await penstock.sleep_until(deadline)
    assert penstock.current_time() > deadline - 0.002
    await penstock.sleep_until(deadline)


async def test_sleep_forever_ends_by_cancellation() -> None:
    with penstock.move_on_after(0.001) as scope:
        await penstock.sleep_forever()
    assert scope.cancelled_caught


async def test_wait_all_tasks_blocked_waits_for_busy_tasks() -> None:
    steps = []

    async def busy() -> None:
        for step in range(20):
            await penstock.sleep(0)
            steps.append(step)
        await penstock.sleep_forever()

    async with penstock.create_task_group() as tg:
        tg.start_soon(busy)
        tg.start_soon(penstock.sleep_forever)
        await penstock.wait_all_tasks_blocked()
        assert len(steps) == 20
        tg.cancel_scope.cancel()


async def test_wait_all_tasks_blocked_in_two_tasks_at_once_ends() -> None:
    async with penstock.create_task_group() as tg:
        tg.start_soon(penstock.wait_all_tasks_blocked)
        tg.start_soon(penstock.wait_all_tasks_blocked)
        await penstock.wait_all_tasks_blocked()


async def test_wait_all_tasks_blocked_is_cancelled_while_others_are_busy() -> None:
    async def busy() -> None:
        while True:
            await penstock.sleep(0)

    async with penstock.create_task_group() as tg:
        tg.start_soon(busy)
        with penstock.move_on_after(0.01) as scope:
            await penstock.wait_all_tasks_blocked()
        assert scope.cancelled_caught
        tg.cancel_scope.cancel()


async def test_ready_budget_is_set_for_the_running_loop() -> None:
    assert ready_budget() == 256
    set_ready_budget(1)
    assert ready_budget() == 1


async def test_ready_budget_is_checked() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        set_ready_budget(0)
    with pytest.raises(TypeError, match="'many'"):
        set_ready_budget("many")  # type: ignore[arg-type]
    assert ready_budget() == 256


def test_ready_budget_of_one_loop_is_not_that_of_the_next(backend: Any) -> None:
    async def change() -> None:
        set_ready_budget(7)

    async def read() -> int:
        return ready_budget()

    backend.run(change)
    assert backend.run(read) == 256


def test_backend_object_is_closed_with_its_loop(backend: Any) -> None:
    from penstock._backends import current_backend

    closed = []

    async def main() -> Any:
        backend = current_backend()
        assert backend is current_backend()
        backend.on_close(lambda: closed.append(1))
        return backend

    ended = backend.run(main)
    assert closed == [1]
    assert ended.budget.retired
    assert not ended.is_current()
