"""Text streams over byte streams and object streams, whatever the codec and the chunking."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from narrow_pipes import Colour, NarrowPipe, SilentPipe

from penstock import (
    BrokenResourceError,
    BusyResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    create_memory_object_stream,
    create_task_group,
    run,
    wait_all_tasks_blocked,
)
from penstock.abc import ByteStreamConnectable
from penstock.streams.text import TextConnectable, TextReceiveStream, TextSendStream, TextStream

CODECS = [
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-be",
    "utf-32",
    "utf-7",
    "shift_jis",
    "euc_jis_2004",
    "iso2022_jp",
    "gb18030",
    "hz",
]
#: In all of the above; the fourth is one that a combining mark may follow.
LETTERS = "aあ本か\n+~"
BAD = [
    ("utf-8", b"ab\xffcd", "ab", b"\xff", "cd"),
    ("utf-8", b"a\xe3\x81cd", "a", b"\xe3\x81", "cd"),
    ("utf-8-sig", b"\xef\xbb\xbfab\xffcd", "ab", b"\xff", "cd"),
    ("utf-16", b"\xff\xfea\0\0\xd8a\0b\0", "a", b"\0\xd8", "ab"),
    ("utf-16-be", b"\0a\xd8\0\0a\0b", "a", b"\xd8\0", "ab"),
    ("ascii", b"ab\x80cd", "ab", b"\x80", "cd"),
    ("shift_jis", b"ab\x82\xa0\xff\x01cd", "abあ", b"\xff", "\x01cd"),
    ("gb18030", b"ab\xffcd", "ab", b"\xff", "cd"),
]


def pieces_of(content, cuts):
    pieces = []
    while content:
        size = cuts[len(pieces) % len(cuts)]
        pieces.append(content[:size])
        content = content[size:]
    return pieces


def objects(*chunks):
    send, receive = create_memory_object_stream(len(chunks) or 1)
    for chunk in chunks:
        send.send_nowait(chunk)
    send.close()
    return receive


@settings(max_examples=60, deadline=None)
@given(
    codec=st.sampled_from(CODECS),
    items=st.lists(st.text(LETTERS, max_size=6), max_size=6),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=10),
)
def test_text_arrives_however_it_is_cut(codec, items, cuts):
    async def main():
        pipe = NarrowPipe()
        sending = TextSendStream(pipe, codec)
        for item in items:
            await sending.send(item)
        content = bytes(pipe.held)
        assert content.decode(codec) == "".join(items)
        async with TextReceiveStream(objects(*pieces_of(content, cuts)), codec) as stream:
            received = [text async for text in stream]
            assert "".join(received) == "".join(items)
            assert "" not in received
            with pytest.raises(EndOfStream):
                await stream.receive()

    run(main)


@pytest.mark.parametrize("codec", CODECS)
async def test_whoever_receives_can_decode_all_that_was_sent(codec):
    stream = TextStream(NarrowPipe(), codec)
    for item in ("か", "本日", "a"):
        await stream.send(item)
        received = ""
        while received != item:
            received += await stream.receive()


async def test_byte_order_mark_goes_out_once():
    send, receive = create_memory_object_stream[bytes](3)
    async with TextSendStream(send, "utf-16") as out, receive:
        await out.send("a")
        await out.send("b")
        await out.send("")
        assert receive.receive_nowait() + receive.receive_nowait() == "ab".encode("utf-16")
        assert receive.statistics().current_buffer_used == 0


async def test_half_a_character_at_the_end_is_an_error():
    for size in range(1, 4):
        stream = TextReceiveStream(objects(b"ab", "\N{GRINNING FACE}".encode()[:size]))
        assert await stream.receive() == "ab"
        with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
            await stream.receive()
        with pytest.raises(EndOfStream):
            await stream.receive()
        await stream.aclose()


@pytest.mark.parametrize(("codec", "content", "good", "bad", "rest"), BAD)
@pytest.mark.parametrize("cut", [1, 2, 3, 100])
async def test_undecodable_bytes_take_no_others_with_them(codec, content, good, bad, rest, cut):
    stream = TextReceiveStream(objects(*pieces_of(content, [cut])), codec)
    received = ""
    with pytest.raises(UnicodeDecodeError) as caught:
        while True:
            received += await stream.receive()
    assert received == good
    assert caught.value.object[caught.value.start : caught.value.end] == bad
    assert "".join([text async for text in stream]) == rest
    await stream.aclose()


@pytest.mark.parametrize("cut", [1, 2, 100])
async def test_text_that_the_codec_holds_back_comes_before_the_error(cut):
    """UTF-7 waits for the end of what is shifted, though the character in it is whole."""
    content = b"++AA\xffok"
    stream = TextReceiveStream(objects(*pieces_of(content, [cut])), "utf-7")
    assert await stream.receive() == "\uf800"
    with pytest.raises(UnicodeDecodeError):
        await stream.receive()
    assert "".join([text async for text in stream]) == "ok"
    await stream.aclose()


if sys.version_info >= (3, 13):  # before it, no mark was a UnicodeError that does not say where

    async def test_error_that_is_found_too_late_takes_nothing_with_it():
        """UTF-16 tells of a lone surrogate before it tells that the mark is missing."""
        content = b"a\0\0\xd8a\0" + "ok".encode("utf-16")
        stream = TextReceiveStream(objects(content), "utf-16")
        errors = 0
        text = ""
        while text != "ok":
            try:
                text += await stream.receive()
            except UnicodeDecodeError:
                errors += 1
        assert errors == 3  # one for each character that no mark precedes
        await stream.aclose()


async def test_errors_says_what_to_do_about_undecodable_bytes():
    async with TextReceiveStream(objects(b"a\xff", b"b\xe3"), errors="replace") as stream:
        assert [text async for text in stream] == ["a\ufffd", "b", "\ufffd"]
    pipe = NarrowPipe()
    await TextSendStream(pipe, "ascii", "xmlcharrefreplace").send("aあ")
    assert bytes(pipe.held) == b"a&#12354;"


@pytest.mark.parametrize("kind", [TextReceiveStream, TextSendStream, TextStream])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("nope",), "unknown encoding: nope"),
        (("base64",), "'base64' is not a text encoding"),
        (("punycode",), "'punycode' encodes names, not text that comes in pieces"),
        (("IDNA",), "'IDNA' encodes names, not text that comes in pieces"),
        (("utf-8", "nope"), "unknown error handler name 'nope'"),
    ],
)
def test_unknown_codec_is_refused_at_once(kind, arguments, text):
    with pytest.raises(LookupError, match=text):
        kind(object(), *arguments)


async def test_unencodable_text_sends_nothing_and_the_next_goes_on():
    for codec in ("iso2022_jp", "utf-16"):
        pipe = NarrowPipe()
        stream = TextSendStream(pipe, codec)
        with pytest.raises(UnicodeEncodeError):
            await stream.send("あ\ud800")
        assert not pipe.held
        assert stream.partial_send == 0
        await stream.send("い")
        assert bytes(pipe.held).decode(codec) == "い"


@pytest.mark.parametrize("item", [b"bytes", 5, None])
async def test_send_what_is_no_string_raises_type_error(item):
    pipe = NarrowPipe()
    with pytest.raises(TypeError, match="expected a string, not"):
        await TextSendStream(pipe).send(item)
    assert not pipe.held


async def test_cancelled_send_has_no_effect_or_is_finished_by_the_next():
    whole = "ab".encode("utf-16")
    for cut in range(len(whole)):
        pipe = NarrowPipe(cut)
        stream = TextStream(pipe, "utf-16")
        async with create_task_group() as tasks:
            tasks.start_soon(stream.send, "ab")
            await wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert stream.partial_send == bool(cut)
        pipe.widen(100)
        if cut % 2:
            await stream.send_eof()
        await stream.send("c")
        assert stream.partial_send is None
        assert bytes(pipe.held) == ("abc" if cut else "c").encode("utf-16")


async def test_send_cut_short_on_a_stream_that_does_not_tell_breaks_it():
    stream = TextStream(SilentPipe(1))
    async with create_task_group() as tasks:
        tasks.start_soon(stream.send, "ab")
        await wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    with pytest.raises(BrokenResourceError, match="cut short"):
        await stream.send("c")


async def test_cancelled_receive_keeps_half_a_character():
    pipe = NarrowPipe()
    stream = TextStream(pipe)
    *first, last = "あ".encode()
    for octet in first:
        async with create_task_group() as tasks:
            tasks.start_soon(stream.receive)
            await wait_all_tasks_blocked()
            pipe.held.append(octet)
            pipe.wake()
            await wait_all_tasks_blocked()
            assert not pipe.held
            tasks.cancel_scope.cancel()
    pipe.held.append(last)
    assert await stream.receive() == "あ"


async def test_pending_cancellation_is_noticed_before_an_error_is():
    async with TextReceiveStream(objects(b"a\xffb")) as stream:
        assert await stream.receive() == "a"
        with CancelScope() as scope:
            scope.cancel()
            await stream.receive()
        assert scope.cancelled_caught
        with pytest.raises(UnicodeDecodeError):
            await stream.receive()
        assert await stream.receive() == "b"


async def test_second_task_in_a_direction_is_busy():
    pipe = NarrowPipe(0)
    stream = TextStream(pipe)
    async with create_task_group() as tasks:
        tasks.start_soon(stream.receive)
        tasks.start_soon(stream.send, "a")
        await wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError, match="reading from"):
            await stream.receive()
        with pytest.raises(BusyResourceError, match="writing to"):
            await stream.send("b")
        pipe.widen(10)
    assert not pipe.held


async def test_close_wakes_who_waits():
    stream = TextStream(NarrowPipe(0))

    async def fail(operation, *args):
        with pytest.raises(ClosedResourceError):
            await operation(*args)

    async with create_task_group() as tasks:
        tasks.start_soon(fail, stream.receive)
        tasks.start_soon(fail, stream.send, "a")
        await wait_all_tasks_blocked()
        await stream.aclose()
    await fail(stream.receive)
    await fail(stream.send, "a")
    await stream.aclose()


async def test_typed_attributes_are_those_of_the_stream_below():
    for kind in (TextReceiveStream, TextSendStream, TextStream):
        assert kind(NarrowPipe()).extra(Colour.name) == "blue"


async def test_connectable_gives_a_text_stream():
    class ToPipe(ByteStreamConnectable):
        async def connect(self):
            return NarrowPipe()

    async with await TextConnectable(ToPipe()).connect() as stream:
        await stream.send("é")
        await stream.send_eof()
        assert [text async for text in stream] == ["é"]
