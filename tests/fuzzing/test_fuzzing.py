"""Every target of fuzzing, by hypothesis: what atheris does for longer, see README.md."""

from __future__ import annotations

import pytest
from backends import BACKENDS, BackendUnderTest
from choices import Choices
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from targets import TARGETS

EXAMPLES = 1000
#: Short inputs are the simple ones, long ones use everything that a target does.
INPUTS = st.binary(max_size=60) | st.binary(min_size=300, max_size=300)


# The others are asyncio to what is fuzzed here.
@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> BackendUnderTest:
    (backend,) = (backend for backend in BACKENDS if backend.id == request.param)
    return backend


@pytest.mark.parametrize("name", TARGETS)
@given(data=INPUTS)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_target_holds(backend: BackendUnderTest, name: str, data: bytes) -> None:
    backend.run(TARGETS[name], Choices(data))
