"""Byte streams over files."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from backends import BackendUnderTest
from cancelling import Cancellable, ways
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_files import SlowFile

import penstock
from penstock import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
    TypedAttributeLookupError,
    to_thread,
)
from penstock.lowlevel import checkpoint, set_ready_budget
from penstock.streams.file import FileReadStream, FileStreamAttribute, FileWriteStream

DATA = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(DATA)
    return path


# -- receiving ---------------------------------------------------------------------------------


async def test_file_is_received_to_its_end(path: Path) -> None:
    async with await FileReadStream.from_path(path) as stream:
        assert b"".join([piece async for piece in stream]) == DATA
        with pytest.raises(EndOfStream):
            await stream.receive()


async def test_pieces_are_as_long_as_was_asked_for(path: Path) -> None:
    async with await FileReadStream.from_path(str(path)) as stream:
        assert await stream.receive(1) == DATA[:1]
        assert await stream.receive(1000) == DATA[1:1001]
        assert len(await stream.receive()) == 65536
        assert 1 <= len(await stream.receive(10**30)) <= 262_144


async def test_receive_into_fills_the_callers_memory(path: Path) -> None:
    memory = bytearray(10)
    async with await FileReadStream.from_path(path) as stream:
        await stream.receive(5)
        assert await stream.receive_into(memory) == 10
    assert memory == DATA[5:15]


@pytest.mark.parametrize("size", [1000, 65536, 262_144, 1_048_576])
async def test_sequential_reading_takes_one_call_per_256_kib(size: int) -> None:
    file = SlowFile(DATA)
    stream = FileReadStream(file)
    async for _ in stream:
        pass
    assert file.calls == ["read1"] * (len(DATA) // 262_144 + 1)


async def test_what_was_written_after_the_end_is_received_later(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one")
    with open(tmp_path / "log", "ab", buffering=0) as log:
        async with await FileReadStream.from_path(tmp_path / "log") as stream:
            assert await stream.receive() == b"one"
            with pytest.raises(EndOfStream):
                await stream.receive()
            log.write(b"two")
            assert await stream.receive() == b"two"


@pytest.mark.parametrize("buffering", [0, -1])
async def test_pipe_gives_what_is_there(buffering: int) -> None:
    reader, writer = os.pipe()
    async with FileReadStream(open(reader, "rb", buffering=buffering)) as stream:
        os.write(writer, b"some")
        assert await stream.receive(100) == b"some"
        os.close(writer)
        with pytest.raises(EndOfStream):
            await stream.receive()


async def test_file_that_does_not_block_is_an_error_when_empty() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    async with FileReadStream(open(reader, "rb", buffering=0)) as stream:
        with pytest.raises(BrokenResourceError) as raised:
            await stream.receive()
        assert isinstance(raised.value.__cause__, BlockingIOError)
        os.write(writer, b"some")
        assert await stream.receive() == b"some"
        os.close(writer)


@pytest.mark.parametrize("size", [0, -1])
async def test_receiving_nothing_is_an_error(path: Path, size: int) -> None:
    async with await FileReadStream.from_path(path) as stream:
        with pytest.raises(ValueError, match=f"max_bytes must be a positive integer, not {size}"):
            await stream.receive(size)
        with pytest.raises(TypeError):
            await stream.receive(1.5)  # type: ignore[arg-type]
        assert await stream.tell() == 0


async def test_ready_receives_yield_once_in_every_budget(path: Path) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    async with await FileReadStream.from_path(path) as stream, penstock.create_task_group() as tg:
        tg.start_soon(count)
        set_ready_budget(4)
        await stream.receive(1)
        turns = 0
        for _ in range(40):
            await stream.receive(1)
        assert turns >= 9
        tg.cancel_scope.cancel()
    set_ready_budget(256)


async def test_ready_receive_notices_a_cancellation_and_takes_nothing(path: Path) -> None:
    async with await FileReadStream.from_path(path) as stream:
        await stream.receive(3)
        with penstock.CancelScope() as scope:
            scope.cancel()
            await stream.receive(3)
        assert scope.cancelled_caught
        assert await stream.receive(3) == DATA[3:6]


def test_cancelled_call_does_not_move_the_stream(backend: BackendUnderTest) -> None:
    async def main(way: str) -> None:
        file = SlowFile(DATA)
        stream = FileReadStream(file)
        received = b""

        async def receive() -> None:
            nonlocal received
            received += await stream.receive(100)
            await checkpoint()

        for name, func in (("read1", receive), ("tell", stream.tell)):
            gate = file.gate(name)
            operation = Cancellable()
            async with penstock.create_task_group() as tg:
                tg.start_soon(operation.run, way, func)
                await gate.reached()
                operation.cancel()
                await checkpoint()
                gate.open()
            assert await stream.tell() == len(received)
        while len(received) < 1000:
            received += await stream.receive(100)
        assert received == DATA[:1000]
        assert file.calls.count("read1") == 1  # and nothing was read twice

    for way in ways(backend.name):
        if way not in ("sibling", "asyncio group"):
            backend.run(main, way)


# -- positions ---------------------------------------------------------------------------------


async def test_position_is_that_of_the_stream(path: Path) -> None:
    async with await FileReadStream.from_path(path) as stream:
        assert await stream.tell() == 0
        await stream.receive(10)
        assert await stream.tell() == 10
        assert await stream.seek(5, os.SEEK_CUR) == 15
        assert await stream.receive(3) == DATA[15:18]
        assert await stream.seek(-8, os.SEEK_CUR) == 10
        assert await stream.receive(3) == DATA[10:13]
        assert await stream.seek(-2, os.SEEK_END) == len(DATA) - 2
        assert await stream.receive() == DATA[-2:]
        assert await stream.seek(100) == 100
        assert await stream.receive(1) == DATA[100:101]


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("receive"), st.integers(1, 400_000)),
        st.tuples(st.just("tell")),
        st.tuples(st.just("seek"), st.integers(-5, 1_100_000), st.just(os.SEEK_SET)),
        st.tuples(st.just("seek"), st.integers(-300_000, 300_000), st.just(os.SEEK_CUR)),
        st.tuples(st.just("seek"), st.integers(-1_100_000, 100), st.just(os.SEEK_END)),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(moves=MOVES, in_memory=st.booleans(), buffering=st.sampled_from([0, -1]))
def test_moves_end_where_they_do_in_the_file_itself(
    moves: list[Any], in_memory: bool, buffering: int
) -> None:
    def new_file(folder: str) -> Any:
        if in_memory:
            return io.BytesIO(DATA)
        Path(folder, "data").write_bytes(DATA)
        return open(Path(folder, "data"), "rb", buffering=buffering)

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder, new_file(folder) as model:
            async with FileReadStream(new_file(folder)) as stream:
                for name, *args in moves:
                    await check(stream, model, name, args)

    async def check(stream: FileReadStream, model: Any, name: str, args: list[int]) -> None:
        if name == "receive":
            try:
                received = await stream.receive(*args)
            except EndOfStream:
                assert model.read(1) == b""
            else:
                assert 1 <= len(received) <= args[0]
                assert received == model.read(len(received))
            return
        try:
            expected = getattr(model, name)(*args)
        except (OSError, ValueError):
            with pytest.raises((BrokenResourceError, ValueError)):
                await getattr(stream, name)(*args)
        else:
            assert await getattr(stream, name)(*args) == expected

    penstock.run(main)


async def test_seek_that_fails_changes_nothing(path: Path) -> None:
    async with await FileReadStream.from_path(path) as stream:
        await stream.receive(10)
        with pytest.raises(ValueError, match="before the beginning: -1"):
            await stream.seek(-1)
        with pytest.raises(ValueError, match="invalid whence value: 9"):
            await stream.seek(0, 9)
        with pytest.raises(TypeError):
            await stream.seek("5")  # type: ignore[arg-type]
        with pytest.raises(BrokenResourceError) as raised:
            await stream.seek(-11, os.SEEK_CUR)
        assert isinstance(raised.value.__cause__, OSError)
        assert await stream.receive(5) == DATA[10:15]
        assert await stream.tell() == 15


async def test_pipe_has_no_position() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"some")
    os.close(writer)
    async with FileReadStream(open(reader, "rb", buffering=0)) as stream:
        assert await stream.receive(1) == b"s"
        for call in (stream.tell, lambda: stream.seek(0)):
            with pytest.raises(BrokenResourceError) as raised:
                await call()  # type: ignore[no-untyped-call]
            assert isinstance(raised.value.__cause__, OSError)
        assert await stream.receive() == b"ome"


# -- sending -----------------------------------------------------------------------------------


async def test_what_was_sent_is_in_the_file_at_once(tmp_path: Path) -> None:
    target = tmp_path / "new"
    async with await FileWriteStream.from_path(target) as stream:
        await stream.send(b"one")
        assert target.read_bytes() == b"one"
        await stream.send_many([b"", bytearray(b"two"), memoryview(b"three")])
        assert target.read_bytes() == b"onetwothree"
        await stream.send(b"")
    async with await FileWriteStream.from_path(target, append=True) as stream:
        await stream.send(b"!")
    assert target.read_bytes() == b"onetwothree!"
    async with await FileWriteStream.from_path(target) as stream:
        assert target.read_bytes() == b""


@pytest.mark.parametrize("item", [memoryview(b"abcdefgh").cast("I"), (ctypes.c_int * 2)(1, 2)])
async def test_bytes_of_any_format_count(tmp_path: Path, item: Any) -> None:
    async with await FileWriteStream.from_path(tmp_path / "new") as stream:
        await stream.send(item)
    assert (tmp_path / "new").read_bytes() == memoryview(item).tobytes()


@pytest.mark.parametrize("item", ["text", 5, None, memoryview(b"abcd")[::2]])
async def test_what_is_no_bytes_is_an_error_and_nothing_is_sent(tmp_path: Path, item: Any) -> None:
    async with await FileWriteStream.from_path(tmp_path / "new") as stream:
        with pytest.raises(TypeError, match="bytes-like data, not "):
            await stream.send(item)
        with pytest.raises(TypeError, match="bytes-like data, not "):
            await stream.send_many([b"good", item])
    assert (tmp_path / "new").read_bytes() == b""


class Stingy(io.RawIOBase):
    """A raw file that takes three bytes at a time, so many in all."""

    def __init__(self, room: int, nothing: int | None = None) -> None:
        self.room = room
        self.nothing = nothing  # what it returns when it is full
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int | None:
        taken = bytes(data[: min(3, self.room)])
        self.room -= len(taken)
        self.taken += taken
        return len(taken) or self.nothing


async def test_partial_writes_are_completed() -> None:
    file = Stingy(1000)
    stream = FileWriteStream(file)  # type: ignore[arg-type]
    await stream.send(b"0123456789")
    await stream.send_many([b"ab", b"cdefgh"])
    assert file.taken == b"0123456789abcdefgh"
    assert stream.partial_send is None


@pytest.mark.parametrize("nothing", [None, 0])
async def test_send_that_is_cut_short_tells_how_much_went_out(nothing: int | None) -> None:
    file = Stingy(5, nothing)
    stream = FileWriteStream(file)  # type: ignore[arg-type]
    with pytest.raises(BrokenResourceError) as raised:
        await stream.send_many([b"0123", b"4567"])
    assert isinstance(raised.value.__cause__, BlockingIOError)
    assert stream.partial_send == 5
    file.room = 1000
    await stream.send(b"567")
    assert stream.partial_send is None
    assert file.taken == b"01234567"


async def test_file_that_does_not_say_how_much_it_took_has_taken_all() -> None:
    class Quiet:
        closed = False
        taken = b""

        def write(self, data: bytes) -> None:
            self.taken += bytes(data)

    file = Quiet()
    await FileWriteStream(file).send(b"0123456789")  # type: ignore[arg-type]
    assert file.taken == b"0123456789"


async def test_full_disk_is_an_error_with_its_cause() -> None:
    async with await FileWriteStream.from_path("/dev/full") as stream:
        with pytest.raises(BrokenResourceError) as raised:
            await stream.send(b"x")
        assert isinstance(raised.value.__cause__, OSError)
        assert raised.value.__cause__.errno == errno.ENOSPC
        assert stream.partial_send == 0


async def test_full_disk_is_an_error_of_closing_where_the_file_is_buffered() -> None:
    stream = FileWriteStream(open("/dev/full", "wb"))  # noqa: SIM115 (what closing does is the test)
    await stream.send(b"x")
    with pytest.raises(BrokenResourceError) as raised:
        await stream.aclose()
    assert isinstance(raised.value.__cause__, OSError)
    assert stream.extra(FileStreamAttribute.file).closed
    await stream.aclose()


async def test_cancelled_send_has_written_nothing_or_everything(backend: BackendUnderTest) -> None:
    file = SlowFile()
    stream = FileWriteStream(file)
    for item in (b"lost", b""):
        with penstock.CancelScope() as scope:
            scope.cancel()
            await stream.send(item)
        assert scope.cancelled_caught
    assert file.getvalue() == b""
    assert stream.partial_send is None

    gate = file.gate("write")
    async with penstock.create_task_group() as tg:
        tg.start_soon(stream.send, b"sent")
        await gate.reached()
        tg.cancel_scope.cancel()
        gate.open()
    assert file.getvalue() == b"sent"


# -- opening and closing -----------------------------------------------------------------------


async def test_opening_raises_what_the_system_says(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await FileReadStream.from_path(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        await FileReadStream.from_path(tmp_path)
    with pytest.raises(FileNotFoundError):
        await FileWriteStream.from_path(tmp_path / "missing" / "new")


async def test_wrong_direction_is_an_error_with_its_cause(tmp_path: Path) -> None:
    with open(tmp_path / "new", "wb") as file:
        with pytest.raises(BrokenResourceError) as raised:
            await FileReadStream(file).receive()  # type: ignore[arg-type]
    assert isinstance(raised.value.__cause__, io.UnsupportedOperation)


def test_text_files_are_refused() -> None:
    for stream in (FileReadStream, FileWriteStream):
        with pytest.raises(TypeError, match="expected a file that was opened in binary mode, not"):
            stream(io.StringIO())  # type: ignore[arg-type]


@pytest.mark.parametrize("behind", [False, True], ids=["aclose", "behind its back"])
async def test_closed_stream_says_so_everywhere(path: Path, behind: bool) -> None:
    reader = await FileReadStream.from_path(path)
    writer = await FileWriteStream.from_path(path.with_name("new"))
    await reader.receive(5)  # the rest is there, but no longer to be had
    for stream in (reader, writer):
        if behind:
            stream.extra(FileStreamAttribute.file).close()
        else:
            await stream.aclose()
            await stream.aclose()
        with pytest.raises(ClosedResourceError):
            stream.extra(FileStreamAttribute.fileno)
        assert isinstance(stream.extra(FileStreamAttribute.path), Path)
    for call in (
        reader.receive,
        lambda: reader.receive_into(bytearray(5)),
        lambda: reader.seek(0),
        reader.tell,
        lambda: writer.send(b"x"),
        lambda: writer.send(b""),
        lambda: writer.send_many([]),
    ):
        with pytest.raises(ClosedResourceError):
            await call()  # type: ignore[no-untyped-call]


async def test_file_closed_during_a_call_is_a_closed_stream() -> None:
    file = SlowFile(DATA)
    stream = FileReadStream(file)
    gate = file.gate("read1")

    async def close() -> None:
        await gate.reached()
        file.close()
        gate.open()

    async with penstock.create_task_group() as tg:
        tg.start_soon(close)
        with pytest.raises(ClosedResourceError):
            await stream.receive()


async def test_closing_waits_for_the_call_that_runs() -> None:
    file = SlowFile(DATA)
    stream = FileReadStream(file)
    gate = file.gate("read1")

    async def close() -> None:
        await gate.reached()
        async with penstock.create_task_group() as tg:
            tg.start_soon(stream.aclose)
            while not stream._closed:
                await checkpoint()
            for _ in range(20):  # long enough for another thread
                await to_thread.run_sync(int)
            assert file.calls == ["read1"]
            gate.open()

    async with penstock.create_task_group() as tg:
        tg.start_soon(close)
        with pytest.raises(ClosedResourceError):
            await stream.receive()
    assert file.calls == ["read1", "close"]


async def test_cancelled_aclose_closes(path: Path) -> None:
    stream = await FileReadStream.from_path(path)
    with penstock.CancelScope() as scope:
        scope.cancel()
        await stream.aclose()
    assert scope.cancelled_caught
    assert stream.extra(FileStreamAttribute.file).closed


async def test_second_task_is_refused_and_the_first_not_disturbed() -> None:
    file = SlowFile(DATA)
    reader, writer = FileReadStream(file), FileWriteStream(file)
    for gate, call, others in (
        (file.gate("read1"), reader.receive, [reader.receive, reader.tell, lambda: reader.seek(0)]),
        (file.gate("write"), lambda: writer.send(b"x"), [lambda: writer.send(b"y")]),
    ):
        async with penstock.create_task_group() as tg:
            task = tg.create_task(call())  # type: ignore[no-untyped-call, operator]
            await gate.reached()
            for other in others:
                with pytest.raises(BusyResourceError):
                    await other()  # type: ignore[operator]
            gate.open()
            await task


# -- attributes --------------------------------------------------------------------------------


async def test_attributes_of_a_file(path: Path) -> None:
    async with await FileReadStream.from_path(path) as stream:
        file = stream.extra(FileStreamAttribute.file)
        assert stream.extra(FileStreamAttribute.fileno) == file.fileno()
        assert stream.extra(FileStreamAttribute.path) == path
        assert type(stream.extra(FileStreamAttribute.path)) is type(path)
    async with FileReadStream(open(bytes(path), "rb")) as stream:
        assert stream.extra(FileStreamAttribute.path) == path


async def test_attributes_that_are_not_there() -> None:
    stream = FileReadStream(io.BytesIO())
    for attribute in (FileStreamAttribute.path, FileStreamAttribute.fileno):
        with pytest.raises(TypedAttributeLookupError):
            stream.extra(attribute)
    reader, writer = os.pipe()
    os.close(writer)
    async with FileReadStream(open(reader, "rb")) as stream:
        assert stream.extra(FileStreamAttribute.path, None) is None
        assert stream.extra(FileStreamAttribute.fileno) == reader
