import os
import tempfile

import penstock
from penstock.abc import SocketStream, UNIXSocketAttribute, UNIXSocketStream


async def lend(client: SocketStream) -> None:
    assert isinstance(client, UNIXSocketStream)
    reading, writing = os.pipe()
    async with client:
        if client.extra(UNIXSocketAttribute.peer_credentials).uid == os.getuid():
            await client.send_fds(b"a pipe", [reading])
    os.write(writing, b"hello through it")
    os.close(reading)
    os.close(writing)


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "socket")
        listener = await penstock.create_unix_listener(path, mode=0o600)
        async with listener, penstock.create_task_group() as tasks:
            tasks.start_soon(listener.serve, lend)
            async with await penstock.connect_unix(path) as stream:
                message, (pipe,) = await stream.receive_fds(msglen=100, maxfds=1)
            await penstock.wait_readable(pipe)
            print(message, os.read(pipe, 100))
            os.close(pipe)
            tasks.cancel()


if __name__ == "__main__":
    penstock.run(main)
