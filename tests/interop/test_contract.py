"""What code written for AnyIO, asyncio or Trio expects of anything that it meets in its streams.

Beside exceptions, contracts and keys by their names, which are in test_anyio_names.py.
"""

from __future__ import annotations

import asyncio
import inspect
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from types import CoroutineType
from typing import Any

import anyio
import anyio.streams.tls
import pytest
from interop_peers import tcp_pair
from tls_peers import client_context, server_context

import penstock
from penstock.abc import SocketAttribute
from penstock.streams.buffered import BufferedByteStream
from penstock.streams.stapled import StapledByteStream
from penstock.streams.tls import TLSAttribute, TLSListener, TLSStream


def run_program(program: str, *arguments: str) -> None:
    """Run it in a process of its own, where nothing is imported yet."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments]
    subprocess.run(command, check=True)


# -- what is called anyio ------------------------------------------------------------------

#: An event loop is met, and an error is raised: then what is called anyio is looked at.
USE_STREAMS = """
import penstock

async def main():
    send, receive = penstock.create_memory_object_stream[int](1)
    with send, receive:
        try:
            receive.receive_nowait()
        except caught_as.WouldBlock as exc:
            assert isinstance(exc, penstock.WouldBlock)
        else:
            raise AssertionError("there was an item")

penstock.run(main)
"""


@pytest.mark.parametrize(
    "beforehand",
    [
        pytest.param("sys.modules['anyio'] = None", id="import forbidden"),
        pytest.param("sys.modules['anyio'] = penstock", id="penstock itself"),
        pytest.param("sys.modules['anyio'] = types.ModuleType('anyio')", id="another module"),
    ],
)
def test_what_is_loaded_as_anyio_need_not_be_anyio(beforehand: str) -> None:
    run_program(f"import sys, types, penstock as caught_as, penstock\n{beforehand}\n{USE_STREAMS}")


def test_older_anyio_has_fewer_contracts() -> None:
    beforehand = """
import anyio as caught_as, anyio.abc
for name in "__getattr__", "ByteStreamConnectable":  # which may be there, or come by the other
    vars(anyio.abc).pop(name, None)
"""
    run_program(f"{beforehand}{USE_STREAMS}")


# -- exceptions ----------------------------------------------------------------------------


def test_group_of_exceptions_arrives_in_a_process_without_anyio() -> None:
    exceptions = [
        penstock.BusyResourceError("reading from"),
        penstock.ConnectionFailed("refused"),
        penstock.DelimiterNotFound(5),
        penstock.EndOfStream(),
        penstock.IncompleteRead(),
    ]
    for exc in exceptions:
        assert isinstance(exc, getattr(anyio, type(exc).__name__))
    program = """
        import pickle, sys
        group = pickle.loads(bytes.fromhex(sys.argv[1]))
        assert not {"anyio", "trio"} & sys.modules.keys()
        import penstock
        for exc, (name, text) in zip(group.exceptions, zip(sys.argv[2::2], sys.argv[3::2])):
            assert type(exc) is getattr(penstock, name)
            assert str(exc) == text
    """
    expected = [word for exc in exceptions for word in (type(exc).__name__, str(exc))]
    run_program(program, pickle.dumps(ExceptionGroup("several", exceptions)).hex(), *expected)


def test_serving_and_connecting_import_no_other_library() -> None:
    """On asyncio; Trio is there because it runs, and then AnyIO is not."""
    program = """
        import sys
        import penstock
        from penstock.abc import SocketAttribute
        from penstock.streams.tls import TLSStream

        async def echo(stream):
            await stream.send(await stream.receive())

        async def main():
            listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
            async with listener, penstock.create_task_group() as tasks:
                tasks.start_soon(listener.serve, echo)
                port = listener.extra(SocketAttribute.local_port)
                async with await penstock.connect_tcp("localhost", port) as stream:
                    await stream.send(b"x")
                    assert await stream.receive() == b"x"
                    try:
                        await stream.receive()
                    except penstock.EndOfStream:
                        pass
                tasks.cancel_scope.cancel()

        penstock.run(main, backend=sys.argv[1])
        loaded = {"anyio", "trio", "uvloop"} & sys.modules.keys()
        assert loaded == ({"trio"} if sys.argv[1] == "trio" else set()), loaded
    """
    run_program(program, "asyncio")
    run_program(program, "trio")


# -- typed attributes ------------------------------------------------------------------------


def keys_in_both(ours: type, theirs: type) -> list[str]:
    return [name for name in vars(theirs) if not name.startswith("_") and hasattr(ours, name)]


async def test_every_key_of_anyios_is_answered_through_tls() -> None:
    async with tcp_pair() as (one, other):
        contexts = {"ssl_context": server_context(), "server_side": True}
        async with penstock.create_task_group() as tasks:
            server = tasks.start_soon(lambda: TLSStream.wrap(other, **contexts))
            client = await TLSStream.wrap(
                one, hostname="localhost", ssl_context=client_context(), server_side=False
            )
        for stream in (client, server.return_value):
            for ours, theirs in (
                (SocketAttribute, anyio.abc.SocketAttribute),
                (TLSAttribute, anyio.streams.tls.TLSAttribute),
            ):
                names = keys_in_both(ours, theirs)
                assert len(names) >= 6
                for name in names:
                    if name == "channel_binding_tls_unique":
                        continue  # of TLS 1.2
                    assert stream.extra(getattr(theirs, name)) == stream.extra(getattr(ours, name))
            await penstock.aclose_forcefully(stream)


# -- closing ---------------------------------------------------------------------------------


async def a_tcp_stream(tmp_path: Path) -> tuple[Any, list[Any]]:
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
    async with listener:
        port = listener.extra(SocketAttribute.local_port)
        stream = await penstock.connect_tcp("127.0.0.1", port)
    return stream, [stream.extra(SocketAttribute.raw_socket)]


async def a_buffered_stream(tmp_path: Path) -> tuple[Any, list[Any]]:
    stream, sockets = await a_tcp_stream(tmp_path)
    return BufferedByteStream(stream), sockets


async def a_stapled_stream(tmp_path: Path) -> tuple[Any, list[Any]]:
    one, sockets = await a_tcp_stream(tmp_path)
    other, more = await a_tcp_stream(tmp_path)
    return StapledByteStream(one, other), sockets + more


async def a_listener(tmp_path: Path) -> tuple[Any, list[Any]]:
    listener = await penstock.create_tcp_listener(local_host="localhost")
    return listener, [part.extra(SocketAttribute.raw_socket) for part in listener.listeners]


async def a_tls_listener(tmp_path: Path) -> tuple[Any, list[Any]]:
    listener, sockets = await a_listener(tmp_path)
    return TLSListener(listener, server_context()), sockets


async def a_unix_listener(tmp_path: Path) -> tuple[Any, list[Any]]:
    listener = await penstock.create_unix_listener(tmp_path / "socket")
    return listener, [listener.extra(SocketAttribute.raw_socket)]


async def a_udp_socket(tmp_path: Path) -> tuple[Any, list[Any]]:
    sock = await penstock.create_udp_socket(local_host="127.0.0.1")
    return sock, [sock.extra(SocketAttribute.raw_socket)]


async def a_unix_datagram_socket(tmp_path: Path) -> tuple[Any, list[Any]]:
    sock = await penstock.create_unix_datagram_socket(local_path=tmp_path / "socket")
    return sock, [sock.extra(SocketAttribute.raw_socket)]


RESOURCES = [
    a_tcp_stream,
    a_buffered_stream,
    a_stapled_stream,
    a_listener,
    a_tls_listener,
    a_unix_listener,
    a_udp_socket,
    a_unix_datagram_socket,
]


@pytest.mark.parametrize("make", RESOURCES, ids=lambda make: make.__name__)
async def test_closing_in_a_cancelled_scope_of_anyios_closes(make: Any, tmp_path: Path) -> None:
    """AnyIO cancels every wait in such a scope, so what is not done before one is not done."""
    resource, sockets = await make(tmp_path)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await resource.aclose()
    assert [sock.fileno() for sock in sockets] == [-1] * len(sockets)


# -- task groups -----------------------------------------------------------------------------


class StartSoon:
    """asyncio's own task group as what ``serve`` takes: it has ``create_task`` alone."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.group = group

    def start_soon(self, func: Any, /, *args: Any) -> None:
        self.group.create_task(func(*args))


@pytest.mark.parametrize("make", [a_listener, a_tls_listener])
def test_handlers_run_in_a_task_group_of_asyncios(asyncio_backend: Any, make: Any) -> None:
    handled = []

    async def main() -> None:
        listener, sockets = await make(Path())
        received = asyncio.Event()

        async def handle(stream: Any) -> None:
            async with stream:
                handled.append(await stream.receive())
                received.set()

        async with listener, asyncio.TaskGroup() as group:
            serving = group.create_task(listener.serve(handle, StartSoon(group)))
            tls = {"ssl_context": client_context(), "tls_hostname": "localhost"}
            stream = await penstock.connect_tcp(
                *sockets[0].getsockname()[:2], **(tls if make is a_tls_listener else {})
            )
            async with stream:
                await stream.send(b"x")
                await received.wait()
            serving.cancel()

    asyncio_backend.run(main)
    assert handled == [b"x"]


# -- coroutines ------------------------------------------------------------------------------


async def test_coroutines_are_pythons_own_whichever_twin_runs(tmp_path: Path) -> None:
    """Compiled ones are not what ``inspect.iscoroutine`` and ``types.coroutine`` know."""
    stream, _ = await a_buffered_stream(tmp_path)
    send, receive = penstock.create_memory_object_stream[int](1)
    calls = [
        stream.receive(1),
        stream.receive_exactly(1),
        stream.receive_until(b"\n", 1),
        stream.send(b"x"),
        send.send(1),
        receive.receive(),
        penstock.sleep(0),
        penstock.Lock().acquire(),
        penstock.connect_tcp("localhost", 1),
    ]
    for call in calls:
        assert inspect.iscoroutine(call)
        assert type(call) is CoroutineType
        call.close()
    await stream.aclose()
    send.close()
    receive.close()
