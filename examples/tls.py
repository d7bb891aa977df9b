import ssl

import trustme  # makes certificates for tests

import penstock
from penstock.abc import ByteStream, SocketAttribute
from penstock.streams.tls import TLSListener


async def shout(client: ByteStream) -> None:
    async with client:
        async for data in client:
            await client.send(data.upper())


async def main() -> None:
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server_context)
    client_context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    authority.configure_trust(client_context)

    listener = TLSListener(
        await penstock.create_tcp_listener(local_host="127.0.0.1"), server_context
    )
    async with listener, penstock.create_task_group() as tasks:
        tasks.start_soon(listener.serve, shout)

        port = listener.extra(SocketAttribute.local_port)
        async with await penstock.connect_tcp(
            "127.0.0.1", port, ssl_context=client_context, tls_hostname="localhost"
        ) as stream:
            await stream.send(b"hello")
            print(await stream.receive())
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    penstock.run(main)
