import penstock
from penstock.streams.broadcast import BroadcastSendStream
from penstock.streams.merge import MergedReceiveStream


async def main() -> None:
    async with BroadcastSendStream[str]() as news, BroadcastSendStream[str]() as sport:
        display = sport.subscribe(max_buffer_size=1, when_full="drop_oldest")
        both = MergedReceiveStream([news.subscribe(), sport.subscribe()])
        async with display, both:
            await sport.send("one goal")
            await sport.send("two goals")
            await news.send("rain")
            for _ in range(3):  # they take turns
                print("both:", await both.receive())
            print("display:", await display.receive(), "- dropped:", display.dropped)


if __name__ == "__main__":
    penstock.run(main)
