"""TLS listeners live through whatever peers do, and serve as the listener below does."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading

import pytest
from raised import public_type
from tls_peers import HOST, client_context, server_context
from tls_serving import connect, echo, in_thread, raw, serving, works

import penstock
from penstock.abc import SocketAttribute
from penstock.streams.tls import TLSAttribute, TLSConnectable, TLSListener, TLSStream, _listener


def tls(port, *, suppress=False):
    return client_context().wrap_socket(
        raw(port), server_hostname="localhost", suppress_ragged_eofs=suppress
    )


def leave_at_once(port):
    raw(port).close()


def reset(port):
    with raw(port) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def talk_http(port):
    with raw(port) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert sock.recv(100) == b""


def talk_junk(port):
    with raw(port) as sock:
        sock.sendall(bytes(range(256)) * 300)
        try:
            while sock.recv(1000):
                pass
        except ConnectionResetError:
            pass


def leave_after_the_hello(port):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    with raw(port) as sock:
        sock.sendall(outgoing.read())


def distrust(port):
    context = ssl.create_default_context()
    with raw(port) as sock, pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(sock, server_hostname="localhost")


def leave_without_announcement(port):
    sock = tls(port)
    sock.send(b"hello")
    assert sock.recv(5) == b"hello"
    sock.close()


def talk_plaintext_inside(port):
    sock = tls(port)
    with socket.socket(fileno=sock.detach()) as plain:
        plain.settimeout(10)
        plain.sendall(b"in the clear, all of a sudden")
        try:
            while plain.recv(1000):
                pass
        except ConnectionResetError:
            pass


def connect_by_hand(port):
    """Return a socket after its handshake, and what encrypts for it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hand = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    sock = raw(port)
    while True:
        try:
            hand.do_handshake()
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(65536))
        else:
            sock.sendall(outgoing.read())
            return sock, hand, outgoing


def corrupt_a_record(port):
    sock, hand, outgoing = connect_by_hand(port)
    with sock:
        hand.write(b"hello")
        record = bytearray(outgoing.read())
        record[-1] ^= 1
        sock.sendall(record)
        while sock.recv(1000):
            pass


def cut_a_record(port):
    sock, hand, outgoing = connect_by_hand(port)
    with sock:
        hand.write(b"hello")
        sock.sendall(outgoing.read()[:-1])


def read_nothing(port):
    sock, hand, outgoing = connect_by_hand(port)
    sock.settimeout(0.2)
    with sock, contextlib.suppress(TimeoutError):
        while True:  # until the echo stands still, for nobody reads what it sends
            hand.write(bytes(65536))
            sock.sendall(outgoing.read())


HOSTILE = [
    corrupt_a_record,
    cut_a_record,
    read_nothing,
    leave_at_once,
    reset,
    talk_http,
    talk_junk,
    leave_after_the_hello,
    distrust,
    leave_without_announcement,
    talk_plaintext_inside,
]


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_listener_and_other_connections_do_not_notice(hostile):
    async with serving(echo) as (_, port), await connect(port) as bystander:
        await bystander.send(b"before")
        assert await bystander.receive() == b"before"
        await in_thread(hostile, port)
        await bystander.send(b"after")
        assert await bystander.receive() == b"after"
        await works(port)


async def test_stalled_handshakes_end_in_time_and_disturb_nobody():
    async with serving(echo, handshake_timeout=0.3) as (listener, port):
        stalled = [raw(port) for _ in range(20)]
        await works(port)
        for sock in stalled:
            assert await in_thread(sock.recv, 1) == b""
            sock.close()
        assert listener.statistics().failed_handshakes == 20


async def test_handshakes_at_once_are_bounded(monkeypatch):
    monkeypatch.setattr(_listener, "HANDSHAKES_AT_ONCE", 2)
    async with serving(echo, handshake_timeout=0.3) as (listener, port):
        stalled = [raw(port) for _ in range(2)]
        await penstock.wait_all_tasks_blocked()
        started = penstock.current_time()
        await works(port)
        assert penstock.current_time() - started > 0.2
        assert listener.statistics().failed_handshakes == 2
        for sock in stalled:
            sock.close()


async def test_failed_handshakes_are_logged_for_who_wants_to_know(caplog):
    caplog.set_level(logging.DEBUG, "penstock.tls")
    async with serving(echo) as (listener, port):
        await in_thread(talk_http, port)
        await works(port)
        assert listener.statistics().failed_handshakes == 1
    (record,) = [record for record in caplog.records if record.name == "penstock.tls"]
    assert record.levelno == logging.DEBUG
    assert "HTTP_REQUEST" in record.getMessage()


async def test_handshake_errors_can_be_handled():
    errors = []
    seen = penstock.Event()

    class Listener(TLSListener):
        @staticmethod
        async def handle_handshake_error(exc, stream):
            errors.append(exc)
            await TLSListener.handle_handshake_error(exc, stream)
            seen.set()

    async with serving(echo, make=Listener) as (_, port):
        await in_thread(talk_http, port)
        await seen.wait()
        assert [public_type(exc) for exc in errors] == [penstock.BrokenResourceError]
        await works(port)


async def test_errors_that_are_no_peers_doing_propagate():
    class Context:
        def wrap_bio(self, *args):
            raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        async with serving(echo, context=Context()) as (_, port):
            with raw(port) as sock:
                assert await in_thread(sock.recv, 1) == b""
                await penstock.sleep(10)
    assert caught.group_contains(ZeroDivisionError)


async def test_error_hook_gets_the_encrypted_stream():
    taken = []
    seen = penstock.Event()

    async def fail(stream):
        raise ZeroDivisionError

    def on_error(exc, stream):
        taken.append((type(exc), type(stream), stream.extra(TLSAttribute.tls_version)))
        seen.set()

    async with serving(fail, serve={"on_error": on_error}) as (_, port):
        client = await connect(port)
        await seen.wait()
        assert taken == [(ZeroDivisionError, TLSStream, "TLSv1.3")]
        with pytest.raises(penstock.BrokenResourceError):
            await client.receive()
        await client.aclose()


async def test_connections_are_limited_and_drained():
    release = penstock.Event()
    running = most = 0

    async def handle(stream):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1
        await stream.aclose()

    async with penstock.create_task_group() as group:
        listener = TLSListener(
            await penstock.create_tcp_listener(local_host=HOST), server_context()
        )
        port = listener.extra(SocketAttribute.local_port)
        group.start_soon(lambda: listener.serve(handle, max_connections=2))
        clients = [await connect(port) for _ in range(2)]
        third = await in_thread(raw, port)
        await penstock.wait_all_tasks_blocked()
        assert listener.statistics().open_handlers == 2
        assert most == 2
        for client in clients:
            group.start_soon(client.aclose)
        third.close()
        release.set()
        assert await listener.drain(penstock.current_time() + 10) == 0


async def test_handshakes_that_are_under_way_are_drained_too():
    listener = TLSListener(await penstock.create_tcp_listener(local_host=HOST), server_context())
    async with penstock.create_task_group() as group:
        group.start_soon(lambda: listener.serve(echo))
        with raw(listener.extra(SocketAttribute.local_port)) as sock:
            while not listener.statistics().open_handlers:
                await penstock.lowlevel.checkpoint()
            assert await listener.drain(penstock.current_time()) == 1
            assert await in_thread(sock.recv, 1) == b""


async def test_attributes_of_the_listener():
    async with serving(echo, standard_compatible=False) as (listener, port):
        assert port
        assert listener.extra(TLSAttribute.standard_compatible) is False


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"ssl_context": None}, TypeError, "wrap_bio.*None"),
        ({"handshake_timeout": "30"}, TypeError, "must be a number, not '30'"),
        ({"handshake_timeout": 0}, ValueError, "above 0, not 0"),
        ({"handshake_timeout": float("nan")}, ValueError, "above 0, not nan"),
    ],
)
async def test_bad_arguments_are_refused(keywords, error, message):
    async with await penstock.create_tcp_listener(local_host=HOST) as listener:
        with pytest.raises(error, match=message):
            TLSListener(listener, **{"ssl_context": server_context(), **keywords})
        tls_listener = TLSListener(listener, server_context())
        with pytest.raises(TypeError, match="handler must be callable, not 5"):
            await tls_listener.serve(5)
        with pytest.raises(TypeError, match="on_error must be a plain function or None, not 5"):
            await tls_listener.serve(echo, on_error=5)


@pytest.mark.parametrize(
    "keywords",
    [
        {"tls": True, "ssl_context": "trusting"},
        {"ssl_context": "trusting"},
        {"ssl_context": "trusting", "tls_hostname": "localhost"},
    ],
)
async def test_connect_tcp_encrypts_when_anything_says_so(keywords):
    if "ssl_context" in keywords:
        keywords = {**keywords, "ssl_context": client_context()}
    async with serving(echo) as (_, port):
        async with await penstock.connect_tcp("localhost", port, **keywords) as client:
            assert isinstance(client, TLSStream)
            await client.send(b"hello")
            assert await client.receive() == b"hello"


@pytest.mark.parametrize(
    "keywords", [{"tls": True}, {"tls_hostname": "localhost"}, {"ssl_context": "for others"}]
)
async def test_connect_tcp_checks_the_certificate_and_closes(keywords):
    if "ssl_context" in keywords:
        keywords = {"ssl_context": client_context(), "tls_hostname": "other.example"}
    async with serving(echo) as (listener, port):
        with pytest.raises(ssl.SSLCertVerificationError):
            await penstock.connect_tcp("localhost", port, **keywords)
        while listener.statistics().open_handlers or not listener.statistics().accepted:
            await penstock.lowlevel.checkpoint()
        assert listener.statistics().failed_handshakes == 1


async def test_connect_tcp_refuses_what_is_no_context():
    with pytest.raises(TypeError, match=r"wrap_bio.*'context'"):
        await penstock.connect_tcp(HOST, 1, ssl_context="context")


async def test_cancelled_connect_closes_the_connection():
    with socket.create_server((HOST, 0)) as mute:
        async with penstock.create_task_group() as group:
            group.start_soon(connect, mute.getsockname()[1])
            await penstock.wait_all_tasks_blocked()
            peer, _ = mute.accept()
            group.cancel_scope.cancel()
        with peer:
            peer.settimeout(10)
            while peer.recv(65536):
                pass


async def test_connectables_encrypt():
    async with serving(echo) as (_, port):
        for connectable in (
            TLSConnectable(
                penstock.TCPConnectable(HOST, port),
                hostname="localhost",
                ssl_context=client_context(),
            ),
            penstock.as_connectable(("localhost", port), ssl_context=client_context()),
            penstock.as_connectable(
                (HOST, port), tls=True, tls_hostname="localhost", ssl_context=client_context()
            ),
        ):
            async with await connectable.connect() as client:
                assert isinstance(client, TLSStream)
                await client.send(b"hello")
                assert await client.receive() == b"hello"
        with pytest.raises(ssl.SSLCertVerificationError):
            await penstock.as_connectable((HOST, port), tls=True).connect()
        with pytest.raises(ssl.SSLCertVerificationError):
            await TLSConnectable(
                penstock.TCPConnectable(HOST, port), hostname="localhost"
            ).connect()
    with pytest.raises(TypeError, match="wrap_bio"):
        TLSConnectable(penstock.TCPConnectable(HOST, port), ssl_context=5)


async def test_connectable_says_that_it_could_not_connect():
    def refuse(mute):
        peer, _ = mute.accept()
        peer.recv(100)
        peer.close()

    with socket.create_server((HOST, 0)) as mute:
        thread = threading.Thread(target=refuse, args=(mute,))
        thread.start()
        connectable = penstock.as_connectable(mute.getsockname(), tls=True)
        with pytest.raises(penstock.ConnectionFailed, match="TLS handshake") as caught:
            await connectable.connect()
        assert isinstance(caught.value.__cause__, penstock.BrokenResourceError)
        thread.join()
