import penstock
from penstock.streams.framed import FramedStream, LengthPrefixed
from penstock.streams.stapled import StapledObjectStream
from penstock.streams.text import TextStream


async def answer(stream: FramedStream) -> None:
    async with stream:
        async for question in stream:  # whole frames, however the bytes were cut on the way
            await stream.send(question.upper())


async def main() -> None:
    there, question = penstock.create_memory_object_stream[bytes](8)
    back, reply = penstock.create_memory_object_stream[bytes](8)
    async with penstock.create_task_group() as tasks:
        server = StapledObjectStream[bytes](back, question)
        tasks.start_soon(answer, FramedStream(server, LengthPrefixed(2), max_frame_size=1024))

        client = StapledObjectStream[bytes](there, reply)
        frames = FramedStream(client, LengthPrefixed(2), max_frame_size=1024)
        async with TextStream(frames) as text:  # a stream of bytes like any other
            await text.send("grüße")
            print(await text.receive())


if __name__ == "__main__":
    penstock.run(main)
