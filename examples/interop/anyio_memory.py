import anyio

from penstock.interop.anyio import use_anyio_memory_streams, use_penstock_memory_streams


async def main() -> None:
    send, receive = anyio.create_memory_object_stream[str](10)
    async with send, receive:
        await send.send("hello")
        print(await receive.receive(), "through", type(send).__module__)


if __name__ == "__main__":
    anyio.run(main)
    use_penstock_memory_streams()  # from here on, in the whole program
    anyio.run(main)
    use_anyio_memory_streams()  # and back
    anyio.run(main)
