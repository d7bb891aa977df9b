"""The examples in the docstrings run, as they stand there."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import socket as stdlib
from collections.abc import Awaitable, Callable
from typing import Any

from low_peers import HOST, every_descriptor_is_closed  # noqa: F401

import penstock
from penstock import create_task_group, socket

#: A name that the text around it makes known, and what it stands for there.
KNOWN = {
    "Awaitable": Awaitable,
    "Callable": Callable,
    "create_task_group": create_task_group,
    "socket": socket,
}


def example_of(documented: Any) -> Any:
    """Return the one function that a docstring shows."""
    _, _, behind = inspect.getdoc(documented).partition("Example::\n\n")  # type: ignore[union-attr]
    code = re.match(r"(?:    .*\n|\n)+", behind)
    assert code is not None
    names: dict[str, Any] = {}
    exec(inspect.cleandoc("\n" + code[0]), dict(KNOWN), names)
    (function,) = names.values()
    return function


async def test_connections_are_accepted_and_addresses_resolved() -> None:
    serve = example_of(socket.SocketType.accept)
    bind = example_of(socket.SocketType.resolve_local_address)
    connect = example_of(socket.SocketType.resolve_remote_address)

    async def echo(connection: socket.SocketType) -> None:
        with connection:
            await connection.sendall(await connection.recv(100))

    with socket.socket() as listening, socket.socket() as client:
        await bind(listening)
        listening.listen()
        async with create_task_group() as tasks:
            tasks.start_soon(serve, listening, echo)
            host, port = listening.getsockname()
            await connect(client, "localhost", port)
            await client.sendall(b"hello")
            assert (host, await client.recv(100)) == (HOST, b"hello")
            tasks.cancel_scope.cancel()


async def test_a_question_is_answered() -> None:
    ask = example_of(socket.socket)

    async def answer() -> None:
        question, address = await server.recvfrom(100)
        await server.sendto(question.upper(), address)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((HOST, 0))
        async with create_task_group() as tasks:
            tasks.start_soon(answer)
            assert await ask(server.getsockname(), b"who") == b"WHO"


async def test_names_and_addresses_are_found() -> None:
    assert await example_of(socket.getaddrinfo)("localhost") != []
    known = stdlib.getnameinfo((HOST, 22), stdlib.NI_NUMERICHOST)[1]  # "ssh", as a rule
    assert await example_of(socket.getnameinfo)(22) == known


def test_no_other_docstring_shows_a_program() -> None:
    modules = [penstock]
    modules += [
        importlib.import_module(info.name)
        for info in pkgutil.walk_packages(penstock.__path__, "penstock.")
        if not info.name.endswith("__main__")
        and not info.name.startswith("penstock._compiled")  # not built everywhere
    ]
    found = re.compile(r"::$|^ *>>> ", re.MULTILINE)
    objects = {id(value): value for module in modules for value in vars(module).values()}
    objects |= {
        id(member): member
        for value in list(objects.values())
        if inspect.isclass(value)
        for member in vars(value).values()
    }
    shown = {
        value.__qualname__
        for value in objects.values()
        if (getattr(value, "__module__", None) or "").startswith("penstock")
        and hasattr(value, "__qualname__")
        and found.search(value.__doc__ or "")
    }
    assert shown == {
        "SocketType.accept",
        "SocketType.resolve_local_address",
        "SocketType.resolve_remote_address",
        "getaddrinfo",
        "getnameinfo",
        "socket",
    }
