"""Files under faults: copied over a connection, and written and read through faulty streams."""

from __future__ import annotations

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from backends import BackendUnderTest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from pairs import tcp

import penstock
from penstock import BrokenResourceError, ClosedResourceError, aclose_forcefully
from penstock.streams.file import FileReadStream, FileWriteStream
from penstock.streams.stapled import StapledByteStream
from penstock.testing import ChaosStream

SEEDS = st.integers(0, 2**32)
SIZES = st.integers(0, 5_000) | st.integers(0, 300_000)
#: Each of them waits for threads, so that they are few.
few = settings(
    max_examples=settings.default.max_examples // 12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(seed=SEEDS, size=SIZES, fatal=st.sampled_from([None, "eof", "reset"]))
@few
def test_copied_file_is_whole_or_a_beginning(
    backend: BackendUnderTest, seed: int, size: int, fatal: str | None
) -> None:
    data = Random(seed).randbytes(size)
    faults = {*ChaosStream.HARMLESS, *([fatal] if fatal else [])}

    async def copy(source: Path, target: Path) -> None:
        near, far = await tcp()
        sender = ChaosStream(near, seed, faults=faults, within=100_000)  # type: ignore[arg-type]
        receiver = ChaosStream(far, seed + 1)
        note(repr(sender))

        async def send() -> None:
            try:
                async with await FileReadStream.from_path(source) as file:
                    async for chunk in file:
                        await sender.send(chunk)
                await sender.send_eof()
            except (BrokenResourceError, ClosedResourceError):
                assert fatal
                await aclose_forcefully(sender)

        async def receive() -> None:
            async with await FileWriteStream.from_path(target) as file:
                try:
                    async for chunk in receiver:
                        await file.send(chunk)
                except BrokenResourceError:
                    assert fatal == "reset"

        async with sender, receiver, penstock.create_task_group() as group:
            group.start_soon(send)
            group.start_soon(receive)

    with TemporaryDirectory() as directory:
        source, target = Path(directory, "source"), Path(directory, "target")
        source.write_bytes(data)
        backend.run(copy, source, target)
        copied = target.read_bytes()
    assert data.startswith(copied)
    assert fatal or len(copied) == len(data)


@given(seed=SEEDS, sizes=st.lists(SIZES, max_size=4), fatal=st.sampled_from([None, "eof", "reset"]))
@few
def test_file_holds_what_was_written_through_faults(
    backend: BackendUnderTest, seed: int, sizes: list[int], fatal: str | None
) -> None:
    pieces = [Random(seed).randbytes(size) for size in sizes]
    data = b"".join(pieces)
    faults = {*ChaosStream.HARMLESS, *([fatal] if fatal else [])}

    async def write_and_read(path: Path) -> None:
        path.touch()
        sent = 0
        stapled = StapledByteStream(
            await FileWriteStream.from_path(path), await FileReadStream.from_path(path)
        )
        chaos = ChaosStream(stapled, seed, faults=faults, within=100_000)  # type: ignore[arg-type]
        note(repr(chaos))
        async with chaos:
            try:
                for piece in pieces:
                    await chaos.send(piece)
                    sent += len(piece)
            except BrokenResourceError:
                assert fatal
                assert chaos.partial_send is not None
                sent += chaos.partial_send
            assert path.read_bytes() == data[:sent]
            received = b""
            try:
                async for chunk in chaos:
                    received += chunk
            except BrokenResourceError:
                assert fatal == "reset"
            assert data[:sent].startswith(received)
            assert fatal or received == data

    with TemporaryDirectory() as directory:
        backend.run(write_and_read, Path(directory, "file"))
