import ssl

import trustme  # makes certificates for tests

import penstock
from penstock.abc import ByteStream, SocketAttribute
from penstock.streams.buffered import BufferedByteStream
from penstock.streams.tls import TLSStream

authority = trustme.CA()
server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
authority.issue_cert("localhost").configure_cert(server_context)
client_context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
authority.configure_trust(client_context)


async def serve(client: ByteStream) -> None:
    async with client:
        lines = BufferedByteStream(client)
        command = await lines.receive_until(b"\r\n", 1000)
        await lines.send(b"ready for " + command + b"\r\n")
        # What was buffered behind the command goes to the handshake.
        encrypted = await TLSStream.wrap(lines, ssl_context=server_context)
        await encrypted.send(b"nobody else reads this\r\n")
        await encrypted.aclose()


async def main() -> None:
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
    async with listener, penstock.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)

        port = listener.extra(SocketAttribute.local_port)
        async with BufferedByteStream(await penstock.connect_tcp("127.0.0.1", port)) as plain:
            await plain.send(b"STARTTLS\r\n")
            print(await plain.receive_until(b"\r\n", 1000))
            async with await TLSStream.wrap(
                plain, hostname="localhost", ssl_context=client_context
            ) as encrypted:
                print(await encrypted.receive())
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    penstock.run(main)
