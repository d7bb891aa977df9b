"""What ReceiveBuffer promises, asked of each twin in turn."""

import gc
import threading
from array import array
from types import SimpleNamespace

import pytest

HUGE = 10**30


@pytest.fixture
def make(twin):
    """Make a buffer whose budget does not end, holding some bytes."""

    def make(data=b"", operations=1_000_000):
        budget = twin.ReadyBudget(operations)
        # a budget also ends after so many bytes, which only a test of that wants to see
        budget.spend_bytes(-(1 << 40))
        buffer = twin.ReceiveBuffer(budget)
        buffer.feed(data)
        return buffer

    return make


# -- putting in ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"abcd", bytearray(b"abcd"), memoryview(b"abcd"), memoryview(b"xabcdx")[1:5]],
    ids=["bytes", "bytearray", "memoryview", "slice"],
)
def test_feed_bytes_like_is_handed_out(make, data):
    buffer = make()
    buffer.feed(data)
    assert len(buffer) == 4
    assert bytes(buffer) == b"abcd"
    assert buffer.take(10) == b"abcd"


def test_feed_items_wider_than_a_byte_counts_bytes(make):
    items = array("I", [1, 2, 3])
    buffer = make()
    buffer.feed(items)
    assert len(buffer) == 3 * items.itemsize
    assert buffer.take(100) == items.tobytes()


@pytest.mark.parametrize("data", ["text", 5, None, [1], memoryview(b"abcdef")[::2]])
def test_feed_something_else_raises_type_error_and_keeps_the_rest(make, data):
    buffer = make(b"kept")
    with pytest.raises(TypeError, match="expected contiguous bytes-like data, not"):
        buffer.feed(data)
    assert bytes(buffer) == b"kept"


def test_feed_view_of_own_room_raises_buffer_error(make):
    buffer = make(b"kept")
    view = buffer.reserve(8)
    with pytest.raises(BufferError, match="still in use"):
        buffer.feed(view[2:5])
    view.release()
    assert bytes(buffer) == b"kept"


def test_commit_puts_what_was_filled_at_the_end(make):
    buffer = make(b"ab")
    with buffer.reserve(8) as room:
        assert room.nbytes == 8
        assert not room.readonly
        room[:3] = b"cde"
    buffer.commit(3)
    assert buffer.take(100) == b"abcde"


def test_commit_zero_leaves_the_buffer_as_it_was(make):
    buffer = make(b"ab")
    buffer.reserve(8).release()
    buffer.commit(0)
    assert buffer.take(100) == b"ab"


@pytest.mark.parametrize(
    "operation",
    [
        lambda buffer: buffer.feed(b"x"),
        lambda buffer: buffer.reserve(1),
        lambda buffer: buffer.commit(1),
        lambda buffer: buffer.take(1),
        lambda buffer: buffer.take_exactly(1),
        lambda buffer: buffer.take_into(bytearray(1)),
        lambda buffer: buffer.take_until(b"\n", 10),
        lambda buffer: buffer.peek(1),
    ],
    ids=["feed", "reserve", "commit", "take", "exactly", "into", "until", "peek"],
)
def test_operation_while_part_of_the_room_is_viewed_raises_buffer_error(make, operation):
    buffer = make(b"ab\n")
    with buffer.reserve(8) as room:
        part = room[2:4]
    with pytest.raises(BufferError, match="a view of the reserved room is still in use"):
        operation(buffer)
    buffer._check()
    part.release()
    buffer.commit(0)
    assert buffer.take(10) == b"ab\n"


def test_room_of_a_dropped_buffer_stays_valid(make):
    buffer = make(b"ab")
    room = buffer.reserve(1000)
    del buffer
    gc.collect()
    room[:] = b"z" * 1000
    assert bytes(room) == b"z" * 1000


def test_room_cannot_be_viewed_again_after_its_release(make):
    buffer = make()
    room = buffer.reserve(16)
    owner = room.obj
    room.release()
    buffer.commit(0)
    buffer.feed(b"x" * 100_000)
    try:
        again = memoryview(owner)  # the pure twin's room is memory of its own
        again[:1] = b"!"
    except BufferError:
        pass
    buffer.feed(b"y")  # nobody has a view of what is now the buffer's memory
    assert bytes(buffer) == b"x" * 100_000 + b"y"


def test_commit_more_than_reserved_raises_value_error(make):
    buffer = make()
    buffer.reserve(4).release()
    with pytest.raises(ValueError, match="nbytes must be at most 4, not 5"):
        buffer.commit(5)
    buffer.commit(4)
    with pytest.raises(ValueError, match="nbytes must be at most 0, not 1"):
        buffer.commit(1)


def test_reserve_more_than_there_is_raises_memory_error(make):
    buffer = make(b"kept")
    with pytest.raises(MemoryError):
        buffer.reserve(HUGE)
    assert bytes(buffer) == b"kept"


@pytest.mark.parametrize("name", ["feed", "reserve", "take"])
def test_reservation_ends_unused_with_the_next_operation(make, name):
    buffer = make(b"ab")
    with buffer.reserve(8) as room:
        room[:] = b"discards"
    {
        "feed": lambda: buffer.feed(b""),
        "reserve": lambda: buffer.reserve(2).release(),
        "take": lambda: buffer.take(1),
    }[name]()
    with pytest.raises(ValueError, match="nbytes must be at most"):
        buffer.commit(8)


# -- taking out ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "expected"),
    [(1, b"a"), (3, b"abc"), (4, b"abc"), (HUGE, b"abc"), (True, b"a")],
)
def test_take_hands_out_no_more_than_asked(make, size, expected):
    buffer = make(b"abc")
    assert buffer.take(size) == expected
    assert bytes(buffer) == b"abc"[len(expected) :]


@pytest.mark.parametrize(
    ("size", "expected"), [(0, b""), (1, b"a"), (3, b"abc"), (4, None), (HUGE, None)]
)
def test_take_exactly_hands_out_all_or_nothing(make, size, expected):
    buffer = make(b"abc")
    assert buffer.take_exactly(size) == expected
    assert bytes(buffer) == b"abc"[len(expected or b"") :]


@pytest.mark.parametrize(("size", "expected"), [(1, b"a"), (3, b"abc"), (HUGE, b"abc")])
def test_peek_consumes_nothing(make, size, expected):
    buffer = make(b"abc")
    assert buffer.peek(size) == expected
    assert bytes(buffer) == b"abc"


def test_take_from_an_empty_buffer_declines(make):
    buffer = make()
    assert buffer.take(1) is None
    assert buffer.peek(1) is None
    assert buffer.take_exactly(1) is None
    assert buffer.take_into(bytearray(1)) == -1
    assert buffer.take_until(b"\n", 1) is None


def test_take_exactly_of_a_huge_number_allocates_nothing(make):
    buffer = make(b"abc")
    before = buffer.capacity
    assert buffer.take_exactly(HUGE) is None
    assert buffer.take_exactly(1 << 40) is None
    assert buffer.capacity == before


def test_take_into_fills_the_beginning(make):
    buffer = make(b"abcde")
    target = bytearray(b"......")
    assert buffer.take_into(memoryview(target)[:3]) == 3
    assert buffer.take_into(memoryview(target)[3:]) == 2
    assert target == b"abcde."


def test_take_into_items_wider_than_a_byte_counts_bytes(make):
    target = array("I", [0, 0])
    buffer = make(b"\x01" * 6)
    assert buffer.take_into(target) == 6
    assert target.tobytes() == b"\x01" * 6 + bytes(2 * target.itemsize - 6)


@pytest.mark.parametrize("target", [b"abc", "abc", 3, memoryview(bytearray(6))[::2]])
def test_take_into_wrong_memory_raises_type_error(make, target):
    buffer = make(b"kept")
    with pytest.raises(TypeError, match="expected contiguous writable memory, got"):
        buffer.take_into(target)
    assert bytes(buffer) == b"kept"


def test_take_into_no_memory_raises_value_error(make):
    buffer = make(b"kept")
    with pytest.raises(ValueError, match="cannot receive into an empty buffer"):
        buffer.take_into(bytearray())


@pytest.mark.parametrize("name", ["take", "take_exactly", "peek", "reserve", "commit"])
@pytest.mark.parametrize("size", ["1", None, 1.0, b"1"])
def test_size_that_is_no_integer_raises_type_error(make, name, size):
    buffer = make(b"kept")
    with pytest.raises(TypeError, match=r"(max_bytes|nbytes) must be an integer, not"):
        getattr(buffer, name)(size)
    assert bytes(buffer) == b"kept"


@pytest.mark.parametrize("name", ["take_until", "limit_exceeded"])
@pytest.mark.parametrize("size", ["1", None, 1.0])
def test_limit_that_is_no_integer_raises_type_error(make, name, size):
    buffer = make(b"kept\n")
    with pytest.raises(TypeError, match="max_bytes must be an integer, not"):
        getattr(buffer, name)(b"\n", size)


@pytest.mark.parametrize(
    ("name", "least"),
    [("take", 1), ("take_exactly", 0), ("peek", 1), ("reserve", 1), ("commit", 0)],
)
@pytest.mark.parametrize("below", [1, 2, HUGE])
def test_size_that_is_too_small_raises_value_error(make, name, least, below):
    buffer = make(b"kept")
    kind = "positive" if least else "non-negative"
    with pytest.raises(ValueError, match=f"must be a {kind} integer, not {least - below}"):
        getattr(buffer, name)(least - below)
    assert bytes(buffer) == b"kept"


class Three:
    def __index__(self):
        return 3


def test_size_may_be_anything_with_an_index(make):
    assert make(b"abcdef").take_exactly(Three()) == b"abc"


# -- the budget ----------------------------------------------------------------------------


READY = {
    "take": lambda buffer: buffer.take(1),
    "exactly": lambda buffer: buffer.take_exactly(1),
    "nothing": lambda buffer: buffer.take_exactly(0),
    "into": lambda buffer: buffer.take_into(bytearray(1)),
    "until": lambda buffer: buffer.take_until(b"\n", 10),
    "peek": lambda buffer: buffer.peek(1),
}
ready = pytest.mark.parametrize("operation", READY.values(), ids=READY)


@ready
def test_ready_operation_without_budget_declines(twin, operation):
    buffer = twin.ReceiveBuffer()
    buffer.feed(b"ab\n")
    assert operation(buffer) in (None, -1)
    assert buffer.budget is None
    buffer.bind(budget := twin.ReadyBudget())
    assert buffer.budget is budget
    assert operation(buffer) not in (None, -1)


@ready
def test_ready_operation_spends_one(make, operation):
    buffer = make(b"ab\n", operations=3)
    assert operation(buffer) not in (None, -1)
    assert buffer.budget.left == 2


@ready
def test_ready_operation_on_a_spent_budget_declines(make, operation):
    buffer = make(b"ab\n", operations=1)
    while buffer.budget.spend():
        pass
    assert operation(buffer) in (None, -1)
    assert bytes(buffer) == b"ab\n"


@ready
def test_ready_operation_of_another_task_declines_while_claimed(make, operation):
    buffer = make(b"ab\n", operations=3)
    assert buffer.claimed is False
    buffer.claimed = True
    assert operation(buffer) in (None, -1)
    assert buffer.claimed is True
    assert buffer.budget.left == 3
    buffer.claimed = False
    assert operation(buffer) not in (None, -1)


def test_ready_operation_while_claimed_declines_even_if_the_room_is_viewed(make):
    buffer = make(b"ab\n")
    buffer.claimed = True
    with buffer.reserve(4):
        for operation in READY.values():
            assert operation(buffer) in (None, -1)


@ready
def test_ready_operation_in_another_thread_declines(make, operation):
    buffer = make(b"ab\n")
    results = []
    thread = threading.Thread(target=lambda: results.append(operation(buffer)))
    thread.start()
    thread.join()
    assert results[0] in (None, -1)
    assert bytes(buffer) == b"ab\n"


def test_declined_operation_spends_nothing(make):
    buffer = make(b"ab", operations=3)
    assert buffer.take_exactly(3) is None
    assert buffer.take_until(b"\n", 10) is None
    assert buffer.budget.left == 3


def test_bytes_handed_out_end_the_budget(twin):
    buffer = twin.ReceiveBuffer(twin.ReadyBudget())
    buffer.feed(bytes(300_000))
    assert len(buffer.take(262_144)) == 262_144
    assert buffer.take(1) is None


def test_bind_something_else_raises_type_error(twin):
    with pytest.raises(TypeError, match="expected a ReadyBudget, not 64"):
        twin.ReceiveBuffer(64)
    with pytest.raises(TypeError, match="expected a ReadyBudget, not None"):
        twin.ReceiveBuffer().bind(None)


def test_probe_that_takes_the_bytes_itself_is_survived(twin):
    def probe():
        probing.append(1)
        if len(probing) == 1:
            assert buffer.take(10_000) is not None
        return False

    for operation in READY.values():
        probing = []
        buffer = twin.ReceiveBuffer(twin.ReadyBudget(64, probe))
        buffer.feed(b"ab\n" * 100)
        assert operation(buffer) in (None, -1, b"")
        assert len(buffer) == 0
        buffer._check()


# -- finding a delimiter -------------------------------------------------------------------


def test_take_until_consumes_the_delimiter_and_drops_it(make):
    buffer = make(b"one\r\ntwo\r\nthr")
    assert buffer.take_until(b"\r\n", 100) == b"one"
    assert buffer.take_until(b"\r\n", 100) == b"two"
    assert buffer.take_until(b"\r\n", 100) is None
    assert bytes(buffer) == b"thr"


def test_take_until_include_delimiter_keeps_it(make):
    buffer = make(b"one\r\ntwo\n")
    assert buffer.take_until(b"\r\n", 100, True) == b"one\r\n"
    assert buffer.take_until((b"\r\n", b"\n"), 100, include_delimiter=True) == b"two\n"


@pytest.mark.parametrize("delimiter", [b"\n", b"\r\n", b"----", (b"\r\n", b"\n")])
@pytest.mark.parametrize("include", [False, True])
def test_take_until_limit_is_exact_and_never_counts_the_delimiter(make, delimiter, include):
    first = delimiter if isinstance(delimiter, bytes) else delimiter[0]
    buffer = make(b"12345" + first + b"rest")
    assert buffer.take_until(delimiter, 4, include) is None
    assert buffer.limit_exceeded(delimiter, 4)
    assert not buffer.limit_exceeded(delimiter, 5)
    assert buffer.take_until(delimiter, 5, include) == b"12345" + (first if include else b"")
    assert bytes(buffer) == b"rest"


def test_take_until_huge_limit_is_no_limit(make):
    buffer = make(b"12345\n")
    assert not buffer.limit_exceeded(b"\n", HUGE)
    assert buffer.take_until(b"\n", HUGE) == b"12345"


@pytest.mark.parametrize(
    ("content", "delimiters", "expected"),
    [
        (b"a;b,c", (b",", b";"), b"a"),
        (b"abcd", (b"abcd", b"bc"), b"a"),  # bc is complete first
        (b"a\r\nb", (b"\n", b"\r\n"), b"a"),  # both end together: the longer
        (b"a\r\nb", (b"\r\n", b"\n"), b"a"),
        (b"a\nb", [b"\r\n", b"\n"], b"a"),
        (b"xabc", (b"c", b"bc", b"abc", b"xyz"), b"x"),
        (b"x" * 500 + b"ab", (b"ab", b"b"), b"x" * 500),
        (b"x" * 63 + b"\r\n", (b"\n", b"\r\n"), b"x" * 63),  # where the first window ends
    ],
)
def test_take_until_several_delimiters_first_complete_then_longest_wins(
    make, content, delimiters, expected
):
    for size in (1, 2, 3, len(content)):
        buffer = make()
        result = None
        for i in range(0, len(content), size):
            buffer.feed(content[i : i + size])
            result = buffer.take_until(delimiters, 1000)
            buffer._check()
            if result is not None:
                break
        assert result == expected


@pytest.mark.parametrize("delimiter", ["\n", 10, None, (b"\n", "x"), [5]])
def test_take_until_delimiter_that_is_not_bytes_like_raises_type_error(make, delimiter):
    buffer = make(b"kept\n")
    with pytest.raises(TypeError, match="a delimiter must be bytes-like, not"):
        buffer.take_until(delimiter, 10)
    with pytest.raises(TypeError, match="a delimiter must be bytes-like, not"):
        buffer.limit_exceeded(delimiter, 10)
    assert bytes(buffer) == b"kept\n"


@pytest.mark.parametrize("delimiter", [b"", bytearray(), (b"a", b""), (), []])
def test_take_until_without_a_delimiter_raises_value_error(make, delimiter):
    with pytest.raises(ValueError, match="delimiter"):
        make(b"kept\n").take_until(delimiter, 10)


@pytest.mark.parametrize("limit", [0, -1, -HUGE])
def test_take_until_limit_below_one_raises_value_error(make, limit):
    with pytest.raises(ValueError, match=f"max_bytes must be a positive integer, not {limit}"):
        make(b"kept\n").take_until(b"\n", limit)


def test_take_until_delimiter_that_changes_between_calls_is_looked_at_again(make):
    buffer = make(b"one,two;")
    delimiter = bytearray(b";")
    several = [b";"]
    assert buffer.take_until(b"\n", 100) is None
    assert buffer.take_until(several, 2) is None
    several[0] = b","
    assert buffer.take_until(several, 100) == b"one"
    delimiter[:] = b"\n"
    assert buffer.take_until(delimiter, 100) is None
    delimiter[:] = b";"
    assert buffer.take_until(delimiter, 100) == b"two"


def test_take_until_other_delimiter_begins_its_own_search(make):
    buffer = make(b"a,b\n" + b"c" * 100)
    assert buffer.take_until(b";", 1000) is None
    buffer._check()
    assert buffer.take_until(b",", 1000) == b"a"
    assert buffer.take_until(b"\n", 1000) == b"b"


@pytest.mark.parametrize(
    ("content", "delimiters", "limit", "exceeded"),
    [
        (b"", b"\n", 1, False),
        (b"abc", b"\n", 3, False),
        (b"abcd", b"\n", 3, True),
        (b"abc\r", b"\r\n", 3, False),
        (b"abcd\r", b"\r\n", 3, True),
        (b"abc\rx", b"\r\n", 3, True),
        (b"abc--", b"----", 3, False),
        (b"abc--", b"----", 2, True),
        (b"abc---x", b"----", 3, True),
        (b"aaab", b"aab" + b"c", 1, False),
        (b"ab\r\n", b"\r\n\0", 3, False),  # may begin before the last byte that is allowed
        (b"ab\r\n", b"\r\n\0", 1, True),
        (b"xxEN", (b"END", b"\n"), 2, False),
        (b"xxENx", (b"END", b"\n"), 2, True),
        (b"xxE\n", (b"E\r\n", b"\n"), 2, True),  # the winner begins too late
        (b"xx\n", (b"E\r\n", b"\n"), 2, False),  # take_until finds it
    ],
)
def test_limit_exceeded_only_where_no_byte_to_come_can_help(
    make, content, delimiters, limit, exceeded
):
    buffer = make(content)
    assert buffer.limit_exceeded(delimiters, limit) is exceeded
    assert bytes(buffer) == content


def test_limit_exceeded_of_delimiters_that_repeat_themselves(make):
    parts = b"a" * 12, b"ab" * 8, b"aab" * 6
    contents = [one + other for one in parts for other in parts]
    for delimiter in [content + b"!" for content in contents]:
        for content in contents:
            buffer = make(content)
            for limit in range(1, len(content) + 1):
                begun = (delimiter.startswith(content[at:]) for at in range(limit + 1))
                exceeded = limit < len(content) and not any(begun)
                assert buffer.limit_exceeded(delimiter, limit) is exceeded, (delimiter, limit)


def test_search_with_false_hits_everywhere_still_finds_the_match(make):
    for noise in (b"\n" * 3000, b"\r\r" * 1500, b"\nxxxxxxxxxxxxxxxxxxx" * 150):
        for size in (1, 7, 100_000):
            content = noise + b"\r\n"
            buffer = make()
            for i in range(0, len(content), size):
                buffer.feed(content[i : i + size])
                result = buffer.take_until(b"\r\n", 10_000)
            assert result == noise


@pytest.mark.parametrize("size", range(1, 40))
def test_search_after_false_hits_finds_a_match_that_begins_among_them(make, size):
    buffer = make(b"\n" * size + b"\r\n")
    assert buffer.take_until((b"\n\r\n",), 100) == b"\n" * (size - 1)


@pytest.mark.parametrize("delimiters", [(b"\r\n", b"\n"), (b"\n", b"\0\0\0")], ids=repr)
def test_take_until_several_delimiters_limit_is_exact_for_the_shorter(make, delimiters):
    buffer = make(b"123\n")
    assert buffer.take_until(delimiters, 2) is None
    assert buffer.limit_exceeded(delimiters, 2)
    assert buffer.take_until(delimiters, 3) == b"123"


# -- what it costs -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 10, 1000, 100_000])
@pytest.mark.parametrize("delimiters", [b"\n", b"\r\n", (b"\n", b"\0\0")], ids=repr)
def test_work_of_a_far_delimiter_is_linear_whatever_the_chunking(make, size, delimiters):
    content = b"x" * 199_998 + b"\r\n"
    buffer = make()
    for i in range(0, len(content), size):
        buffer.feed(content[i : i + size])
        result = buffer.take_until(delimiters, 1 << 20)
        assert not buffer.limit_exceeded(delimiters, 1 << 20)
    assert result is not None
    assert buffer.work < 12 * len(content) + 1000


def test_work_of_many_short_lines_is_linear(make):
    content = (b"x" * 18 + b"\r\n") * 10_000
    buffer = make(content)
    while buffer.take_until(b"\r\n", 100) is not None:
        pass
    assert len(buffer) == 0
    assert buffer.work < 4 * len(content)


def test_work_of_a_near_delimiter_beside_a_far_one_is_linear(make):
    content = b"x,\n" * 30_000 + b"\0"
    buffer = make(content)
    while buffer.take_until((b"\0", b"\n"), 1 << 20) is not None:
        pass
    assert len(buffer) == 0
    assert buffer.work < 64 * len(content)


def test_work_of_false_hits_is_linear(make):
    content = b"\n" * 100_000
    buffer = make()
    for i in range(0, len(content), 10):
        buffer.feed(content[i : i + 10])
        assert buffer.take_until(b"\r\n", 1 << 20) is None
    assert buffer.work < 12 * len(content)


def test_work_of_a_limit_refused_again_and_again_is_bounded(make):
    buffer = make(b"x" * 100_000 + b"\n")
    for _ in range(1000):
        assert buffer.take_until(b"\n", 50_000) is None
        assert buffer.limit_exceeded(b"\n", 50_000)
    assert buffer.work < 300_000


@pytest.mark.parametrize("size", [1 << 10, 1 << 13, 1 << 16])
def test_work_of_a_limit_is_linear_in_the_length_of_the_delimiter(make, size):
    for delimiter in b"a" * size + b"!", b"a" * (size // 2) + b"b" * (size // 2):
        for content in b"a" * size, b"b" * size, b"ab" * (size // 2):
            buffer = make(content)
            buffer.limit_exceeded(delimiter, size - 1)
            assert buffer.work < 16 * size


def test_work_of_a_match_that_the_budget_declines_is_not_done_again(make):
    for delimiters in b"\n", (b"\n", b"\0"):
        buffer = make(b"x" * 100_000 + b"\n", operations=1)
        while buffer.budget.spend():
            pass
        for _ in range(100):
            assert buffer.take_until(delimiters, 1 << 20) is None
        assert buffer.work < 500_000


def test_work_of_a_search_goes_on_behind_what_other_reads_take(make):
    buffer = make(b"x" * 100_000)
    for _ in range(100):
        assert buffer.take_until(b"\n", 1 << 20) is None
        assert buffer.take_exactly(10) is not None
    assert buffer.work < 500_000


def test_work_stops_at_the_limit(make):
    buffer = make(b"x" * 1_000_000)
    before = buffer.work
    assert buffer.take_until(b"\n", 100) is None
    assert buffer.limit_exceeded(b"\n", 100)
    assert buffer.work - before < 1000


@pytest.mark.parametrize("step", [1, 100, 5000])
def test_work_of_a_buffer_that_never_runs_empty_is_linear(make, step):
    held, rounds = 50_000, 100_000 // step
    buffer = make(b"x" * held)
    for _ in range(rounds):
        buffer.feed(b"y" * step)
        assert len(buffer.take_exactly(step)) == step
        with buffer.reserve(step) as room:
            room[:] = b"z" * step
        buffer.commit(step)
        assert len(buffer.take(step)) == step
    buffer._check()
    assert buffer.work < 6 * (held + 2 * rounds * step)


def test_memory_is_given_back_when_a_burst_is_over(make):
    buffer = make(b"x" * 1_000_000)
    assert buffer.capacity >= 1_000_000
    buffer.take(1_000_000)
    assert buffer.capacity <= 65_536
    buffer.reserve(65_536).release()
    buffer.commit(0)
    buffer.reserve(4096).release()
    assert buffer.capacity <= 8192


def test_memory_is_given_back_though_a_few_bytes_are_left(make):
    buffer = make(b"x" * 1_000_000)
    buffer.take_exactly(999_990)
    buffer.reserve(4096).release()
    assert buffer.capacity <= 16_384
    assert buffer.take(100) == b"x" * 10


def test_buffer_dropped_in_a_cycle_is_collected(twin):
    class Probe:
        def __call__(self):
            return False

    probe = Probe()
    buffer = twin.ReceiveBuffer(twin.ReadyBudget(64, probe))
    probe.cycle = buffer
    probe.gone = Gone()
    del probe, buffer
    gc.collect()
    assert Gone.count == 1
    Gone.count = 0


class Gone:
    count = 0

    def __del__(self):
        Gone.count += 1


# -- taking exactly, whichever way it goes inside -------------------------------------------


def test_take_exactly_counts_its_bytes_on_the_budget(twin):
    buffer = twin.ReceiveBuffer(twin.ReadyBudget(1_000_000))
    buffer.feed(bytes(400_000))
    taken = 0
    while buffer.take_exactly(2000) is not None:
        taken += 1
    assert taken == 132  # the one that passes 256 KiB is the last


def test_takes_of_few_bytes_count_as_operations_alone(twin):
    buffer = twin.ReceiveBuffer(twin.ReadyBudget(1_000_000))
    buffer.feed(bytes(400 * 1024))
    taken = 0
    while buffer.take_exactly(1024) is not None:
        taken += 1
    assert taken == 400
    buffer.feed(bytes(1_000_000))
    assert buffer.take_exactly(1025) is not None
    assert all(buffer.take(1024) is not None for _ in range(400))
    assert buffer.take_exactly(262_144 - 1025) is not None  # only the larger ones were counted
    assert buffer.take(1) is None


def test_default_budget_bounds_what_takes_of_few_bytes_hand_out(twin):
    budget = twin.ReadyBudget()
    buffer = twin.ReceiveBuffer(budget)
    buffer.feed(bytes(400 * 1024))
    taken = 0
    while buffer.take_exactly(1024) is not None:
        taken += 1
    assert taken * 1024 == 256 * 1024


def test_take_exactly_asks_whether_trio_has_cancelled_the_task(twin):
    variables = {}
    buffer = twin.ReceiveBuffer(twin.ReadyBudget(probe=twin.TrioProbe(variables)))
    buffer.feed(b"abcdefgh")
    assert buffer.take_exactly(1) is None  # no task is there
    variables["task"] = SimpleNamespace()
    assert buffer.take_exactly(1) is None
    variables["task"]._cancel_status = status = SimpleNamespace(effectively_cancelled=False)
    assert buffer.take_exactly(1) == b"a"
    status.effectively_cancelled = True
    assert buffer.take_exactly(1) is None
    assert buffer.budget.left == 255
    status.effectively_cancelled = False
    assert buffer.take_exactly(2) == b"bc"
    assert bytes(buffer) == b"defgh"


def test_lines_one_after_the_other_are_operations_and_ask_trio_each(twin):
    status = SimpleNamespace(effectively_cancelled=False)
    probe = twin.TrioProbe({"task": SimpleNamespace(_cancel_status=status)})
    buffer = twin.ReceiveBuffer(twin.ReadyBudget(probe=probe))
    buffer.feed(b"line\n" * 9)
    for spent in range(1, 9):
        assert buffer.take_until(b"\n", 99) == b"line"
        assert buffer.budget.left == 256 - spent
        status.effectively_cancelled = True
        assert buffer.take_until(b"\n", 99) is None
        status.effectively_cancelled = False
        assert buffer.budget.left == 256 - spent
    assert buffer.take_until(b"\n", 99) == b"line"
    assert buffer.take_exactly(1) is None


@pytest.mark.parametrize("lines", [1, 5])
def test_another_budget_is_asked_from_when_it_is_bound(twin, make, lines):
    buffer = make(b"line\n" * 9)
    for _ in range(lines):
        assert buffer.take_until(b"\n", 99) == b"line"
    buffer.bind(twin.ReadyBudget(probe=lambda: True))
    assert buffer.take_until(b"\n", 99) is None
    assert buffer.take_exactly(1) is None
    assert buffer.take_frame(1, 255) is None
    buffer.bind(twin.ReadyBudget())
    assert buffer.take_exactly(5) == b"line\n"
    assert len(buffer) == 5 * (8 - lines)


@pytest.mark.parametrize("lines", [1, 3, 6])
def test_claim_amid_lines_leaves_their_order(make, lines):
    buffer = make(b"".join(b"line%03d\n" % number for number in range(900)))
    for number in range(lines):
        assert buffer.take_until(b"\n", 99) == b"line%03d" % number
    buffer.claimed = True
    assert buffer.take_exactly(8) is None
    buffer.claimed = False
    assert buffer.take_exactly(8) == b"line%03d\n" % lines
    assert buffer.take_until(b"\n", 99) == b"line%03d" % (lines + 1)
    buffer._check()


def test_lines_ask_a_probe_that_is_any_function(twin):
    answers = []
    buffer = twin.ReceiveBuffer(twin.ReadyBudget(probe=lambda: bool(answers)))
    buffer.feed(b"line\n" * 9)
    for _ in range(8):
        assert buffer.take_until(b"\n", 99) == b"line"
        answers.append(1)
        assert buffer.take_until(b"\n", 99) is None
        answers.clear()


def test_budget_that_is_bound_while_there_is_room_leaves_its_view_alone(twin, make):
    buffer = make(b"abcdef")
    with buffer.reserve(8) as room:
        buffer.bind(twin.ReadyBudget())
        with pytest.raises(BufferError):
            buffer.take_exactly(1)
        room[:1] = b"g"
    buffer.commit(1)
    assert bytes(buffer) == b"abcdefg"


def test_take_exactly_after_everything_that_moves_the_bytes(make):
    buffer = make(b"ab")
    assert buffer.take_exactly(1) == b"a"
    buffer.feed(b"cdefghij")  # moves them
    assert buffer.take_exactly(1) == b"b"
    assert buffer.take_exactly(1) == b"c"
    assert buffer.take_until(b"!", 99) is None  # scans them
    assert buffer.take_exactly(1) == b"d"
    assert buffer.take_until(b"f", 99) == b"e"
    with buffer.reserve(4) as room:
        room[:2] = b"kl"
        with pytest.raises(BufferError):
            buffer.take_exactly(1)
    buffer.commit(2)
    assert buffer.take_exactly(3) == b"ghi"
    buffer.feed(b"m")  # behind more than comes
    assert buffer.take_exactly(1) == b"j"
    assert buffer.take_exactly(3) == b"klm"
    assert buffer.take_exactly(1) is None
    buffer.feed(b"no")
    buffer.claimed = True
    assert buffer.take_exactly(1) is None
    buffer.claimed = False
    assert buffer.take_exactly(1) == b"n"
    assert bytes(buffer) == b"o"


def test_take_exactly_ends_a_reservation(make):
    buffer = make(b"abcdef")
    buffer.reserve(8).release()
    assert buffer.take_exactly(2) == b"ab"
    with pytest.raises(ValueError, match="at most 0"):
        buffer.commit(1)
    assert bytes(buffer) == b"cdef"


def test_take_exactly_of_all_gives_the_memory_back(make):
    buffer = make(bytes(1_000_000))
    assert len(buffer.take_exactly(400_000)) == 400_000
    assert len(buffer.take_exactly(600_000)) == 600_000
    assert buffer.capacity <= 65_536
    buffer._check()


# -- frames --------------------------------------------------------------------------------


def varint(size):
    octets = bytearray()
    while size > 0x7F:
        octets.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*octets, size])


def announce(prefix, size):
    if not prefix:
        return varint(size)
    return size.to_bytes(abs(prefix), "big" if prefix > 0 else "little")


PREFIXES = [0, 1, 2, 4, 8, -1, -2, -4, -8]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_take_frame_whatever_the_cut(make, prefix):
    frames = [b"", b"a", b"bc" * 100, b""]
    content = b"".join(announce(prefix, len(frame)) + frame for frame in frames)
    for size in (1, 2, 7, len(content)):
        buffer = make()
        taken = []
        for start in range(0, len(content), size):
            buffer.feed(content[start : start + size])
            while (frame := buffer.take_frame(prefix, 200)) is not None:
                taken.append(frame)
            buffer._check()
        assert taken == frames


@pytest.mark.parametrize("prefix", PREFIXES)
def test_take_frame_declines_what_is_above_its_limit(make, prefix):
    content = announce(prefix, 200) + b"x" * 200
    buffer = make(content)
    assert buffer.take_frame(prefix, 199) is None
    assert bytes(buffer) == content
    assert buffer.frame_size(prefix) == 200
    assert buffer.take_frame(prefix, 200) == b"x" * 200


@pytest.mark.parametrize("prefix", [8, -8, 0])
@pytest.mark.parametrize("size", [(1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_frame_size_of_64_bits(make, prefix, size):
    buffer = make(announce(prefix, size) + b"x")
    assert buffer.frame_size(prefix) == size
    assert buffer.take_frame(prefix, HUGE) is None


@pytest.mark.parametrize("prefix", PREFIXES)
def test_frame_size_of_half_a_prefix_is_open(make, prefix):
    whole = announce(prefix, 200)
    buffer = make(whole[:-1])
    assert buffer.frame_size(prefix) == -1
    assert buffer.take_frame(prefix, 1000) is None


@pytest.mark.parametrize(
    "content",
    [b"\x80\x00", b"\x81\x80\x00", b"\xff" * 9 + b"\x02", b"\x80" * 10, b"\xff" * 11],
)
def test_frame_size_of_what_is_no_varint(make, content):
    buffer = make(content)
    assert buffer.frame_size(0) == -2
    assert buffer.take_frame(0, HUGE) is None
    assert bytes(buffer) == content


@pytest.mark.parametrize("prefix", [3, -3, 16, HUGE, True, 1.0, None, "4", []])
def test_take_frame_with_another_prefix_raises_value_error(make, prefix):
    buffer = make(b"\x00\x00\x00\x00")
    with pytest.raises(ValueError, match="no such prefix: "):
        buffer.take_frame(prefix, 1)
    with pytest.raises(ValueError, match="no such prefix: "):
        buffer.frame_size(prefix)


def test_take_frame_counts_on_the_budget_and_declines_while_claimed(make):
    buffer = make(b"\x01a\x01b", operations=1)
    assert buffer.take_frame(1, 10) is None  # of one operation, each has to be granted
    buffer.budget.grant()
    assert buffer.take_frame(1, 10) == b"a"
    assert buffer.take_frame(1, 10) is None
    buffer.budget.grant()
    buffer.claimed = True
    assert buffer.take_frame(1, 10) is None
    buffer.claimed = False
    assert buffer.take_frame(1, 10) == b"b"


@pytest.mark.parametrize("prefix", [prefix for prefix in PREFIXES if abs(prefix) != 1])
def test_take_frame_counts_its_bytes_on_the_budget(twin, prefix):
    buffer = twin.ReceiveBuffer(twin.ReadyBudget(1_000_000))
    buffer.feed((announce(prefix, 2000) + bytes(2000)) * 140)
    taken = 0
    while buffer.take_frame(prefix, 2000) is not None:
        taken += 1
    assert taken == 132  # the one that passes 256 KiB is the last


@pytest.mark.parametrize("prefix", PREFIXES)
def test_take_frame_behind_a_search_leaves_the_rest_to_be_searched(make, prefix):
    buffer = make(announce(prefix, 2) + b"ab" + b"c\n")
    assert buffer.take_until(b"\n\n", 100) is None
    assert buffer.take_frame(prefix, 100) == b"ab"
    buffer._check()
    buffer.feed(b"\n")
    assert buffer.take_until(b"\n\n", 100) == b"c"


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("more", [b"", b"more"])
def test_take_frame_whose_probe_uses_the_buffer_neither_loses_nor_tears(twin, prefix, more):
    used = []

    def probe():
        if not used:
            used.append(b"")  # nothing is to be done while this is
            used.append(buffer.take(3))
            buffer.feed(more)
        return False

    frames = b"".join(announce(prefix, size) + bytes([size]) * size for size in (5, 6, 7))
    buffer = twin.ReceiveBuffer(twin.ReadyBudget(1_000, probe))
    buffer.feed(frames)
    assert buffer.take_frame(prefix, 100) is None
    assert used[1] + bytes(buffer) == frames + more
    buffer._check()
