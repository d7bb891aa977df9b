"""Framed streams over byte streams and object streams, whatever the framing and the chunking."""

import pickle
import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from narrow_pipes import Colour, NarrowPipe, PipeOfSingles, SilentPipe

from penstock import (
    BrokenResourceError,
    BusyResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    FrameTooLarge,
    IncompleteRead,
    connect_tcp,
    create_memory_object_stream,
    create_task_group,
    create_tcp_listener,
    run,
    wait_all_tasks_blocked,
)
from penstock.abc import SocketAttribute, SocketStream
from penstock.lowlevel import set_ready_budget
from penstock.streams.buffered import BufferedByteReceiveStream, BufferedByteStream
from penstock.streams.framed import (
    Delimited,
    FramedReceiveStream,
    FramedSendStream,
    FramedStream,
    LengthPrefixed,
    VarintPrefixed,
)

FRAMINGS = [
    *(LengthPrefixed(nbytes, order) for nbytes in (1, 2, 4, 8) for order in ("big", "little")),
    VarintPrefixed(),
    Delimited(b"\n"),
    Delimited(b"abab"),
]
PREFIXED = FRAMINGS[:-2]
all_framings = pytest.mark.parametrize("framing", FRAMINGS, ids=str)


def encoded(framing, frames):
    """Say independently of the library what goes over the wire."""
    match framing:
        case LengthPrefixed():
            heads = [len(frame).to_bytes(framing.nbytes, framing.byteorder) for frame in frames]
        case VarintPrefixed():
            assert all(len(frame) < 1 << 14 for frame in frames)
            heads = [
                bytes([len(it) & 127 | 128, len(it) >> 7]) if len(it) > 127 else bytes([len(it)])
                for it in frames
            ]
        case Delimited():
            return b"".join(frame + framing.delimiter for frame in frames)
    return b"".join(head + frame for head, frame in zip(heads, frames, strict=True))


def objects(*chunks):
    send, receive = create_memory_object_stream(len(chunks) or 1)
    for chunk in chunks:
        send.send_nowait(chunk)
    send.close()
    return receive


async def filled(content):
    pipe = NarrowPipe()
    pipe.held += content
    pipe.ended = True
    return pipe


# -- receiving -----------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    framing=st.sampled_from(FRAMINGS),
    frames=st.lists(st.binary(max_size=30) | st.just(b"x" * 200), max_size=8),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=20),
    budget=st.sampled_from([1, 2, 256]),
)
def test_frames_arrive_as_they_were_sent_however_they_are_cut(framing, frames, cuts, budget):
    if isinstance(framing, Delimited):
        frames = [frame.replace(b"\n", b"").replace(b"ab", b"c").strip(b"ab") for frame in frames]
    content = encoded(framing, frames)
    pieces = []
    while content:
        size = cuts[len(pieces) % len(cuts)]
        pieces.append(content[:size])
        content = content[size:]

    async def main():
        set_ready_budget(budget)
        async with FramedReceiveStream(objects(*pieces), framing, 200) as stream:
            assert [frame async for frame in stream] == frames
            with pytest.raises(EndOfStream):
                await stream.receive()

    run(main)


@all_framings
async def test_what_was_sent_comes_out_over_a_byte_stream(framing):
    pipe = NarrowPipe()
    frames = [b"", b"a", b"", b"cd" * 100, b""]
    sending, receiving = FramedSendStream(pipe, framing), FramedReceiveStream(pipe, framing)
    for frame in frames[:2]:
        await sending.send(frame)
    await sending.send_many(frames[2:])
    assert bytes(pipe.held) == encoded(framing, frames)
    assert [await receiving.receive() for _ in frames] == frames


@all_framings
async def test_what_was_sent_comes_out_over_an_object_stream(framing):
    send, receive = create_memory_object_stream[bytes](10)
    async with (
        FramedSendStream(send, framing) as out,
        FramedReceiveStream(receive, framing) as into,
    ):
        await out.send(bytearray(b"one"))
        await out.send_many([b"", memoryview(b"three")])
        assert send.statistics().current_buffer_used == 2
        assert [await into.receive() for _ in range(3)] == [b"one", b"", b"three"]


async def test_receive_many_takes_what_is_there():
    content = encoded(LengthPrefixed(), [b"a", b"", b"c"]) + b"\0\0\0\5half"
    stream = FramedReceiveStream(objects(content), LengthPrefixed())
    assert await stream.receive_many(2) == [b"a", b""]
    assert await stream.receive_many(10) == [b"c"]
    with pytest.raises(IncompleteRead):
        await stream.receive_many(10)
    with pytest.raises(ValueError, match="max_frames must be a positive integer, not 0"):
        await stream.receive_many(0)
    with pytest.raises(TypeError, match="max_frames must be an integer, not '1'"):
        await stream.receive_many("1")
    await stream.aclose()


@all_framings
async def test_end_within_a_frame_is_incomplete_and_leaves_what_came(framing):
    content = encoded(framing, [b"hello"])
    for stop in range(1, len(content)):
        stream = FramedReceiveStream(await filled(content[:stop]), framing)
        for _ in range(2):
            with pytest.raises(IncompleteRead):
                await stream.receive()
        assert stream.buffered.buffer == content[:stop]
        assert stream.statistics().current_buffer_used == stop
        assert await stream.buffered.receive() == content[:stop]
        with pytest.raises(EndOfStream):
            await stream.receive()


@all_framings
@pytest.mark.parametrize("split", [False, True])
async def test_frame_above_the_limit_is_refused_and_stays(framing, split):
    one, two = encoded(framing, [b"x" * 10]), encoded(framing, [b"x" * 11])
    content = one + two
    chunks = [content[i : i + 1] for i in range(len(content))] if split else [content]
    stream = FramedReceiveStream(objects(*chunks), framing, max_frame_size=10)
    assert await stream.receive() == b"x" * 10
    for _ in range(2):
        with pytest.raises(FrameTooLarge) as caught:
            await stream.receive()
        assert caught.value.max_frame_size == 10
        assert caught.value.size == (None if isinstance(framing, Delimited) else 11)
    assert two.startswith(stream.buffered.buffer)
    await stream.aclose()


@pytest.mark.parametrize("framing", PREFIXED, ids=str)
async def test_frame_announced_too_large_is_refused_before_its_bytes_are_read(framing):
    pipe = NarrowPipe()
    pipe.held += encoded(framing, [b"x" * 100])[:-100]
    stream = FramedReceiveStream(pipe, framing, 99)
    with pytest.raises(FrameTooLarge, match="The frame of 100 bytes is larger than 99 bytes"):
        await stream.receive()  # the pipe would make it wait


@pytest.mark.parametrize("framing", [LengthPrefixed(8), LengthPrefixed(8, "little")], ids=str)
async def test_what_was_meant_to_be_negative_is_too_large(framing):
    content = (-1).to_bytes(8, framing.byteorder, signed=True)
    stream = FramedReceiveStream(await filled(content), framing)
    with pytest.raises(FrameTooLarge, match=str(2**64 - 1)):
        await stream.receive()


@pytest.mark.parametrize(
    "content", [b"\x80\x00", b"\xff" * 10, b"\xff" * 9 + b"\x02", b"\x81\x80\x80\x00rest"]
)
async def test_what_is_no_varint_breaks_the_stream(content):
    stream = FramedReceiveStream(await filled(content), VarintPrefixed())
    for _ in range(2):
        with pytest.raises(BrokenResourceError, match="not a varint"):
            await stream.receive()
    assert stream.buffered.buffer == content


async def test_large_frame_comes_whole():
    frame = bytes(range(256)) * 8192
    pipe = NarrowPipe()
    stream = FramedStream(pipe, LengthPrefixed(), len(frame))
    await stream.send(frame)
    assert await stream.receive() == frame
    with pytest.raises(ValueError, match=f"of {len(frame) + 1} bytes is larger than {len(frame)}"):
        await stream.send(frame + b"x")


async def test_cancelled_receive_has_no_effect():
    pipe = NarrowPipe()
    stream = FramedReceiveStream(pipe, LengthPrefixed(2))
    for octet in encoded(LengthPrefixed(2), [b"abc"]):
        async with create_task_group() as tasks:
            tasks.start_soon(stream.receive)
            await wait_all_tasks_blocked()
            pipe.held.append(octet)
            tasks.cancel_scope.cancel()
    assert await stream.receive() == b"abc"


async def test_pending_cancellation_is_noticed_while_frames_are_ready():
    stream = FramedReceiveStream(objects(b"\1a\1b"), LengthPrefixed(1))
    assert await stream.receive() == b"a"
    for operation in (stream.receive, stream.__anext__, lambda: stream.receive_many(1)):
        with CancelScope() as scope:
            scope.cancel()
            await operation()
        assert scope.cancelled_caught
    assert await stream.receive() == b"b"
    await stream.aclose()


async def test_second_receiver_is_busy_and_the_first_unharmed():
    pipe = NarrowPipe()
    stream = FramedReceiveStream(pipe, LengthPrefixed(1))
    received = []

    async def receive():
        received.append(await stream.receive())

    async with create_task_group() as tasks:
        tasks.start_soon(receive)
        await wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError, match="reading from"):
            await stream.receive()
        await pipe.send(b"\1a")
    assert received == [b"a"]


async def test_shared_buffer_serves_what_is_no_frame():
    content = b"HELLO\r\n" + encoded(LengthPrefixed(), [b"one"]) + b"BYE"
    buffered = BufferedByteReceiveStream(await filled(content))
    assert await buffered.receive_line() == b"HELLO"
    stream = FramedReceiveStream(buffered, LengthPrefixed())
    assert stream.buffered is buffered
    assert await stream.receive() == b"one"
    assert await buffered.receive_exactly(3) == b"BYE"


@pytest.mark.parametrize("through", ["stream", "buffered"])
async def test_close_wakes_who_waits_and_refuses_what_is_ready(through):
    pipe = NarrowPipe(capacity=0)
    stream = FramedStream(pipe, LengthPrefixed(1))
    stream.buffered.feed_data(b"\1a\1")
    assert await stream.receive() == b"a"

    async def fail(operation, *args):
        with pytest.raises(ClosedResourceError):
            await operation(*args)

    async with create_task_group() as tasks:
        tasks.start_soon(fail, stream.receive)
        tasks.start_soon(fail, stream.send, b"b")
        await wait_all_tasks_blocked()
        await (stream if through == "stream" else stream.buffered).aclose()
    stream.buffered._buffer.feed(b"c")
    await fail(stream.receive)
    await fail(stream.receive_many, 1)
    await fail(stream.send, b"")
    await stream.aclose()
    await fail(stream.send_many, [])


# -- sending -------------------------------------------------------------------------------


def test_delimiter_in_a_frame_is_refused():
    async def main():
        pipe = NarrowPipe()
        for delimiter, frame in (
            (b"\n", b"a\nb"),
            (b"\n", bytearray(b"\n")),
            (b"aa", b"a"),  # its end and the delimiter make one
            (b"abab", b"xab"),
            (b"\r\n", memoryview(b"\r\n")),
        ):
            stream = FramedSendStream(pipe, Delimited(delimiter))
            with pytest.raises(ValueError, match="the frame contains the delimiter"):
                await stream.send(frame)
            with pytest.raises(ValueError, match="the frame contains the delimiter"):
                await stream.send_many([b"c", frame])
        assert not pipe.held

    run(main)


@settings(max_examples=50, deadline=None)
@given(
    frame=st.text("ab", max_size=6).map(str.encode),
    delimiter=st.text("ab", min_size=1, max_size=4).map(str.encode),
)
def test_what_may_be_sent_is_what_will_come_out(frame, delimiter):
    async def main():
        pipe = NarrowPipe()
        stream = FramedStream(pipe, Delimited(delimiter))
        try:
            await stream.send(frame)
        except ValueError:
            assert (frame + delimiter).index(delimiter) < len(frame)
        else:
            assert await stream.receive() == frame
            assert not pipe.held

    run(main)


@pytest.mark.parametrize("item", ["text", 5, None, [1], memoryview(b"abcd")[::2]])
async def test_send_what_is_no_bytes_raises_type_error(item):
    pipe = NarrowPipe()
    stream = FramedSendStream(pipe, LengthPrefixed())
    with pytest.raises(TypeError, match="bytes-like data, not"):
        await stream.send(item)
    with pytest.raises(TypeError, match="bytes-like data, not"):
        await stream.send_many([b"a", item])
    assert not pipe.held


async def test_send_more_than_a_prefix_can_say_is_refused():
    pipe = NarrowPipe()
    stream = FramedSendStream(pipe, LengthPrefixed(1))
    await stream.send(b"x" * 255)
    with pytest.raises(ValueError, match="the frame of 256 bytes is larger than 255 bytes"):
        await stream.send(b"x" * 256)
    assert len(pipe.held) == 256


@pytest.mark.parametrize("pipe_type", [NarrowPipe, PipeOfSingles])
@pytest.mark.parametrize("size", [5, 20_000])
@pytest.mark.parametrize("framing", [LengthPrefixed(), Delimited(b"\n")], ids=str)
async def test_send_cut_short_anywhere_is_finished_by_the_next(pipe_type, size, framing):
    frames = [b"a" * size, b"b" * size]
    whole = encoded(framing, frames)
    first = len(whole) // 2
    for cut in (0, 1, 3, 4, 5, first - 1, first, first + 1, first + 4, len(whole) - 1):
        pipe = pipe_type(cut)
        stream = FramedStream(pipe, framing)
        async with create_task_group() as tasks:
            tasks.start_soon(stream.send_many, [bytearray(frame) for frame in frames])
            await wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert stream.partial_send == (0 if not cut else 1 if cut <= first else 2)
        assert stream.statistics().unsent == -cut % first
        pipe.widen(1 << 30)
        await stream.send(b"end")
        assert stream.partial_send is None
        assert stream.statistics().unsent == 0
        begun = [] if not cut else frames[:1] if cut <= first else frames
        assert bytes(pipe.held) == encoded(framing, [*begun, b"end"])


async def test_rest_that_is_cut_again_is_finished_in_the_end():
    pipe = NarrowPipe(3)
    stream = FramedStream(pipe, LengthPrefixed(1))
    for frame in (b"abcdef", b"lost"):
        async with create_task_group() as tasks:
            tasks.start_soon(stream.send, frame)
            await wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert stream.partial_send == (frame == b"abcdef")
        pipe.capacity = 2
    pipe.widen(100)
    await stream.send_eof()
    await stream.send_eof()
    assert [frame async for frame in stream] == [b"abcdef"]


async def test_pending_cancellation_sends_nothing():
    for pipe in (NarrowPipe(), PipeOfSingles(), SilentPipe()):
        stream = FramedStream(pipe, LengthPrefixed(1))
        for operation, args in ((stream.send, (b"a",)), (stream.send_many, ([],))):
            with CancelScope() as scope:
                scope.cancel()
                await operation(*args)
            assert scope.cancelled_caught
        assert not pipe.held
        await stream.send(b"b")
        assert bytes(pipe.held) == b"\1b"


async def test_send_cut_short_on_a_stream_that_does_not_tell_breaks_it():
    pipe = SilentPipe(2)
    stream = FramedSendStream(pipe, LengthPrefixed(1))
    async with create_task_group() as tasks:
        tasks.start_soon(stream.send, b"abc")
        await wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert stream.partial_send == 1
    with pytest.raises(BrokenResourceError, match="cut short"):
        await stream.send(b"d")
    assert bytes(pipe.held) == b"\3a"


async def test_second_sender_is_busy_and_the_first_unharmed():
    pipe = NarrowPipe(2)
    stream = FramedSendStream(pipe, LengthPrefixed(1))
    async with create_task_group() as tasks:
        tasks.start_soon(stream.send, b"abc")
        await wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError, match="writing to"):
            await stream.send(b"d")
        pipe.widen(10)
    assert bytes(pipe.held) == b"\3abc"


async def test_stream_below_that_somebody_else_sends_on_is_busy_and_nothing_is_kept():
    pipe = NarrowPipe(1)
    stream = FramedSendStream(pipe, LengthPrefixed(1))
    async with create_task_group() as tasks:
        tasks.start_soon(pipe.send, b"xy")
        await wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError, match="writing to"):
            await stream.send(b"abc")
        assert stream.statistics().unsent == 0
        pipe.widen(10)
    await stream.send(b"d")
    assert bytes(pipe.held) == b"xy\1d"


async def test_cancelled_send_over_an_object_stream_has_no_effect():
    send, receive = create_memory_object_stream[bytes](0)
    async with send, receive:
        for stream in (
            FramedSendStream(send, LengthPrefixed(1)),
            FramedSendStream(BufferedByteStream(send), LengthPrefixed(1)),
        ):
            async with create_task_group() as tasks:
                tasks.start_soon(stream.send, b"lost")
                await wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            assert stream.partial_send == 0
            async with create_task_group() as tasks:
                tasks.start_soon(stream.send, b"a")
                assert await receive.receive() == b"\1a"


async def test_small_frames_go_out_in_one_piece_and_large_ones_uncopied():
    handed = []

    class Watching(NarrowPipe):
        async def send(self, item):
            handed.append([item])

        async def send_many(self, buffers):
            handed.append(list(buffers))

    stream = FramedSendStream(Watching(), LengthPrefixed())
    large = b"x" * 100_000
    await stream.send(b"small")
    await stream.send(large)
    assert handed[0] == [b"\0\0\0\5small"]
    assert handed[1][1] is large


# -- as a whole ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: LengthPrefixed(3), ValueError, "nbytes must be 1, 2, 4 or 8, not 3"),
        (lambda: LengthPrefixed(True), ValueError, "nbytes must be 1, 2, 4 or 8, not True"),
        (lambda: LengthPrefixed(4, "middle"), ValueError, "not 'middle'"),
        (lambda: Delimited(b""), ValueError, "must not be empty"),
        (lambda: Delimited("\n"), TypeError, "must be bytes, not"),
    ],
)
def test_bad_framing_is_refused(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize("kind", [FramedReceiveStream, FramedSendStream, FramedStream])
def test_bad_arguments_are_refused(kind):
    pipe = object()
    with pytest.raises(TypeError, match="expected a framing, not 4"):
        kind(pipe, 4)
    with pytest.raises(TypeError, match="max_frame_size must be an integer, not '1'"):
        kind(pipe, LengthPrefixed(), "1")
    for size in (0, -1):
        with pytest.raises(
            ValueError, match=f"max_frame_size must be a positive integer, not {size}"
        ):
            kind(pipe, LengthPrefixed(), size)


async def test_typed_attributes_are_those_of_the_stream_below():
    for kind in (FramedReceiveStream, FramedSendStream, FramedStream):
        assert kind(NarrowPipe(), LengthPrefixed()).extra(Colour.name) == "blue"


def test_exception_survives_pickling():
    for exc in (FrameTooLarge(10), FrameTooLarge(10, 11)):
        copy = pickle.loads(pickle.dumps(exc))
        assert (str(copy), copy.max_frame_size, copy.size) == (str(exc), 10, exc.size)


async def test_frames_over_tcp_survive_cancelled_sends():
    """A sender that is cancelled again and again, and a slow receiver: no frame is torn."""
    frames = [bytes([number]) * 300_000 for number in range(40)]
    received = []

    async def serve(client):
        async with FramedReceiveStream(client, VarintPrefixed()) as stream:
            async for frame in stream:
                received.append(frame)
        serving.cancel_scope.cancel()

    listener = await create_tcp_listener(local_host="127.0.0.1")
    async with listener, create_task_group() as serving:
        port = listener.extra(SocketAttribute.local_port)
        sent = []
        async with FramedStream(await connect_tcp("127.0.0.1", port), VarintPrefixed()) as stream:
            with CancelScope() as scope:
                scope.cancel()
                await stream.send(b"never")
            for frame in frames:  # nobody reads yet: at some point it waits
                async with create_task_group() as tasks:
                    tasks.start_soon(stream.send, frame)
                    await wait_all_tasks_blocked()
                    tasks.cancel_scope.cancel()
                if stream.partial_send != 0:
                    sent.append(frame)
            assert len(sent) < len(frames)
            serving.start_soon(listener.serve, serve)
            await stream.send(b"last")
            await stream.send_eof()
            with pytest.raises(EndOfStream):
                await stream.receive()
    assert received == [*sent, b"last"]


async def test_use_from_another_loop_is_refused():
    pipe = NarrowPipe()
    stream = FramedReceiveStream(pipe, LengthPrefixed(1))
    stream.buffered.feed_data(b"\1a\1b")
    assert await stream.receive() == b"a"
    errors = []

    def other():
        async def main():
            try:
                await stream.receive()
            except RuntimeError as exc:
                errors.append(str(exc))

        run(main)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert errors == ["this stream belongs to another event loop or thread"]
    assert await stream.receive() == b"b"


async def test_send_after_eof_says_closed_every_time():
    near, far = socket.socketpair()
    with far:
        async with FramedStream(await SocketStream.from_socket(near), LengthPrefixed()) as stream:
            await stream.send_eof()
            for _ in range(3):
                with pytest.raises(ClosedResourceError):
                    await stream.send(b"late")
