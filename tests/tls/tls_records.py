"""TLS 1.3 records made by hand (RFC 8446, 5.2): what no well-behaved peer can be made to send."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from tls_peers import Peer, client_context, server_context, wires

import penstock
from penstock.streams.tls import TLSStream

ALERT, HANDSHAKE, DATA = 21, 22, 23
SHA384 = hashes.SHA384()  # of TLS_AES_256_GCM_SHA384, which OpenSSL prefers


def expand(secret: bytes, label: str, length: int) -> bytes:
    name = b"tls13 " + label.encode()
    info = length.to_bytes(2, "big") + bytes((len(name),)) + name + b"\0"
    return HKDFExpand(SHA384, length, info).derive(secret)


class Sealer:
    """Seals whatever it is given with the keys of one side of a connection."""

    def __init__(self, secret: bytes) -> None:
        self._use(secret)

    def _use(self, secret: bytes) -> None:
        self._secret = secret
        self._cipher = AESGCM(expand(secret, "key", 32))
        self._iv = int.from_bytes(expand(secret, "iv", 12), "big")
        self._number = 0

    def seal(self, content_type: int, content: bytes) -> bytes:
        inner = content + bytes((content_type,))
        header = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
        nonce = (self._iv ^ self._number).to_bytes(12, "big")
        self._number += 1
        return header + self._cipher.encrypt(nonce, inner, header)

    def key_update(self, *, requested: bool = False) -> bytes:
        """Announce new keys, and use them from now on (RFC 8446, 4.6.3)."""
        record = self.seal(HANDSHAKE, b"\x18\0\0\1" + bytes((requested,)))
        self._use(expand(self._secret, "traffic upd", 48))
        return record


@asynccontextmanager
async def sealed_pair(*, peer: str = "server", ends: tuple[Any, Any] | None = None) -> Any:
    """Give an encrypted stream, its peer driven by hand, and what seals records of the peer.

    ``ends`` are those of the stream below; without them it is one in memory.
    """
    near, far = ends or wires()
    ours = {
        "server": {"hostname": "localhost", "ssl_context": client_context("1.3")},
        "client": {"ssl_context": server_context(version="1.3")},
    }[peer]
    theirs = server_context(version="1.3") if peer == "server" else client_context("1.3")
    if peer == "server":
        theirs.num_tickets = 0  # they would count as records
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory, "keys")
        theirs.keylog_filename = str(log)
        hand = Peer(far, theirs, server_side=peer == "server")
        async with penstock.create_task_group() as group:
            group.start_soon(hand.handshake)
            stream = await TLSStream.wrap(near, **ours)
        secrets = dict(line.split()[::2] for line in log.read_text().splitlines() if line[0] != "#")
    assert hand.ssl.cipher()[0] == "TLS_AES_256_GCM_SHA384"
    secret = secrets[f"{peer.upper()}_TRAFFIC_SECRET_0"]
    try:
        yield stream, hand, Sealer(bytes.fromhex(secret))
    finally:
        await near.aclose()
        await far.aclose()
