"""Both twins of ReceiveBuffer do the same: results, exceptions and their texts."""

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import _compiled, _pure

DELIMITERS = [
    b"\n",
    b"\r\n",
    b"aab",
    b"abab",
    (b"\r\n", b"\n"),
    (b"ab", b"b", b"aab"),
    [b"\n", b"a"],
    (bytearray(b"b"),),
    b"",
    (),
    "\n",
    (b"a", 5),
]
# Few letters, so that delimiters and parts of them are everywhere.
text = st.text("ab\r\n", max_size=40).map(str.encode)
data = st.one_of(
    text,
    text.map(lambda item: item * 30),
    st.integers(0, 200_000).map(lambda size: b"x" * size),
    st.sampled_from(["text", None, 5]),
)
sizes = st.one_of(
    st.integers(-1, 80),
    st.sampled_from(
        [0, 1, 63, 64, 65, 128, 4096, 100_000, 10**30, -(10**30), 1.5, "1", None, True]
    ),
)
HUGE = 10**30
room = st.one_of(st.integers(-1, 5000), st.sampled_from([70_000, "1", None]))
delimiters = st.sampled_from(DELIMITERS)
prefixes = st.sampled_from([0, 1, 2, 4, 8, -1, -2, -4, -8, 3, -3, 16, True, 1.0, None, "4", HUGE])
frames = st.builds(
    lambda size, prefix: (
        (size.to_bytes(8, "big")[-prefix:] if prefix else bytes([size % 128 | 128, size // 128]))
        + b"f" * size
    ),
    st.integers(0, 255),
    st.sampled_from([0, 1, 2, 4, 8]),
)
# At and beyond the ends of what a varint can be.
varints = st.one_of(
    st.lists(st.sampled_from([0x80, 0xFF, 0x81]), max_size=11).map(bytes),
    st.tuples(st.integers(7, 10), st.sampled_from([0, 1, 2, 0x7F])).map(
        lambda it: b"\xff" * it[0] + bytes([it[1]])
    ),
)
operations = st.one_of(
    st.tuples(st.just("feed"), data),
    st.tuples(st.just("receive"), room, room),
    st.tuples(st.just("reserve"), room),
    st.tuples(st.just("view"), st.booleans()),
    st.tuples(st.just("feed_room"), st.just(None)),
    st.tuples(st.just("commit"), room),
    st.tuples(st.just("take"), sizes),
    st.tuples(st.just("take_exactly"), sizes),
    st.tuples(st.just("peek"), sizes),
    st.tuples(st.just("take_into"), st.integers(0, 100)),
    st.tuples(st.just("take_until"), delimiters, sizes, st.booleans()),
    st.tuples(st.just("take_until"), delimiters, st.integers(1, 200)),
    st.tuples(st.just("limit_exceeded"), delimiters, sizes),
    st.tuples(st.just("feed"), frames | varints),
    st.tuples(st.just("take_frame"), prefixes, sizes),
    st.tuples(st.just("frame_size"), prefixes),
    st.tuples(st.just("claim"), st.booleans()),
    st.tuples(st.just("refill"), st.just(None)),
)


class Driver:
    """Does to one twin what an operation says, and tells what came of it."""

    def __init__(self, twin):
        self.budget = twin.ReadyBudget(10)
        self.buffer = twin.ReceiveBuffer(self.budget)
        self.view = None

    def __call__(self, name, *arguments):
        try:
            result = self.perform(name, *arguments)
        except Exception as exc:
            result = type(exc), str(exc)
        self.buffer._check()
        budget = self.budget
        return result, bytes(self.buffer), len(self.buffer), self.buffer.claimed, budget.left

    def perform(self, name, *arguments):
        match name:
            case "claim":
                (self.buffer.claimed,) = arguments
            case "refill":
                self.budget.refill()
            case "receive":  # the way of a stream: nothing viewed afterwards
                with self.buffer.reserve(arguments[0]) as view:
                    view[:] = (b"ab\r\n" * len(view))[: len(view)]
                self.buffer.commit(arguments[1])
            case "reserve":
                view = self.buffer.reserve(*arguments)
                view[:] = (b"b\na\r" * len(view))[: len(view)]
                self.view = view
            case "view":  # let go, of a part or of the whole
                if self.view is not None:
                    part = self.view[1:] if arguments[0] else None
                    self.view.release()
                    self.view = part
            case "feed_room":
                if self.view is not None:
                    self.buffer.feed(self.view)
            case "take_into":
                target = bytearray(b"?" * arguments[0])
                try:
                    return self.buffer.take_into(target), bytes(target)
                except ValueError as exc:
                    return str(exc)
            case _:
                return getattr(self.buffer, name)(*arguments)


@settings(max_examples=400, deadline=None)
# Lists that may be short stay so; these find what takes many steps, and those shrink well.
@given(st.lists(operations, max_size=50) | st.lists(operations, min_size=50, max_size=50))
def test_both_twins_do_the_same(steps):
    pure, compiled = Driver(_pure), Driver(_compiled)
    for step in steps:
        assert pure(*step) == compiled(*step)
