import penstock
from penstock.abc import SocketAttribute, SocketStream
from penstock.streams.buffered import BufferedByteStream


async def serve(client: SocketStream) -> None:
    async with BufferedByteStream(client) as lines:
        name = await lines.receive_until(b"\n", max_bytes=1024)
        await lines.send(b"Hello, %s!\n" % name)


async def main() -> None:
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    async with listener, penstock.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        async with BufferedByteStream(await penstock.connect_tcp("127.0.0.1", port)) as server:
            await server.send(b"world\n")
            print(await server.receive_until(b"\n", max_bytes=1024))  # b'Hello, world!'
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    penstock.run(main)  # or backend="trio", or backend_options={"use_uvloop": True}
