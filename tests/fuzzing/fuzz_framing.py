"""Target: frames are what a parser finds that has all bytes, and errors come where it errs."""

from __future__ import annotations

from choices import Choices
from fuzz_buffered import until
from piecemeal import PieceObjects, Pieces
from raised import public_type

from penstock import (
    BrokenResourceError,
    EndOfStream,
    FrameTooLarge,
    IncompleteRead,
)
from penstock.streams.framed import (
    Delimited,
    FramedReceiveStream,
    FramedSendStream,
    Framing,
    LengthPrefixed,
    VarintPrefixed,
)

FRAMINGS: tuple[Framing, ...] = (
    *(LengthPrefixed(n, order) for n in (1, 2, 4, 8) for order in ("big", "little")),  # type: ignore[arg-type]
    VarintPrefixed(),
    VarintPrefixed(),
    Delimited(b"\n"),
    Delimited(b"aba"),
)


def prefix_of(data: bytes, framing: Framing) -> tuple[int, int] | type[Exception]:
    """Return the size that stands before a frame and how wide it is, or the error."""
    if isinstance(framing, LengthPrefixed):
        if len(data) < framing.nbytes:
            return IncompleteRead
        return int.from_bytes(data[: framing.nbytes], framing.byteorder), framing.nbytes
    width = next((n + 1 for n, octet in enumerate(data[:10]) if octet < 128), None)
    if width is None:
        return BrokenResourceError if len(data) >= 10 else IncompleteRead
    size = sum((octet & 127) << (7 * n) for n, octet in enumerate(data[:width]))
    if encoded_size(size, framing) != data[:width] or size >= 1 << 64:
        return BrokenResourceError
    return size, width


def encoded_size(size: int, framing: Framing) -> bytes:
    if isinstance(framing, LengthPrefixed):
        return size.to_bytes(framing.nbytes, framing.byteorder)
    groups = [size >> shift & 127 for shift in range(0, max(size.bit_length(), 1), 7)]
    return bytes([group | 128 for group in groups[:-1]] + groups[-1:])


def parse(data: bytes, framing: Framing, limit: int) -> tuple[list[bytes], type[Exception]]:
    """Return the frames of all that comes, and how it ends."""
    frames = []
    while data:
        if isinstance(framing, Delimited):
            found = until(data, (framing.delimiter,), limit)
            if not isinstance(found, tuple):
                return frames, IncompleteRead if found is IncompleteRead else FrameTooLarge
            frames.append(data[: found[0]])
            data = data[found[1] :]
            continue
        prefix = prefix_of(data, framing)
        if not isinstance(prefix, tuple):
            return frames, prefix
        size, width = prefix
        if size > limit:
            return frames, FrameTooLarge
        if len(data) < width + size:
            return frames, IncompleteRead
        frames.append(data[width : width + size])
        data = data[width + size :]
    return frames, EndOfStream


def written(frame: bytes, framing: Framing, limit: int) -> bytes | None:
    """Return a frame as it is sent; None: it cannot be."""
    if isinstance(framing, Delimited):
        whole = frame + framing.delimiter
        if len(frame) > limit or whole.find(framing.delimiter) < len(frame):
            return None
        return whole
    largest = 256**framing.nbytes - 1 if isinstance(framing, LengthPrefixed) else limit
    if len(frame) > min(limit, largest):
        return None
    return encoded_size(len(frame), framing) + frame


async def check(choices: Choices) -> None:
    """Send frames, put other bytes between them, and receive all that."""
    framing = choices.one_of(FRAMINGS)
    limit = choices.one_of((1, 5, 100, 300, 1 << 70))
    sink = Pieces()
    sender = FramedSendStream(sink, framing, limit)
    wire = b""

    def part() -> bytes:
        kind = choices.integer(0, 5)
        if kind == 0:
            return choices.octets(30)
        if kind == 1:
            return choices.one_of((b"\x80", b"\xff" * 9, b"\0", b"ab", b"aba", b"\x80\0"))
        if kind == 2:
            return b"f" * choices.integer(100, 400)
        return choices.octets(20) + choices.one_of((b"", b"a", b"ab", b"aab"))

    for frame in choices.several(8, part):
        if choices.integer(0, 5) == 0:
            wire += frame  # as it is: nobody has framed it
            continue
        expected = written(frame, framing, limit)
        try:
            await sender.send(frame)
        except ValueError:
            assert expected is None
        else:
            assert sink.sent == expected
        wire += sink.sent
        sink.sent.clear()

    frames, ending = parse(wire, framing, limit)
    make = choices.one_of((Pieces, PieceObjects))
    receiver = FramedReceiveStream(make(choices.cut(wire)), framing, limit)
    got: list[bytes] = []
    ended = None
    while ended is None:
        try:
            if choices.integer(0, 1):
                got.append(await receiver.receive())
            else:
                got += await receiver.receive_many(choices.integer(1, 4))
        except (BrokenResourceError, EndOfStream, FrameTooLarge, IncompleteRead) as exc:
            ended = public_type(exc)
    assert got == frames
    assert ended is ending
    consumed = sum(len(written(frame, framing, 1 << 70) or b"") for frame in frames)
    assert wire[consumed:].startswith(receiver.buffered.buffer)
