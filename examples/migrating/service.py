from functools import partial

import penstock
from penstock.abc import SocketAttribute, SocketStream
from penstock.streams.buffered import BufferedByteStream
from penstock.streams.memory import MemoryObjectSendStream


async def serve_client(log: MemoryObjectSendStream[bytes], client: SocketStream) -> None:
    async with BufferedByteStream(client) as lines:
        with penstock.move_on_after(10):
            try:
                while True:
                    line = await lines.receive_until(b"\n", 1024)
                    await log.send(line)
                    await lines.send(b"%d bytes\n" % len(line))
            except penstock.IncompleteRead:  # the client has left
                pass


async def main() -> None:
    log, logged = penstock.create_memory_object_stream[bytes](100)
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    async with log, logged, listener, penstock.create_task_group() as tasks:
        tasks.start_soon(listener.serve, partial(serve_client, log))
        async with BufferedByteStream(await penstock.connect_tcp("127.0.0.1", port)) as server:
            for word in (b"drip", b"drop", b"splash"):
                await server.send(word + b"\n")
                print(await server.receive_until(b"\n", 1024), await logged.receive())
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    penstock.run(main)
