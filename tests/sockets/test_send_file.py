"""Sending files: what goes out, what is told of it, and what a file can do meanwhile."""

from __future__ import annotations

import errno
import gzip
import io
import os
import random
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from socket_peers import Collector, connected, drain, receive_all, reset, until
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import BrokenResourceError, BusyResourceError, ClosedResourceError
from penstock.lowlevel import checkpoint

SIZE = 700_001
DATA = random.Random(4).randbytes(SIZE)
BIG = DATA * 6  #: more than the system buffers


class Opaque:
    """A file object without a descriptor, and of no class that anybody knows."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def seek(self, offset: int) -> int:
        return self._file.seek(offset)

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, 100_003))  # shorter than asked for


def compressed(path: Path) -> Any:
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(DATA)
    return gzip.open(path)


def in_memory_file_system(path: Path) -> Any:
    """Its file system cannot tell what is in memory: all of it is."""
    file = tempfile.TemporaryFile(dir="/dev/shm")  # noqa: SIM115
    file.write(DATA)  # and not flushed
    return file


def uncached(path: Path) -> Any:
    path.write_bytes(DATA)
    file = path.open("rb")
    os.fsync(file.fileno())
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return file


def opened(mode: str, buffering: int = -1) -> Callable[[Path], Any]:
    def make(path: Path) -> Any:
        path.write_bytes(DATA)
        return open(path, mode, buffering)

    return make


FILES: dict[str, Callable[[Path], Any]] = {
    "buffered": opened("rb"),
    "unbuffered": opened("rb", 0),
    "for update": opened("r+b"),
    "not in memory": uncached,
    "in a memory file system": in_memory_file_system,
    "BytesIO": lambda _: io.BytesIO(DATA),
    "compressed": compressed,
    "opaque": lambda _: Opaque(DATA),
}


@pytest.fixture(params=FILES.values(), ids=FILES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    made = request.param(tmp_path / "file")
    yield made
    if hasattr(made, "close"):
        made.close()


@pytest.fixture
def big_file(tmp_path: Path) -> Iterator[Any]:
    path = tmp_path / "big"
    path.write_bytes(BIG)
    with path.open("rb") as made:
        yield made


async def test_a_file_arrives_whole(file: Any) -> None:
    async with connected() as (stream, peer):
        receiver = Collector(peer)
        assert await stream.send_file(file) == SIZE
        assert stream.partial_send is None
        await stream.send(b"end")
        await stream.send_eof()
        assert await receiver.result() == DATA + b"end"


PARTS = [
    (0, 0),
    (0, 1),
    (5, 10),
    (0, 262_144),
    (1, 262_145),
    (SIZE - 3, None),
    (SIZE - 3, 100),
    (SIZE, None),
    (SIZE + 10, None),
    (SIZE + 10, 5),
    (1000, SIZE),
]


async def test_parts_of_a_file(file: Any) -> None:
    expected = [DATA[offset:][:count] for offset, count in PARTS]
    async with connected() as (stream, peer):
        receiver = Collector(peer)
        for (offset, count), part in zip(PARTS, expected, strict=True):
            assert await stream.send_file(file, offset, count) == len(part)
            assert stream.partial_send is None
        await stream.send_eof()
        assert await receiver.result() == b"".join(expected)


async def test_the_position_of_the_file_does_not_count(file: Any) -> None:
    file.seek(1000)
    async with connected() as (stream, peer):
        await stream.send_file(file, 7, 100)
        assert receive_all(peer, 100) == DATA[7:107]


async def test_a_file_of_no_size_that_has_bytes_all_the_same() -> None:
    with open("/proc/self/cmdline", "rb") as file:
        async with connected() as (stream, peer):
            expected = Path("/proc/self/cmdline").read_bytes()
            assert await stream.send_file(file) == len(expected)
            assert receive_all(peer, len(expected)) == expected


async def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with (tmp_path / "empty").open("rb") as file:
        async with connected() as (stream, peer):
            assert await stream.send_file(file) == 0
            await stream.send(b"x")
            assert receive_all(peer, 1) == b"x"


async def test_other_tasks_run_while_a_file_is_sent(file: Any) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    async with connected() as (stream, peer):
        receiver = Collector(peer)
        async with penstock.create_task_group() as tg:
            tg.start_soon(count)
            await stream.send_file(file)
            tg.cancel_scope.cancel()
        await stream.send_eof()
        assert await receiver.result() == DATA
    assert turns >= SIZE // 262_144 - 1


async def test_a_file_that_is_not_in_memory_is_read_in_a_thread(tmp_path: Path) -> None:
    """sendfile(2) would wait for the disk, and the event loop with it."""
    threads: list[str] = []
    read = os.pread

    def observed(*args: Any) -> bytes:
        threads.append(threading.current_thread().name)
        return read(*args)

    with uncached(tmp_path / "file") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pread", observed)
        async with connected() as (stream, peer):
            receiver = Collector(peer)
            await stream.send_file(file)
            await stream.send_eof()
            assert await receiver.result() == DATA
            assert threads
            assert threading.main_thread().name not in threads
            threads.clear()
        async with connected() as (stream, peer):  # and now it is in memory
            receiver = Collector(peer)
            await stream.send_file(file)
            assert threads == []
            await stream.send_eof()
            assert await receiver.result() == DATA


# -- cut short -----------------------------------------------------------------------------


def send_all(stream: Any, data: bytes, file: Any, at: int) -> Any:
    return stream.send(data[at:])


def send_in_pieces(stream: Any, data: bytes, file: Any, at: int) -> Any:
    rest = data[at:]
    return stream.send_many([rest[i : i + 70_001] for i in range(0, len(rest), 70_001)])


def send_the_file(stream: Any, data: bytes, file: Any, at: int) -> Any:
    return stream.send_file(file, at)


def send_the_object(stream: Any, data: bytes, file: Any, at: int) -> Any:
    return stream.send_file(Opaque(data), at)


SENDS = {
    "send": send_all,
    "send_many": send_in_pieces,
    "send_file": send_the_file,
    "send_file of another kind": send_the_object,
}


@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)
async def test_a_send_that_was_cut_short_can_be_resumed(send: Any, big_file: Any) -> None:
    """Cut short again and again, wherever it is by then, it arrives whole."""
    at = 0
    received = bytearray()
    async with connected(small_buffers=True) as (stream, peer):
        for cut in range(40):
            async with penstock.create_task_group() as tg:
                tg.start_soon(send, stream, BIG, big_file, at)
                for _ in range(1 + cut % 7):
                    received += drain(peer)
                    await checkpoint()
                tg.cancel_scope.cancel()
            assert stream.partial_send is not None
            at += stream.partial_send
        assert 0 < at < len(BIG)
        receiver = Collector(peer)
        await send(stream, BIG, big_file, at)
        assert stream.partial_send is None
        await stream.send_eof()
        received += await receiver.result()
    assert received == BIG


@pytest.mark.parametrize("kind", ["regular", "opaque"])
async def test_partial_send_tells_what_of_a_file_went_out(kind: str, big_file: Any) -> None:
    file = big_file if kind == "regular" else Opaque(BIG)
    async with connected(small_buffers=True) as (stream, peer):
        async with penstock.create_task_group() as tg:
            tg.start_soon(stream.send_file, file, 5)
            await until(lambda: stream.statistics().tasks_waiting_send and stream.partial_send)
            await penstock.wait_all_tasks_blocked()
            tg.cancel_scope.cancel()
        part = stream.partial_send
        assert part
        assert receive_all(peer, part) == BIG[5 : 5 + part]
        assert drain(peer) == b""


async def test_a_pending_cancellation_sends_nothing(file: Any) -> None:
    async with connected() as (stream, peer):
        with penstock.CancelScope() as scope:
            scope.cancel()
            await stream.send_file(file)
        assert scope.cancelled_caught
        assert drain(peer) == b""
        await stream.send(b"x")
        assert receive_all(peer, 1) == b"x"


# -- what comes in between -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["regular", "opaque"])
async def test_nobody_else_may_send_while_a_file_is_sent(kind: str, big_file: Any) -> None:
    file = big_file if kind == "regular" else Opaque(BIG)
    async with connected(small_buffers=True) as (stream, peer):
        async with penstock.create_task_group() as tg:
            tg.start_soon(stream.send_file, file)
            await until(lambda: stream.partial_send is not None)
            for _ in range(50):  # while it is read, while it is sent, while it waits
                for other in (
                    stream.send(b"x"),
                    stream.send_many([b"x"]),
                    stream.send_file(file),
                    stream.send_eof(),
                ):
                    with pytest.raises(BusyResourceError):
                        await other
                await checkpoint()
            await until(lambda: stream.partial_send)
            tg.cancel_scope.cancel()
        part = stream.partial_send
        assert part
        assert receive_all(peer, part) == BIG[:part]


@pytest.mark.parametrize("kind", ["regular", "opaque"])
async def test_closing_ends_it(kind: str, big_file: Any) -> None:
    file = big_file if kind == "regular" else Opaque(BIG)
    async with connected(small_buffers=True) as (stream, _):

        async def send() -> None:
            with pytest.raises(ClosedResourceError):
                await stream.send_file(file)

        async with penstock.create_task_group() as tg:
            tg.start_soon(send)
            await until(lambda: stream.partial_send)
            await stream.aclose()
        with pytest.raises(ClosedResourceError):
            await stream.send_file(file)


async def test_after_send_eof_it_is_closed(file: Any) -> None:
    async with connected() as (stream, _):
        await stream.send_eof()
        with pytest.raises(ClosedResourceError):
            await stream.send_file(file)


@pytest.mark.parametrize("kind", ["regular", "opaque"])
async def test_a_peer_that_resets_breaks_the_stream(kind: str, big_file: Any) -> None:
    file = big_file if kind == "regular" else Opaque(BIG)
    async with connected(small_buffers=True) as (stream, peer):

        async def send() -> None:
            with pytest.raises(BrokenResourceError) as caught:
                await stream.send_file(file)
            assert isinstance(caught.value.__cause__, ConnectionError)

        async with penstock.create_task_group() as tg:
            tg.start_soon(send)
            await until(lambda: stream.partial_send)
            reset(peer)
        with pytest.raises(BrokenResourceError):
            await stream.receive()


async def test_a_file_that_becomes_shorter_ends_early(big_file: Any) -> None:
    sent = []

    async def send() -> None:
        sent.append(await stream.send_file(big_file))

    async with connected(small_buffers=True) as (stream, peer):
        async with penstock.create_task_group() as tg:
            tg.start_soon(send)
            await until(lambda: stream.partial_send)
            await penstock.wait_all_tasks_blocked()
            os.truncate(big_file.name, 10)
            receiver = Collector(peer)
        await stream.send_eof()
        received = await receiver.result()
        assert len(received) == sent[0] < len(BIG)
        assert stream.partial_send is None


async def test_a_file_that_is_closed_meanwhile_is_a_value_error(big_file: Any) -> None:
    async def send() -> None:
        with pytest.raises(ValueError, match="closed file"):
            await stream.send_file(big_file)

    async with connected(small_buffers=True) as (stream, peer):
        async with penstock.create_task_group() as tg:
            tg.start_soon(send)
            await until(lambda: stream.partial_send)
            await penstock.wait_all_tasks_blocked()
            big_file.close()
            receiver = Collector(peer)
        part = stream.partial_send
        assert part is not None
        await stream.send(BIG[part:])  # the stream is as good as before
        await stream.send_eof()
        assert await receiver.result() == BIG


async def test_an_error_of_the_file_is_not_one_of_the_stream(tmp_path: Path) -> None:
    class Failing(Opaque):
        def read(self, size: int) -> bytes:
            raise OSError(errno.EIO, "the disk is broken")

    async with connected() as (stream, peer):
        with pytest.raises(OSError, match="the disk is broken"):
            await stream.send_file(Failing(DATA))  # type: ignore[arg-type]
        await stream.send(b"x")
        assert receive_all(peer, 1) == b"x"


# -- bad input -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((b"bytes",), TypeError),
        (("path",), TypeError),
        ((5,), TypeError),
        ((None,), TypeError),
        ((io.StringIO("text"),), TypeError),
        ((io.BytesIO(DATA), -1), ValueError),
        ((io.BytesIO(DATA), 0, -1), ValueError),
        ((io.BytesIO(DATA), 1.5), TypeError),
        ((io.BytesIO(DATA), 0, "1"), TypeError),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_bad_arguments_are_refused_and_send_nothing(
    arguments: Any, error: type[Exception]
) -> None:
    async with connected() as (stream, peer):
        with pytest.raises(error):
            await stream.send_file(*arguments)
        await stream.send(b"next")
        assert receive_all(peer, 4) == b"next"


async def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    async with connected() as (stream, peer):
        with (tmp_path / "file").open("wb") as file:
            with pytest.raises(ValueError, match="open for reading"):
                await stream.send_file(file)
        with (tmp_path / "file").open("rb") as file:
            pass
        with pytest.raises(ValueError, match="closed file"):
            await stream.send_file(file)
        await stream.send(b"next")
        assert receive_all(peer, 4) == b"next"


async def test_a_file_object_that_reads_text_is_refused() -> None:
    class Text(Opaque):
        def read(self, size: int) -> Any:
            return "text"

    async with connected() as (stream, _):
        with pytest.raises(TypeError, match="'text'"):
            await stream.send_file(Text(DATA))  # type: ignore[arg-type]


async def test_a_pipe_is_refused() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as file:
        os.close(writing)
        async with connected() as (stream, _):
            with pytest.raises(OSError, match=r"seek"):
                await stream.send_file(file)


async def test_another_event_loop_is_refused() -> None:
    async with connected() as (stream, peer):

        async def use() -> None:
            with pytest.raises(RuntimeError, match="another event loop"):
                await stream.send_file(io.BytesIO(DATA))

        thread = threading.Thread(target=penstock.run, args=(use,))
        thread.start()
        await until(lambda: not thread.is_alive())
        assert drain(peer) == b""


async def test_it_works_over_other_stream_sockets() -> None:
    left, right = socket.socketpair()
    with right:
        async with await penstock.abc.SocketStream.from_socket(left) as stream:
            receiver = Collector(right)
            await stream.send_file(io.BytesIO(DATA))
            await stream.send_eof()
            assert await receiver.result() == DATA
