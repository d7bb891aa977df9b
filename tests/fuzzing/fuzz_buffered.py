"""Target: what a buffered stream finds, however it was cut, is what ``bytes.find`` finds."""

from __future__ import annotations

from collections.abc import Awaitable

from choices import Choices
from piecemeal import PieceObjects, Pieces
from raised import public_type

from penstock import DelimiterNotFound, EndOfStream, IncompleteRead
from penstock.streams.buffered import BufferedByteReceiveStream

DELIMITERS = (b"\n", b"\r\n", b"aa", b"aab", b"ab", b"b", b"--ab--", b"aaaaaaaab", bytes(70))
LINE_ENDS = (b"\r\n", b"\n")

Outcome = bytes | type[Exception]


async def outcome_of(operation: Awaitable[bytes]) -> Outcome:
    """Return what an operation returns, or the kind of error that it raises."""
    try:
        return await operation
    except (DelimiterNotFound, EndOfStream, IncompleteRead) as exc:
        return public_type(exc)


def until(rest: bytes, delimiters: tuple[bytes, ...], limit: int) -> tuple[int, int] | Outcome:
    """Return where the winning delimiter begins and ends in all that is left, or the error."""
    ends = [
        (begin + len(delimiter), -len(delimiter))
        for delimiter in delimiters
        if (begin := rest.find(delimiter)) >= 0
    ]
    if ends:
        end, negative = min(ends)
        return (end + negative, end) if end + negative <= limit else DelimiterNotFound
    # Nothing is there: may one still begin within the limit, had more come?
    for begin in range(min(limit, len(rest)) + 1):
        if any(delimiter.startswith(rest[begin:]) for delimiter in delimiters):
            return IncompleteRead
    return DelimiterNotFound


class Model:
    """What is left, in one piece."""

    def __init__(self, rest: bytes) -> None:
        self.rest = rest

    def take(self, nbytes: int, consumed: int) -> bytes:
        taken, self.rest = self.rest[:nbytes], self.rest[consumed:]
        return taken

    def until(self, delimiters: tuple[bytes, ...], limit: int, include: bool) -> Outcome:
        found = until(self.rest, delimiters, limit)
        if isinstance(found, tuple):
            return self.take(found[1] if include else found[0], found[1])
        return found

    def line(self, limit: int) -> Outcome:
        found = until(self.rest, LINE_ENDS, limit)
        if isinstance(found, tuple):
            return self.take(*found)
        if len(self.rest) > limit:
            return DelimiterNotFound
        return self.take(len(self.rest), len(self.rest)) or EndOfStream

    def exactly(self, nbytes: int) -> Outcome:
        return self.take(nbytes, nbytes) if nbytes <= len(self.rest) else IncompleteRead

    def check_some(self, got: Outcome, most: int, *, consumed: bool = True) -> None:
        """Check a result that may be as short as the pieces are."""
        if not self.rest:
            assert got is EndOfStream
        else:
            assert isinstance(got, bytes)
            assert 1 <= len(got) <= most
            assert self.rest.startswith(got)
            if consumed:
                self.rest = self.rest[len(got) :]


def content(choices: Choices, delimiters: tuple[bytes, ...]) -> bytes:
    """Return bytes that are full of delimiters and of what only begins like one."""

    def part() -> bytes:
        delimiter = choices.one_of(delimiters)
        kind = choices.integer(0, 4)
        if kind == 0:
            return delimiter
        if kind == 1:
            return delimiter[: choices.integer(0, len(delimiter))]
        if kind == 2:
            return choices.octets(40)
        if kind == 3:
            return choices.one_of((b"a", b"-", b"\r", b"\0")) * choices.integer(1, 300)
        return delimiter[choices.integer(0, len(delimiter)) :]

    last = choices.one_of((b"", b"\r", b"\n", b"a"))
    return b"".join([*choices.several(12, part), last])


async def check(choices: Choices) -> None:
    """Do random operations to a buffered stream and to the model."""
    delimiters = tuple(choices.one_of(DELIMITERS) for _ in range(choices.integer(1, 3)))
    model = Model(content(choices, delimiters))
    pieces = choices.cut(model.rest)
    make = choices.one_of((Pieces, PieceObjects))
    stream = BufferedByteReceiveStream(make(pieces))
    for _ in range(choices.integer(1, 15)):
        limit = choices.one_of((1, 2, 64, 65, 200, 1 << 70, choices.integer(1, 400)))
        if choices.integer(0, 1):  # at the end, or just before it
            limit = max(1, len(model.rest) - choices.integer(0, 3))
        match choices.integer(0, 7):
            case 0 | 1:
                include = bool(choices.integer(0, 1))
                asked = delimiters if choices.integer(0, 1) else delimiters[0]
                got = await outcome_of(stream.receive_until(asked, limit, include))
                searched = asked if isinstance(asked, tuple) else (asked,)
                assert got == model.until(searched, limit, include)
            case 2:
                nbytes = choices.integer(0, 300)
                got = await outcome_of(stream.receive_exactly(nbytes))
                assert got == model.exactly(nbytes)
            case 3:
                model.check_some(await outcome_of(stream.receive(limit)), limit)
            case 4:
                model.check_some(await outcome_of(stream.peek(limit)), limit, consumed=False)
            case 5:
                assert await outcome_of(stream.receive_line(limit)) == model.line(limit)
            case 6:
                memory = bytearray(min(limit, 200))

                async def receive_into(memory: bytearray = memory) -> bytes:
                    return bytes(memory[: await stream.receive_into(memory)])

                model.check_some(await outcome_of(receive_into()), len(memory))
            case 7:
                fed, here = choices.octets(40), stream.buffer
                stream.feed_data(fed)
                model.rest = here + fed + model.rest[len(here) :]
        assert model.rest.startswith(stream.buffer)
