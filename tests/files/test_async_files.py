"""open_file(), wrap_file() and AsyncFile."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from backends import BackendUnderTest
from cancelling import Cancellable, ways
from slow_files import Gate, SlowFile

import penstock
from penstock import AsyncFile, CapacityLimiter, open_file, wrap_file
from penstock.lowlevel import checkpoint

TEXT = "one\ntwo\r\nthree"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "text"
    path.write_bytes(TEXT.encode())
    return path


async def test_text_is_read_as_the_standard_library_reads_it(path: Path) -> None:
    async with await open_file(path) as file:
        assert await file.read(2) == "on"
        assert await file.readline() == "e\n"
        assert await file.readlines() == ["two\n", "three"]
        assert await file.read() == ""
    async with await open_file(path, newline="") as file:
        assert await file.read() == TEXT


async def test_iterating_gives_lines(path: Path) -> None:
    async with await open_file(path, "rb") as file:
        assert [line async for line in file] == [b"one\n", b"two\r\n", b"three"]
    async with await open_file(path) as file:
        async for line in file:
            assert line == "one\n"
            break
        assert await file.readline() == "two\n"


async def test_bytes_are_read_and_written(path: Path) -> None:
    async with await open_file(path, "r+b") as file:
        memory = bytearray(3)
        assert await file.readinto(memory) == 3
        assert await file.readinto1(memoryview(memory)[:1]) == 1
        assert memory == b"\nne"
        assert await file.read1(3) == b"two"
        assert await file.tell() == 7
        assert await file.seek(-2, os.SEEK_END) == len(TEXT) - 2
        assert await file.seek(4) == 4
        assert await file.write(bytearray(b"TWO")) == 3
        await file.writelines([b"!", b"?"])
        assert await file.truncate() == 9
        await file.seek(0)
        assert await file.truncate(8) == 8
        await file.flush()
        assert path.read_bytes() == b"one\nTWO!"


async def test_text_is_written(path: Path) -> None:
    async with await open_file(str(path), "w", encoding="latin-1") as file:
        assert await file.write("é") == 1
        await file.writelines(["a", "b"])
    assert path.read_bytes() == b"\xe9ab"
    async with await open_file(bytes(path), "a", 1, "utf-8", "strict", "\n") as file:
        await file.write("é")
    assert path.read_bytes() == b"\xe9ab\xc3\xa9"


async def test_descriptor_is_opened_and_may_stay_open(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    async with await open_file(fd, "rb", closefd=False) as file:
        assert await file.read(3) == b"one"
    os.close(fd)


async def test_other_attributes_are_the_files_own(path: Path) -> None:
    async with await open_file(path) as file:
        assert file.wrapped.fileno() == file.fileno()
        assert file.name == str(path)
        assert file.encoding == file.wrapped.encoding  # type: ignore[attr-defined]
        assert file.closed is False
        with pytest.raises(AttributeError):
            file.colour  # noqa: B018
        assert repr(file.wrapped) in repr(file)
    assert file.closed is True


async def test_wrapped_file_is_used_and_closed() -> None:
    inner = io.StringIO("a\nb")
    async with wrap_file(inner) as file:
        assert isinstance(file, AsyncFile)
        assert file.wrapped is inner
        assert [line async for line in file] == ["a\n", "b"]
    assert inner.closed


@pytest.mark.parametrize("thing", [None, 5, "text", b"", object(), [io.BytesIO()]])
def test_what_is_no_file_is_not_wrapped(thing: Any) -> None:
    with pytest.raises(TypeError, match="does not implement required file methods"):
        wrap_file(thing)


def test_wrapper_is_not_copied_half_made() -> None:
    file = wrap_file(io.BytesIO(b"abc"))
    clone = pickle.loads(pickle.dumps(file))
    assert clone.wrapped.getvalue() == b"abc"


# -- errors ------------------------------------------------------------------------------------


async def test_errors_are_the_standard_librarys(path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        await open_file(path.with_name("missing"))
    assert raised.value.filename == str(path.with_name("missing"))
    with pytest.raises(IsADirectoryError):
        await open_file(path.parent)
    with pytest.raises(ValueError, match="invalid mode: 'x5'"):
        await open_file(path, "x5")  # type: ignore[call-overload]
    with pytest.raises(LookupError):
        await open_file(path, encoding="no-such-codec")
    async with await open_file(path, encoding="ascii") as file:
        with pytest.raises(io.UnsupportedOperation):
            await file.write("x")
        with pytest.raises(TypeError):
            await file.read("x")  # type: ignore[arg-type]
    path.write_bytes(b"\xff")
    async with await open_file(path, encoding="utf-8") as file:
        with pytest.raises(UnicodeDecodeError):
            await file.read()


async def test_closed_file_raises_what_a_closed_file_raises(path: Path) -> None:
    file = await open_file(path)
    await file.aclose()
    await file.aclose()
    for call in (file.read, file.readline, file.tell, partial(file.seek, 0), file.__anext__):
        with pytest.raises(ValueError, match="I/O operation on closed file"):
            await call()


async def test_full_disk_is_an_error_and_the_file_is_closed() -> None:
    file = await open_file("/dev/full", "wb")
    await file.write(b"x")
    with pytest.raises(OSError, match="No space left") as raised:
        await file.aclose()
    assert raised.value.errno == errno.ENOSPC
    assert file.closed


# -- limiters ----------------------------------------------------------------------------------


async def test_limiter_bounds_every_call(path: Path) -> None:
    limiter = CapacityLimiter(1)
    file = await open_file(path, limiter=limiter)
    assert file.limiter is limiter
    async with limiter:
        for call in (partial(open_file, path, limiter=limiter), file.read, file.readline):
            with penstock.CancelScope() as scope:
                async with penstock.create_task_group() as tg:
                    tg.start_soon(call)
                    await penstock.wait_all_tasks_blocked()
                    assert limiter.statistics().tasks_waiting == 1
                    scope.cancel()
    await file.aclose()
    assert wrap_file(io.BytesIO()).limiter is None
    assert limiter.borrowed_tokens == 0


async def test_what_is_no_limiter_is_an_error_before_anything_happens(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="limiter must be a CapacityLimiter or None, not 5"):
        await open_file(tmp_path / "new", "w", limiter=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="limiter must be a CapacityLimiter or None, not 5"):
        wrap_file(io.BytesIO(), limiter=5)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


# -- cancellation ------------------------------------------------------------------------------


async def test_pending_cancellation_opens_nothing(tmp_path: Path) -> None:
    with penstock.CancelScope() as scope:
        scope.cancel()
        await open_file(tmp_path / "new", "w")
    assert scope.cancelled_caught
    assert not (tmp_path / "new").exists()


def test_file_of_a_cancelled_open_is_closed(backend: BackendUnderTest, path: Path) -> None:
    async def main(way: str) -> None:
        gate, fds = Gate(), []

        def opener(name: str, flags: int) -> int:
            fds.append(os.open(name, flags))
            gate.wait()
            return fds[0]

        outcome: list[Any] = []

        async def operation() -> None:
            outcome.append(await open_file(path, "rb", opener=opener))

        cancellable = Cancellable()
        async with penstock.create_task_group() as tg:
            tg.start_soon(cancellable.run, way, operation)
            await gate.reached()
            cancellable.cancel()
            await checkpoint()
            gate.open()
        assert outcome == []
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fds[0])

    for way in ways(backend.name):
        if way not in ("sibling", "asyncio group"):  # whose error is another's than the test's
            backend.run(main, way)


async def test_cancelled_aclose_closes(path: Path) -> None:
    file = await open_file(path)
    with penstock.CancelScope() as scope:
        scope.cancel()
        await file.aclose()
    assert scope.cancelled_caught
    assert file.closed


def test_aclose_that_is_cancelled_on_its_way_closes(backend: BackendUnderTest) -> None:
    async def main(way: str) -> None:
        inner = SlowFile()
        gate = inner.gate("close")
        file = wrap_file(inner)
        cancellable = Cancellable()
        async with penstock.create_task_group() as tg:
            tg.start_soon(cancellable.run, way, file.aclose)
            await gate.reached()
            cancellable.cancel()
            await checkpoint()
            gate.open()
        assert inner.closed
        assert inner.calls == ["close"]

    for way in ways(backend.name):
        if way not in ("sibling", "asyncio group"):
            backend.run(main, way)


async def test_aclose_cancelled_natively_without_a_thread_closes(backend: BackendUnderTest) -> None:
    if backend.name != "asyncio":
        return
    limiter = CapacityLimiter(1)
    inner = SlowFile()
    file = wrap_file(inner, limiter=limiter)
    async with limiter:
        task = asyncio.create_task(file.aclose())
        await penstock.wait_all_tasks_blocked()
        for _ in range(3):
            task.cancel()
            await penstock.wait_all_tasks_blocked()
        assert not inner.closed
    with pytest.raises(asyncio.CancelledError):
        await task
    assert inner.calls == ["close"]


async def test_cancelled_write_is_waited_for() -> None:
    inner = SlowFile()
    gate = inner.gate("write")
    file = wrap_file(inner)
    async with penstock.create_task_group() as tg:
        tg.start_soon(file.write, b"abc")
        await gate.reached()
        tg.cancel_scope.cancel()
        gate.open()
    assert inner.getvalue() == b"abc"


async def test_calls_run_in_worker_threads() -> None:
    class Nosy(io.BytesIO):
        def read(self, size: Any = -1) -> bytes:
            with pytest.raises(penstock.NoEventLoopError):
                penstock.get_current_task()
            return super().read(size)

    assert await wrap_file(Nosy(b"x")).read() == b"x"
