import penstock
from penstock.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream


async def produce(numbers: MemoryObjectSendStream[int]) -> None:
    async with numbers:  # the receivers see the end when the last sender has closed
        for number in range(3):
            await numbers.send(number)
        await numbers.send_many(range(3, 10))


async def consume(numbers: MemoryObjectReceiveStream[int]) -> None:
    async with numbers:
        async for number in numbers:
            print("received", number)
            if number == 5:
                break
        print("then", await numbers.receive_many(100))


async def main() -> None:
    send, receive = penstock.create_memory_object_stream[int](max_buffer_size=16)
    async with penstock.create_task_group() as tasks:
        tasks.start_soon(produce, send)
        tasks.start_soon(consume, receive)


if __name__ == "__main__":
    penstock.run(main)
