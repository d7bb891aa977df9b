import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import penstock
from penstock.abc import ByteStream, SocketAttribute
from penstock.interop.asyncio import FromAsyncioStreams, as_asyncio_streams
from penstock.streams.buffered import BufferedByteReceiveStream


class Spawner:
    """What ``serve`` asks of a task group, by asyncio's own."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.group = group

    def start_soon(self, func: Callable[..., Coroutine[Any, Any, Any]], /, *args: Any) -> None:
        self.group.create_task(func(*args))


async def greet(stream: ByteStream) -> None:
    reader, writer = as_asyncio_streams(stream)  # for code that wants asyncio's
    name = await reader.readline()
    writer.write(b"hello " + name)
    writer.close()
    await writer.wait_closed()


async def main() -> None:
    async with (
        await penstock.create_tcp_listener(local_host="127.0.0.1") as listener,
        asyncio.TaskGroup() as group,
    ):
        serving = group.create_task(listener.serve(greet, Spawner(group)))
        port = listener.extra(SocketAttribute.local_port)
        connection = await asyncio.open_connection("127.0.0.1", port)
        async with FromAsyncioStreams(*connection) as stream:  # and asyncio's as a stream
            await stream.send(b"world\n")
            print(await BufferedByteReceiveStream(stream).receive_until(b"\n", 100))
        serving.cancel()


if __name__ == "__main__":
    asyncio.run(main())
