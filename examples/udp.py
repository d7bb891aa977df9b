import penstock
from penstock.abc import SocketAttribute, UDPSocket


async def shout(udp: UDPSocket) -> None:
    async for data, (host, port) in udp:
        await udp.sendto(data.upper(), host, port)


async def main() -> None:
    async with await penstock.create_udp_socket(local_host="127.0.0.1") as server:
        port = server.extra(SocketAttribute.local_port)
        async with penstock.create_task_group() as tasks:
            tasks.start_soon(shout, server)
            async with await penstock.create_connected_udp_socket("127.0.0.1", port) as client:
                await client.send(b"ping")
                print(await client.receive())
            tasks.cancel()


if __name__ == "__main__":
    penstock.run(main)
