import pytest
from server import answer  # the first server, of the page on installing

import penstock
from penstock.streams.buffered import BufferedByteStream

pytestmark = pytest.mark.anyio  # every test, on every event loop that AnyIO's plugin knows


async def test_lines_come_back_in_capitals() -> None:
    client, server = penstock.socket_stream_pair()
    async with BufferedByteStream(client) as lines, penstock.create_task_group() as tasks:
        tasks.start_soon(answer, server)
        await lines.send(b"hello\nthere\n")
        with penstock.fail_after(5):
            assert await lines.receive_until(b"\n", max_bytes=10) == b"HELLO"
            assert await lines.receive_until(b"\n", max_bytes=10) == b"THERE"
        tasks.cancel_scope.cancel()
