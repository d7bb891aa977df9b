from functools import partial

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteStream
from anyio.streams.memory import MemoryObjectSendStream


async def serve_client(log: MemoryObjectSendStream[bytes], client: SocketStream) -> None:
    async with BufferedByteStream(client) as lines:
        with anyio.move_on_after(10):
            try:
                while True:
                    line = await lines.receive_until(b"\n", 1024)
                    await log.send(line)
                    await lines.send(b"%d bytes\n" % len(line))
            except anyio.IncompleteRead:  # the client has left
                pass


async def main() -> None:
    log, logged = anyio.create_memory_object_stream[bytes](100)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    async with log, logged, listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, partial(serve_client, log))
        async with BufferedByteStream(await anyio.connect_tcp("127.0.0.1", port)) as server:
            for word in (b"drip", b"drop", b"splash"):
                await server.send(word + b"\n")
                print(await server.receive_until(b"\n", 1024), await logged.receive())
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main)
