"""Runs of lines, asked for with the same objects, amid everything else that a buffer is asked.

The pure twin splits such runs ahead; what it hands out must not show it.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# The objects themselves count: a run is known by them.
DELIMITERS = (b"\n", b"\r\n", b"\n\n")
LIMITS = (3, 40, 65_536)


def claim(buffer):
    buffer.claimed = True
    taken = buffer.take_until(DELIMITERS[0], LIMITS[2])
    buffer.claimed = False
    return taken


def take_into(buffer):
    memory = bytearray(5)
    return buffer.take_into(memory), memory


def reserve(buffer):
    with buffer.reserve(9), pytest.raises(BufferError, match="still in use"):
        buffer.take_until(DELIMITERS[0], LIMITS[2])
    buffer.feed(b"z")


@pytest.mark.parametrize("probe", [None, lambda: False], ids=["no probe", "probe"])
@pytest.mark.parametrize("before", range(1, 6))
@pytest.mark.parametrize(
    "request_of",
    [
        lambda buffer: buffer.take_until(DELIMITERS[0], LIMITS[2]),
        lambda buffer: buffer.take_until(DELIMITERS[0], LIMITS[2], True),
        lambda buffer: buffer.take_until(DELIMITERS[0], LIMITS[0]),
        lambda buffer: buffer.take_until(DELIMITERS[1], LIMITS[2]),
        lambda buffer: buffer.take_until(DELIMITERS, LIMITS[2]),
        lambda buffer: buffer.limit_exceeded(DELIMITERS[0], LIMITS[0]),
        lambda buffer: buffer.take(5),
        lambda buffer: buffer.take_exactly(5),
        lambda buffer: buffer.take_exactly(1 << 20),
        lambda buffer: buffer.take_frame(1, 1 << 20),
        lambda buffer: buffer.frame_size(1),
        lambda buffer: buffer.peek(5),
        bytes,
        len,
        claim,
        take_into,
        reserve,
    ],
)
def test_another_request_amid_a_run_is_served_as_if_there_were_no_run(
    twin, before, request_of, probe
):
    def filled(data):
        buffer = twin.ReceiveBuffer(twin.ReadyBudget(1_000, probe))
        buffer.feed(data)
        return buffer

    lines = [b"%0*d\r\n" % (n % 7, n) for n in range(60)]
    amid = filled(b"".join(lines))
    for line in lines[:before]:
        assert amid.take_until(DELIMITERS[0], LIMITS[2]) == line[:-1]
    fresh = filled(b"".join(lines[before:]))
    assert request_of(amid) == request_of(fresh)
    amid._check()
    assert len(amid) == len(fresh)
    assert bytes(amid) == bytes(fresh)
    while (line := fresh.take_until(DELIMITERS[0], LIMITS[2])) is not None:
        assert amid.take_until(DELIMITERS[0], LIMITS[2]) == line
    assert bytes(amid) == bytes(fresh)


SIZES = st.lists(st.sampled_from([0, 1, 2, 3, 4, 39, 40, 41, 63, 200]), max_size=40)


@st.composite
def chunks(draw):
    end = draw(st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\n\n", b""]))
    return end.join([b"\rx" * (size // 2) + b"y" * (size % 2) for size in draw(SIZES)]) + end


RUNS = st.tuples(
    st.just("lines"),
    st.integers(1, 5),
    st.sampled_from(DELIMITERS[:1] * 3 + DELIMITERS),
    st.sampled_from(LIMITS),
    st.sampled_from([False, False, False, True]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("feed"), chunks()),
        RUNS,
        RUNS,
        RUNS,
        st.tuples(
            st.sampled_from(["take", "take_exactly", "take_into", "peek", "reserve", "claimed"]),
            st.integers(1, 70),
        ),
    ),
    max_size=30,
)


def until(unread, delimiter, limit, include):
    """Return what a line is and how much it consumes, or None."""
    at = unread.find(delimiter)
    if at < 0 or at > limit:
        return None, 0
    stop = at + len(delimiter)
    return unread[: stop if include else at], stop


def expected(unread, name, count):
    """Return what one of the other operations gives, and how much it consumes."""
    head = unread[:count]
    if name == "take_exactly" and len(head) < count:
        return None, 0
    return head or None, 0 if name == "peek" else len(head)


@given(STEPS)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_runs_of_lines_are_what_a_search_for_each_would_give(twin, steps):
    budget = twin.ReadyBudget(1_000_000)
    budget.spend_bytes(-(1 << 40))
    buffer = twin.ReceiveBuffer(budget)
    unread = b""
    for name, *arguments in steps:
        if name == "feed":
            buffer.feed(arguments[0])
            unread += arguments[0]
        elif name == "lines":
            count, delimiter, limit, include = arguments
            for _ in range(count):
                left = budget.left
                line, consumed = until(unread, delimiter, limit, include)
                assert buffer.take_until(delimiter, limit, include) == line
                assert budget.left == left - (line is not None)
                unread = unread[consumed:]
                buffer._check()
        elif name == "reserve":
            buffer.reserve(arguments[0]).release()
        elif name == "claimed":
            buffer.claimed = True
            assert buffer.take_until(DELIMITERS[0], LIMITS[2]) is None
            buffer.claimed = False
        elif name == "take_into":
            memory = bytearray(arguments[0])
            nbytes = buffer.take_into(memory)
            data, consumed = expected(unread, name, arguments[0])
            assert (bytes(memory[:nbytes]) if nbytes > 0 else None) == data
            unread = unread[consumed:]
        else:
            data, consumed = expected(unread, name, arguments[0])
            assert getattr(buffer, name)(arguments[0]) == data
            unread = unread[consumed:]
        buffer._check()  # not its length, which would end a run
    assert len(buffer) == len(unread)
    assert bytes(buffer) == unread


def test_a_run_amid_which_the_budget_ends_declines_and_goes_on(twin):
    budget = twin.ReadyBudget(7)
    buffer = twin.ReceiveBuffer(budget)
    buffer.feed(b"".join(b"%d\n" % n for n in range(50)))
    taken = []
    declined = 0
    while len(buffer):
        line = buffer.take_until(DELIMITERS[0], LIMITS[2])
        if line is None:
            declined += 1
            budget.refill()
        else:
            taken.append(int(line))
    assert taken == list(range(50))
    assert declined == 7


def test_a_probe_that_takes_all_amid_a_run_leaves_nothing_to_hand_out(twin):
    asked = 0

    def probe():
        nonlocal asked
        asked += 1
        if asked == 4:
            buffer.take(1_000)
        return False

    buffer = twin.ReceiveBuffer(twin.ReadyBudget(1_000, probe))
    buffer.feed(b"".join(b"%d\n" % n for n in range(10)))
    lines = [buffer.take_until(DELIMITERS[0], LIMITS[2]) for _ in range(5)]
    assert lines == [b"0", b"1", b"2", None, None]
    assert not len(buffer)
    buffer._check()


@pytest.mark.parametrize("length", [5, 200], ids=["near", "far"])
@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize("before", [0, 1, 4])
@pytest.mark.parametrize("step", [1, 7, 1_000, "line"])
@pytest.mark.parametrize("more", [b"", b"more\n", b"m" * 10_000], ids=["", "feed", "feed much"])
def test_a_probe_that_uses_the_buffer_amid_a_search_neither_loses_nor_tears(
    twin, more, step, before, include, length
):
    used = []

    def probe():
        if len(used) == 1:
            used.append(b"")  # nothing is to be done while this is
            if step == "line":
                used.append(buffer.take_until(DELIMITERS[0], LIMITS[2], True))
            else:
                used.append(buffer.take(step))
            if more:
                buffer.feed(more)
        return False

    buffer = twin.ReceiveBuffer(twin.ReadyBudget(1_000, probe))
    lines = [b"%0*d\n" % (length if n >= before else 5, n) for n in range(before + 9)]
    buffer.feed(b"".join(lines))
    for line in lines[:before]:
        assert buffer.take_until(DELIMITERS[0], LIMITS[2]) == line[:-1]
    used.append(b"")
    taken = buffer.take_until(DELIMITERS[0], LIMITS[2], include)
    if taken is not None:
        taken = taken if include else taken + b"\n"
        assert taken.count(b"\n") == 1
    buffer._check()
    came = b"".join(used) + (taken or b"") + bytes(buffer)
    assert came == b"".join(lines[before:]) + more


@pytest.mark.parametrize("before", [2, 3])  # the last line ahead is the probe's, or is not
def test_a_probe_that_goes_on_with_the_run_takes_each_line_once(twin, before):
    taken = []
    busy = True

    def take():
        line = buffer.take_until(DELIMITERS[0], LIMITS[2])
        if line is not None:
            taken.append(int(line))
        return line

    def probe():
        nonlocal busy
        if not busy:
            busy = True
            take()
            busy = False
        return False

    buffer = twin.ReceiveBuffer(twin.ReadyBudget(1_000, probe))
    buffer.feed(b"".join(b"%d\n" % n for n in range(500)))
    for _ in range(before):
        take()
    busy = False
    while take() is not None or len(taken) < 500:
        buffer._check()
    assert taken == list(range(500))
    assert not len(buffer)
