"""Target: text is what the codec makes of all bytes at once, wherever they were cut."""

from __future__ import annotations

import codecs
import sys

from choices import Choices
from piecemeal import Pieces

from penstock import EndOfStream
from penstock.streams.text import TextReceiveStream, TextSendStream

#: Each character of these stands for itself: behind an error, decoding starts afresh.
STATELESS = (
    "utf-8",
    "utf-16-le",
    "utf-16-be",
    "utf-32-be",
    "ascii",
    "latin-1",
    "cp1252",
    "shift_jis",
    "euc_jp",
    "gb18030",
    "big5",
    "cp949",
)
#: Marks, or characters that shift, govern what follows.
STATEFUL = ("utf-8-sig", "utf-16", "utf-32", "utf-7")
#: Before Python 3.13, the lack of a mark is a UnicodeError that does not say where.
FALLIBLE = STATELESS + (STATEFUL if sys.version_info >= (3, 13) else ("utf-8-sig", "utf-7"))
#: Of what is no text, the standard library's codecs make this or that as it is cut: an escape
#: sequence of more than eight bytes is an error of its own if it comes in pieces.
ESCAPED = ("iso2022_jp", "hz")
CHARACTERS = (
    *("a", "z", "\n", "+", "-", "~", "&", "\0", "\ufeff", "é", "ß", "€", "日", "本", "\U0001f600"),
    "\U0010ffff",
    "\u0301",
)


def decoded(data: bytes, encoding: str, errors: str = "strict") -> str:
    """Decode all at once, as a stream: without its mark, UTF-16 and UTF-32 are an error then."""
    return codecs.getincrementaldecoder(encoding)(errors).decode(data, True)


def parts_of(data: bytes, encoding: str, errors: str) -> list[str]:
    """Return the texts between errors."""
    parts = []
    while True:
        try:
            return [*parts, decoded(data, encoding, errors)]
        except UnicodeDecodeError as exc:
            mark = len(data) - len(exc.object)  # which the codec has put aside
            # Some codecs find the later of two errors first.
            parts += parts_of(data[: mark + exc.start], encoding, errors)
            data = data[mark + exc.end :]


async def received(stream: TextReceiveStream) -> list[str]:
    """Return the texts that come between errors."""
    texts = [""]
    while True:
        try:
            text = await stream.receive()
            assert text
            texts[-1] += text
        except UnicodeDecodeError:
            texts.append("")
        except EndOfStream:
            return texts


async def check_all_splits(choices: Choices) -> None:
    """Send text; receive it cut in two at every place."""
    encoding = choices.one_of(STATELESS + STATEFUL + ESCAPED)
    sink = Pieces()
    sender = TextSendStream(sink, encoding)
    text = ""
    for character in choices.several(12, lambda: choices.one_of(CHARACTERS)):
        try:
            await sender.send(character)
        except UnicodeEncodeError:
            continue
        text += character
    data = bytes(sink.sent)
    assert decoded(data, encoding) == text
    for place in range(len(data) + 1):
        pieces = [piece for piece in (data[:place], data[place:]) if piece]
        assert await received(TextReceiveStream(Pieces(pieces), encoding)) == [text]
    singles = [data[n : n + 1] for n in range(len(data))]
    assert await received(TextReceiveStream(Pieces(singles), encoding)) == [text]


async def check_any_bytes(choices: Choices) -> None:
    """Receive what is perhaps no text."""
    encoding = choices.one_of(FALLIBLE)

    def part() -> bytes:
        if choices.integer(0, 2) == 0:
            return choices.octets(8)
        encoded = choices.one_of(CHARACTERS).encode(encoding, "ignore")
        return encoded[: choices.integer(0, len(encoded))] if choices.integer(0, 1) else encoded

    data = b"".join(choices.several(10, part))
    pieces = choices.cut(data)
    errors = choices.one_of(("strict", "replace", "ignore"))
    got = await received(TextReceiveStream(Pieces(pieces), encoding, errors))
    expected = parts_of(data, encoding, errors)
    if encoding in STATELESS or len(expected) == 1:
        assert got == expected
    else:
        assert got[0] == expected[0]


async def check(choices: Choices) -> None:
    if choices.integer(0, 3):
        await check_any_bytes(choices)
    else:
        await check_all_splits(choices)
