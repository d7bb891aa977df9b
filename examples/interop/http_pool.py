import httpcore

import penstock
from penstock.abc import SocketAttribute, SocketStream
from penstock.interop.httpcore import PenstockBackend
from penstock.streams.buffered import BufferedByteStream


async def answer(client: SocketStream) -> None:
    async with BufferedByteStream(client) as requests:
        await requests.receive_until(b"\r\n\r\n", 10_000)
        await requests.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")


async def main() -> None:
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    async with listener, penstock.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        async with httpcore.AsyncConnectionPool(network_backend=PenstockBackend()) as pool:
            response = await pool.request("GET", f"http://127.0.0.1:{port}/")
            print(response.status, response.content)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    penstock.run(main)
