import penstock
from penstock.abc import SocketAttribute, SocketStream


async def shout(client: SocketStream) -> None:
    async with client:
        async for data in client:  # ends when the client has sent everything
            await client.send_many([data.upper(), b"!"])


async def main() -> None:
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
    async with listener, penstock.create_task_group() as tasks:
        tasks.start_soon(listener.serve, shout)

        port = listener.extra(SocketAttribute.local_port)
        async with await penstock.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"hello")
            await stream.send_eof()  # nothing more to say, but still listening
            with penstock.fail_after(5):
                answer = b"".join([data async for data in stream])
        print(answer)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    penstock.run(main)
