"""The examples of requirement 003 for streams, in penstock's names.

They are given there in the names that Trio had in 2017.  What the examples leave out, the process,
the proxy and the website, is real here.
"""

from __future__ import annotations

import ssl
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from subprocess import PIPE, Popen

import pytest
import trustme

import penstock
from penstock.lowlevel import checkpoint
from penstock.streams.buffered import BufferedByteStream
from penstock.streams.file import FileReadStream, FileWriteStream
from penstock.streams.framed import FramedStream, LengthPrefixed
from penstock.streams.stapled import StapledByteStream
from penstock.streams.tls import TLSListener, TLSStream
from penstock.testing import memory_stream_pair, memory_stream_pump

#: A process that answers over TLS on its standard streams.
PROCESS = """
import os, ssl, sys

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(incoming, outgoing, server_side=True)

def flush():
    data = outgoing.read()
    while data:
        data = data[os.write(1, data):]

def call(func, *args):
    while True:
        try:
            result = func(*args)
        except ssl.SSLWantReadError:
            flush()
            data = os.read(0, 65536)
            incoming.write(data) if data else incoming.write_eof()
        else:
            flush()
            return result

call(tls.do_handshake)
call(tls.write, b"Hello, " + call(tls.read, 1024))
call(tls.unwrap)
"""

WEBSITE = b"HTTP/1.0 200 OK\r\n\r\n<h1>website</h1>"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def client_context(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_tls_over_the_standard_streams_of_a_process(authority, client_context, tmp_path):
    certificate = tmp_path / "certificate.pem"
    authority.issue_cert("process").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    command = [sys.executable, "-c", PROCESS, str(certificate)]
    with Popen(command, stdin=PIPE, stdout=PIPE, bufsize=0) as process:
        client_context.check_hostname = False
        pipes = StapledByteStream(FileWriteStream(process.stdin), FileReadStream(process.stdout))
        async with await TLSStream.wrap(
            pipes, server_side=False, ssl_context=client_context
        ) as stream:
            await stream.send(b"world")
            assert await stream.receive() == b"Hello, world"
            with pytest.raises(penstock.EndOfStream):
                await stream.receive()
    assert process.returncode == 0


@asynccontextmanager
async def serving(authority, **handlers):
    """Serve over TLS under each of these names; give their ports."""
    ports = []
    async with AsyncExitStack() as stack, penstock.create_task_group() as group:
        for name, handler in handlers.items():
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            authority.issue_cert(name).configure_cert(context)
            tcp = await penstock.create_tcp_listener(local_host="127.0.0.1")
            listener = await stack.enter_async_context(TLSListener(tcp, context))
            ports.append(listener.extra(penstock.abc.SocketAttribute.local_port))
            group.start_soon(listener.serve, handler)
        yield ports
        group.cancel_scope.cancel()


async def serve_website(client):
    async with client:
        request = await BufferedByteStream(client).receive_until(b"\r\n", 1024)
        assert request == b"GET /index.html HTTP/1.0"
        await client.send(WEBSITE)


async def pass_on(source, sink, scope):
    try:
        async for data in source:
            await sink.send(data)
    except penstock.BrokenResourceError:
        pass
    scope.cancel()


async def serve_proxy(client):
    async with client:
        buffered = BufferedByteStream(client)
        request = await buffered.receive_until(b"\r\n\r\n", 1024)
        method, target, _ = request.split()
        assert method == b"CONNECT"
        name, _, port = target.decode().partition(":")
        assert name == "website"
        async with await penstock.connect_tcp("127.0.0.1", int(port)) as website:
            await client.send(b"HTTP/1.0 200 OK\r\n\r\n")
            async with penstock.create_task_group() as group:
                group.start_soon(pass_on, buffered, website, group.cancel_scope)
                group.start_soon(pass_on, website, client, group.cancel_scope)


async def test_tls_in_tls_through_a_proxy_that_speaks_tls(authority, client_context):
    handlers = {"proxy": serve_proxy, "website": serve_website}
    async with serving(authority, **handlers) as (proxy_port, website_port):
        s0 = await penstock.connect_tcp("127.0.0.1", proxy_port)
        s1 = await TLSStream.wrap(s0, hostname="proxy", ssl_context=client_context)
        await s1.send(b"CONNECT website:%d HTTP/1.0\r\n\r\n" % website_port)
        answer = await BufferedByteStream(s1).receive_until(b"\r\n\r\n", 1024)
        assert answer == b"HTTP/1.0 200 OK"

        async with await TLSStream.wrap(s1, hostname="website", ssl_context=client_context) as s2:
            await s2.send(b"GET /index.html HTTP/1.0\r\n")
            assert b"".join([data async for data in s2]) == WEBSITE


async def test_proxy_cannot_pretend_to_be_the_website(authority, client_context):
    async with (
        serving(authority, proxy=serve_website) as (port,),
        await penstock.connect_tcp("127.0.0.1", port) as stream,
    ):
        with pytest.raises(ssl.SSLCertVerificationError):
            await TLSStream.wrap(stream, hostname="website", ssl_context=client_context)


async def answer_frames(stream):
    """Stand for the implementation of a protocol that is to be tested."""
    async with FramedStream(stream, LengthPrefixed(2)) as frames:
        async for frame in frames:
            await frames.send(frame.upper())


async def talk_over_a_virtual_socket(seed, questions):
    """Return the answers, and what the delays were."""
    delays = []

    def delay(sender, receiver, random):
        async def deliver_piece_by_piece():
            size = random.randint(1, 5)
            while memory_stream_pump(sender, receiver, max_bytes=size):
                turns = random.randrange(4)
                delays.append((sender is client.send_stream, size, turns))
                for _ in range(turns):
                    await checkpoint()
                size = random.randint(1, 5)

        sender.send_hook = deliver_piece_by_piece

    client, server = memory_stream_pair()
    delay(client.send_stream, server.receive_stream, Random(seed))
    delay(server.send_stream, client.receive_stream, Random(seed + 1))
    async with penstock.create_task_group() as group:
        group.start_soon(answer_frames, server)
        async with FramedStream(client, LengthPrefixed(2)) as frames:
            answers = []
            for question in questions:
                await frames.send(question)
                answers.append(await frames.receive())
    return answers, delays


async def test_protocol_is_tested_over_streams_in_memory_with_repeatable_delays():
    questions = [b"", b"one", b"two" * 100, b"three"]
    answers, delays = await talk_over_a_virtual_socket(1, questions)
    assert answers == [question.upper() for question in questions]
    assert {sent_by_client for sent_by_client, _, _ in delays} == {True, False}
    again, same_delays = await talk_over_a_virtual_socket(1, questions)
    assert again == answers
    for sent_by_client in (True, False):  # how the two interleave is the event loop's business
        assert [it for it in delays if it[0] is sent_by_client] == [
            it for it in same_delays if it[0] is sent_by_client
        ]
    others, other_delays = await talk_over_a_virtual_socket(2, questions)
    assert others == answers
    assert other_delays != delays
