import os
import socket
import tempfile

import penstock
from penstock.abc import SocketListener, SocketStream

SO_PASSRIGHTS = 83  # before Linux 6.16 there is none, and setting it is an OSError


async def listen(path: str) -> SocketListener:
    sock = socket.socket(socket.AF_UNIX)
    sock.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)  # what is accepted inherits it
    sock.bind(path)
    sock.listen()
    return await SocketListener.from_socket(sock)


async def shout(client: SocketStream) -> None:
    async with client:
        async for data in client:
            await client.send(data.upper())


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "socket")
        async with await listen(path) as listener, penstock.create_task_group() as tasks:
            tasks.start_soon(listener.serve, shout)
            async with await penstock.connect_unix(path) as stream:
                try:
                    await stream.send_fds(b"take this", [0])
                except penstock.BrokenResourceError as exc:
                    print(exc.__cause__)
                await stream.send(b"well then")
                print(await stream.receive())
            tasks.cancel()


if __name__ == "__main__":
    penstock.run(main)
