"""The checks of listeners: each catches a listener that is broken in its way."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from broken_streams import all_but, base_names

import penstock
from penstock import ClosedResourceError, get_cancelled_exc_class
from penstock.abc import AsyncResource, Listener, SocketAttribute
from penstock.testing import _check_listeners as tables
from penstock.testing import check_listener

BROKEN: dict[str, Any] = {}


class Wrapped(Listener[Any]):
    """A listener that passes everything on to a correct one."""

    def __init__(self, listener: Any) -> None:
        self.listener = listener

    async def serve(self, handler: Any, task_group: Any = None, **keywords: Any) -> None:
        await self.listener.serve(handler, task_group, **keywords)

    async def aclose(self) -> None:
        await self.listener.aclose()


def caught(cls: type) -> type:
    """Enter a listener under the name of the check that is to catch it, its docstring."""
    name = (cls.__doc__ or "").strip()
    assert name not in BROKEN, name
    BROKEN[name] = cls
    return cls


@caught
class OfNoKnownKind(AsyncResource):
    """is_a_listener"""

    def __init__(self, listener: Any) -> None:
        self.aclose = listener.aclose

    async def aclose(self) -> None:
        raise NotImplementedError


@caught
class DropsEverySecond(Wrapped):
    """every_connection_gets_a_handler"""

    count = 0

    async def serve(self, handler: Any, task_group: Any = None, **keywords: Any) -> None:
        async def handle(stream: Any) -> None:
            self.count += 1
            await (handler(stream) if self.count % 2 else stream.aclose())

        await self.listener.serve(handle, task_group, **keywords)


@caught
class KeepsItsHandlers(Wrapped):
    """handlers_run_in_the_group_that_was_given"""

    async def serve(self, handler: Any, task_group: Any = None, **keywords: Any) -> None:
        await self.listener.serve(handler, **keywords)


@caught
class LetsServersQueue(Wrapped):
    """second_serve_is_busy"""

    def __init__(self, listener: Any) -> None:
        super().__init__(listener)
        self.lock = penstock.Lock()

    async def serve(self, handler: Any, task_group: Any = None, **keywords: Any) -> None:
        async with self.lock:
            await self.listener.serve(handler, task_group, **keywords)


@caught
class ReturnsWhenCancelled(Wrapped):
    """pending_cancellation_is_noticed_by_serve"""

    async def serve(self, handler: Any, task_group: Any = None, **keywords: Any) -> None:
        try:
            await super().serve(handler, task_group, **keywords)
        except get_cancelled_exc_class():
            pass


@caught
class ClosesWhenCancelled(Wrapped):
    """cancelled_serve_can_serve_again"""

    async def serve(self, handler: Any, task_group: Any = None, **keywords: Any) -> None:
        try:
            await super().serve(handler, task_group, **keywords)
        finally:
            await self.aclose()


@caught
class ReturnsWhenClosed(Wrapped):
    """close_ends_serve"""

    async def serve(self, handler: Any, task_group: Any = None, **keywords: Any) -> None:
        try:
            await super().serve(handler, task_group, **keywords)
        except ClosedResourceError:
            pass


@caught
class EndsWithAConnection(Wrapped):
    """handler_may_lose_its_connection"""

    async def serve(self, handler: Any, task_group: Any = None, **keywords: Any) -> None:
        async def handle(stream: Any) -> None:
            try:
                await handler(stream)
            except Exception as exc:
                raise RuntimeError from exc

        await self.listener.serve(handle, task_group, **keywords)


@caught
class SwallowsErrors(Wrapped):
    """other_errors_of_handlers_propagate"""

    async def serve(self, handler: Any, task_group: Any = None, **keywords: Any) -> None:
        keywords["on_error"] = lambda exc, stream: None
        await self.listener.serve(handler, task_group, **keywords)


@caught
class ForgetsOnError(Wrapped):
    """on_error_takes_errors_of_handlers"""

    async def serve(self, handler: Any, task_group: Any = None, **keywords: Any) -> None:
        await self.listener.serve(handler, task_group)


@caught
class ForgetsTheBound(Wrapped):
    """max_connections_is_a_bound"""

    async def serve(self, handler: Any, task_group: Any = None, **keywords: Any) -> None:
        await self.listener.serve(handler, task_group)


def wrapped_in(cls: Any) -> Any:
    async def maker() -> Any:
        listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(SocketAttribute.local_port)
        return cls(listener), partial(penstock.connect_tcp, "127.0.0.1", port)

    return maker


async def test_correct_listener_passes() -> None:
    await check_listener(wrapped_in(Wrapped))


def test_every_check_has_a_listener_to_catch() -> None:
    assert base_names(tables.LISTENERS) == set(BROKEN)


@pytest.mark.parametrize("name", BROKEN)
async def test_broken_listener_is_caught_by_the_check_for_it(name: str) -> None:
    with pytest.raises(AssertionError, match=rf"^{name}[ \[]"):
        await check_listener(
            wrapped_in(BROKEN[name]), without=all_but(name, tables.LISTENERS), timeout=0.3
        )
