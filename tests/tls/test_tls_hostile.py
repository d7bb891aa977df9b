"""A peer that cuts, corrupts or makes up records: errors of penstock's, and the peer is told."""

from __future__ import annotations

import socket
import ssl
import struct
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tls_peers import (
    Peer,
    authority,
    client_context,
    peer_pair,
    server_context,
    shake_hands,
    tcp,
    wires,
)

import penstock
from penstock import BrokenResourceError
from penstock.streams.tls import TLSStream

#: The reason that OpenSSL 3.6 gives in place of what went wrong in its record layer.
LAYER = "RECORD_LAYER_FAILURE"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_records_may_be_split_at_every_byte(version):
    payload = Random(2).randbytes(600)
    async with peer_pair(version) as (stream, peer):
        for cut in range(1, len(payload) + 5):
            data = peer.encrypt(payload)
            await peer.stream.send(data[:cut])
            async with penstock.create_task_group() as group:
                receiving = group.create_task(stream.receive())
                await penstock.lowlevel.checkpoint()
                await peer.stream.send(data[cut:])
                received = await receiving
            while len(received) < len(payload):
                received += await stream.receive()
            assert received == payload


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("side", ["client", "server"])
async def test_handshake_may_come_byte_by_byte(version, side):
    near, far = wires(piece=1)
    far.tamper = bytes
    peer = Peer(
        far,
        server_context(version=version) if side == "client" else client_context(version),
        server_side=side == "client",
    )
    keywords = (
        {"hostname": "localhost", "ssl_context": client_context()}
        if side == "client"
        else {"ssl_context": server_context()}
    )
    async with penstock.create_task_group() as group:
        group.start_soon(peer.handshake)
        stream = await TLSStream.wrap(near, **keywords)
    await stream.send(b"hello")
    assert await peer.receive() == b"hello"
    await near.aclose()
    await far.aclose()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("peer", ["client", "server"])
async def test_corrupt_record_is_an_error_and_the_peer_is_told(version, peer):
    async with peer_pair(version, peer=peer) as (stream, hand):
        good, bad = hand.encrypt(b"good"), bytearray(hand.encrypt(b"bad"))
        bad[-1] ^= 1
        await hand.stream.send(good + bad)
        assert await stream.receive() == b"good"
        for _ in range(2):
            with pytest.raises(penstock.BrokenResourceError) as caught:
                await stream.receive()
            assert isinstance(caught.value.__cause__, ssl.SSLError)
            assert caught.value.__cause__.reason in (
                "DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
                LAYER,
            )
        with pytest.raises(penstock.BrokenResourceError):
            await stream.send(b"too late")
        with pytest.raises(ssl.SSLError) as told:
            await hand.receive()
        assert told.value.reason in (
            "SSLV3_ALERT_BAD_RECORD_MAC",
            "TLSV1_ALERT_DECRYPT_ERROR",
        )
        await stream.aclose()


async def test_closing_over_a_corrupt_record_is_silent_and_announced():
    async with peer_pair() as (stream, hand):
        bad = bytearray(hand.encrypt(b"bad"))
        bad[-1] ^= 1
        await hand.stream.send(bad)
        await stream.aclose()
        assert await hand.receive() == b""


@pytest.mark.parametrize("closing", [False, True])
async def test_reset_while_something_is_left_to_send_is_a_plain_error(closing):
    near, far = await tcp()
    client, server = await shake_hands(near, far)
    with penstock.CancelScope() as scope:  # a send that stops in the middle of a record
        async with penstock.create_task_group() as group:
            group.start_soon(client.send, bytes(50_000_000))
            await penstock.wait_all_tasks_blocked()
            scope.cancel()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await far.aclose()
    if not closing:
        with pytest.raises(BrokenResourceError):
            await client.receive()
    await client.aclose()
    await server.aclose()


JUNK = {
    "http": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP_REQUEST"),
    "ssh": (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "WRONG_VERSION_NUMBER"),
    "zeros": (bytes(1000), "WRONG_VERSION_NUMBER"),
    "alert": (b"\x15\x03\x01\x00\x02\x02\x28", "UNEXPECTED_MESSAGE"),
    "too long": (b"\x16\x03\x01\xff\xff" + bytes(70_000), "PACKET_LENGTH_TOO_LONG"),
    "empty hello": (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", "LENGTH_TOO_SHORT"),
}


@pytest.mark.parametrize("kind", JUNK)
async def test_junk_for_a_hello_is_an_error(kind):
    junk, reason = JUNK[kind]
    near, far = wires()
    await far.send(junk)
    with pytest.raises(penstock.BrokenResourceError) as caught:
        await TLSStream.wrap(near, ssl_context=server_context())
    cause = caught.value.__cause__
    assert isinstance(cause, ssl.SSLError)
    assert cause.reason in (reason, LAYER)
    await near.aclose()
    await far.aclose()


async def test_plaintext_in_an_encrypted_stream_is_an_error_and_the_peer_is_told():
    async with peer_pair() as (stream, hand):
        await hand.stream.send(b"hello, in the clear")
        with pytest.raises(penstock.BrokenResourceError, match=f"WRONG_VERSION_NUMBER|{LAYER}"):
            await stream.receive()
        with pytest.raises(ssl.SSLError):
            await hand.receive()


ALERTS = {40: "HANDSHAKE_FAILURE", 48: "UNKNOWN_CA", 80: "INTERNAL_ERROR", 112: "UNRECOGNIZED_NAME"}


@pytest.mark.parametrize("number", ALERTS)
@pytest.mark.parametrize("flight", [0, 1])
async def test_alert_in_the_handshake_is_an_error(number, flight):
    alert = bytes((21, 3, 3, 0, 2, 2, number))
    near, far = wires()
    sends = 0

    def tamper(data):
        nonlocal sends
        sends += 1
        return data if sends <= flight else alert

    near.tamper = tamper
    async with penstock.create_task_group() as group:

        async def serve():
            with pytest.raises(penstock.BrokenResourceError) as caught:
                await TLSStream.wrap(far, ssl_context=server_context(version="1.2"))
            assert isinstance(caught.value.__cause__, ssl.SSLError)
            await far.aclose()

        group.start_soon(serve)
        with pytest.raises(penstock.BrokenResourceError):
            await TLSStream.wrap(near, hostname="localhost", ssl_context=client_context())
    await near.aclose()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("flight", [0, 1])
@pytest.mark.parametrize("side", ["client", "server"])
async def test_corrupt_flight_ends_the_handshake_on_both_sides(version, flight, side):
    near, far = wires()
    sends = 0

    def tamper(data):
        nonlocal sends
        sends += 1
        return data if sends <= flight else data[:-1] + bytes((data[-1] ^ 1,))

    (near if side == "client" else far).tamper = tamper

    async def wrap(end, **keywords):
        try:
            stream = await TLSStream.wrap(end, **keywords)
            await stream.send(b"hello")
            while True:
                await stream.receive()
        except (penstock.BrokenResourceError, ssl.SSLCertVerificationError):
            failed.append(end)
        finally:
            await end.aclose()

    failed = []
    async with penstock.create_task_group() as group:
        group.start_soon(lambda: wrap(far, ssl_context=server_context(version=version)))
        await wrap(near, hostname="localhost", ssl_context=client_context())
    assert set(failed) == {near, far}


async def test_peer_that_asks_for_a_certificate_later_gets_an_answer():
    ours, theirs = client_context(), server_context()
    ours.post_handshake_auth = True
    authority().issue_cert("someone@example.org").configure_cert(ours)
    theirs.verify_mode = ssl.CERT_OPTIONAL
    authority().configure_trust(theirs)
    theirs.post_handshake_auth = True
    near, far = wires()
    hand = Peer(far, theirs, server_side=True)
    async with penstock.create_task_group() as group:
        group.start_soon(hand.handshake)
        stream = await TLSStream.wrap(near, hostname="localhost", ssl_context=ours)
    async with penstock.create_task_group() as group:
        hand.ssl._sslobj.verify_client_post_handshake()
        await hand.do(hand.ssl.do_handshake)
        receiving = group.create_task(stream.receive())
        await penstock.wait_all_tasks_blocked()
        hand.incoming.write(await far.receive())
        with pytest.raises(ssl.SSLWantReadError):
            hand.ssl.read(1)
        assert hand.ssl.getpeercert()["subjectAltName"] == (("email", "someone@example.org"),)
        await far.send(hand.encrypt(b"welcome"))
        assert await receiving == b"welcome"
    await near.aclose()
    await far.aclose()


@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_mutated_records_give_what_was_sent_or_an_error(backend, data):
    payload = b"0123456789" * 30

    async def main():
        async with peer_pair(data.draw(st.sampled_from(["1.2", "1.3"]))) as (stream, hand):
            wire = bytearray(b"".join(hand.encrypt(payload[n : n + 50]) for n in range(0, 300, 50)))
            place = data.draw(st.integers(0, len(wire) - 1))
            match data.draw(st.sampled_from(["change", "drop", "double", "insert"])):
                case "change":
                    wire[place] ^= data.draw(st.integers(1, 255))
                case "drop":
                    del wire[place]
                case "double":
                    wire[place:place] = wire[place : place + 60]
                case "insert":
                    wire[place:place] = data.draw(st.binary(min_size=1, max_size=30))
            await hand.stream.send(bytes(wire))
            hand.stream._sending.close()
            received = b""
            with pytest.raises(penstock.BrokenResourceError):
                while True:
                    received += await stream.receive(data.draw(st.integers(1, 400)))
            assert payload.startswith(received)
            await stream.aclose()

    backend.run(main)
