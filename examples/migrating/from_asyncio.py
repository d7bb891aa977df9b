import asyncio
from functools import partial


async def serve_client(
    log: asyncio.Queue[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        async with asyncio.timeout(10):
            while line := await reader.readline():
                line = line.rstrip(b"\n")
                await log.put(line)
                writer.write(b"%d bytes\n" % len(line))
                await writer.drain()
    except TimeoutError:
        pass
    finally:
        writer.close()


async def main() -> None:
    log = asyncio.Queue[bytes](100)
    server = await asyncio.start_server(partial(serve_client, log), "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    async with server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for word in (b"drip", b"drop", b"splash"):
            writer.write(word + b"\n")
            await writer.drain()
            answer = await reader.readline()
            print(answer.rstrip(b"\n"), await log.get())
        writer.close()
        await writer.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
