"""Whatever the network does, what arrives is what was sent: all of it, or the beginning.

``--hypothesis-profile=chaos`` tries a hundred times as much.
"""

from __future__ import annotations

import pytest
from backends import BackendUnderTest
from chaos_stacks import STACKS
from chaos_transfers import Case, Conversation
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from penstock.testing import ChaosStream

LENGTHS = st.integers(0, 40) | st.integers(0, 6_000) | st.sampled_from([100_000])
PIECES = st.lists(LENGTHS, max_size=8)
READS = st.sampled_from([1, 7, 100, 4_096, 65_536, 70_000])
CASES = st.builds(
    Case,
    seed=st.integers(0, 2**32),
    pieces=st.tuples(PIECES, PIECES),
    reads=st.lists(READS, max_size=3).map(lambda sizes: [*sizes, 4_097]),
    many=st.booleans(),
    into=st.booleans(),
    faults=st.frozensets(st.sampled_from(ChaosStream.HARMLESS)),
    fatal=st.sampled_from([None, *ChaosStream.FATAL]),
    within=st.sampled_from([1_000, 100_000, 1_000_000]),
    place=st.sampled_from(["below", "below", "above", "both"]),
    victim=st.sampled_from(["near", "far"]),
    budget=st.sampled_from([1, None]),
)
#: A part of what hypothesis is told to try of everything.
EXAMPLES = settings.default.max_examples * 15 // 100


@pytest.mark.parametrize("name", STACKS)
@given(case=CASES)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_transfer_is_exact_or_a_prefix(backend: BackendUnderTest, name: str, case: Case) -> None:
    stack = STACKS[name]
    # What cannot end one direction cannot do so too early.
    assume(stack.half_close or case.fatal != "eof" or case.place == "below")
    conversation = Conversation(stack, case)
    try:
        backend.run(conversation.run)
    finally:
        if conversation.weather is not None:
            note("\n".join(map(repr, conversation.weather.chaos)))
    conversation.judge()
