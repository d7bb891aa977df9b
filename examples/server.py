import signal

import penstock
from penstock.abc import SocketAttribute, SocketStream
from penstock.streams.buffered import BufferedByteStream


async def answer(client: SocketStream) -> None:
    async with BufferedByteStream(client) as lines:
        while True:  # until the client leaves, which ends this handler alone
            line = await lines.receive_until(b"\n", max_bytes=1024)
            await lines.send(line.upper() + b"\n")


async def main(port: int = 0) -> None:
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    async with listener, penstock.create_task_group() as tasks:
        with penstock.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            tasks.start_soon(listener.serve, answer)
            print("listening on port", listener.extra(SocketAttribute.local_port), flush=True)
            async for number in signals:
                print("ending, because of", signal.Signals(number).name)
                break
        await listener.drain(penstock.current_time() + 5)  # seconds for whoever is still here


if __name__ == "__main__":
    penstock.run(main, 7000)
