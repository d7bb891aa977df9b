import penstock
from penstock.streams.buffered import BufferedByteReceiveStream


async def main() -> None:
    send, receive = penstock.create_memory_object_stream[bytes](4)
    async with send, BufferedByteReceiveStream(receive) as buffered:
        for chunk in b"GET /index", b" HTTP/1.1\r\nhost: a\r", b"\n\r\n\x00\x05hel", b"lo":
            await send.send(chunk)
        method = await buffered.receive_until(b" ", max_bytes=16)
        rest = await buffered.receive_line(max_bytes=1024)
        headers = await buffered.receive_until((b"\r\n\r\n", b"\n\n"), max_bytes=8192)
        print(method, rest, headers)

        print(await buffered.peek(2))  # b'\x00\x05', and both stay there
        size = int.from_bytes(await buffered.receive_exactly(2), "big")
        print(await buffered.receive_exactly(size))


if __name__ == "__main__":
    penstock.run(main)
