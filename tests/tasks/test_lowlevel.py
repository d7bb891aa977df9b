"""Checkpoints, tokens of event loops, and variables that belong to a run of one."""

from __future__ import annotations

import asyncio
import gc
from typing import Any
from weakref import ref

import pytest
import trio

import penstock
from penstock import lowlevel
from penstock.lowlevel import EventLoopToken, RunVar, checkpoint, current_token


async def test_checkpoint_lets_others_run_and_raises_a_cancellation() -> None:
    ran = []

    async def other() -> None:
        ran.append(1)

    async with penstock.create_task_group() as tg:
        tg.start_soon(other)
        for _ in range(2):  # Trio lets them run in any order
            await checkpoint()
        assert ran == [1]
    with penstock.CancelScope() as scope:
        scope.cancel()
        await checkpoint()
    assert scope.cancelled_caught


async def test_checkpoint_if_cancelled_raises_a_cancellation_and_else_does_not_yield() -> None:
    ran = []

    async def other() -> None:
        await checkpoint()
        ran.append(1)

    async with penstock.create_task_group() as tg:
        tg.start_soon(other)
        await lowlevel.checkpoint_if_cancelled()
        assert ran == []
    with penstock.CancelScope() as scope:
        scope.cancel()
        await lowlevel.checkpoint_if_cancelled()
    assert scope.cancelled_caught


async def test_shielded_checkpoint_lets_others_run_and_raises_nothing() -> None:
    ran = []

    async def other() -> None:
        ran.append(1)

    async with penstock.create_task_group() as tg:
        with penstock.CancelScope() as scope:
            tg.start_soon(other)
            scope.cancel()
            for _ in range(2):
                await lowlevel.cancel_shielded_checkpoint()
            assert ran == [1]
    assert not scope.cancelled_caught


async def test_token_names_the_backend_and_its_loop(backend: Any) -> None:
    token = current_token()
    assert token.backend == backend.name
    native = (
        asyncio.get_running_loop()
        if backend.name == "asyncio"
        else trio.lowlevel.current_trio_token()
    )
    assert token.native_token is native


async def test_tokens_of_one_loop_are_equal_in_every_task() -> None:
    tokens = []

    async def look() -> None:
        tokens.append(current_token())

    async with penstock.create_task_group() as tg:
        tg.start_soon(look)
        tg.start_soon(look)
    assert set(tokens) == {current_token()}


def test_tokens_of_different_loops_differ(backend: Any) -> None:
    async def token() -> EventLoopToken:
        return current_token()

    first = backend.run(token)
    assert first != backend.run(token)
    assert {first: 1}[first] == 1


@pytest.mark.parametrize(
    "call", [current_token, RunVar("variable").get, lambda: RunVar[int]("variable").set(1)]
)
def test_token_and_variables_need_a_running_loop(call: Any) -> None:
    with pytest.raises(penstock.NoEventLoopError):
        call()


async def test_variable_without_a_value_has_its_default_or_none() -> None:
    empty: RunVar[int] = RunVar("empty")
    with pytest.raises(LookupError, match='Run variable "empty" has no value and no default set'):
        empty.get()
    assert empty.get(3) == 3
    assert empty.get(None) is None
    with_default = RunVar("with default", 5)
    assert with_default.get() == 5
    assert with_default.get(6) == 6
    assert RunVar[int | None]("none", None).get() is None


async def test_variable_has_its_value_in_every_task_of_the_loop() -> None:
    variable = RunVar("variable", 1)
    seen = []

    async def look() -> None:
        seen.append(variable.get(7))
        variable.set(3)

    variable.set(2)
    async with penstock.create_task_group() as tg:
        tg.start_soon(look)
    assert seen == [2]
    assert variable.get() == 3


def test_value_ends_with_its_loop(backend: Any) -> None:
    variable = RunVar("variable", 1)

    async def main() -> None:
        assert variable.get() == 1
        variable.set(2)
        assert variable.get() == 2

    backend.run(main)
    backend.run(main)


def test_value_is_not_kept_alive_after_its_loop(backend: Any) -> None:
    class Value:
        pass

    variable: RunVar[Value] = RunVar("variable")

    async def main() -> ref[Value]:
        value = Value()
        variable.set(value)
        return ref(value)

    value = backend.run(main)
    gc.collect()
    assert value() is None


async def test_reset_brings_back_what_was_before() -> None:
    variable: RunVar[int] = RunVar("variable")
    first = variable.set(1)
    second = variable.set(2)
    variable.reset(second)
    assert variable.get() == 1
    variable.reset(first)
    with pytest.raises(LookupError):
        variable.get()


async def test_reset_twice_or_with_the_token_of_another_variable_is_an_error() -> None:
    variable, other = RunVar("variable", 0), RunVar("other", 0)
    token = variable.set(1)
    with pytest.raises(ValueError, match="This token does not belong to this RunVar"):
        other.reset(token)
    variable.reset(token)
    variable.set(2)
    with pytest.raises(ValueError, match="This token has already been used"):
        variable.reset(token)
    assert variable.get() == 2


async def test_token_resets_its_variable_on_exit() -> None:
    variable = RunVar("variable", 0)
    with pytest.raises(ZeroDivisionError), variable.set(1) as token:
        assert variable.get() == 1
        assert isinstance(token, lowlevel.RunvarToken)
        raise ZeroDivisionError
    assert variable.get() == 0


def test_reset_without_a_loop_does_not_use_the_token_up(backend: Any) -> None:
    variable = RunVar("variable", 0)

    async def main() -> None:
        token = variable.set(1)

        def reset_elsewhere() -> None:
            with pytest.raises(penstock.NoEventLoopError):
                variable.reset(token)

        await penstock.to_thread.run_sync(reset_elsewhere)
        variable.reset(token)
        assert variable.get() == 0

    backend.run(main)


def test_variable_shows_its_name() -> None:
    assert repr(RunVar("mine")) == "<RunVar name='mine'>"
