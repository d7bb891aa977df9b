"""Who may talk to whom: certificates, names, protocols, sessions; and what a failure tells."""

from __future__ import annotations

import gc
import ssl
import weakref
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from tls_peers import (
    authority,
    client_context,
    receive_all,
    server_context,
    wires,
)

import penstock
from penstock.streams.tls import TLSAttribute, TLSStream
from penstock.streams.tls._contexts import default_context


async def handshake(client_keywords, server_keywords):
    """Shake hands; return what came of it on both sides."""
    near, far = wires()
    outcome = {}

    async def wrap(name, end, keywords):
        try:
            outcome[name] = await TLSStream.wrap(end, **keywords)
        except Exception as exc:
            outcome[name] = exc

    async with penstock.create_task_group() as group:
        group.start_soon(wrap, "client", near, client_keywords)
        group.start_soon(wrap, "server", far, server_keywords)
    await near.aclose()
    await far.aclose()
    return outcome["client"], outcome["server"]


def for_client(hostname="localhost", context=None):
    return {"hostname": hostname, "ssl_context": context or client_context()}


def for_server(*names, context=None):
    return {"ssl_context": context or server_context(*names)}


@pytest.mark.parametrize(
    ("hostname", "names"),
    [
        ("localhost", ["localhost"]),
        ("127.0.0.1", ["127.0.0.1"]),
        ("::1", ["::1"]),
        ("a.example.org", ["*.example.org"]),
        ("faß.example", ["xn--fa-hia.example"]),  # IDNA 2003 would say "fass.example"
        ("BÜCHER.example", ["xn--bcher-kva.example"]),
    ],
)
async def test_server_may_be_named_as_its_certificate_says(hostname, names):
    client, server = await handshake(for_client(hostname), for_server(*names))
    assert isinstance(client, TLSStream)
    assert isinstance(server, TLSStream)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("hostname", ["other.example", "127.0.0.2", "fass.example"])
async def test_wrong_name_is_a_certificate_error_and_the_server_is_told(hostname, version):
    names = ["localhost", "127.0.0.1", "xn--fa-hia.example"]
    client, server = await handshake(
        for_client(hostname, client_context(version)), for_server(*names)
    )
    assert isinstance(client, ssl.SSLCertVerificationError)
    assert isinstance(server, penstock.BrokenResourceError)
    assert isinstance(server.__cause__, ssl.SSLError)
    assert "ALERT" in server.__cause__.reason


async def test_expired_certificate_is_refused_and_the_server_is_told():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(
        "localhost", not_after=datetime.now(UTC) - timedelta(days=1)
    ).configure_cert(context)
    client, server = await handshake(for_client(), for_server(context=context))
    assert isinstance(client, ssl.SSLCertVerificationError)
    assert server.__cause__.reason == "SSLV3_ALERT_CERTIFICATE_EXPIRED"


async def test_unknown_authority_is_refused_and_the_server_is_told():
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trustme.CA().configure_trust(stranger)
    client, server = await handshake(for_client(context=stranger), for_server())
    assert isinstance(client, ssl.SSLCertVerificationError)
    assert server.__cause__.reason == "TLSV1_ALERT_UNKNOWN_CA"


async def test_system_certificates_are_the_default():
    client, _ = await handshake({"hostname": "localhost"}, for_server())
    assert isinstance(client, ssl.SSLCertVerificationError)


async def test_server_default_context_has_no_certificate():
    client, server = await handshake(for_client(), {})
    assert server.__cause__.reason == "NO_SHARED_CIPHER"
    assert "HANDSHAKE_FAILURE" in client.__cause__.reason


async def test_versions_that_do_not_meet_are_an_error_for_both():
    client, server = await handshake(
        for_client(context=client_context("1.2")),
        for_server(context=server_context(version="1.3")),
    )
    assert server.__cause__.reason == "UNSUPPORTED_PROTOCOL"
    assert client.__cause__.reason == "TLSV1_ALERT_PROTOCOL_VERSION"
    assert "TLSV1_ALERT_PROTOCOL_VERSION" in str(client)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_client_certificate(version):
    context = server_context(version=version)
    context.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(context)
    known = client_context()
    authority().issue_cert("someone@example.org").configure_cert(known)
    near, far = wires()
    async with penstock.create_task_group() as group:
        serving = group.create_task(TLSStream.wrap(far, ssl_context=context))
        client = await TLSStream.wrap(near, hostname="localhost", ssl_context=known)
        server = await serving
    names = server.extra(TLSAttribute.peer_certificate)["subjectAltName"]
    assert names == (("email", "someone@example.org"),)
    await client.send(b"hello")
    assert await server.receive() == b"hello"
    await near.aclose()
    await far.aclose()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_missing_client_certificate_is_told_to_the_client(version):
    context = server_context(version=version)
    context.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(context)
    near, far = wires()
    async with penstock.create_task_group() as group:

        async def serve():
            with pytest.raises(penstock.BrokenResourceError) as caught:
                await TLSStream.wrap(far, ssl_context=context)
            assert caught.value.__cause__.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"

        group.start_soon(serve)
        with pytest.raises(penstock.BrokenResourceError) as caught:
            # With TLS 1.3 the client learns it when it has done its part.
            await (
                await TLSStream.wrap(near, hostname="localhost", ssl_context=client_context())
            ).receive()
        assert "ALERT" in caught.value.__cause__.reason
    await near.aclose()
    await far.aclose()


async def test_protocols_are_agreed_upon():
    ours, theirs = client_context(), server_context()
    ours.set_alpn_protocols(["h2", "http/1.1"])
    theirs.set_alpn_protocols(["http/1.1"])
    near, far = wires()
    async with penstock.create_task_group() as group:
        serving = group.create_task(TLSStream.wrap(far, ssl_context=theirs))
        client = await TLSStream.wrap(near, hostname="localhost", ssl_context=ours)
        server = await serving
    assert client.extra(TLSAttribute.alpn_protocol) == "http/1.1"
    assert server.extra(TLSAttribute.alpn_protocol) == "http/1.1"
    await near.aclose()
    await far.aclose()


async def test_server_sees_the_name_and_chooses_the_certificate():
    seen = []
    chosen = server_context("b.example")

    def choose(ssl_object, name, context):
        seen.append(name)
        ssl_object.context = chosen

    context = server_context("a.example")
    context.sni_callback = choose
    client, _ = await handshake(for_client("b.example"), for_server(context=context))
    assert isinstance(client, TLSStream)
    assert seen == ["b.example"]


CLIENTS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
SERVERS = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


class Resuming:
    """A context of one's own: all that is asked of it is wrap_bio."""

    def __init__(self, context, session):
        self.context = context
        self.session = session

    def wrap_bio(self, incoming, outgoing, server_side=False, server_hostname=None):
        return self.context.wrap_bio(
            incoming, outgoing, server_side, server_hostname, session=self.session
        )


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_session_is_resumed(version):
    ours, theirs = client_context(version), server_context(version=version)
    session, resumed = None, []
    for _ in range(2):
        near, far = wires()
        async with penstock.create_task_group() as group:

            async def serve(far=far):
                server = await TLSStream.wrap(far, ssl_context=theirs)
                await server.send(b"hello")
                await server.aclose()

            group.start_soon(serve)
            client = await TLSStream.wrap(
                near, hostname="localhost", ssl_context=Resuming(ours, session)
            )
            assert await receive_all(client) == b"hello"
            ssl_object = client.extra(TLSAttribute.ssl_object)
            session = ssl_object.session
            resumed.append(ssl_object.session_reused)
            await client.aclose()
    assert resumed == [False, True]


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"ssl_context": "no context"}, TypeError, "wrap_bio.*'no context'"),
        ({"hostname": 5}, TypeError, "hostname must be a string.*5"),
        ({"hostname": "a\N{SNOWMAN} b"}, ValueError, None),
        ({"ssl_context": CLIENTS}, ValueError, "server's|server_hostname"),
        (
            {"server_side": False, "ssl_context": CLIENTS},
            ValueError,
            "hostname",
        ),
        (
            {"hostname": "a", "ssl_context": SERVERS},
            ValueError,
            "client's",
        ),
    ],
)
async def test_bad_arguments_are_refused_before_anything_is_sent(keywords, error, message):
    near, far = wires()
    with pytest.raises(error, match=message):
        await TLSStream.wrap(near, **keywords)
    await near.aclose()
    with pytest.raises(penstock.EndOfStream):
        await far.receive()
    await far.aclose()


@pytest.mark.parametrize("standard_compatible", [True, False])
async def test_end_in_the_handshake_is_an_error(standard_compatible):
    near, far = wires()
    far._sending.close()
    with pytest.raises(penstock.BrokenResourceError, match="in the middle of the TLS handshake"):
        await TLSStream.wrap(
            near,
            hostname="localhost",
            ssl_context=client_context(),
            standard_compatible=standard_compatible,
        )
    assert not near.closed
    await near.aclose()
    await far.aclose()


def test_default_contexts_refuse_renegotiation_and_cuts():
    for server_side in (True, False):
        context = default_context(server_side=server_side)
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert not context.options & ssl.OP_IGNORE_UNEXPECTED_EOF


async def no_cycle_is_left_by(far, near, error):
    gc.collect()
    gc.disable()
    try:
        watch = weakref.ref(near)
        try:
            await TLSStream.wrap(near, hostname="localhost", ssl_context=client_context())
        except error:
            pass
        else:
            pytest.fail("the handshake has not failed")
        await near.aclose()
        del near
        await penstock.lowlevel.checkpoint()
        return watch() is None
    finally:
        gc.enable()
        await far.aclose()


async def test_failed_handshake_leaves_no_cycle():
    near, far = wires()
    await far.send(b"this is no TLS at all\r\n")
    ends = [near]
    del near
    assert await no_cycle_is_left_by(far, ends.pop(), penstock.BrokenResourceError)


async def test_refused_certificate_leaves_no_cycle():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    near, far = wires()

    async def serve():
        with pytest.raises(penstock.BrokenResourceError):
            await TLSStream.wrap(far, ssl_context=context)

    async with penstock.create_task_group() as group:
        group.start_soon(serve)
        ends = [near]
        del near
        assert await no_cycle_is_left_by(far, ends.pop(), ssl.SSLCertVerificationError)
