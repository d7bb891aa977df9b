"""httpcore's own connection pool over penstock's sockets, to a server of penstock's."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager

import httpcore
import pytest
from tls_peers import client_context, server_context

import penstock
from penstock.abc import ByteStream, SocketAttribute
from penstock.interop.httpcore import PenstockBackend, PenstockNetworkStream
from penstock.streams.buffered import BufferedByteStream
from penstock.streams.tls import TLSListener


async def answer(client):
    """Answer requests until the client leaves: its path is the body, but for a few words."""
    async with BufferedByteStream(client) as requests:
        while True:
            head = await requests.receive_until(b"\r\n\r\n", 10_000)
            path = head.split()[1]
            if path == b"/never":
                await penstock.sleep_forever()
            if path == b"/cut":
                await requests.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
                return
            await requests.send(
                b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(path), path)
            )


@asynccontextmanager
async def serving(listener):
    async with listener, penstock.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        yield
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def http_server(*, tls=False):
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    if tls:
        listener = TLSListener(listener, server_context(), standard_compatible=False)
    async with serving(listener):
        yield f"{'https' if tls else 'http'}://localhost:{port}"


@asynccontextmanager
async def pool(**keywords):
    async with httpcore.AsyncConnectionPool(network_backend=PenstockBackend(), **keywords) as made:
        yield made


async def test_requests_share_a_connection():
    async with http_server() as url, pool() as client:
        for n in range(5):
            response = await client.request("GET", f"{url}/{n}")
            assert (response.status, response.content) == (200, b"/%d" % n)
        assert len(client.connections) == 1


async def test_tls_with_a_certificate_that_is_checked():
    async with http_server(tls=True) as url, pool(ssl_context=client_context()) as client:
        response = await client.request("GET", f"{url}/secret")
        assert response.content == b"/secret"
        stream = response.extensions["network_stream"]
        assert stream.get_extra_info("ssl_object").version() == "TLSv1.3"


async def test_certificate_that_is_not_trusted_is_a_connect_error():
    async with http_server(tls=True) as url, pool() as client:
        with pytest.raises(httpcore.ConnectError, match="certificate"):
            await client.request("GET", url)


async def test_unix_socket(tmp_path):
    path = tmp_path / "socket"
    async with serving(await penstock.create_unix_listener(path)), pool(uds=str(path)) as client:
        response = await client.request("GET", "http://localhost/unix")
        assert response.content == b"/unix"


async def test_facts_of_a_connection_and_whether_it_is_readable():
    async with http_server() as url:
        backend = PenstockBackend()
        port = int(url.rpartition(":")[2])
        options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
        stream = await backend.connect_tcp("127.0.0.1", port, socket_options=options)
        sock = stream.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert stream.get_extra_info("server_addr") == ("127.0.0.1", port)
        assert stream.get_extra_info("client_addr") == sock.getsockname()
        assert stream.get_extra_info("ssl_object") is None
        assert stream.get_extra_info("unheard_of") is None
        assert not stream.get_extra_info("is_readable")
        await stream.write(b"GET /x HTTP/1.1\r\n\r\n")
        await penstock.wait_readable(sock)
        assert stream.get_extra_info("is_readable")
        await stream.aclose()
        assert stream.get_extra_info("is_readable")


@pytest.mark.parametrize("seconds", [0.05, 0])
async def test_read_that_waits_too_long_is_a_timeout(seconds):
    async with http_server() as url, pool() as client:
        with pytest.raises(httpcore.ReadTimeout):
            await client.request("GET", f"{url}/never", extensions={"timeout": {"read": seconds}})
        response = await client.request("GET", f"{url}/next")  # on a connection of its own
        assert response.content == b"/next"


async def test_write_that_waits_too_long_is_a_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        stream = await PenstockBackend().connect_tcp(*silent.getsockname())
        with pytest.raises(httpcore.WriteTimeout):
            while True:
                await stream.write(b"x" * 1_000_000, timeout=0.05)
        await stream.aclose()


async def test_timeouts_over_a_stream_that_waits_for_something_else():
    class Slow(ByteStream):
        async def receive(self, max_bytes=65536):
            await penstock.sleep_forever()

        async def send(self, item):
            await penstock.sleep_forever()

        async def send_eof(self):
            pass

        async def aclose(self):
            pass

    stream = PenstockNetworkStream(Slow())
    with penstock.fail_after(10):
        with pytest.raises(httpcore.ReadTimeout):
            await stream.read(10, 0.01)
        with pytest.raises(httpcore.WriteTimeout):
            await stream.write(b"x", 0.01)


async def test_handshake_that_waits_too_long_is_a_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with pool(ssl_context=client_context()) as client:
            with pytest.raises(httpcore.ConnectTimeout):
                await client.request(
                    "GET",
                    f"https://localhost:{silent.getsockname()[1]}",
                    extensions={"timeout": {"connect": 0.05}},
                )


async def test_cancellation_from_outside_is_no_timeout():
    async with http_server() as url, pool() as client:
        with penstock.move_on_after(0.05) as scope:
            await client.request("GET", f"{url}/never", extensions={"timeout": {"read": 60}})
        assert scope.cancelled_caught


async def test_connection_that_is_refused_is_a_connect_error():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(httpcore.ConnectError, match="attempts failed"):
        await PenstockBackend().connect_tcp("127.0.0.1", port)


async def test_answer_that_is_cut_short_is_an_error():
    async with http_server() as url, pool() as client:
        with pytest.raises(httpcore.RemoteProtocolError):
            await client.request("GET", f"{url}/cut")


async def test_use_after_closing_is_an_error_of_httpcores():
    async with http_server() as url:
        stream = await PenstockBackend().connect_tcp("localhost", int(url.rpartition(":")[2]))
        await stream.aclose()
        with pytest.raises(httpcore.ReadError):
            await stream.read(10)
        with pytest.raises(httpcore.WriteError):
            await stream.write(b"x")
