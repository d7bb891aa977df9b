"""Several listeners as one, and serving what is no socket."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

import penstock
from penstock import BrokenResourceError, ClosedResourceError
from penstock._sockets.serving import Serving
from penstock.abc import (
    Listener,
    ListenerStatistics,
    TaskSpawner,
    TypedAttributeSet,
    typed_attribute,
)
from penstock.streams.memory import MemoryObjectReceiveStream
from penstock.streams.stapled import MultiListener


class Attributes(TypedAttributeSet):
    name: str = typed_attribute()
    first: int = typed_attribute()


class PlainListener(Listener[Any]):
    """As programs write them for AnyIO: no keywords, no more than it takes."""

    def __init__(self, name: str = "", error: Exception | None = None) -> None:
        self.name = name
        self.error = error
        self.closed = 0
        self.served: list[tuple[Any, Any]] = []

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {Attributes.name: lambda: self.name, self.name: lambda: True}

    async def serve(  # type: ignore[override]
        self, handler: Callable[[Any], Awaitable[Any]], task_group: TaskSpawner | None = None
    ) -> None:
        self.served.append((handler, task_group))
        if self.error is not None:
            raise self.error
        await penstock.sleep_forever()

    async def aclose(self) -> None:
        self.closed += 1
        if self.error is not None:
            raise self.error
        await penstock.lowlevel.checkpoint()


class MemoryListener(Listener[MemoryObjectReceiveStream[Any]]):
    """Accepts what :meth:`connect` was given."""

    def __init__(self) -> None:
        self._queue: deque[Any] = deque()
        self._arrived = penstock.Event()
        self._serving: Serving[Any] | None = None

    def connect(self, stream: Any) -> None:
        self._queue.append(stream)
        self._arrived.set()

    async def accept(self) -> Any:
        while not self._queue:
            self._arrived = penstock.Event()
            await self._arrived.wait()
            await penstock.lowlevel.checkpoint_if_cancelled()
        return self._queue.popleft()

    async def serve(self, handler: Any, task_group: Any = None, **keywords: Any) -> None:
        self._serving = Serving(penstock._backends.current_backend())
        await self._serving.serve(self.accept, handler, task_group, **keywords)

    async def drain(self, deadline: float) -> int:
        assert self._serving is not None
        return await self._serving.drain(self.aclose, deadline)

    def statistics(self) -> ListenerStatistics:
        assert self._serving is not None
        return ListenerStatistics(open_handlers=self._serving.open_handlers)

    async def aclose(self) -> None:
        if self._serving is not None:
            self._serving.stop()


def connection() -> tuple[Any, Any]:
    return penstock.create_memory_object_stream[Any](math.inf)


# -- one of several ------------------------------------------------------------------------


def test_the_listeners_of_a_multi_listener_are_moved_into_the_new_one() -> None:
    first, second, third = PlainListener(), PlainListener(), PlainListener()
    inner = MultiListener([first, second])
    outer = MultiListener([inner, third])
    assert outer.listeners == [first, second, third]
    assert inner.listeners == []


def test_the_last_listener_that_has_an_attribute_gives_it() -> None:
    multi = MultiListener([PlainListener("one"), PlainListener("two")])
    assert multi.extra(Attributes.name) == "two"
    assert multi.extra("one") is True  # type: ignore[comparison-overlap]
    with pytest.raises(penstock.TypedAttributeLookupError):
        multi.extra(Attributes.first)


async def test_every_listener_serves_in_the_same_group() -> None:
    listeners = [PlainListener(), PlainListener()]

    async def handler(stream: Any) -> None: ...

    async with penstock.create_task_group() as tg, penstock.create_task_group() as handlers:
        tg.start_soon(MultiListener(listeners).serve, handler, handlers)
        await penstock.wait_all_tasks_blocked()
        assert [listener.served for listener in listeners] == [[(handler, handlers)]] * 2
        tg.cancel_scope.cancel()


async def test_listeners_that_know_no_limits_say_so() -> None:
    async def handler(stream: Any) -> None: ...

    with pytest.RaisesGroup(TypeError, flatten_subgroups=True):
        await MultiListener([PlainListener()]).serve(handler, max_connections=3)
    with pytest.RaisesGroup(pytest.RaisesExc(NotImplementedError, match="PlainListener")):
        await MultiListener([PlainListener()]).drain(0)
    with pytest.raises(NotImplementedError, match="PlainListener"):
        MultiListener([PlainListener()]).statistics()


@pytest.mark.parametrize("given", [False, True], ids=["own group", "given group"])
@pytest.mark.parametrize("error", [BrokenResourceError(), ClosedResourceError()], ids=repr)
async def test_the_end_of_one_listener_ends_serving_with_its_own_exception(
    error: Exception, given: bool
) -> None:
    async def handler(stream: Any) -> None: ...

    multi = MultiListener([PlainListener(), PlainListener(error=error), PlainListener()])
    async with penstock.create_task_group() as tg:
        with pytest.raises(type(error)) as caught:
            await multi.serve(handler, *([tg] if given else []))
        assert caught.value is error


async def test_aclose_closes_every_listener_whatever_fails() -> None:
    errors = [None, OSError("first"), None, OSError("second"), None]
    listeners = [PlainListener(error=error) for error in errors]
    with pytest.raises(OSError, match="second"):
        await MultiListener(listeners).aclose()
    assert [listener.closed for listener in listeners] == [1] * 5


async def test_a_cancelled_aclose_closes_every_listener() -> None:
    listeners = [PlainListener() for _ in range(3)]
    with penstock.CancelScope() as scope:
        scope.cancel()
        await MultiListener(listeners).aclose()
    assert scope.cancelled_caught
    assert [listener.closed for listener in listeners] == [1] * 3


async def test_no_listener_at_all_is_served_drained_and_closed_at_once() -> None:
    async def handler(stream: Any) -> None: ...

    multi: MultiListener[Any] = MultiListener([])
    await multi.serve(handler)
    assert await multi.drain(math.inf) == 0
    assert multi.statistics() == ListenerStatistics()
    await multi.aclose()


# -- what is no socket ---------------------------------------------------------------------


async def test_a_limit_holds_for_listeners_of_different_kinds_together() -> None:
    running = most = ended = 0

    async def handler(stream: MemoryObjectReceiveStream[Any]) -> None:
        nonlocal running, most, ended
        running += 1
        most = max(most, running)
        async with stream:
            async for _ in stream:
                pass
        running -= 1
        ended += 1

    listeners = [MemoryListener() for _ in range(3)]
    multi = MultiListener([MultiListener(listeners[:2]), listeners[2]])
    async with multi, penstock.create_task_group() as tg:
        tg.start_soon(lambda: multi.serve(handler, max_connections=2))
        clients = []
        for number in range(60):
            client, server = connection()
            listeners[number % 3].connect(server)
            clients.append(client)
        while ended < 60:
            await penstock.wait_all_tasks_blocked()
            assert running == min(2, 60 - ended)
            for client in clients:  # those that are served end
                if client.statistics().tasks_waiting_receive:
                    client.close()
        assert most == 2
        tg.cancel_scope.cancel()


async def test_a_drain_cancels_and_closes_what_is_no_socket() -> None:
    async def handler(stream: MemoryObjectReceiveStream[Any]) -> None:
        await penstock.sleep_forever()

    listener = MemoryListener()
    async with listener, penstock.create_task_group() as tg:
        tg.start_soon(listener.serve, handler)
        client, server = connection()
        listener.connect(server)
        await penstock.wait_all_tasks_blocked()
        assert await listener.drain(penstock.current_time()) == 1
        with pytest.raises(BrokenResourceError):
            client.send_nowait(1)
        client.close()
