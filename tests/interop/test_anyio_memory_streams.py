"""One line has ``anyio.create_memory_object_stream`` make penstock's streams, another undoes it."""

from __future__ import annotations

import math

import anyio
import pytest
from anyio import create_memory_object_stream as imported_before
from anyio.streams.memory import MemoryObjectSendStream as AnyIOSendStream

from penstock.interop.anyio import use_anyio_memory_streams, use_penstock_memory_streams
from penstock.streams.memory import MemoryObjectSendStream


@pytest.fixture
def switched():
    use_penstock_memory_streams()
    use_penstock_memory_streams()  # again: do nothing
    yield
    use_anyio_memory_streams()


@pytest.mark.usefixtures("switched")
@pytest.mark.parametrize(
    "make",
    [
        lambda size: anyio.create_memory_object_stream(size),
        lambda size: anyio.create_memory_object_stream[int](size),
        lambda size: imported_before[int](max_buffer_size=size),
    ],
)
@pytest.mark.parametrize("size", [0, 7, math.inf])
def test_makes_streams_of_penstocks(make, size):
    send, receive = make(size)
    with send, receive:
        assert type(send) is MemoryObjectSendStream
        assert send.statistics().max_buffer_size == size


@pytest.mark.usefixtures("switched")
def test_takes_the_deprecated_argument_as_anyio_does():
    with pytest.warns(DeprecationWarning, match="item_type"):
        send, receive = anyio.create_memory_object_stream(1, int)
    with send, receive:
        assert type(send) is MemoryObjectSendStream


@pytest.mark.usefixtures("switched")
@pytest.mark.parametrize("size", [-1, 1.5])
def test_wrong_size_is_the_same_error(size):
    with pytest.raises(ValueError, match="max_buffer_size"):
        anyio.create_memory_object_stream(size)


@pytest.mark.usefixtures("switched")
async def test_program_of_anyios_goes_on_as_before():
    received = []
    send, receive = anyio.create_memory_object_stream[int](2)

    async def consume():
        async with receive:
            async for item in receive:
                received.append(item)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(consume)
        async with send:
            for n in range(10):
                await send.send(n)
    assert received == list(range(10))


def test_switching_back_makes_streams_of_anyios():
    use_penstock_memory_streams()
    use_anyio_memory_streams()
    send, receive = anyio.create_memory_object_stream[int](1)
    with send, receive:
        assert type(send) is AnyIOSendStream
