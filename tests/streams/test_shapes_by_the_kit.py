"""Framed, text, broadcast and merged streams pass the checks that penstock gives to all."""

import pytest

from penstock import create_memory_object_stream
from penstock.streams.broadcast import BroadcastSendStream
from penstock.streams.framed import (
    Delimited,
    FramedReceiveStream,
    FramedSendStream,
    FramedStream,
    LengthPrefixed,
    VarintPrefixed,
)
from penstock.streams.merge import MergedReceiveStream
from penstock.streams.stapled import StapledObjectStream
from penstock.streams.text import TextReceiveStream, TextSendStream, TextStream
from penstock.testing import (
    check_object_stream,
    check_object_stream_one_way,
    lockstep_stream_one_way_pair,
    memory_stream_one_way_pair,
    memory_stream_pair,
)

FRAMINGS = [LengthPrefixed(), LengthPrefixed(1, "little"), VarintPrefixed(), Delimited(b"\r\n")]
WORDS = ("eins", "zwei", "drei ☃")


@pytest.mark.parametrize("framing", FRAMINGS, ids=repr)
async def test_framed_streams_one_way(framing):
    async def make():
        send, receive = memory_stream_one_way_pair()
        return FramedSendStream(send, framing), FramedReceiveStream(receive, framing)

    async def make_clogged():
        send, receive = lockstep_stream_one_way_pair()
        return FramedSendStream(send, framing), FramedReceiveStream(receive, framing)

    await check_object_stream_one_way(make, make_clogged)


async def test_framed_streams():
    async def make():
        left, right = memory_stream_pair()
        return FramedStream(left, LengthPrefixed()), FramedStream(right, LengthPrefixed())

    await check_object_stream(make)


async def test_text_streams_one_way():
    async def make(size=99):
        send, receive = create_memory_object_stream(size)
        return TextSendStream(send), TextReceiveStream(receive)

    async def make_clogged():
        return await make(0)

    await check_object_stream_one_way(make, make_clogged, items=WORDS)


async def test_text_streams():
    async def make():
        send_right, receive_right = create_memory_object_stream(99)
        send_left, receive_left = create_memory_object_stream(99)
        left = StapledObjectStream(send_right, receive_left)
        right = StapledObjectStream(send_left, receive_right)
        return TextStream(left), TextStream(right)

    await check_object_stream(make, items=WORDS)


async def test_broadcast_streams():
    async def make():
        send = BroadcastSendStream()
        return send, send.subscribe()

    # Who broadcasts does not mind that nobody listens.
    await check_object_stream_one_way(make, without=["sender_learns_that_the_receiver_is_closed"])


async def test_merged_streams():
    async def make(size=16):
        send, receive = create_memory_object_stream(size)
        return send, MergedReceiveStream([receive])

    async def make_clogged():
        return await make(0)

    await check_object_stream_one_way(make, make_clogged)
