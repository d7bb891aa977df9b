"""Every byte stream of the library passes the conformance kit."""

from __future__ import annotations

import pytest
from pairs import BYTES

from penstock.streams.tls import _stream as tls_stream
from penstock.testing import check_byte_stream, check_byte_stream_one_way, check_half_close

#: Both ends are alike, and a handshake for each check takes its time.
SLOW = ("TLS 1.2 over UNIX", "TLS in TLS", "TLS over objects")
WITHOUT = {
    # Memory object streams have any number of senders, who stand in line.
    "buffered objects": ("second_send_is_busy",),
    # While it waits for the announcement of its peer, it throws away what that one sends.
    "TLS over objects": (
        "closed_receiver_releases_send[aclose]",
        "closed_receiver_releases_send[async with]",
    ),
}


@pytest.fixture(autouse=True)
def impatient_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have closing wait a moment for a peer who does not answer, instead of two seconds.

    No shorter than what a busy machine needs to send the announcement.
    """
    monkeypatch.setattr(tls_stream, "PATIENCE", 0.2)


@pytest.mark.parametrize("name", BYTES)
async def test_byte_stream(name: str) -> None:
    check = check_byte_stream_one_way if name in SLOW else check_byte_stream
    await check(*BYTES[name], without=WITHOUT.get(name, ()))


@pytest.mark.parametrize("name", [name for name in BYTES if "1.2" not in name])
async def test_half_close(name: str) -> None:
    await check_half_close(*BYTES[name])
