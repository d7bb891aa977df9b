"""What ReceiveBuffer finds behind bytes that were taken, and that it counts what it looked at.

The bytes before the first unread one are still in its memory: nothing may be found there.
"""

import pytest


@pytest.fixture
def make(twin):
    """Make a buffer that holds some bytes, behind others that were taken."""

    def make(taken, unread):
        budget = twin.ReadyBudget(1_000_000)
        buffer = twin.ReceiveBuffer(budget)
        buffer.feed(taken + unread)
        assert buffer.take_exactly(len(taken)) == taken
        return buffer

    return make


@pytest.mark.parametrize("taken", [b"a" * 300, b"xa" * 150])
@pytest.mark.parametrize("delimiters", [b"xa", (b"xa", b"\0")], ids=["one", "two"])
def test_take_until_behind_false_hits_finds_the_match(make, taken, delimiters):
    buffer = make(taken, b"a" * 300 + b"xarest")
    assert buffer.take_until(delimiters, 1000) == b"a" * 300
    assert bytes(buffer) == b"rest"


@pytest.mark.parametrize("delimiters", [b"xa", (b"xa", b"\0")], ids=["one", "two"])
def test_take_until_finds_nothing_that_begins_in_what_was_taken(make, delimiters):
    buffer = make(b"a" * 300 + b"x", b"a" * 300)
    assert buffer.take_until(delimiters, 1000) is None
    buffer.feed(b"xa")
    assert buffer.take_until(delimiters, 1000) == b"a" * 300


def test_limit_exceeded_where_the_delimiter_begins_in_what_was_taken(make):
    buffer = make(b"za", b"bc")
    assert buffer.limit_exceeded(b"abcd", 1)


@pytest.mark.parametrize("prefix", [4, 0, -4])
def test_frame_size_of_half_a_prefix_behind_others_is_open(make, prefix):
    buffer = make(b"\x80" * 20, b"\x80" * 3)
    assert buffer.frame_size(prefix) == -1
    assert buffer.take_frame(prefix, 1000) is None


@pytest.mark.parametrize("delimiters", [b"\n", b"xa", (b"xa",), (b"xa", b"\n")])
@pytest.mark.parametrize("octet", [b"a", b"b"])
def test_work_counts_what_was_searched(make, delimiters, octet):
    buffer = make(b"", octet * 1000)
    before = buffer.work
    assert buffer.take_until(delimiters, 1 << 20) is None
    assert buffer.work - before >= 999


def test_work_counts_the_search_that_finds(make):
    buffer = make(b"", b"a" * 1000 + b"xa")
    before = buffer.work
    assert buffer.take_until(b"xa", 1 << 20) == b"a" * 1000
    assert buffer.work - before >= 1000


@pytest.mark.parametrize("delimiters", [b"ab" * 500 + b"c", (b"\0", b"ab" * 500 + b"c")])
def test_work_counts_the_look_for_a_delimiter_that_has_begun(make, delimiters):
    buffer = make(b"", b"zz" + b"ab" * 200)
    assert buffer.take_until(delimiters, 2) is None
    before = buffer.work
    assert not buffer.limit_exceeded(delimiters, 2)
    assert buffer.work - before >= 400
