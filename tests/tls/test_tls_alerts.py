"""Whatever goes wrong, at whatever stage and on whichever side: the peer is told by an alert.

RFC 8446, 6.2 and RFC 5246, 7.2.2 say which one.  The other side is an SSLObject driven by hand, or
the bytes on the wire, so that nothing of penstock's tells what the peer has seen.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from tls_peers import Peer, authority, client_context, receive_exactly, server_context, wires
from tls_records import ALERT, DATA, HANDSHAKE, sealed_pair

import penstock
from penstock.streams.tls import TLSStream

LONG_AGO = datetime.now(UTC) - timedelta(days=1)


def with_certificate(context, issuer=None, **keywords):
    (issuer or authority()).issue_cert("localhost", **keywords).configure_cert(context)
    return context


def asking(context):
    """Have a server's context ask for a certificate."""
    context.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(context)
    return context


def with_ciphers(context, ciphers):
    context.set_ciphers(ciphers)
    return context


def refusing(context):
    context.sni_callback = lambda *_: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    return context


def distrusting():
    return ssl.create_default_context(cafile=None, cadata=trusted_by_nobody())


def trusted_by_nobody():
    return trustme.CA().cert_pem.bytes().decode()


#: What we are, our context, the peer's context, what we say, what the peer is told.
HANDSHAKES = {
    "no shared cipher": (
        "server",
        lambda: with_ciphers(server_context(version="1.2"), "ECDHE+AES256"),
        lambda: with_ciphers(client_context("1.2"), "ECDHE+AES128"),
        "NO_SHARED_CIPHER",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
    ),
    "client too old": (
        "server",
        lambda: server_context(version="1.3"),
        lambda: client_context("1.2"),
        "UNSUPPORTED_PROTOCOL",
        "TLSV1_ALERT_PROTOCOL_VERSION",
    ),
    "client too new": (
        "server",
        lambda: server_context(version="1.2"),
        lambda: client_context("1.3"),
        "UNSUPPORTED_PROTOCOL",
        "TLSV1_ALERT_PROTOCOL_VERSION",
    ),
    "name refused": (
        "server",
        lambda: refusing(server_context()),
        client_context,
        "CALLBACK_FAILED",
        "TLSV1_UNRECOGNIZED_NAME",
    ),
    **{
        f"client without a certificate, {version}": (
            "server",
            lambda v=version: asking(server_context(version=v)),
            client_context,
            "PEER_DID_NOT_RETURN_A_CERTIFICATE",
            {"1.2": "SSLV3_ALERT_HANDSHAKE_FAILURE", "1.3": "TLSV13_ALERT_CERTIFICATE_REQUIRED"}[
                version
            ],
        )
        for version in ("1.2", "1.3")
    },
    **{
        f"client of an unknown authority, {version}": (
            "server",
            lambda v=version: asking(server_context(version=v)),
            lambda: with_certificate(client_context(), trustme.CA()),
            "CERTIFICATE_VERIFY_FAILED",
            "TLSV1_ALERT_UNKNOWN_CA",
        )
        for version in ("1.2", "1.3")
    },
    "client's certificate expired": (
        "server",
        lambda: asking(server_context()),
        lambda: with_certificate(client_context(), not_after=LONG_AGO),
        "CERTIFICATE_VERIFY_FAILED",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    ),
    **{
        f"server of an unknown authority, {version}": (
            "client",
            distrusting,
            lambda v=version: server_context(version=v),
            "CERTIFICATE_VERIFY_FAILED",
            "TLSV1_ALERT_UNKNOWN_CA",
        )
        for version in ("1.2", "1.3")
    },
    "server's certificate expired": (
        "client",
        client_context,
        lambda: with_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), not_after=LONG_AGO),
        "CERTIFICATE_VERIFY_FAILED",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    ),
    "server of another name": (
        "client",
        client_context,
        lambda: server_context("other.example"),
        "CERTIFICATE_VERIFY_FAILED",
        "SSLV3_ALERT_BAD_CERTIFICATE",
    ),
}


@pytest.mark.parametrize("kind", HANDSHAKES)
async def test_failed_handshake_is_told_to_the_peer(kind):
    side, ours, theirs, reason, alert = HANDSHAKES[kind]
    near, far = wires()
    hand = Peer(far, theirs(), server_side=side == "client")
    keywords = {"hostname": "localhost"} if side == "client" else {}

    async def be_told():
        with pytest.raises(ssl.SSLError) as told:
            await hand.handshake()
            await hand.receive()  # with TLS 1.3 a client is done before the server has judged
        assert told.value.reason == alert

    async with penstock.create_task_group() as group:
        group.start_soon(be_told)
        with pytest.raises((penstock.BrokenResourceError, ssl.SSLError)) as caught:
            await TLSStream.wrap(near, ssl_context=ours(), **keywords)
        error = caught.value
        if isinstance(error, penstock.BrokenResourceError):
            error = error.__cause__
            assert isinstance(error, ssl.SSLError)
        else:  # the one error of OpenSSL's that leaves bare
            assert isinstance(error, ssl.SSLCertVerificationError)
        assert error.reason == reason
        assert not near.closed
        await near.aclose()  # so that a peer that is told nothing does not wait
    await far.aclose()


def on_the_wire(number):
    """Return a fatal alert without encryption, whatever version it names."""
    return {bytes((21, 3, minor, 0, 2, 2, number)) for minor in (1, 3)}


#: What comes instead of a hello, and the number of the alert.
HELLOS = {
    "data": (b"\x17\x03\x03\x00\x03abc", 10),
    "too long": (b"\x16\x03\x01\xff\xff" + bytes(70_000), 22),
    "empty hello": (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", 50),
    "another message": (b"\x16\x03\x01\x00\x04\x14\x00\x00\x00", 10),
}


@pytest.mark.parametrize("kind", HELLOS)
@pytest.mark.parametrize("side", ["client", "server"])
async def test_bad_hello_is_told_to_the_peer(kind, side):
    junk, number = HELLOS[kind]
    if side == "client" and kind == "empty hello":
        junk = junk.replace(b"\x04\x01", b"\x04\x02")
    near, far = wires()
    await far.send(junk)
    keywords = (
        {"hostname": "localhost", "ssl_context": client_context()}
        if side == "client"
        else {"ssl_context": server_context()}
    )
    with pytest.raises(penstock.BrokenResourceError) as caught:
        await TLSStream.wrap(near, **keywords)
    assert isinstance(caught.value.__cause__, ssl.SSLError)
    await near.aclose()
    told = b"".join([data async for data in far])
    assert told[-7:] in on_the_wire(number)
    await far.aclose()


def flipped(record):
    return record[:-1] + bytes((record[-1] ^ 1,))


LAYER = "RECORD_LAYER_FAILURE"
#: What the peer sends in an established connection of TLS 1.3, what we say, what it is told.
RECORDS = {
    "corrupt record": (
        lambda sealer: flipped(sealer.seal(DATA, b"hello")),
        "DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
        "SSLV3_ALERT_BAD_RECORD_MAC",
    ),
    "record of other keys": (
        lambda sealer: sealer.key_update() and sealer.seal(DATA, b"hello"),
        "DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
        "SSLV3_ALERT_BAD_RECORD_MAC",
    ),
    "record twice": (
        lambda sealer: 2 * sealer.seal(DATA, b"hello"),
        "DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
        "SSLV3_ALERT_BAD_RECORD_MAC",
    ),
    "record in the clear": (
        lambda sealer: b"\x16\x03\x03\0\4\x18\0\0\0",
        None,
        "SSLV3_ALERT_UNEXPECTED_MESSAGE",
    ),
    "message that has no place": (
        lambda sealer: sealer.seal(HANDSHAKE, b"\x14\0\0\0"),
        "UNEXPECTED_MESSAGE",
        "SSLV3_ALERT_UNEXPECTED_MESSAGE",
    ),
    "unknown type": (
        lambda sealer: sealer.seal(99, b"hello"),
        None,
        "SSLV3_ALERT_UNEXPECTED_MESSAGE",
    ),
    "no type": (
        lambda sealer: sealer.seal(0, b""),
        None,
        "SSLV3_ALERT_UNEXPECTED_MESSAGE",
    ),
    "too much in a record": (
        lambda sealer: sealer.seal(DATA, bytes(16385)),
        "DATA_LENGTH_TOO_LONG",
        "TLSV1_ALERT_RECORD_OVERFLOW",
    ),
    "KeyUpdate out of range": (
        lambda sealer: sealer.seal(HANDSHAKE, b"\x18\0\0\1\7"),
        "BAD_KEY_UPDATE",
        "SSLV3_ALERT_ILLEGAL_PARAMETER",
    ),
    "KeyUpdate too long": (
        lambda sealer: sealer.seal(HANDSHAKE, b"\x18\0\0\2\0\0"),
        "EXCESSIVE_MESSAGE_SIZE",
        "SSLV3_ALERT_ILLEGAL_PARAMETER",
    ),
    "many records with nothing": (
        lambda sealer: b"".join(sealer.seal(DATA, b"") for _ in range(1000)),
        "RECORD_TOO_SMALL",
        "SSLV3_ALERT_UNEXPECTED_MESSAGE",
    ),
}


@pytest.mark.parametrize("kind", [*RECORDS, "renegotiation"])
@pytest.mark.parametrize("peer", ["client", "server"])
async def test_broken_connection_is_told_to_the_peer(kind, peer):
    if kind == "renegotiation":  # TLS 1.3 has dropped it
        hello = b"\x01" if peer == "client" else b"\x00"
        make, reason, alert = (
            lambda sealer: sealer.seal(HANDSHAKE, hello + b"\0\0\0"),
            "UNEXPECTED_MESSAGE",
            "SSLV3_ALERT_UNEXPECTED_MESSAGE",
        )
    else:
        make, reason, alert = RECORDS[kind]
    async with sealed_pair(peer=peer) as (stream, hand, sealer):
        await hand.stream.send(sealer.seal(DATA, b"before") + make(sealer))
        expected = b"before" + (b"hello" if kind == "record twice" else b"")
        assert await receive_exactly(stream, len(expected)) == expected
        for use in (stream.receive, stream.receive, lambda: stream.send(b"too late")):
            with pytest.raises(penstock.BrokenResourceError) as caught:
                await use()
            assert isinstance(caught.value.__cause__, ssl.SSLError)
            # OpenSSL 3.6 names the layer that the error comes out of in its place.
            assert reason is None or caught.value.__cause__.reason in (reason, LAYER)
        await stream.transport_stream.aclose()  # so that a peer that is told nothing does not wait
        with pytest.raises(ssl.SSLError) as told:
            await hand.receive()
        assert told.value.reason == alert
        await stream.aclose()


@pytest.mark.parametrize("peer", ["client", "server"])
async def test_send_finds_out_what_broke_the_connection(peer):
    async with sealed_pair(peer=peer) as (stream, hand, sealer):
        await hand.stream.send(flipped(sealer.seal(DATA, b"hello")))
        await stream.send(b"sends do not look")
        assert await hand.receive() == b"sends do not look"
        with pytest.raises(penstock.BrokenResourceError):
            await stream.receive()
        with pytest.raises(penstock.BrokenResourceError, match=f"BAD_RECORD_MAC|{LAYER}"):
            await stream.send(b"too late")


@pytest.mark.parametrize("peer", ["client", "server"])
async def test_alert_of_the_peer_is_an_error(peer):
    async with sealed_pair(peer=peer) as (stream, hand, sealer):
        await hand.stream.send(sealer.seal(DATA, b"before") + sealer.seal(ALERT, b"\x02\x50"))
        assert await stream.receive() == b"before"
        with pytest.raises(penstock.BrokenResourceError, match="INTERNAL_ERROR"):
            await stream.receive()


async def test_protocols_that_do_not_meet_are_no_error():
    ours, theirs = server_context(), client_context()
    ours.set_alpn_protocols(["h2"])
    theirs.set_alpn_protocols(["http/1.1"])
    near, far = wires()
    hand = Peer(far, theirs)
    async with penstock.create_task_group() as group:
        group.start_soon(hand.handshake)
        stream = await TLSStream.wrap(near, ssl_context=ours)
    assert hand.ssl.selected_alpn_protocol() is None
    assert stream.extra(penstock.streams.tls.TLSAttribute.alpn_protocol) is None
    await near.aclose()
    await far.aclose()
