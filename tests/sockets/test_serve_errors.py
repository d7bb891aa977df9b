"""Serving with a hook for the errors of handlers, and what no hook is asked about."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import Any

import pytest
from socket_peers import HOST, listening, port_of, receive_all, until
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import ClosedResourceError, EndOfStream
from penstock.abc import AsyncResource, SocketAttribute, SocketStream


async def fails(stream: SocketStream) -> None:
    await stream.receive()
    raise ZeroDivisionError


@pytest.mark.parametrize("given", [False, True], ids=["own group", "given group"])
async def test_the_hook_takes_the_error_of_one_connection(given: bool) -> None:
    taken = []

    def hook(exc: Exception, stream: SocketStream) -> None:
        taken.append((type(exc), stream.extra(SocketAttribute.remote_address)))

    async with listening() as (listener, port), penstock.create_task_group() as tg:
        group = [tg] if given else []
        tg.start_soon(lambda: listener.serve(fails, *group, on_error=hook))
        for count in range(1, 4):
            with socket.create_connection((HOST, port)) as peer:
                peer.sendall(b"x")
                await until(lambda: len(taken) == count)  # noqa: B023
                assert taken[-1] == (ZeroDivisionError, peer.getsockname())
                assert receive_all(peer, 1) == b""  # the stream was closed
        assert listener.statistics().lost_connections == 0
        tg.cancel_scope.cancel()


async def test_what_the_hook_raises_propagates() -> None:
    def hook(exc: Exception, stream: SocketStream) -> None:
        raise LookupError from exc

    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)) as peer:
            peer.sendall(b"x")
            with pytest.RaisesGroup(LookupError):
                await listener.serve(fails, on_error=hook)
            assert receive_all(peer, 1) == b""


async def test_the_hook_gets_what_is_left_of_a_group() -> None:
    taken: list[Exception] = []

    async def handler(stream: SocketStream) -> None:
        raise ExceptionGroup("both", [EndOfStream(), ZeroDivisionError()])

    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(lambda: listener.serve(handler, on_error=lambda exc, _: taken.append(exc)))
        with socket.create_connection((HOST, port)):
            await until(lambda: taken)
        tg.cancel_scope.cancel()
    assert pytest.RaisesGroup(ZeroDivisionError).matches(taken[0])
    assert listener.statistics().lost_connections == 1


@pytest.mark.parametrize("error", [EndOfStream, penstock.BrokenResourceError])
async def test_the_hook_is_not_asked_about_the_end_of_a_connection(error: type[Exception]) -> None:
    async def handler(stream: SocketStream) -> None:
        raise error

    def hook(exc: Exception, stream: SocketStream) -> None:
        raise AssertionError

    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(lambda: listener.serve(handler, on_error=hook))
        with socket.create_connection((HOST, port)):
            await until(lambda: listener.statistics().lost_connections)
        tg.cancel_scope.cancel()


class Fatal(BaseException):
    pass


@pytest.mark.parametrize(
    "error", [Fatal(), BaseExceptionGroup("group", [Fatal(), ValueError(), EndOfStream()])]
)
async def test_the_hook_is_not_asked_about_what_is_no_exception(error: BaseException) -> None:
    async def handler(stream: SocketStream) -> None:
        raise error

    def hook(exc: Exception, stream: SocketStream) -> None:
        raise AssertionError

    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)) as peer:
            with pytest.raises(BaseExceptionGroup) as caught:
                await listener.serve(handler, on_error=hook)
            assert caught.value.subgroup(Fatal) is not None
            assert caught.value.subgroup(AssertionError) is None
            assert receive_all(peer, 1) == b""


async def test_an_error_on_the_way_out_of_a_cancelled_handler_is_not_lost() -> None:
    """Closing its stream, which comes after it, meets the same cancellation."""
    started = []

    async def handler(stream: SocketStream) -> None:
        started.append(stream)
        try:
            await penstock.sleep_forever()
        finally:
            raise ZeroDivisionError

    async with listening() as (listener, port):
        with socket.create_connection((HOST, port)) as peer:
            with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
                async with penstock.create_task_group() as tg:
                    tg.start_soon(listener.serve, handler)
                    await until(lambda: started)
                    tg.cancel_scope.cancel()
            assert receive_all(peer, 1) == b""


async def test_the_hook_is_not_asked_about_cancellations() -> None:
    started = []

    async def handler(stream: SocketStream) -> None:
        started.append(stream)
        await penstock.sleep_forever()

    def hook(exc: Exception, stream: SocketStream) -> None:
        raise AssertionError

    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(lambda: listener.serve(handler, on_error=hook))
        with socket.create_connection((HOST, port)):
            await until(lambda: started)
            tg.cancel_scope.cancel()
    with pytest.raises(ClosedResourceError):
        await started[0].receive()


@pytest.mark.parametrize("close", [False, True], ids=["left open", "closed"])
async def test_a_handler_that_returns_decides_whether_its_stream_is_closed(close: bool) -> None:
    streams = []

    async def handler(stream: SocketStream) -> None:
        if close:
            await stream.aclose()
        streams.append(stream)

    async with listening() as (listener, port), penstock.create_task_group() as tg:
        tg.start_soon(listener.serve, handler)
        with socket.create_connection((HOST, port)) as peer:
            await until(lambda: streams and not listener.statistics().open_handlers)
            tg.cancel_scope.cancel()
            if not close:
                with penstock.CancelScope(shield=True):
                    peer.sendall(b"still open")
                    assert await streams[0].receive() == b"still open"
                    await streams[0].aclose()
            assert receive_all(peer, 1) == b""


async def async_hook(exc: Exception, stream: SocketStream) -> None: ...


@pytest.mark.parametrize("hook", [5, "hook", async_hook], ids=repr)
async def test_a_hook_that_is_no_plain_function_is_refused(hook: Any) -> None:
    async with await penstock.create_tcp_listener(local_host=HOST) as multi:
        for listener in (multi, multi.listeners[0]):
            with pytest.raises(TypeError, match="on_error must be a plain function"):
                await listener.serve(fails, on_error=hook)


def test_a_handler_whose_loop_was_closed_under_it_goes_without_a_word() -> None:
    kept: list[Any] = []

    class Spawner:
        def start_soon(self, func: Any, /, *args: Any) -> None:
            kept.append(asyncio.get_running_loop().create_task(func(*args)))

    async def handler(stream: SocketStream) -> None:
        kept.append(stream)
        await penstock.sleep_forever()

    async def serve_one() -> None:
        (listener,) = (await penstock.create_tcp_listener(local_host=HOST)).listeners
        kept.append(listener)
        kept.append(asyncio.create_task(listener.serve(handler, Spawner())))
        socket.create_connection((HOST, port_of(listener))).close()
        await until(lambda: len(kept) == 4)

    async def close() -> None:
        for resource in kept:
            if isinstance(resource, AsyncResource):
                await resource.aclose()

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)  # that tasks were pending
    loop.run_until_complete(serve_one())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    asyncio.run(close())
    kept.clear()
    gc.collect()
