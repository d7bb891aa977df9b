"""Buffered byte streams over byte streams and over object streams, on every backend."""

import socket
import threading
from collections import deque

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from raised import public_type

from penstock import (
    BusyResourceError,
    CancelScope,
    ClosedResourceError,
    DelimiterNotFound,
    EndOfStream,
    Event,
    IncompleteRead,
    connect_tcp,
    create_memory_object_stream,
    create_task_group,
    move_on_after,
    run,
    wait_all_tasks_blocked,
)
from penstock.abc import (
    ByteReceiveStream,
    ByteStream,
    ObjectReceiveStream,
    ObjectStream,
    TypedAttributeSet,
    typed_attribute,
)
from penstock.lowlevel import checkpoint, set_ready_budget
from penstock.streams.buffered import BufferedByteReceiveStream, BufferedByteStream
from penstock.streams.stapled import StapledObjectStream

HUGE = 10**30


class Colour(TypedAttributeSet):
    name: str = typed_attribute()


class Pieces:
    """Pieces that come one per receive, and wait where there is none."""

    def __init__(self, *pieces, ended=True):
        self.pieces = deque(pieces)
        self.ended = ended
        self.closed = False
        self.calls = 0
        self.before = None  # an async function of the number of the call
        self.changed = Event()

    @property
    def extra_attributes(self):
        return {Colour.name: lambda: "blue"}

    @property
    def rest(self):
        return b"".join(self.pieces)

    def push(self, piece):
        self.pieces.append(piece)
        self.wake()

    def end(self):
        self.ended = True
        self.wake()

    def wake(self):
        self.changed.set()
        self.changed = Event()

    async def aclose(self):
        self.closed = True
        self.wake()

    async def next_piece(self):
        self.calls += 1
        if self.before is not None:
            await self.before(self.calls)
        while not self.pieces:
            if self.closed:
                raise ClosedResourceError
            if self.ended:
                raise EndOfStream
            await self.changed.wait()
        return self.pieces.popleft()


class PiecesOfBytes(Pieces, ByteReceiveStream):
    def __init__(self, *pieces, ended=True):
        super().__init__(*pieces, ended=ended)
        self.sizes = []

    async def receive(self, max_bytes=65536):
        self.sizes.append(max_bytes)
        piece = await self.next_piece()
        if len(piece) > max_bytes:
            self.pieces.appendleft(piece[max_bytes:])
        return piece[:max_bytes]


class PiecesOfObjects(Pieces, ObjectReceiveStream[bytes]):
    async def receive(self):
        return await self.next_piece()


@pytest.fixture(params=[PiecesOfBytes, PiecesOfObjects], ids=["bytes", "objects"])
def source_type(request):
    return request.param


def chunked(content, chunking):
    if chunking == "whole":
        return [content]
    if chunking == "bytewise":
        return [content[i : i + 1] for i in range(len(content))]
    middle = content.index(b"\r") + 1  # inside the delimiter
    return [content[:middle], content[middle:]]


chunkings = pytest.mark.parametrize("chunking", ["whole", "bytewise", "inside"])


# -- what each method gives ----------------------------------------------------------------


@chunkings
async def test_receive_until_any_chunking_gives_the_same(source_type, chunking):
    stream = BufferedByteReceiveStream(source_type(*chunked(b"one\r\ntwo\r\nrest", chunking)))
    assert await stream.receive_until(b"\r\n", 10) == b"one"
    assert await stream.receive_until(b"\r\n", 10, include_delimiter=True) == b"two\r\n"
    with pytest.raises(IncompleteRead) as caught:
        await stream.receive_until(b"\r\n", 10)
    assert isinstance(caught.value.__cause__, EndOfStream)
    assert stream.buffer == b"rest"


@chunkings
async def test_receive_until_limit_is_exact_in_any_chunking(source_type, chunking):
    stream = BufferedByteReceiveStream(source_type(*chunked(b"12345\r\nrest", chunking)))
    with pytest.raises(DelimiterNotFound, match="among the first 4 bytes"):
        await stream.receive_until(b"\r\n", 4)
    assert b"12345\r\nrest".startswith(stream.buffer)
    assert await stream.receive_until(b"\r\n", 5) == b"12345"


@chunkings
async def test_receive_until_several_delimiters_first_to_complete_wins(source_type, chunking):
    stream = BufferedByteReceiveStream(source_type(*chunked(b"a;b\nc\r\nd", chunking)))
    ends = (b"\n", b"\r\n", b";")
    assert await stream.receive_until(ends, 10, include_delimiter=True) == b"a;"
    assert await stream.receive_until(list(ends), 10, include_delimiter=True) == b"b\n"
    assert await stream.receive_until(ends, 10) == b"c"


async def test_receive_until_delimiter_may_be_any_bytes_like(source_type):
    stream = BufferedByteReceiveStream(source_type(b"a\r\nb\nc;"))
    assert await stream.receive_until(bytearray(b"\r\n"), 5) == b"a"
    assert await stream.receive_until(memoryview(b"\n"), 5) == b"b"
    assert await stream.receive_until([bytearray(b";")], 5) == b"c"


@chunkings
async def test_receive_line_any_chunking_gives_the_same(source_type, chunking):
    content = b"one\r\n\ntwo\nth\rree\r\nlast\r"
    stream = BufferedByteReceiveStream(source_type(*chunked(content, chunking)))
    for line in b"one", b"", b"two", b"th\rree", b"last\r":
        assert await stream.receive_line(10) == line
    for _ in range(2):
        with pytest.raises(EndOfStream):
            await stream.receive_line()


@chunkings
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"", b"\r"])
async def test_receive_line_limit_is_exact(source_type, chunking, end):
    content = b"\r\n12345" + end
    stream = BufferedByteReceiveStream(source_type(*chunked(content, chunking)))
    assert await stream.receive_line() == b""
    with pytest.raises(DelimiterNotFound, match="among the first 4 bytes"):
        await stream.receive_line(4)
    if end == b"\r":  # turned out to be part of the line
        with pytest.raises(DelimiterNotFound):
            await stream.receive_line(5)
        assert await stream.receive_line(6) == b"12345\r"
    else:
        assert await stream.receive_line(5) == b"12345"


async def test_receive_exactly_joins_and_splits_pieces(source_type):
    stream = BufferedByteReceiveStream(source_type(b"hel", b"lo, ", b"wo", b"rld!"))
    assert await stream.receive_exactly(8) == b"hello, w"
    assert await stream.receive_until(b"!", 10) == b"orld"


async def test_memory_object_stream_of_bytes_can_be_buffered():
    # the example of requirement 002, "Buffered byte streams"
    send, receive = create_memory_object_stream[bytes](4)
    buffered = BufferedByteReceiveStream(receive)
    for part in b"hel", b"lo, ", b"wo", b"rld!":
        await send.send(part)
    assert await buffered.receive_exactly(8) == b"hello, w"
    assert await buffered.receive_until(b"!", 10) == b"orld"
    await send.aclose()
    with pytest.raises(EndOfStream):
        await buffered.receive()
    await buffered.aclose()


async def test_receive_exactly_at_the_end_is_incomplete_and_keeps_what_came(source_type):
    stream = BufferedByteReceiveStream(source_type(b"ab", b"c"))
    with pytest.raises(IncompleteRead) as caught:
        await stream.receive_exactly(4)
    assert isinstance(caught.value.__cause__, EndOfStream)
    assert stream.buffer == b"abc"
    assert await stream.receive_exactly(3) == b"abc"


async def test_receive_exactly_of_a_huge_number_allocates_nothing(source_type):
    stream = BufferedByteReceiveStream(source_type(b"abc"))
    for size in (1 << 50, HUGE):
        with pytest.raises(IncompleteRead):
            await stream.receive_exactly(size)
    assert await stream.receive_exactly(3) == b"abc"


@pytest.mark.parametrize(
    ("size", "expected"), [(1, b"a"), (3, b"abc"), (4, b"abc"), (HUGE, b"abc")]
)
async def test_receive_gives_no_more_than_asked(source_type, size, expected):
    stream = BufferedByteReceiveStream(source_type(b"abc"))
    assert await stream.receive(size) == expected
    if expected != b"abc":
        assert await stream.receive() == b"abc"[len(expected) :]
    with pytest.raises(EndOfStream):
        await stream.receive()


@pytest.mark.parametrize("size", [1, 2, 100])
async def test_receive_into_fills_memory_of_the_caller(source_type, size):
    stream = BufferedByteReceiveStream(source_type(b"abc", b"de"))
    result = b""
    while len(result) < 5:
        target = bytearray(size)
        count = await stream.receive_into(target)
        result += target[:count]
    assert result == b"abcde"
    with pytest.raises(EndOfStream):
        await stream.receive_into(target)


async def test_peek_consumes_nothing_and_receives_only_if_nothing_is_there(source_type):
    source = source_type(b"abc", b"def")
    stream = BufferedByteReceiveStream(source)
    assert await stream.peek(2) == b"ab"
    assert await stream.peek(100) == b"abc"
    assert source.calls == 1
    assert await stream.receive_exactly(6) == b"abcdef"
    with pytest.raises(EndOfStream):
        await stream.peek(1)


async def test_iteration_gives_everything_and_stops_at_the_end(source_type):
    stream = BufferedByteReceiveStream(source_type(b"ab", b"cd"))
    stream.feed_data(b"fed,")
    assert b"".join([piece async for piece in stream]) == b"fed,abcd"


async def test_feed_data_comes_before_what_is_received(source_type):
    stream = BufferedByteReceiveStream(source_type(b"cd"))
    stream.feed_data(bytearray(b"a"))
    stream.feed_data(memoryview(b"b"))
    assert stream.buffer == b"ab"
    assert await stream.receive_exactly(4) == b"abcd"


@pytest.mark.parametrize("method", ["receive_exactly", "peek"])
async def test_feed_data_while_a_task_waits_is_kept_in_order(source_type, method):
    source = source_type(ended=False)
    stream = BufferedByteReceiveStream(source)
    results = []

    async def read():
        results.append(await getattr(stream, method)(6))

    async with create_task_group() as group:
        group.start_soon(read)
        await wait_all_tasks_blocked()
        stream.feed_data(b"ab")
        stream.feed_data(b"c")
        assert stream.buffer == b"abc"
        source.push(b"def")
    assert results == [b"abcdef"]


async def test_feed_data_while_a_task_waits_that_is_cancelled_is_kept(source_type):
    stream = BufferedByteReceiveStream(source_type(ended=False))

    async with create_task_group() as group:
        group.start_soon(stream.receive_exactly, 6)
        await wait_all_tasks_blocked()
        stream.feed_data(b"abc")
        group.cancel_scope.cancel()
    assert stream.buffer == b"abc"


async def test_extra_attributes_are_those_of_the_wrapped_stream(source_type):
    assert BufferedByteReceiveStream(source_type()).extra(Colour.name) == "blue"


# -- bad input -----------------------------------------------------------------------------


@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize(
    ("method", "arguments", "error"),
    [
        ("receive", (0,), "max_bytes must be a positive integer, not 0"),
        ("receive", (-1,), "max_bytes must be a positive integer, not -1"),
        ("receive_exactly", (-1,), "nbytes must be a non-negative integer, not -1"),
        ("receive_exactly", (-HUGE,), f"nbytes must be a non-negative integer, not -{HUGE}"),
        ("peek", (0,), "nbytes must be a positive integer, not 0"),
        ("receive_line", (0,), "max_bytes must be a positive integer, not 0"),
        ("receive_until", (b"\n", 0), "max_bytes must be a positive integer, not 0"),
        ("receive_until", (b"\n", -5), "max_bytes must be a positive integer, not -5"),
        ("receive_until", (b"", 5), "a delimiter must not be empty, not b''"),
        ("receive_until", ((b"\n", b""), 5), "a delimiter must not be empty, not b''"),
        ("receive_until", ((), 5), "there must be a delimiter"),
        ("receive_into", (bytearray(),), "cannot receive into an empty buffer"),
    ],
)
async def test_wrong_value_raises_value_error_before_any_effect(
    source_type, method, arguments, error, ready
):
    source = source_type(b"received\n")
    stream = BufferedByteReceiveStream(source)
    if ready:
        await stream.peek(1)
    with pytest.raises(ValueError, match=error):
        await getattr(stream, method)(*arguments)
    assert stream.buffer + source.rest == b"received\n"
    assert source.calls == ready


@pytest.mark.parametrize(
    ("method", "arguments", "error"),
    [
        ("receive", ("5",), "max_bytes must be an integer, not '5'"),
        ("receive_exactly", (1.0,), "nbytes must be an integer, not 1.0"),
        ("receive_exactly", (None,), "nbytes must be an integer, not None"),
        ("peek", (b"1",), "nbytes must be an integer, not b'1'"),
        ("receive_line", (1.5,), "max_bytes must be an integer, not 1.5"),
        ("receive_until", (b"\n", "5"), "max_bytes must be an integer, not '5'"),
        ("receive_until", ("\n", 5), "a delimiter must be bytes-like, not"),
        ("receive_until", (10, 5), "a delimiter must be bytes-like, not 10"),
        ("receive_until", ((b"\n", "x"), 5), "a delimiter must be bytes-like, not 'x'"),
        ("receive_into", (b"readonly",), "expected contiguous writable memory, got b'readonly'"),
    ],
)
async def test_wrong_type_raises_type_error_before_any_effect(
    source_type, method, arguments, error
):
    source = source_type(b"received\n")
    stream = BufferedByteReceiveStream(source)
    with pytest.raises(TypeError, match=error):
        await getattr(stream, method)(*arguments)
    assert source.calls == 0


async def test_feed_data_of_something_else_raises_type_error(source_type):
    stream = BufferedByteReceiveStream(source_type())
    with pytest.raises(TypeError, match="expected contiguous bytes-like data, not 'text'"):
        stream.feed_data("text")


@pytest.mark.parametrize("item", ["text", 5, None])
async def test_item_that_is_not_bytes_raises_type_error_and_keeps_the_rest(item):
    stream = BufferedByteReceiveStream(PiecesOfObjects(b"ab", item, b"cd"))
    with pytest.raises(TypeError, match="expected contiguous bytes-like data, not"):
        await stream.receive_exactly(4)
    assert stream.buffer == b"ab"
    assert await stream.receive_exactly(4) == b"abcd"


async def test_empty_item_is_not_the_end():
    stream = BufferedByteReceiveStream(PiecesOfObjects(b"", b"ab", b""))
    assert await stream.receive() == b"ab"
    with pytest.raises(EndOfStream):
        await stream.receive()


async def test_receive_exactly_zero_is_empty(source_type):
    source = source_type(b"ab")
    stream = BufferedByteReceiveStream(source)
    assert await stream.receive_exactly(0) == b""
    assert source.calls == 0


# -- chunk independence --------------------------------------------------------------------


def expect_until(content, delimiters, max_bytes):
    """Say what receive_until does, from the whole content: the kind, and where it cuts."""
    for stop in range(len(content) + 1):
        lengths = [len(it) for it in delimiters if content[:stop].endswith(it)]
        if lengths:
            begin = stop - max(lengths)
            return ("value", begin, stop) if begin <= max_bytes else ("not found",)
    for begin in range(min(max_bytes, len(content)) + 1):
        rest = content[begin:]
        if any(len(it) > len(rest) and it.startswith(rest) for it in delimiters):
            return ("incomplete",)
    return ("not found",)


def expect(content, operation):
    """Return what an operation gives, and the content after it."""
    name, *arguments = operation
    if name == "exactly":
        (size,) = arguments
        if size > len(content):
            return IncompleteRead, content
        return content[:size], content[size:]
    if name == "line":
        delimiters, max_bytes, include = (b"\r\n", b"\n"), arguments[0], False
    else:
        delimiters, max_bytes, include = arguments
    kind, *cut = expect_until(content, delimiters, max_bytes)
    if kind == "value":
        begin, stop = cut
        return content[: stop if include else begin], content[stop:]
    if kind == "incomplete" and name == "line":
        if not content:
            return EndOfStream, content
        if len(content) <= max_bytes:
            return content, b""
        kind = "not found"
    return (IncompleteRead if kind == "incomplete" else DelimiterNotFound), content


letters = st.text("ab\r\n", min_size=1, max_size=4).map(str.encode)
limits = st.integers(1, 20)
read = st.one_of(
    st.tuples(st.just("until"), st.lists(letters, min_size=1, max_size=3), limits, st.booleans()),
    st.tuples(st.just("line"), limits),
    st.tuples(st.just("exactly"), st.integers(0, 10)),
)


@settings(max_examples=300, deadline=None)
@given(
    st.text("ab\r\n", max_size=60).map(str.encode),
    st.lists(st.integers(1, 10), max_size=60),
    st.lists(read, min_size=1, max_size=12),
    st.booleans(),
)
@example(b"ab\r", [1, 1, 1], [("line", 2), ("line", 3)], True)
@example(b"aaab", [1, 1, 1, 1], [("until", [b"aab", b"b"], 1, False)], False)
def test_outcome_depends_on_the_content_alone(content, cuts, operations, over_bytes):
    pieces, rest = [], content
    for cut in cuts:
        if rest:
            pieces.append(rest[:cut])
            rest = rest[cut:]
    pieces.extend([rest] if rest else [])

    async def main():
        source = (PiecesOfBytes if over_bytes else PiecesOfObjects)(*pieces)
        stream = BufferedByteReceiveStream(source)
        left = content
        for operation in operations:
            name, *arguments = operation
            expected, left = expect(left, operation)
            try:
                if name == "until":
                    delimiters, limit, include = arguments
                    result = await stream.receive_until(
                        delimiters, limit, include_delimiter=include
                    )
                elif name == "line":
                    result = await stream.receive_line(*arguments)
                else:
                    result = await stream.receive_exactly(*arguments)
            except (EndOfStream, IncompleteRead, DelimiterNotFound) as exc:
                result = public_type(exc)
            assert result == expected, operation
            assert stream.buffer + source.rest == left

    run(main)


# -- cancellation --------------------------------------------------------------------------


READS = {
    "receive": lambda stream: stream.receive(3),
    "into": lambda stream: stream.receive_into(bytearray(3)),
    "exactly": lambda stream: stream.receive_exactly(6),
    "until": lambda stream: stream.receive_until(b"\r\n", 100),
    "several": lambda stream: stream.receive_until((b"\r\n", b"--"), 100),
    "line": lambda stream: stream.receive_line(),
    "peek": lambda stream: stream.peek(3),
}
reads = pytest.mark.parametrize("read", READS.values(), ids=READS)


@reads
@pytest.mark.parametrize("ready", [True, False])
async def test_read_with_a_cancellation_pending_has_no_effect(source_type, read, ready):
    content = b"abcdef\r\nrest"
    source = source_type(content)
    stream = BufferedByteReceiveStream(source)
    if ready:
        await stream.peek(1)
    with CancelScope() as scope:
        scope.cancel()
        await read(stream)
        raise AssertionError("not cancelled")
    assert stream.buffer + source.rest == content
    assert source.calls == ready
    assert await read(stream)


@reads
async def test_read_cancelled_at_any_receive_loses_nothing(source_type, read):
    content = b"abcdef\r\n"
    cancelled = 0
    for number in range(1, len(content) + 1):
        source = source_type(*chunked(content, "bytewise"))
        stream = BufferedByteReceiveStream(source)
        with CancelScope() as scope:

            async def cancel(call, number=number, scope=scope):
                if call == number:
                    scope.cancel()
                    await checkpoint()

            source.before = cancel
            await read(stream)
        source.before = None
        if not scope.cancel_called:
            break
        cancelled += 1
        assert stream.buffer + source.rest == content
        assert stream.buffer == content[: number - 1]
        assert await read(stream)
    assert cancelled


@reads
async def test_read_cancelled_while_it_waits_loses_nothing(source_type, read):
    source = source_type(b"a", ended=False)
    stream = BufferedByteReceiveStream(source)
    await stream.receive()
    async with create_task_group() as group:
        group.start_soon(read, stream)
        await wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    source.push(b"bcdefg\r\n")
    source.end()
    assert await stream.receive_exactly(8) == b"bcdefg\r\n"


async def test_search_goes_on_where_a_cancelled_one_stopped(source_type):
    source = source_type(*[b"x" * 1000] * 100, ended=False)
    stream = BufferedByteReceiveStream(source)
    for _ in range(20):
        async with create_task_group() as group:
            group.start_soon(stream.receive_until, b"\n", 1_000_000)
            await wait_all_tasks_blocked()
            group.cancel_scope.cancel()
    assert len(stream.buffer) == 100_000
    assert stream._buffer.work < 1_000_000


# -- two tasks, and closing ----------------------------------------------------------------


@reads
async def test_second_task_is_told_busy_and_the_first_is_not_disturbed(source_type, read):
    source = source_type(b"ab", ended=False)
    stream = BufferedByteReceiveStream(source)
    results = []

    async def first():
        results.append(await stream.receive_exactly(6))

    async with create_task_group() as group:
        group.start_soon(first)
        await wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError, match="already reading from this resource"):
            await read(stream)
        source.push(b"cdef--\r\n")
    assert results == [b"abcdef"]
    assert await stream.receive_line() == b"--"


@reads
async def test_first_task_that_waits_straight_through_is_not_disturbed(source_type, read):
    source = source_type(ended=False)
    stream = BufferedByteReceiveStream(source)
    results = []

    async def first():
        results.append(await stream.receive(6))

    async with create_task_group() as group:
        group.start_soon(first)
        await wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError):
            await read(stream)
        source.push(b"cdef")
    assert results == [b"cdef"]


@reads
async def test_read_that_waits_while_the_stream_is_closed_raises_closed(source_type, read):
    stream = BufferedByteReceiveStream(source_type(b"a", ended=False))
    await stream.receive()
    caught = []

    async def first():
        with pytest.raises(ClosedResourceError):
            await read(stream)
        caught.append(True)

    async with create_task_group() as group:
        group.start_soon(first)
        await wait_all_tasks_blocked()
        await stream.aclose()
    assert caught == [True]


@reads
@pytest.mark.parametrize("error", [EndOfStream, OSError])
async def test_closing_is_told_as_closed_whatever_the_wrapped_stream_says(source_type, read, error):
    source = source_type(ended=False)
    stream = BufferedByteReceiveStream(source)

    async def close(_call):
        await stream.aclose()
        raise error

    source.before = close
    with pytest.raises(ClosedResourceError) as caught:
        await read(stream)
    assert isinstance(caught.value.__cause__, error)


async def test_closing_while_data_arrives_is_told_as_closed(source_type):
    source = source_type(b"abc")
    stream = BufferedByteReceiveStream(source)

    async def close(_call):
        await stream.aclose()

    source.before = close
    with pytest.raises(ClosedResourceError):
        await stream.receive_exactly(3)


@reads
async def test_read_of_a_closed_stream_raises_closed_though_bytes_are_there(source_type, read):
    stream = BufferedByteReceiveStream(source_type(b"abcdef\r\nrest"))
    await stream.peek(1)
    async with stream:
        pass
    await stream.aclose()
    with pytest.raises(ClosedResourceError):
        await read(stream)
    with pytest.raises(ClosedResourceError):
        stream.feed_data(b"x")


async def test_stream_is_closed_though_closing_the_wrapped_one_failed(source_type):
    class Failing(source_type):
        async def aclose(self):
            raise OSError("from outside")

    stream = BufferedByteReceiveStream(Failing(b"abc"))
    with pytest.raises(OSError, match="from outside"):
        await stream.aclose()
    with pytest.raises(ClosedResourceError):
        await stream.receive()


async def test_error_of_the_wrapped_stream_leaves_the_bytes_and_the_stream_usable(source_type):
    source = source_type(b"ab", b"cd")
    stream = BufferedByteReceiveStream(source)

    async def fail(call):
        if call == 2:
            raise OSError("from outside")

    source.before = fail
    with pytest.raises(OSError, match="from outside"):
        await stream.receive_exactly(4)
    assert stream.buffer == b"ab"
    assert await stream.receive_exactly(4) == b"abcd"


# -- the ready budget ----------------------------------------------------------------------


@reads
@pytest.mark.parametrize("size", [1, 8])
async def test_ready_reads_yield_once_in_every_budget(source_type, read, size):
    set_ready_budget(size)
    stream = BufferedByteReceiveStream(source_type())
    stream.feed_data(b"abcdef\r\n" * 100)
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    async with create_task_group() as group:
        group.start_soon(count)
        await checkpoint()
        before = turns
        for _ in range(80):
            assert await read(stream)
        assert 80 // size - 2 <= turns - before <= 80 // size + 2
        group.cancel_scope.cancel()


@reads
async def test_read_that_must_receive_works_with_the_smallest_budget(source_type, read):
    set_ready_budget(1)
    stream = BufferedByteReceiveStream(source_type(*chunked(b"abcdef\r\n" * 3, "bytewise")))
    assert await read(stream)
    assert await read(stream)


async def test_stream_that_waits_in_one_thread_is_refused_in_another(source_type):
    stream = BufferedByteReceiveStream(source_type(b"abc"))
    await stream.peek(1)
    errors = []

    def elsewhere():
        for use in (
            lambda: stream.feed_data(b"x"),
            lambda: run(stream.receive_exactly, 1),
            lambda: run(stream.receive_exactly, 100),
        ):
            with pytest.raises(RuntimeError, match="another event loop or thread") as caught:
                use()
            errors.append(caught.value)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(errors) == 3
    assert await stream.receive_exactly(3) == b"abc"


def test_stream_of_an_event_loop_that_has_ended_goes_on_in_the_next():
    stream = BufferedByteReceiveStream(PiecesOfBytes(b"abc"))
    assert run(stream.receive_exactly, 1) == b"a"
    assert run(stream.receive_exactly, 1) == b"b"
    stream.feed_data(b"d")
    assert run(stream.receive_exactly, 2) == b"cd"


# -- how much is received, and what it costs -----------------------------------------------


async def test_small_reads_do_not_cost_a_receive_each():
    source = PiecesOfBytes(b"x" * 100_000)
    stream = BufferedByteReceiveStream(source)
    for _ in range(25_000):
        await stream.receive_exactly(4)
    assert source.calls <= 10


async def test_request_that_can_be_served_receives_nothing(source_type):
    source = source_type(b"abc\nd", b"ef")
    stream = BufferedByteReceiveStream(source)
    await stream.peek(1)
    assert await stream.receive_until(b"\n", 10) == b"abc"
    assert await stream.receive(10) == b"d"
    assert source.calls == 1


async def test_read_ahead_begins_small_grows_to_64_kib_and_waits_small():
    source = PiecesOfBytes(b"x" * (8 * 65536), b"y")
    stream = BufferedByteReceiveStream(source)
    await stream.receive_exactly(8 * 65536 + 1)
    assert source.sizes[:3] == [4096, 8192, 16384]
    assert max(source.sizes) == 65536
    with pytest.raises(IncompleteRead):
        await stream.receive_exactly(1)
    assert source.sizes[-1] == 4096
    assert stream._buffer.capacity <= 16384


async def test_receive_with_nothing_buffered_goes_straight_through():
    source = PiecesOfBytes(b"x" * 1000)
    stream = BufferedByteReceiveStream(source)
    assert await stream.receive(7) == b"x" * 7
    target = bytearray(9)
    assert await stream.receive_into(target) == 9
    assert source.sizes == [7, 9]
    assert stream.buffer == b""


@pytest.mark.parametrize("delimiter", [b"\r\n", (b"\r\n", b"\0\0\0")], ids=repr)
async def test_work_stays_linear_when_bytes_come_one_by_one(source_type, delimiter):
    content = (b"x" * 2998 + b"\r\n") * 5
    stream = BufferedByteReceiveStream(source_type(*chunked(content, "bytewise")))
    for _ in range(5):
        assert len(await stream.receive_until(delimiter, 5000)) == 2998
    assert stream._buffer.work < 12 * len(content)


# -- both directions -----------------------------------------------------------------------


class Recording:
    """Notes what is sent."""

    def __init__(self):
        super().__init__(b"received")
        self.sent = []

    async def send(self, item):
        self.sent.append(item)

    async def send_eof(self):
        self.sent.append("end")


class RecordingBytes(Recording, PiecesOfBytes, ByteStream):
    pass


class RecordingObjects(Recording, PiecesOfObjects, ObjectStream[bytes]):
    pass


@pytest.mark.parametrize("kind", [RecordingBytes, RecordingObjects])
async def test_sending_is_that_of_the_wrapped_stream(kind):
    wrapped = kind()
    stream = BufferedByteStream(wrapped)
    assert isinstance(stream, ByteStream)
    await stream.send(b"one")
    await stream.send_many([b"two", bytearray(b"three")])
    await stream.send_eof()
    assert wrapped.sent == [b"one", b"two", b"three", "end"]
    assert await stream.receive_exactly(8) == b"received"


async def test_sending_over_an_object_stream_makes_bytes_of_everything():
    wrapped = RecordingObjects()
    stream = BufferedByteStream(wrapped)
    mutable = bytearray(b"abc")
    await stream.send(mutable)
    await stream.send_many([memoryview(mutable)])
    mutable[:] = b"xyz"
    assert wrapped.sent == [b"abc", b"abc"]
    assert {type(item) for item in wrapped.sent} == {bytes}


@pytest.mark.parametrize("kind", [RecordingBytes, RecordingObjects])
async def test_send_many_with_something_else_sends_nothing(kind):
    wrapped = kind()
    with pytest.raises(TypeError):
        await BufferedByteStream(wrapped).send_many([b"one", "two"])
    assert wrapped.sent == []


@pytest.mark.parametrize("kind", [RecordingBytes, RecordingObjects])
async def test_sending_on_a_closed_stream_raises_closed(kind):
    wrapped = kind()
    stream = BufferedByteStream(wrapped)
    await stream.aclose()
    for sending in (stream.send(b"x"), stream.send_many([b"x"]), stream.send_eof()):
        with pytest.raises(ClosedResourceError):
            await sending
    assert wrapped.sent == []


async def test_sending_while_another_task_receives_is_not_busy():
    wrapped = RecordingBytes()
    wrapped.ended = False
    stream = BufferedByteStream(wrapped)
    async with create_task_group() as group:
        group.start_soon(stream.receive_exactly, 9)
        await wait_all_tasks_blocked()
        await stream.send(b"x")
        wrapped.push(b"!")
    assert wrapped.sent == [b"x"]


@pytest.mark.parametrize("into", [False, True], ids=["receive", "receive_into"])
async def test_feed_data_while_a_receive_goes_straight_through_comes_first(into):
    pieces = PiecesOfBytes(ended=False)
    stream = BufferedByteReceiveStream(pieces)
    received = []

    async def receive():
        if into:
            memory = bytearray(3)
            received.append(bytes(memory[: await stream.receive_into(memory)]))
        else:
            received.append(await stream.receive(3))

    async with create_task_group() as tg:
        tg.start_soon(receive)
        await wait_all_tasks_blocked()
        stream.feed_data(b"fed")
        pieces.push(b"later")
    assert received == [b"fed"]
    assert (await stream.receive(2)) == b"la"


async def test_partial_send_is_that_of_the_wrapped_stream():
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with BufferedByteStream(await connect_tcp(*server.getsockname())) as stream:
            await stream.send(b"x")
            assert stream.partial_send is None
            with move_on_after(0.05):
                await stream.send(bytes(1 << 25))
            assert 0 < stream.partial_send < 1 << 25


async def test_sending_no_buffers_over_objects_looks_whether_it_may_send():
    there = create_memory_object_stream[bytes](1)
    back = create_memory_object_stream[bytes](1)
    with there[1], back[0]:
        stream = BufferedByteStream(StapledObjectStream(there[0], back[1]))
        with CancelScope() as scope:
            scope.cancel()
            await stream.send_many([])
        assert scope.cancelled_caught
        await stream.send_many([])
        await stream.send_eof()
        with pytest.raises(ClosedResourceError):
            await stream.send_many([])
        await stream.aclose()
