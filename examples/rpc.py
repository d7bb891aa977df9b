"""Remote procedure calls in JSON frames: many at once on one connection, cancelled if not wanted.

    python examples/rpc.py serve --port 9000 &    # and: --backend uvloop, --backend trio
    python examples/rpc.py call --port 9000 add 1 2
    python examples/rpc.py call --port 9000 divide 1 0     # an error comes back
    python examples/rpc.py call --port 9000 sleep 60 --timeout 1   # and so does the server stop

A frame is four bytes of length, most significant first, and that many bytes of JSON:

    {"id": 1, "call": "add", "arguments": [1, 2]}     the client calls
    {"id": 1, "cancel": true}                         the client has lost interest
    {"id": 1, "result": 3}                            the server answers, in any order,
    {"id": 1, "error": "what went wrong"}             once for each call that was not cancelled
"""

import argparse
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from typing import Any

import penstock
from penstock.abc import ByteStream, SocketAttribute
from penstock.streams.framed import FramedStream, LengthPrefixed
from penstock.streams.memory import MemoryObjectSendStream

MAX_FRAME = 1 << 20  # bytes
MAX_CALLS = 100  # at once on one connection


class RemoteError(Exception):
    """The function has failed, at the other end."""


class Messages:
    """JSON over frames.  Any number of tasks may send; a cancelled send leaves the frames whole."""

    def __init__(self, stream: ByteStream) -> None:
        self.frames = FramedStream(stream, LengthPrefixed(4), max_frame_size=MAX_FRAME)
        self.sending = penstock.Lock()

    async def send(self, **message: Any) -> None:
        data = json.dumps(message).encode()
        async with self.sending:
            await self.frames.send(data)

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for data in self.frames:
            yield json.loads(data)


class Server:
    """Answers calls of the functions that it is given."""

    def __init__(self, **functions: Callable[..., Awaitable[Any]]) -> None:
        self.functions = functions

    async def handle(self, stream: ByteStream) -> None:
        """Serve one connection; each call is a task, which ends with it at the latest."""
        messages = Messages(stream)
        calls: dict[int, penstock.CancelScope] = {}

        async def answer(number: int, function: str, arguments: list[Any]) -> None:
            try:
                with calls[number]:
                    try:
                        result = await self.functions[function](*arguments)
                        await messages.send(id=number, result=result)
                    except Exception as exc:  # also a result that is no JSON, or is too large
                        await messages.send(id=number, error=f"{type(exc).__name__}: {exc}")
            finally:
                del calls[number]

        async with stream, penstock.create_task_group() as tasks:
            async for message in messages:
                number = message["id"]
                if "cancel" in message:
                    if number in calls:
                        calls[number].cancel("the client has lost interest")
                elif len(calls) == MAX_CALLS:
                    await messages.send(id=number, error="too many calls at once")
                else:
                    calls[number] = penstock.CancelScope()
                    tasks.start_soon(answer, number, message["call"], message["arguments"])
            tasks.cancel_scope.cancel("the client has gone")


class Client:
    """Calls functions of a server; any number of tasks may do so at once."""

    def __init__(self, stream: ByteStream) -> None:
        self.messages = Messages(stream)
        self.numbers = count(1)
        self.waiting: dict[int, MemoryObjectSendStream[Any]] = {}  # each for one answer
        self.lost = False

    async def call(self, function: str, *arguments: Any) -> Any:
        """Call a function and return what it returns; if cancelled, cancel it there.

        Raises:
            RemoteError: It has failed.
            penstock.BrokenResourceError: The connection was lost; nobody knows what has happened.
        """
        if self.lost:
            raise penstock.BrokenResourceError("the connection was lost")
        number = next(self.numbers)
        answered, answers = penstock.create_memory_object_stream[Any](1)
        with answered, answers:
            self.waiting[number] = answered
            try:
                await self.messages.send(id=number, call=function, arguments=arguments)
                answer = await answers.receive()
            except penstock.EndOfStream:
                raise penstock.BrokenResourceError("the connection was lost") from None
            except penstock.get_cancelled_exc_class():
                with penstock.move_on_after(1, shield=True), suppress(penstock.BrokenResourceError):
                    await self.messages.send(id=number, cancel=True)
                raise
            finally:
                self.waiting.pop(number, None)
        if "error" in answer:
            raise RemoteError(answer["error"])
        return answer["result"]

    async def receive_answers(self) -> None:
        """Give the answers to those who wait for them, until the server ends the connection."""
        with suppress(penstock.BrokenResourceError, penstock.IncompleteRead):
            async for answer in self.messages:
                if answered := self.waiting.pop(answer["id"], None):  # else it has lost interest
                    answered.send_nowait(answer)
        self.lost = True
        for answered in self.waiting.values():
            answered.close()


@asynccontextmanager
async def connect(host: str, port: int) -> AsyncIterator[Client]:
    """Connect to a server for the length of the block."""
    stream = await penstock.connect_tcp(host, port)
    async with stream, penstock.create_task_group() as tasks:
        client = Client(stream)
        tasks.start_soon(client.receive_answers)
        yield client
        tasks.cancel_scope.cancel()


async def add(a: float, b: float) -> float:
    return a + b


async def divide(a: float, b: float) -> float:
    return a / b


async def sleep(seconds: float) -> str:
    try:
        await penstock.sleep(seconds)
    except penstock.get_cancelled_exc_class():
        print("nobody waits for sleep any more", flush=True)
        raise
    return "slept well"


def report(exc: Exception, stream: ByteStream) -> None:
    print("a connection has failed:", repr(exc), flush=True)


async def serve(port: int) -> None:
    server = Server(add=add, divide=divide, sleep=sleep)
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    with penstock.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with listener, penstock.create_task_group() as tasks:
            tasks.start_soon(partial(listener.serve, server.handle, on_error=report))
            print("listening on port", listener.extra(SocketAttribute.local_port), flush=True)
            await anext(signals)
            await listener.drain(penstock.current_time() + 1)


async def call(port: int, timeout: float, function: str, arguments: list[Any]) -> None:
    async with connect("127.0.0.1", port) as client:
        try:
            with penstock.fail_after(timeout, reason="no answer in time"):
                print(await client.call(function, *arguments))
        except (RemoteError, TimeoutError) as exc:
            print(f"{type(exc).__name__}: {exc}")


BACKENDS: dict[str, dict[str, Any]] = {
    "asyncio": {"backend": "asyncio"},
    "uvloop": {"backend": "asyncio", "backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
}

if __name__ == "__main__":
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--port", type=int, default=9000)
    common.add_argument("--backend", choices=BACKENDS, default="asyncio")
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", parents=[common])
    caller = commands.add_parser("call", parents=[common])
    caller.add_argument("function")
    caller.add_argument("arguments", type=json.loads, nargs="*")
    caller.add_argument("--timeout", type=float, default=10)
    options = parser.parse_args()
    if options.command == "serve":
        penstock.run(serve, options.port, **BACKENDS[options.backend])
    else:
        arguments = (options.port, options.timeout, options.function, options.arguments)
        penstock.run(call, *arguments, **BACKENDS[options.backend])
