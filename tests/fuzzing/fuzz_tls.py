"""Target: whatever becomes of TLS records on the way, what is received was sent, or it is an error.

The handshake is fuzzed as well, from both sides; nothing but penstock's errors may come of it.
"""

from __future__ import annotations

import ssl
from functools import cache

from choices import Choices
from piecemeal import Pieces
from tls_peers import client_context, server_context

from penstock import BrokenResourceError, EndOfStream
from penstock.streams.tls import TLSStream

VERSIONS = ("1.2", "1.3")
PAYLOAD = bytes(range(256)) * 2
#: Records that mean something of their own: alerts, a change of ciphers, an empty record, a header
#: that announces more than may come, a handshake message, SSL 2, HTTP.
JUNK = (
    b"\x15\x03\x03\0\x02\x01\0",
    b"\x15\x03\x03\0\x02\x02\x28",
    b"\x14\x03\x03\0\x01\x01",
    b"\x17\x03\x03\0\0",
    b"\x17\x03\x03\xff\xff",
    b"\x16\x03\x03\0\x04\0\0\0\0",
    b"\x80\x2e\x01\0\x02",
    b"GET / HTTP/1.1\r\n\r\n",
)


@cache
def server(version: str | None) -> ssl.SSLContext:
    return server_context(version=version)


@cache
def client(version: str | None) -> ssl.SSLContext:
    return client_context(version)


class Hand:
    """An SSLObject driven by hand: what it writes is moved by the target."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_side=server_side,
            server_hostname=None if server_side else "localhost",
        )

    def step(self) -> bytes:
        """Go on with the handshake as far as it goes; return what is to be sent."""
        try:
            self.ssl.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()


class HandWire(Pieces):
    """A transport at whose other end is a :class:`Hand`, which answers at once."""

    def __init__(self, hand: Hand) -> None:
        super().__init__()
        self.hand = hand
        self.by_hand = True

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self.by_hand and not self._pieces:
            self.hand.incoming.write(bytes(self.sent))
            self.sent.clear()
            self.deliver([self.hand.step()])
        return await super().receive(max_bytes)

    def deliver(self, pieces: list[bytes]) -> None:
        self._pieces[:0] = [piece for piece in reversed(pieces) if piece]


def mutated(choices: Choices, wire: bytes) -> bytes:
    """Change, drop, double, move and insert some of the bytes."""
    data = bytearray(wire)
    for _ in range(choices.integer(0, 4)):
        place = choices.integer(0, len(data))
        width = choices.integer(0, 80)
        piece = data[place : place + width]
        match choices.integer(0, 5):
            case 0 if place < len(data):
                data[place] ^= choices.integer(0, 255)
            case 1:
                del data[place : place + width]
            case 2:
                data[place:place] = piece
            case 3:
                del data[place : place + width]
                where = choices.integer(0, len(data))
                data[where:where] = piece
            case 4:
                data[place:place] = choices.one_of(JUNK)
            case 5:
                data[place:place] = choices.octets(20)
    return bytes(data)


async def check_handshake(choices: Choices, *, server_side: bool) -> None:
    """Have the first flight of the peer mutated; he then leaves."""
    version = choices.one_of(VERSIONS)
    hand = Hand((client if server_side else server)(version), server_side=not server_side)
    if server_side:
        flight = hand.step()
    else:
        hand.incoming.write(Hand(client(version), server_side=False).step())
        flight = hand.step()
    wire = Pieces(choices.cut(mutated(choices, flight)))
    try:
        await TLSStream.wrap(
            wire,
            ssl_context=(server if server_side else client)(None),
            hostname=None if server_side else "localhost",
        )
    except BrokenResourceError:
        return
    except ssl.SSLCertVerificationError:
        assert not server_side
        return
    raise AssertionError("the handshake cannot have been completed")


async def check_records(choices: Choices, *, server_side: bool) -> None:
    """Have the records behind a good handshake mutated."""
    version = choices.one_of(VERSIONS)
    hand = Hand((client if server_side else server)(version), server_side=not server_side)
    wire = HandWire(hand)
    if server_side:
        wire.deliver([hand.step()])
    stream = await TLSStream.wrap(
        wire,
        ssl_context=(server if server_side else client)(version),
        hostname=None if server_side else "localhost",
    )
    wire.by_hand = False
    hand.incoming.write(bytes(wire.sent))
    early = hand.step()  # of a server: session tickets
    size = choices.one_of((50, 512, 7))
    for start in range(0, len(PAYLOAD), max(size, 50)):
        hand.ssl.write(PAYLOAD[start : start + max(size, 50)])
    if choices.integer(0, 1):
        try:
            hand.ssl.unwrap()
        except ssl.SSLError:  # it wants the peer's announcement
            pass
    sent = early + hand.outgoing.read()
    arrived = mutated(choices, sent)
    wire.deliver(choices.cut(arrived))
    got = b""
    try:
        while True:
            most = choices.one_of((65536, 1, 100))
            data = await stream.receive(most)
            assert 1 <= len(data) <= most
            got += data
            if choices.integer(0, 7) == 0:
                await stream.send(b"meanwhile")
    except BrokenResourceError:
        pass
    except EndOfStream:
        assert got == PAYLOAD
        assert arrived.startswith(sent)  # what is behind the announcement is nobody's business
    assert PAYLOAD.startswith(got)
    if arrived == sent:
        assert got == PAYLOAD
    await stream.aclose()


async def check(choices: Choices) -> None:
    server_side = bool(choices.integer(0, 1))
    if choices.integer(0, 1):
        await check_records(choices, server_side=server_side)
    else:
        await check_handshake(choices, server_side=server_side)
