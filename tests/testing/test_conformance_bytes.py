"""Every byte stream of the library passes the conformance kit."""

from __future__ import annotations

from pathlib import Path

import pytest
from pairs import BYTES, TLS_ONE_WAY, clogged_seqpacket, seqpacket
from tailed_files import tailed_file

from penstock.streams.tls import _stream as tls_stream
from penstock.testing import (
    check_byte_stream,
    check_byte_stream_one_way,
    check_half_close,
    check_object_stream,
    check_object_stream_one_way,
)

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

#: What bytes without boundaries can do, and messages cannot.
OF_BYTES = (
    "ready_receives_yield",  # takes one byte at a time
    "empty_send_sends_nothing",
    "max_bytes_is_a_bound",
    "receive_into_is_bounded_by_the_memory",
    "large_send_arrives_whole",
    "bulk_arrives_whole",
    "bulk_arrives_both_ways_at_once",
)
#: What the same stream is not called: its items are bytes, and send_many() makes one of several.
OF_OBJECTS = ("ends_are_object_streams", "batches_arrive_in_order")


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


@pytest.mark.parametrize("name", TLS_ONE_WAY)
async def test_tls_over_further_streams(name: str) -> None:
    await check_byte_stream_one_way(TLS_ONE_WAY[name])


async def test_seqpacket_as_a_stream_of_bytes() -> None:
    await check_byte_stream(seqpacket, without=OF_BYTES)
    await check_half_close(seqpacket)


async def test_seqpacket_as_a_stream_of_messages() -> None:
    await check_object_stream(seqpacket, without=(*OF_OBJECTS, "ends_are_two_way_object_streams"))
    await check_object_stream_one_way(seqpacket, clogged_seqpacket, without=OF_OBJECTS)


async def test_file_streams(tmp_path: Path) -> None:
    # Nobody tells a writer who reads.
    without = ("sender_learns_that_the_receiver_is_closed",)
    await check_byte_stream_one_way(tailed_file(tmp_path), without=without)
