import ssl

import trustme  # makes certificates for tests

import penstock
from penstock.abc import ByteStream, SocketAttribute
from penstock.streams.tls import TLSAttribute, TLSListener


class Resuming:
    """A client's context that offers the server the session of an earlier connection."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.session: ssl.SSLSession | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> ssl.SSLObject:
        return self.context.wrap_bio(
            incoming, outgoing, server_side, server_hostname, session=self.session
        )


async def greet(client: ByteStream) -> None:
    async with client:
        await client.send(b"hello")


async def main() -> None:
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server_context)
    client_context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    authority.configure_trust(client_context)

    tcp_listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
    listener = TLSListener(tcp_listener, server_context)
    async with listener, penstock.create_task_group() as tasks:
        tasks.start_soon(listener.serve, greet)

        port = tcp_listener.extra(SocketAttribute.local_port)
        resuming = Resuming(client_context)
        for _ in range(2):
            async with await penstock.connect_tcp(
                "127.0.0.1", port, ssl_context=resuming, tls_hostname="localhost"
            ) as stream:
                ssl_object = stream.extra(TLSAttribute.ssl_object)
                print(await stream.receive(), "resumed:", ssl_object.session_reused)
                resuming.session = ssl_object.session  # only now: tickets come with the data
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    penstock.run(main)
