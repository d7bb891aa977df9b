import penstock
from penstock.abc import SocketAttribute, SocketStream


async def echo(client: SocketStream) -> None:
    async with client:
        async for data in client:
            await client.send(data)


def log(exc: Exception, client: SocketStream) -> None:
    print("a handler has failed:", exc)


async def main() -> None:
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1", keepalive=60)
    async with penstock.create_task_group() as tasks:
        serving = listener.serve(echo, max_connections=100, on_error=log)
        tasks.create_task(serving, name="the echo server")

        port = listener.extra(SocketAttribute.local_port)
        async with await penstock.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"hello")
            print(await stream.receive())

        # No new connections; those that there are have ten seconds to end by themselves.
        cancelled = await listener.drain(penstock.current_time() + 10)
        print(listener.statistics().accepted, "accepted,", cancelled, "cancelled")


if __name__ == "__main__":
    penstock.run(main)
