from collections.abc import Callable, Mapping
from typing import Any

import penstock
from penstock.abc import ByteStream
from penstock.testing import ChaosStream, Sequencer, check_byte_stream, memory_stream_pair


class CountingStream(ByteStream):
    """The stream to be tested: it counts what goes through another one."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.received = 0

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self.stream.extra_attributes

    @property
    def partial_send(self) -> int | None:
        return self.stream.partial_send

    async def receive(self, max_bytes: int = 65536) -> bytes:
        data = await self.stream.receive(max_bytes)
        self.received += len(data)
        return data

    async def send(self, item: Any) -> None:
        await self.stream.send(item)

    async def send_many(self, buffers: Any) -> None:
        await self.stream.send_many(buffers)

    async def send_eof(self) -> None:
        await self.stream.send_eof()

    async def aclose(self) -> None:
        await self.stream.aclose()


async def counting_pair() -> tuple[ByteStream, ByteStream]:
    near, far = memory_stream_pair()
    return CountingStream(near), CountingStream(far)


async def on_a_bad_network(seed: int) -> None:
    near, far = memory_stream_pair()
    counting = CountingStream(ChaosStream(near, seed))  # a failing test prints the ChaosStream
    await far.send(bytes(100_000))
    await far.send_eof()
    async for _ in counting:
        pass
    print(f"counted {counting.received} bytes")


async def in_order() -> None:
    near, far = memory_stream_pair()
    seq = Sequencer()

    async def receive() -> None:
        async with seq(1):
            print(await far.receive())

    async with penstock.create_task_group() as tasks:
        tasks.start_soon(receive)
        async with seq(0):
            await near.send(b"first")
            await near.send(b"second")


async def main() -> None:
    await check_byte_stream(counting_pair)  # raises AssertionError if something is wrong
    print("a byte stream")
    await on_a_bad_network(seed=1)
    await in_order()


if __name__ == "__main__":
    penstock.run(main)
