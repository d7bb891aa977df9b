"""Every object stream of the library passes the conformance kit."""

from __future__ import annotations

import pytest
from pairs import OBJECTS, OBJECTS_ONE_WAY, TEXTS, broadcast, clogged_broadcast

from penstock.testing import check_half_close, check_object_stream, check_object_stream_one_way

WORDS = ("one", "zwei", "три")
#: What a broadcast does not tell: its sender may have any number of receivers, or none.
OF_ONE_RECEIVER = ("sender_learns_that_the_receiver_is_closed", "closed_receiver_releases_send")


@pytest.mark.parametrize("name", OBJECTS_ONE_WAY)
async def test_object_stream_one_way(name: str) -> None:
    await check_object_stream_one_way(*OBJECTS_ONE_WAY[name])


async def test_broadcast() -> None:
    await check_object_stream_one_way(broadcast, clogged_broadcast, without=OF_ONE_RECEIVER)


@pytest.mark.parametrize("name", OBJECTS)
async def test_object_stream(name: str) -> None:
    await check_object_stream(*OBJECTS[name])


@pytest.mark.parametrize("name", OBJECTS)
async def test_half_close(name: str) -> None:
    await check_half_close(*OBJECTS[name])


@pytest.mark.parametrize("name", TEXTS)
async def test_text_stream(name: str) -> None:
    await check_object_stream(*TEXTS[name], items=WORDS)
    await check_half_close(*TEXTS[name], items=WORDS)
