from functools import partial

import trio


async def serve_client(log: trio.MemorySendChannel[bytes], client: trio.SocketStream) -> None:
    rest = b""
    with trio.move_on_after(10):
        async for data in client:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                await log.send(line)
                await client.send_all(b"%d bytes\n" % len(line))


async def main() -> None:
    log, logged = trio.open_memory_channel[bytes](100)
    async with log, logged, trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, partial(serve_client, log), 0, host="127.0.0.1")
        listeners = await nursery.start(serve)
        port = listeners[0].socket.getsockname()[1]
        async with await trio.open_tcp_stream("127.0.0.1", port) as server:
            for word in (b"drip", b"drop", b"splash"):
                await server.send_all(word + b"\n")
                answer = b""
                while not answer.endswith(b"\n"):
                    answer += await server.receive_some(1024)
                print(answer.rstrip(b"\n"), await logged.receive())
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
