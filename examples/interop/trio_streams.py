import trio
from trio.testing import memory_stream_pair

import penstock
from penstock.interop.trio import FromTrioStream, TrioReceiveChannel, TrioSendChannel, TrioStream
from penstock.streams.buffered import BufferedByteReceiveStream
from penstock.testing import memory_stream_pair as penstocks_stream_pair


async def greet(stream: trio.abc.Stream) -> None:
    async with stream:
        await stream.send_all(b"hello\n")


async def main() -> None:
    near, far = penstocks_stream_pair()
    async with trio.open_nursery() as nursery, far:
        nursery.start_soon(greet, TrioStream(near))  # penstock's stream as Trio's
        print(await BufferedByteReceiveStream(far).receive_until(b"\n", 100))

    ours, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery, FromTrioStream(theirs) as stream:
        nursery.start_soon(greet, ours)
        print(await BufferedByteReceiveStream(stream).receive_until(b"\n", 100))  # and Trio's here

    send, receive = penstock.create_memory_object_stream[int](2)
    sending: trio.abc.SendChannel[int] = TrioSendChannel(send)
    receiving: trio.abc.ReceiveChannel[int] = TrioReceiveChannel(receive)
    async with sending, receiving:
        await sending.send(1)
        print(await receiving.receive())


if __name__ == "__main__":
    trio.run(main)
