import ssl

import trustme  # makes certificates for tests

import penstock
from penstock.abc import ByteStream, SocketAttribute
from penstock.streams.tls import TLSAttribute, TLSListener

authority = trustme.CA()
client_context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
authority.configure_trust(client_context)


def new_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)  # or context.load_cert_chain(...)
    return context


async def greet(client: ByteStream) -> None:
    async with client:
        await client.send(b"hello")


async def serial_number(port: int) -> str:
    async with await penstock.connect_tcp(
        "127.0.0.1", port, ssl_context=client_context, tls_hostname="localhost"
    ) as stream:
        certificate = stream.extra(TLSAttribute.peer_certificate)
        assert certificate is not None
        return str(certificate["serialNumber"])


async def main() -> None:
    tcp_listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
    listener = TLSListener(tcp_listener, new_context())
    async with listener, penstock.create_task_group() as tasks:
        tasks.start_soon(listener.serve, greet)

        port = tcp_listener.extra(SocketAttribute.local_port)
        before = await serial_number(port)
        listener.ssl_context = new_context()  # on SIGHUP, say; counts for the next handshake
        after = await serial_number(port)
        print("another certificate:", before != after)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    penstock.run(main)
