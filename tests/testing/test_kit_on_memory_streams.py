"""The kit's own streams in memory pass the kit's checks."""

from penstock.testing import (
    check_byte_stream,
    check_byte_stream_one_way,
    check_half_close,
    lockstep_stream_one_way_pair,
    lockstep_stream_pair,
    memory_stream_one_way_pair,
    memory_stream_pair,
)


def maker(make):
    async def made():
        return make()

    return made


async def test_memory_streams_one_way():
    await check_byte_stream_one_way(maker(memory_stream_one_way_pair))


async def test_memory_streams_both_ways():
    await check_byte_stream(maker(memory_stream_pair))
    await check_half_close(maker(memory_stream_pair))


async def test_lockstep_streams_one_way():
    make = maker(lockstep_stream_one_way_pair)
    await check_byte_stream_one_way(make, make)


async def test_lockstep_streams_both_ways():
    make = maker(lockstep_stream_pair)
    await check_byte_stream(make, make)
    await check_half_close(make, make)
